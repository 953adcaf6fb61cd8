"""`stream quarantine` from outside, on the embedded log."""

import json
import signal
from contextlib import closing

import pytest

from stream.adapters.embedded import EmbeddedFeed
from stream.core.event import Channel
from stream.runtime.clock import SystemClock
from tests.commands.project import EMBEDDED, MODEL, PIPELINE, Project
from tests.patience import eventually

OFF = "\n[quarantine]\nbreaker_share = 1.0\n"
LINES = {
    "good": '{"features": {"x": 0.5}, "label": true}',
    "bad_label": '{"features": {"x": 0.5}, "label": "moon"}',
    "bad_feature": '{"features": {"x": [1]}, "label": true}',
    "unknown_field": '{"features": {"x": 0.5}, "label": true, "colour": "red"}',
}


def _refused(project: Project, *kinds: str) -> None:
    """Produce these lines and let a worker refuse them."""
    project.configure(EMBEDDED + MODEL + OFF)
    project.write("events.jsonl", "".join(f"{LINES[kind]}\n" for kind in kinds))
    assert project.stream("produce", "events.jsonl").code == 0
    assert project.stream("run", "--until-end").code == 0


def test_list_counts_the_reasons_and_shows_the_last(project: Project) -> None:
    """As a table and as JSON; a reason and a limit choose what is shown."""
    _refused(project, "good", "bad_label", "bad_feature", "bad_label", "bad_feature", "bad_label")

    table = project.stream("quarantine", "list", "--limit", "2")
    document = project.stream("quarantine", "list", "--reason", "bad_feature", "--json").json

    assert table.code == 0, table
    assert [line.split() for line in table.out.splitlines()[1:3]] == [
        ["bad_label", "3", "3"], ["bad_feature", "2", "2"],
    ]  # fmt: skip
    assert [line.split()[1:4] for line in table.out.splitlines()[-2:]] == [
        ["3", "bad_feature", f"{PIPELINE}.events-0-4"],
        ["4", "bad_label", f"{PIPELINE}.events-0-5"],
    ]
    assert (document["v"], document["pipeline"]) == (1, PIPELINE)
    assert document["reasons"]["bad_label"] == {"refused": 3, "waiting": 3}
    assert [r["offset"] for r in document["records"]] == [1, 3]
    assert document["records"][0]["value"] == LINES["bad_feature"]
    assert document["records"][0]["redriven"] is False


def test_nothing_refused_is_nothing_wrong(worked: Project) -> None:
    """Both words end well, and nothing is sent."""
    listed = worked.stream("quarantine", "list")
    redriven = worked.stream("quarantine", "redrive")

    assert (listed.code, listed.out) == (0, "nothing is quarantined\n"), listed
    assert (redriven.code, redriven.out) == (0, f"0 records sent to {PIPELINE}.events\n"), redriven
    assert len(worked.records()) == 600


def test_a_redrive_sends_them_as_they_came_and_once(project: Project) -> None:
    """Key, value, time, headers and partition; a second run has nothing to send."""
    project.configure(EMBEDDED + MODEL + OFF)
    assert project.fed(3).code == 0
    raws = [
        (b"k1", b"oops", 1_600_000_000_000, ()),
        (None, b"\x00\xff", 1_600_000_000_001, (("stream.reason", b"of another"), ("t", b"\xff"))),
        (b"", b"", 5, (("t", b""),)),
    ]
    names = {channel: f"{PIPELINE}.{channel}" for channel in Channel}
    path = project.folder / "log.sqlite"
    with closing(EmbeddedFeed(path, names=names, clock=SystemClock())) as feed:
        for key, value, timestamp_ms, headers in raws:
            feed.send(value, key=key, timestamp_ms=timestamp_ms, headers=headers)
        feed.flush(timeout_s=60)
    assert project.stream("run", "--until-end").code == 0

    dry = project.stream("quarantine", "redrive", "--dry-run")
    assert len(project.records()) == 6
    first = project.stream("quarantine", "redrive")
    second = project.stream("quarantine", "redrive")

    said = f"3 records (2 not_json, 1 not_utf8) %s to {PIPELINE}.events\n"
    assert (dry.code, dry.out) == (0, said % "would be sent"), dry
    assert (first.code, first.out) == (0, said % "sent"), first
    assert (second.code, second.out) == (0, f"0 records sent to {PIPELINE}.events\n"), second
    resent = project.records()[6:]
    assert [(r.key, r.value, r.timestamp_ms, r.headers[:-1]) for r in resent] == raws
    origins = [f"{PIPELINE}-0-{n}".encode() for n in (3, 4, 5)]
    assert [r.headers[-1] for r in resent] == [("stream.redriven", o) for o in origins]
    listed = project.stream("quarantine", "list", "--json").json
    assert listed["reasons"]["not_json"] == {"refused": 2, "waiting": 0}
    assert {r["redriven"] for r in listed["records"]} == {True}


