"""The demo as a user sees it: one command, a report, and nothing else left."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from stream.errors import ExitCode
from stream.sandbox import LocalKafka, LocalRedis
from tests.broker.checks import environment, process_lines
from tests.patience import eventually

EVENTS_N = 3_000
PROGRAM = """
import sys
from stream import cli
from stream.demo.command import demo
cli.main.add_command(demo)
sys.exit(cli.run(sys.argv[1:]))
"""

# A reader that changes the last digit of one probability of one pipeline: what a worker that is off
# would publish.
LIES = """
import msgspec, sys
from pathlib import Path
from stream.cli import Pipeline
from stream.core.event import Channel
from stream.demo.performance import run
from stream.errors import Internal

class Lying:
    def __init__(self, reader):
        self._reader = reader

    def __getattr__(self, name):
        return getattr(self._reader, name)

    def read(self, channel, partition, start, stop):
        for batch in self._reader.read(channel, partition, start, stop):
            yield [self._lie(r) if channel is Channel.PREDICTIONS else r for r in batch]

    def _lie(self, record):
        value = msgspec.json.decode(record.value)
        if value["offset"] == 2_000:
            value["probabilities"]["true"] += 2.0 ** -53
        return msgspec.structs.replace(record, value=msgspec.json.encode(value))

def open_reader(path):
    reader = Pipeline.of(path).backend.reader()
    return Lying(reader) if path.stem == sys.argv[2] else reader

try:
    run(
        open_reader=open_reader,
        kafka="embedded",
        report=Path("demo-report.html"),
        events_n=int(sys.argv[1]),
    )
except Internal as error:
    print(error)
    sys.exit(error.exit_code)
"""


HEARS_CTRL_C = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
"""What a shell starts in the background does not hear it, nor does anything that it starts."""


@dataclass(frozen=True)
class Place:
    """Where a demo runs: all that it could leave is below `root`."""

    root: Path

    def __post_init__(self) -> None:
        for name in ("here", "home", "tmp"):
            (self.root / name).mkdir()

    @contextmanager
    def demo(self, *options: str, **variables: str) -> Iterator[subprocess.Popen[str]]:
        """A running demo, killed at the end if it still runs; both its streams in `stdout`."""
        with self.program(PROGRAM, "demo", *options, **variables) as running:
            yield running

    @contextmanager
    def program(
        self, source: str, *arguments: str, **variables: str
    ) -> Iterator[subprocess.Popen[str]]:
        """The same of any Python program."""
        changes = {"HOME": str(self.root / "home"), "TMPDIR": str(self.root / "tmp")}
        running = subprocess.Popen(
            [sys.executable, "-c", HEARS_CTRL_C + source, *arguments],
            cwd=self.root / "here",
            env=environment(**changes, **variables),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        with running:
            try:
                yield running
            finally:
                running.kill()

    def left(self) -> list[str]:
        """The files that there are, but those of the first two levels; and processes."""
        # Not rglob: it fails when a directory goes while it looks.
        files = [
            name
            for place, directories, names in os.walk(self.root)
            if place != str(self.root)
            for name in (*directories, *names)
        ]
        return files + process_lines(str(self.root))


def read_until(running: subprocess.Popen[str], word: str) -> None:
    """Read a demo's lines up to the first that begins with `word`."""
    assert running.stdout is not None
    seen = []
    for line in running.stdout:
        seen.append(line)
        if line.startswith(word):
            return
    pytest.fail(f"no line begins with {word!r}:\n{''.join(seen)}")


def perform(place: Place, kafka: str, **variables: str) -> str:
    """A whole demo; what it said."""
    # A variable that leads to no server: the demo must not follow it.
    variables |= {"STREAM__KAFKA__BOOTSTRAP_SERVERS": "localhost:1"}
    options = ("--kafka", kafka, "--events", str(EVENTS_N))
    with place.demo(*options, **variables) as running:
        said, _ = running.communicate(timeout=240)
    assert running.returncode == 0, said
    return said


