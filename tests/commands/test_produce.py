"""`stream produce` from outside, on the embedded log."""

import gzip
import json
import re
import signal
import sqlite3
import time

import pytest

from stream.core.event import Channel
from tests.commands.project import EMBEDDED, MODEL, Project, closed_port, unreachable
from tests.patience import eventually


def test_a_file_is_sent_and_acknowledged(project: Project) -> None:
    """Every row is one record, in the file's order; the last line says how many and how fast."""
    content = "x,class\n" + "".join(f"{i},{'UP' if i % 2 else 'DOWN'}\n" for i in range(100))
    project.write("events.csv.gz", gzip.compress(content.encode()))

    done = project.stream("produce", "events.csv.gz", "--label", "class")

    assert done.code == 0, done
    last = done.out.splitlines()[-1]
    assert re.fullmatch(r"100 events acknowledged in \d+\.\d s \(\d+/s\)", last)
    events = [json.loads(r.value or b"") for r in project.records()]
    assert [e["features"]["x"] for e in events] == list(range(100))
    assert [e["label"] for e in events[:2]] == ["DOWN", "UP"]


def test_columns_become_key_and_time(project: Project) -> None:
    """--key, --id and --time arrive at the record; without --time it happens now."""
    project.write("events.csv", "nr,city,at,x\n1,Bern,1970-01-01T00:01:00Z,5\n")
    words = ("--no-label", "--id", "nr", "--key", "city", "--time", "at")

    timed = project.stream("produce", "events.csv", *words)
    untimed = project.stream("produce", "--no-label", "events.csv")

    assert (timed.code, untimed.code) == (0, 0), (timed, untimed)
    first, second = project.records()
    assert (first.key, first.timestamp_ms) == (b"Bern", 60_000)
    assert abs(second.timestamp_ms - time.time() * 1000) < 60_000


@pytest.mark.parametrize(
    ("name", "content", "line"),
    [
        ("a.csv", "x,label\n" + "1,true\n" * 3000 + "1\n", 3002),
        ("a.jsonl", '{"features": {"x": 1}}\n' * 3000 + "{]\n", 3001),
    ],
)
def test_of_a_broken_file_nothing_is_sent(
    project: Project, name: str, content: str, line: int
) -> None:
    """65, file and line; the log is as it was."""
    project.write(name, content)

    done = project.stream("produce", name)

    assert done.code == 65, done
    assert done.err.startswith(f"stream: {name} line {line}: ")
    assert not (project.folder / "log.sqlite").exists()


@pytest.mark.parametrize("words", [("nowhere.csv",), ("events.csv", "--label", "lable")])
def test_a_missing_file_or_column_is_bad_input(project: Project, words: tuple[str, ...]) -> None:
    """65 and one line."""
    project.write("events.csv", "x,label\n1,true\n")

    done = project.stream("produce", *words)

    assert done.code == 65, done
    assert len(done.err.splitlines()) == 1


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("events.jsonl", "--label", "y"),
        ("events.jsonl", "--rate", "0"),
        ("events.jsonl", "--rate", "fast"),
        ("events.jsonl", "--speed", "3"),
    ],
)
def test_wrong_words_are_a_usage_error(project: Project, words: tuple[str, ...]) -> None:
    """64 and one line."""
    project.write("events.jsonl", '{"features": {"x": 1}}\n')

    done = project.stream("produce", *words)

    assert done.code == 64, done
    assert len(done.err.splitlines()) == 1


def test_a_missing_topic_is_made_only_if_that_is_allowed(project: Project) -> None:
    """With topics.create = false it is a configuration error, and the hint says so."""
    project.configure(EMBEDDED + MODEL + "[topics]\ncreate = false\n")
    project.write("events.jsonl", '{"features": {"x": 1}}\n')

    done = project.stream("produce", "events.jsonl")

    assert done.code == 78, done
    assert "commands.events does not exist; create it, or set topics.create = true" in done.err


def test_only_the_events_topic_is_needed(project: Project) -> None:
    """An upstream works where somebody else has yet to make the outputs' topics."""
    assert project.fed(1).code == 0
    project.sql("DELETE FROM partitions WHERE topic != 'commands.events'")
    project.sql("DELETE FROM topics WHERE name != 'commands.events'")
    project.configure(EMBEDDED + MODEL + "[topics]\ncreate = false\n")

    done = project.stream("produce", "events.csv")

    assert done.code == 0, done
    assert len(project.records()) == 2


def test_a_rate_is_held(project: Project) -> None:
    """Twenty events at ten a second take almost two seconds, and the first is there at once."""
    project.write("events.jsonl", '{"features": {"x": 1}}\n' * 20)

    done = project.stream("produce", "events.jsonl", "--rate", "10/s")

    assert done.code == 0, done
    took = re.search(r"^20 events acknowledged in (\d+\.\d) s", done.out, re.MULTILINE)
    assert took is not None
    assert float(took[1]) >= 1.8


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_after_what_was_sent(project: Project, number: signal.Signals) -> None:
    """Exit 0; it says how many events are in the log, and that the file was not finished."""
    project.write("events.jsonl", '{"features": {"x": 1}}\n' * 100_000)

    def arrived() -> bool:
        try:
            return len(project.records()) >= 10
        except sqlite3.Error:
            return False

    words = ("produce", "-c", "stream.toml", "events.jsonl", "--rate", "50")
    with project.running(*words) as running:
        running.line("topic_created topic=commands.quarantine")
        eventually(arrived, "ten events in the log")
        done = running.stop(number)

    assert done.code == 0, done
    said = re.match(r"(\d+) events acknowledged in .*; stopped by a signal", done.out)
    assert said is not None, done
    assert int(said[1]) == len(project.records(Channel.EVENTS))


def test_progress_is_said_in_lines_without_a_terminal(project: Project) -> None:
    """Every few seconds, on stderr."""
    project.write("events.jsonl", '{"features": {"x": 1}}\n' * 1000)

    words = ("produce", "-c", "stream.toml", "events.jsonl", "--rate", "20")
    with project.running(*words) as running:
        line = running.line("events sent")

    assert re.fullmatch(r"\d+ of 1000 events sent \(\d+/s\)\n", line)


def test_kafka_away_is_69(project: Project) -> None:
    """Nothing listens: one line that names the address, soon."""
    project.configure(unreachable(closed_port()) + MODEL)
    project.write("events.jsonl", '{"features": {"x": 1}}\n')

    done = project.stream("produce", "events.jsonl")

    assert done.code == 69, done
    assert "127.0.0.1" in done.err