def test_after_the_cause_is_mended_they_are_learned(project: Project) -> None:
    """The way it is meant: refused, mended, sent again, predicted; what is bad still comes back."""
    _refused(project, "unknown_field", "unknown_field", "bad_label", "good")
    more = '\non_change = "fresh"\n[events]\nextra = "ignore"\n'
    project.configure(EMBEDDED + MODEL + more + OFF)

    assert project.stream("quarantine", "redrive").code == 0
    assert project.stream("run", "--until-end").code == 0

    assert len(project.records(Channel.PREDICTIONS)) == 3
    listed = project.stream("quarantine", "list", "--json").json
    assert listed["reasons"]["unknown_field"] == {"refused": 2, "waiting": 0}
    assert listed["reasons"]["bad_label"] == {"refused": 2, "waiting": 1}


def test_one_reasons_run_loses_nothing_of_the_others(project: Project) -> None:
    """In any order, each is sent once in the end."""
    _refused(project, "bad_label", "bad_feature", "unknown_field", "bad_label", "bad_feature")

    sent = []
    for words in (("--reason", "bad_feature"), ("--reason", "bad_label"), (), ()):
        before = len(project.records())
        assert project.stream("quarantine", "redrive", *words).code == 0
        sent.append([r.value for r in project.records()[before:]])

    bad_label, bad_feature, unknown_field = (
        LINES[kind].encode() for kind in ("bad_label", "bad_feature", "unknown_field")
    )
    assert sent == [[bad_feature] * 2, [bad_label] * 2, [unknown_field], []]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_an_interrupted_redrive_goes_on_where_it_was(
    project: Project, number: signal.Signals
) -> None:
    """Each is sent once, however often it was interrupted, in the order they were refused."""
    project.configure(EMBEDDED + MODEL + OFF)
    values = [json.dumps({"features": {"x": [i]}}) for i in range(8_000)]
    project.write("events.jsonl", "\n".join(values))
    assert project.stream("produce", "events.jsonl").code == 0
    assert project.stream("run", "--until-end").code == 0
    progress = [len(values)]
    for _ in range(4):
        with project.running("quarantine", "-c", "stream.toml", "redrive") as running:
            eventually(
                lambda: project.end() > progress[-1] or running.process.poll() is not None,
                "something was sent",
                every_s=0.001,
            )
            ended = running.stop(number)
            progress.append(project.end())
        assert ended.code in (0, -signal.SIGKILL), ended

    done = project.stream("quarantine", "redrive")

    assert done.code == 0, done
    assert any(len(values) < end < 2 * len(values) for end in progress), progress
    resent = [(r.value or b"").decode() for r in project.records()[len(values) :]]
    assert resent == values


def test_it_runs_beside_a_worker_that_refuses_them_again(project: Project) -> None:
    """It ends where the quarantine ended when it began; what comes back waits for the next."""
    _refused(project, *["bad_label"] * 2000)
    with project.running("run", "-c", "stream.toml") as worker:
        worker.line("task_restored")
        done = project.stream("quarantine", "redrive")
        eventually(
            lambda: len(project.records(Channel.QUARANTINE)) == 4000, "they are refused again"
        )
        assert worker.stop().code == 0

    assert done.out == f"2000 records (2000 bad_label) sent to {PIPELINE}.events\n", done
    assert len(project.records()) == 4000