def check_performance(place: Place, said: str) -> None:
    """Everything that a demo promises to whoever ran it."""
    rows = re.findall(r"^(\w+ \w+) +3,000 +0 +0 +0 +same +3,000$", said, re.MULTILINE)
    assert rows == ["logistic regression", "nearest neighbours"]
    assert re.search(r"^kill +SIGKILL for nearest neighbours", said, re.MULTILINE)
    assert re.search(r"^back +in [\d.]+ s: .* flights replayed to offset", said, re.MULTILINE)
    assert re.search(r"^exact +every prediction is there once", said, re.MULTILINE)
    check_second_act(said)
    assert place.left() == ["demo-report.html"]
    check_report((place.root / "here" / "demo-report.html").read_text(encoding="utf-8"))


def check_second_act(said: str) -> None:
    """Labels a day late: killed in between, started again, each once, as a plain loop's."""
    _, late = said.split(
        "\nlate     3,000 flights; each label comes a day later, in a topic of its own\n"
    )
    killed = re.search(
        r"^kill     SIGKILL for process \d+ after ([\d,]+) predictions and ([\d,]+) labels", late,
        re.MULTILINE,
    )  # fmt: skip
    assert killed is not None, late
    predicted_n, learned_n = (int(group.replace(",", "")) for group in killed.groups())
    assert 1_500 <= predicted_n <= 3_000
    assert 0 < learned_n < predicted_n
    assert re.search(
        r"^start    it again; [\d,]+ flights wait for their labels$", late, re.MULTILINE
    )
    assert re.search(r"^back     [\d.]+ s after the kill$", late, re.MULTILINE)
    labels = "\nlabels   3,000, median delay 26.1 h; each has exactly one outcome\n"
    assert f"{labels}exact    same as a plain loop that is told their order: yes\n" in late
    assert [line for line in late.splitlines() if len(line) > 80] == []


def check_report(html: str) -> None:
    """It says what was found, shows three plots for each width, and needs nothing else."""
    assert "all 6,000 published predictions are still <b>exact</b>" in html
    for name in ("score", "throughput", "lag"):
        (section,) = re.findall(rf'<section id="{name}">.*?</section>', html, re.DOTALL)
        assert section.count("<svg ") == 2
        assert section.count("SIGKILL</text>") == 2
    for label in ("Last answer again", "Commoner answer"):
        assert len(re.findall(rf'data-of="{label}">[1-9]\d\.\d %<', html)) == 2
    (section,) = re.findall(r'<section id="late">.*?</section>', html, re.DOTALL)
    assert "Then 3,000 of the flights once more" in section
    assert "Each label has exactly one outcome, and every prediction is, bit for bit" in section
    identities = re.findall(r'\bid="([^"]+)"', html)
    assert len(identities) == len(set(identities))
    assert {*re.findall(r"url\(#([^)]+)\)", html), *re.findall(r'href="#([^"]+)"', html)} <= {
        *identities
    }
    assert not re.search(r'https?:|<script|<link|<img|\bsrc=|@import|url\([^#]|href="[^#]', html)


def test_the_demo_is_exact_and_leaves_only_its_report(tmp_path: Path) -> None:
    """Without any server: exit 0, three plots, no process and no other file."""
    place = Place(tmp_path)

    said = perform(place, "embedded")

    check_performance(place, said)
    assert "one SQLite file (as asked)" in said


@pytest.mark.broker
def test_the_demo_is_exact_on_a_real_kafka(
    kafka: LocalKafka, redis_server: LocalRedis, tmp_path: Path
) -> None:
    """The same with a broker of its own, whose open transaction the dead worker leaves."""
    assert kafka.running  # the fixtures skip where there is no Java or no Redis
    assert redis_server.running
    place = Place(tmp_path)

    # Kafka's jars are kept for the next time, in the user's cache.
    cache = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    said = perform(place, "jvm", XDG_CACHE_HOME=cache)

    check_performance(place, said)
    assert "Kafka in a local JVM" in said


@pytest.mark.docker
def test_the_demo_is_exact_in_containers(tmp_path: Path) -> None:
    """The same with Kafka and Redis in containers."""
    place = Place(tmp_path)

    said = perform(place, "docker")

    check_performance(place, said)


