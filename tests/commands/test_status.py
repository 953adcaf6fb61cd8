"""`stream status` from outside, on the embedded log."""

import json
import re
import time
from itertools import pairwise

import pytest

from stream.core.event import Channel
from tests.commands.project import EMBEDDED, MODEL, Project, closed_port, unreachable


def test_the_numbers_are_those_of_the_log(project: Project) -> None:
    """Offsets, lag, snapshot, events learned; the score is what the predictions themselves say."""
    assert project.fed(2500, drift_at=1500).code == 0
    assert project.stream("run", "--until-end").code == 0
    assert project.fed(5).code == 0

    done = project.stream("status", "--json")

    assert done.code == 0, done
    assert done.json["v"] == 1
    assert done.json["pipeline"] == "commands"
    (row,) = done.json["partitions"]
    score, alert = row.pop("score"), row.pop("last_alert")
    assert 0 <= row.pop("snapshot_age_s") < 60
    assert row.pop("snapshot_size_bytes") > 100
    assert row == {
        "partition": 0, "committed_offset": 2500, "end_offset": 2505, "lag": 5,
        "paused": False, "frozen": False,
        "snapshot_n": 2500, "snapshot_offset": 2500, "learned": 2500, "alerts": 1,
    }  # fmt: skip
    last = [json.loads(r.value or b"") for r in project.records(Channel.PREDICTIONS)][-1001:]
    hits = sum(p["prediction"] == p["label"] for p in last[1:]) / 1000
    same = sum(a["label"] == b["label"] for a, b in pairwise(last)) / 1000
    assert (score["metric"], score["value"], score["baseline"]) == ("accuracy", hits, same)
    assert score["n"] == 1000
    assert -1 <= score["kappa"] <= 1
    assert alert == json.loads(project.records(Channel.ALERTS)[-1].value or b"")


def test_people_get_a_table(worked: Project) -> None:
    """One row a partition, its columns in line; a health check with JSON gets both."""
    done = worked.stream("status")

    header, row = done.out.splitlines()
    assert done.code == 0, done
    assert header.split()[:4] == ["partition", "committed", "end", "lag"]
    assert row.split()[:5] == ["0", "600", "600", "0", "600"]
    assert header.index("snapshot") == row.index("600", header.index("snapshot"))


def test_nothing_committed_yet_is_null(project: Project) -> None:
    """Before the first worker all is unknown but where the log ends, and the lag is all of it."""
    assert project.fed(7).code == 0

    (row,) = project.stream("status", "--json").json["partitions"]

    assert row.pop("end_offset") == row.pop("lag") == 7
    assert row.pop("partition") == 0
    assert row.pop("paused") is False
    assert row.pop("frozen") is False
    assert row.pop("alerts") == 0
    assert set(row.values()) == {None}


MISSING = EMBEDDED + '[model]\nfactory = "not_here:make"\n'


def test_a_classifiers_score_needs_no_model(worked: Project) -> None:
    """Its predictions tell what they are, also where the model's code is missing."""
    known = worked.stream("status", "--json").json["partitions"][0]["score"]
    worked.configure(MISSING)

    done = worked.stream("status", "--json")

    assert (done.code, done.err) == (0, ""), done
    assert known["metric"] == "accuracy"
    assert done.json["partitions"][0]["score"] == known


def test_labels_beside_anomaly_scores_are_no_score(project: Project) -> None:
    """How often it is right cannot be said of a detector that only says how odd an event is."""
    project.configure(EMBEDDED + '[model]\nfactory = "stream.models:half_space_trees"\n')
    assert project.fed(20).code == 0
    assert project.stream("run", "--until-end").code == 0

    (row,) = project.stream("status", "--json").json["partitions"]

    assert (row["lag"], row["score"]) == (0, None)


def test_numbers_whose_model_cannot_be_built_cost_the_score_only(project: Project) -> None:
    """They may be classes or values; the rest is said, with one line on stderr."""
    project.configure(EMBEDDED + '[model]\nfactory = "stream.models:linear_regression"\n')
    lines = [json.dumps({"features": {"x": n}, "label": n / 2}) + "\n" for n in range(20)]
    project.write("events.jsonl", "".join(lines))
    assert project.stream("produce", "events.jsonl").code == 0
    assert project.stream("run", "--until-end").code == 0
    known = project.stream("status", "--json").json["partitions"][0]["score"]
    project.configure(MISSING)

    done = project.stream("status", "--json")

    assert known["metric"] == "mae"
    assert done.code == 0, done
    assert (done.json["partitions"][0]["score"], done.json["partitions"][0]["lag"]) == (None, 0)
    assert done.err.startswith("stream: scores unknown: model.factory: cannot import")


def test_a_missing_events_topic_is_78(project: Project) -> None:
    """With what makes it."""
    done = project.stream("status")

    assert done.code == 78, done
    assert "topics.events: commands.events does not exist; the first `stream run`" in done.err


@pytest.mark.parametrize("words", [(), ("--json",), ("--progress-within", "5")])
def test_kafka_away_is_69(project: Project, words: tuple[str, ...]) -> None:
    """Without the log there is nothing to say."""
    project.configure(unreachable(closed_port()) + MODEL)

    done = project.stream("status", *words)

    assert done.code == 69, done
    assert (done.out, len(done.err.splitlines())) == ("", 1)


def test_without_lag_all_is_well(worked: Project) -> None:
    """A health check of an idle pipeline passes at once."""
    done = worked.stream("status", "--progress-within", "60")

    assert (done.code, done.out) == (0, "no lag\n"), done


def test_lag_without_progress_is_69(worked: Project) -> None:
    """Nobody works: after the time, one line that says how far behind."""
    assert worked.fed(3).code == 0

    done = worked.stream("status", "--progress-within", "1.5")

    assert done.code == 69, done
    assert "no progress within 1.5 s (lag of partition 0: 3)" in done.err


def test_a_moving_offset_is_progress(worked: Project) -> None:
    """While a worker commits, the check passes although it lags."""
    assert worked.fed(200).code == 0
    offset = 600

    with worked.running("status", "-c", "stream.toml", "--progress-within", "50") as running:
        while running.process.poll() is None and offset < 790:
            offset += 1
            assert worked.sql("UPDATE committed SET next_offset = ?", offset) == 1
            time.sleep(0.2)
        done = running.end()

    assert done.code == 0, done
    moved = re.fullmatch(r"partition 0 moved on to offset (\d+)\n", done.out)
    assert moved is not None
    assert 600 < int(moved[1]) <= offset


def test_negative_seconds_are_a_usage_error(worked: Project) -> None:
    """64."""
    assert worked.stream("status", "--progress-within", "-1").code == 64