def _too_large(project: Project) -> str:
    line = json.dumps({"features": {"x": 0.5}, "label": True, "note": "." * 200})
    project.configure(EMBEDDED + MODEL + OFF + "[limits]\nvalue_bytes_max = 100\n")
    project.write("events.jsonl", f"{line}\n{LINES['bad_label']}\n")
    assert project.stream("produce", "events.jsonl").code == 0
    assert project.stream("run", "--until-end").code == 0
    assert len(project.records(Channel.QUARANTINE)[0].value or b"") == 100
    return line


def test_a_cut_value_is_sent_whole(project: Project) -> None:
    """The events topic still has it."""
    line = _too_large(project)

    done = project.stream("quarantine", "redrive")

    assert done.code == 0, done
    assert [r.value for r in project.records()[2:]] == [line.encode(), LINES["bad_label"].encode()]


def test_a_cut_value_that_is_gone_is_told_and_all_others_are_sent(project: Project) -> None:
    """65, with where it came from; never the beginning of it as if it were whole."""
    _too_large(project)
    assert project.sql("UPDATE partitions SET start_offset = 1 WHERE topic = 'commands.events'")

    done = project.stream("quarantine", "redrive")

    assert done.code == 65, done
    assert done.out.startswith("1 records (1 bad_label) sent")
    assert "1 cannot be sent" in done.err
    assert f"{PIPELINE}.events-0-0" in done.err


def test_a_quarantine_that_was_made_again_is_told(project: Project) -> None:
    """Its marks are of another topic: going on from them would pass over records."""
    _refused(project, "bad_label", "bad_label")
    assert project.stream("quarantine", "redrive").code == 0
    assert project.sql("UPDATE partitions SET end_offset = 1 WHERE topic = 'commands.quarantine'")

    done = project.stream("quarantine", "redrive")

    assert done.code == 65, done
    assert "delete the consumer group commands.redrive" in done.err


def test_marks_that_a_broker_forgot_do_not_send_anything_twice(project: Project) -> None:
    """Kafka forgets a group's offsets a week after its last member; the events themselves tell."""
    _refused(project, "bad_label", "bad_feature", "good", "bad_label")
    assert project.stream("quarantine", "redrive", "--reason", "bad_label").code == 0
    assert project.stream("run", "--until-end").code == 0  # the two are refused again
    assert project.sql("DELETE FROM committed WHERE pipeline = 'commands.redrive'")

    dry = project.stream("quarantine", "redrive", "--dry-run")
    done = project.stream("quarantine", "redrive")
    again = project.stream("quarantine", "redrive")

    assert dry.out.startswith("3 records (2 bad_label, 1 bad_feature) would be sent"), dry
    assert done.out.startswith("3 records (2 bad_label, 1 bad_feature) sent"), done
    assert again.out.startswith("0 records sent"), again
    resent = project.records()[6:]
    assert {r.headers for r in resent} == {
        (("stream.redriven", f"{PIPELINE}-0-{n}".encode()),) for n in (1, 4, 5)
    }


def test_without_topics_it_says_what_to_do(project: Project) -> None:
    """78, one line."""
    done = project.stream("quarantine", "redrive")

    assert done.code == 78, done
    assert len(done.err.splitlines()) == 1
    assert "does not exist; run a worker first" in done.err


@pytest.mark.parametrize(
    "words",
    [
        (), ("lost",), ("list", "--reason", "ugly"), ("list", "--limit", "0"),
        ("list", "--dry-run"), ("redrive", "--json"), ("redrive", "--limit", "3"),
    ],
)  # fmt: skip
def test_wrong_words_are_a_usage_error(worked: Project, words: tuple[str, ...]) -> None:
    """64 and one line."""
    done = worked.stream("quarantine", *words)

    assert done.code == 64, done
    assert len(done.err.splitlines()) == 1