@pytest.mark.parametrize(
    ("pipeline", "line", "in_report"),
    [
        ("flights-neighbors", r"nearest neighbours +3,000 +0 +0 +1 +same", "bit for bit"),
        (
            "flights-late",
            "wrong    same as a plain loop that is told their order: no; 1 differ, 0 missing",
            "1 predictions are not those of a plain loop, 0 are missing",
        ),
    ],
)
def test_one_wrong_bit_in_one_prediction_fails_the_demo(
    tmp_path: Path, pipeline: str, line: str, in_report: str
) -> None:
    """In either act: it is said in the summary, in the report, and by exit code 70."""
    place = Place(tmp_path)

    with place.program(LIES, str(EVENTS_N), pipeline) as running:
        said, _ = running.communicate(timeout=240)

    assert running.returncode == ExitCode.INTERNAL, said
    assert re.search(f"^{line}", said, re.MULTILINE), said
    assert said.endswith("the published outputs are not those of an undisturbed run\n")
    assert place.left() == ["demo-report.html"]
    report = (tmp_path / "here" / "demo-report.html").read_text(encoding="utf-8")
    assert "The published predictions are <b>not exact</b>" in report
    assert in_report in report


@pytest.mark.parametrize("line", ["model", "[  ", "late"])
def test_ctrl_c_ends_it_and_leaves_nothing(tmp_path: Path, line: str) -> None:
    """Workers start, work, or work in the second act: exit 130, nothing runs on, no file stays."""
    place = Place(tmp_path)
    with place.demo("--kafka", "embedded", "--events", str(EVENTS_N)) as running:
        read_until(running, line)

        running.send_signal(signal.SIGINT)
        said, _ = running.communicate(timeout=240)

    assert running.returncode == 128 + signal.SIGINT, said
    assert "Traceback" not in said
    assert place.left() == []


def test_killed_it_takes_everything_along(tmp_path: Path) -> None:
    """SIGKILL of the demo itself: workers, feed and files go within seconds."""
    place = Place(tmp_path)
    with place.demo("--kafka", "embedded", "--events", str(EVENTS_N)) as running:
        read_until(running, "[  ")

        running.kill()
        running.wait()

        eventually(lambda: place.left() == [], "nothing is left")


def test_a_worker_that_fails_is_shown_and_ends_the_demo(tmp_path: Path) -> None:
    """Somebody else kills the other worker: its last lines, one line that says so, exit 70."""
    place = Place(tmp_path)
    with place.demo("--kafka", "embedded", "--events", str(EVENTS_N)) as running:
        read_until(running, "[  ")

        os.kill(worker_id(place, "flights-linear"), signal.SIGKILL)
        said, _ = running.communicate(timeout=240)

    assert running.returncode == ExitCode.INTERNAL
    assert re.search(r"^  \| .* worker_started pipeline=flights-linear", said, re.MULTILINE)
    assert "stream: worker flights-linear ended with exit code -9" in said
    assert place.left() == []


def worker_id(place: Place, pipeline: str) -> int:
    """The process of a demo's worker."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = entry.read_bytes().decode(errors="replace").split("\0")
        except (FileNotFoundError, ProcessLookupError):
            continue  # it ended while we looked
        ours = any(word.startswith(str(place.root)) for word in words)
        if ours and "run" in words and any(word.endswith(f"{pipeline}.toml") for word in words):
            found.append(int(entry.parent.name))
    (identity,) = found
    return identity


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (["--events", "499"], "--events: 499 is not between 500 and 45000"),
        (["--report", "nowhere/report.html"], "--report: nowhere/report.html cannot be written"),
    ],
)
def test_what_cannot_be_is_said_before_anything_starts(
    tmp_path: Path, options: list[str], problem: str
) -> None:
    """A minute later would be too late: exit 64 at once."""
    place = Place(tmp_path)

    with place.demo(*options) as running:
        said, _ = running.communicate(timeout=240)

    assert said.startswith(f"stream: {problem}")
    assert running.returncode == ExitCode.USAGE
    assert place.left() == []
