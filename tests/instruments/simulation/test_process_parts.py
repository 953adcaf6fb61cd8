"""Real time and its watchman, and which snapshots are kept."""

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable

import pytest

from stream.errors import ExitCode
from stream.ports import StoredSnapshot
from stream.runtime.clock import SystemClock
from stream.runtime.retention import superfluous
from stream.runtime.watchdog import Watchdog


def _wait_for(is_so: Callable[[], bool], *, deadline_s: float = 5.0) -> None:
    until = time.monotonic() + deadline_s
    while not is_so():
        assert time.monotonic() < until, f"not within {deadline_s} s"
        time.sleep(0.01)


def test_a_call_that_hangs_ends_the_process_and_says_which_one() -> None:
    """Nothing else can interrupt a client's call that never returns."""
    said: list[str] = []
    ended: list[int] = []
    watchdog = Watchdog(said.append, ended.append)

    with watchdog.watch("committing", 0.05):
        _wait_for(lambda: bool(ended))

    assert ended == [ExitCode.INTERNAL]
    (line,) = said
    assert line.startswith("committing did not return within its deadline; it is at ")
    assert "test_process_parts.py" in line
    assert "_wait_for" in line


def test_a_call_that_returns_in_time_ends_nothing() -> None:
    """Also where an error ends it; and an old deadline is not a later call's."""
    ended: list[int] = []
    watchdog = Watchdog(lambda _: None, ended.append)
    with pytest.raises(ZeroDivisionError), watchdog.watch("polling", 0.05):
        raise ZeroDivisionError
    with watchdog.watch("polling", 60.0):
        time.sleep(0.6)  # two looks of the watchdog

    watchdog.close()
    assert not ended


def test_the_time_of_a_call_stands_still_within_another_watch() -> None:
    """Restoring is watched as calls of clients; to unpickle a large state may take far longer."""
    said: list[str] = []
    watchdog = Watchdog(said.append, lambda _: None)
    with watchdog.watch("restoring", 0.4):
        with watchdog.watch("unpickling", 60.0):
            time.sleep(0.8)
        time.sleep(0.1)
        assert not said
        _wait_for(lambda: bool(said))
    watchdog.close()

    (line,) = said
    assert line.startswith("restoring did not return within its deadline; it is at ")


def test_a_stop_signal_ends_a_sleep() -> None:
    """A worker that backs off must still stop at once."""
    stopping = threading.Event()
    threading.Timer(0.05, stopping.set).start()
    began = time.monotonic()

    SystemClock(stopping).sleep(600.0)

    assert time.monotonic() - began < 240.0


@pytest.mark.parametrize(
    ("ages_s", "retention_s", "removed"),
    [
        ([], None, []),
        ([0, 10, 20], None, []),
        ([0, 10, 20, 30, 40], None, [20, 10]),
        ([0, 10, 20, 600, 700], 1000.0, [10]),  # one of half the retention's age is kept beside
        ([0, 10, 20, 400, 450], 1000.0, [20, 10]),  # none is that old yet
        ([0, 500, 600, 700], 1000.0, [10]),  # the newest ones are old enough themselves
    ],
)
def test_which_snapshots_are_superfluous(
    ages_s: list[int], retention_s: float | None, removed: list[int]
) -> None:
    """All but the newest, and one from which a rollback can begin."""
    newest = 10 * len(ages_s)
    stored = [
        StoredSnapshot(newest - 10 * i, 7_000, 1, -1000 * age) for i, age in enumerate(ages_s)
    ]

    assert removed == superfluous(
        stored, saved_n=newest, topic_id="t", keep=3, now_ms=0, retention_s=retention_s
    )


def test_snapshots_of_a_dead_topic_go_before_those_of_the_living_one() -> None:
    """Whatever their steps: what is left of a topic that was made again since helps nobody."""
    dead = [StoredSnapshot(n, n, 1, 0, "dead") for n in (9_000, 8_000, 7_000)]
    living = [StoredSnapshot(n, n, 1, 0, "living") for n in (30, 20, 10)]
    unknown = StoredSnapshot(25, 25, 1, 0)

    def removed(*stored: StoredSnapshot) -> list[int]:
        return superfluous(
            stored, saved_n=30, topic_id="living", keep=3, now_ms=0, retention_s=None
        )

    assert removed(*dead, living[2]) == [7_000]
    assert removed(*dead, *living) == [9_000, 8_000, 7_000]
    assert removed(*dead, *living[:2], unknown) == [9_000, 8_000, 7_000]


def test_what_was_just_saved_is_never_superfluous() -> None:
    """A fold that began anew is shorter than the one before, of which snapshots are left."""
    stored = [StoredSnapshot(n, n, 1, 0, "t") for n in (90, 80, 70, 2, 1)]

    removed = superfluous(stored, saved_n=2, topic_id="t", keep=3, now_ms=0, retention_s=None)

    assert removed == [1]


_WATCHED = """
import sys, time
from stream.runtime.watchdog import Watchdog

watchdog = Watchdog(lambda line: print(line, flush=True))
with watchdog.watch("sleeping", float(sys.argv[1])):
    print("begun", flush=True)
    for _ in range(12):
        time.sleep(0.1)
print("ended", flush=True)
"""


@pytest.mark.parametrize(("deadline_s", "code", "says"), [(2.5, 0, "ended"), (0.5, 70, "sleeping")])
def test_time_in_which_the_process_is_stopped_is_no_time_of_a_call(
    deadline_s: float, code: int, says: str
) -> None:
    """After SIGCONT a call goes on; one that takes too long without the stop is ended as ever."""
    process = subprocess.Popen(
        [sys.executable, "-c", _WATCHED, str(deadline_s)], stdout=subprocess.PIPE, text=True
    )
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == "begun\n"
        process.send_signal(signal.SIGSTOP)
        time.sleep(3.0)
        process.send_signal(signal.SIGCONT)
        out, _ = process.communicate(timeout=240)

    assert (process.returncode, out.startswith(says)) == (code, True), out
