"""What is said is one line an event, and never holds a secret."""

import io
import logging
import warnings
from collections.abc import Iterator

import pytest

from stream.telemetry import LogEvent, Scrubber, Telemetry, configure_logging


@pytest.fixture
def said() -> Iterator[io.StringIO]:
    """What a process says while it debugs; the root logger is put back."""
    root = logging.getLogger()
    before = root.handlers[:], root.level
    yield io.StringIO()
    root.handlers[:], level = before
    root.setLevel(level)


def scrubber(*secrets: str) -> Scrubber:
    """One that knows these."""
    made = Scrubber()
    made.learn(secrets)
    return made


def test_secrets_are_cut_out_longest_first() -> None:
    """A URL goes as a whole, and not only the password in it; later ones count too."""
    cleaner = scrubber("pw", "redis://me:pw@host")
    assert cleaner.clean("at redis://me:pw@host, pw") == "at ***, ***"
    cleaner.learn({"host"})
    assert cleaner.clean("at redis://me:pw@host on host") == "at *** on ***"


def test_a_field_cannot_begin_a_line_of_its_own(said: io.StringIO) -> None:
    """A message from elsewhere may hold a line's end, or a terminal's escapes."""
    configure_logging(scrubber(), said)

    Telemetry().say(LogEvent.SNAPSHOT_REJECTED, why="x\n2026 INFO worker_stopped\x1b[2J")

    (line,) = said.getvalue().splitlines()
    assert line.endswith('snapshot_rejected why="x\\n2026 INFO worker_stopped\\x1b[2J"')


def test_a_library_warns_once_for_each_place(said: io.StringIO) -> None:
    """Of scikit-learn's naive Bayes each event had lines of its own, past every filter."""
    configure_logging(scrubber("s3cret"), said)
    for n in range(200):
        with warnings.catch_warnings():  # whoever uses it makes Python forget what it has shown
            warnings.simplefilter("always")
            warnings.warn_explicit("of s3cret\nand 0", RuntimeWarning, "lib.py", 7)
            warnings.warn_explicit("elsewhere", UserWarning, "lib.py", 100 + n)

    first, *others = said.getvalue().splitlines()
    assert first.endswith('WARNING library_warned why="RuntimeWarning: of ***\\nand 0" at=lib.py:7')
    assert len(others) < 60


def test_lines_may_end_with_whose_they_are_and_be_listened_to(said: io.StringIO) -> None:
    """Several workers write to one log; the listener gets what was said, and no more."""
    configure_logging(scrubber(), said)
    telemetry = Telemetry()
    telemetry.always = {"worker": "w-1"}
    heard: list[tuple[LogEvent, dict[str, object]]] = []
    telemetry.listener = lambda event, fields: heard.append((event, dict(fields)))

    telemetry.say(LogEvent.PROGRESS, records=1)

    assert said.getvalue().endswith("INFO progress records=1 worker=w-1\n")
    assert heard == [(LogEvent.PROGRESS, {"records": 1})]


def test_lines_and_tracebacks_of_libraries_are_scrubbed_too(said: io.StringIO) -> None:
    """With --debug they are shown, and a client may put its URL into an error."""
    known = scrubber("canary")
    configure_logging(known, said, debug=True)
    Telemetry(known).say(LogEvent.PROGRESS, url="redis://:canary@host")
    try:
        int("canary in the exception")
    except ValueError:
        logging.getLogger("theirs").exception("said with %s", "canary")

    assert "canary" not in said.getvalue()
    assert said.getvalue().count("***") >= 3
    assert "Traceback" in said.getvalue()
