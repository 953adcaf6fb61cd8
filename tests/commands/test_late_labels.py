"""Labels that come later, as a user meets them: configured, sent, learned, shown."""

import json
from pathlib import Path
from typing import Any

import pytest

from stream.core.event import Channel
from tests.commands.project import EMBEDDED, MODEL, Project
from tests.late_labels import workload

LABELS = '[labels]\nwait = "1h"\n'
EVENTS_N = 400


def sent(project: Project) -> list[dict[str, Any]]:
    """Events and their labels, in the order in which they were sent."""
    records = workload(EVENTS_N, seed=3, truth=lambda x: x > 0)
    documents: list[dict[str, Any]] = [json.loads(each.value or b"") for each in records]
    lines = "".join(json.dumps(each) + "\n" for each in documents)
    assert project.stream("produce", project.write("all.jsonl", lines).name).code == 0
    return documents


def outcomes(project: Project) -> list[dict[str, Any]]:
    """What was published of labels."""
    return [json.loads(each.value or b"") for each in project.records(Channel.OUTCOMES)]


def test_labels_are_sent_learned_and_shown(tmp_path: Path) -> None:
    """The topic is made at the start; `tail`, `status` and `check` know of labels."""
    project = Project(tmp_path)
    project.configure(EMBEDDED + MODEL + LABELS)
    documents = sent(project)
    checked = project.stream("check")
    assert checked.code == 0, checked
    labels_n = sum("features" not in each for each in documents)
    assert checked.said(f"ok labels: {labels_n} of the first {len(documents)} records are labels")
    assert checked.said(" events wait in partition 0, of at most 100,000")

    done = project.stream("run", "--until-end")
    assert done.code == 0, done
    told = outcomes(project)
    learned = sum(each["kind"] in ("labeled", "corrected") for each in told)

    (row,) = project.stream("status", "--json").json["partitions"]
    in_events = sum("features" in each and "label" in each for each in documents)
    early = sum(e["kind"] == "corrected" and e["offset"] is None for e in told)
    assert row["learned"] == learned - early + in_events
    assert row["labels"]["corrected"] == sum(each["kind"] == "corrected" for each in told)
    assert 0 < row["labels"]["waiting"] < EVENTS_N
    assert row["labels"]["score"]["value"] > row["labels"]["score"]["baseline"]
    table = project.stream("status").out
    assert "waiting" in table
    assert "of early ones" in table
    shown = project.stream("tail", "outcomes", "--last", "1000").out
    assert shown.count(" labeled ") == sum(each["kind"] == "labeled" for each in told)
    (last,) = project.stream("tail", "outcomes", "--last", "1", "--json").out.splitlines()
    assert json.loads(last) == told[-1]
    assert project.stream("snapshots", "verify").code == 0


def test_a_changed_time_to_wait_keeps_what_waits(tmp_path: Path) -> None:
    """It costs neither the model nor the events that wait."""
    project = Project(tmp_path)
    project.configure(EMBEDDED + MODEL + LABELS)
    event = '{"id": "a", "features": {"x": 1.0}}\n'
    assert project.stream("produce", project.write("e.jsonl", event).name).code == 0
    assert project.stream("run", "--until-end").code == 0
    project.configure(EMBEDDED + MODEL + LABELS.replace("1h", "2h"))
    label = '{"id": "a", "label": true}\n'
    assert project.stream("produce", project.write("l.jsonl", label).name).code == 0
    done = project.stream("run", "--until-end")
    assert done.code == 0, done
    assert [each["kind"] for each in outcomes(project)] == ["labeled"]
    (row,) = project.stream("status", "--json").json["partitions"]
    assert row["learned"] == 1


def test_without_labels_there_is_neither_topic_nor_word(tmp_path: Path) -> None:
    """What is not configured is not there; a label alone is a broken event then."""
    project = Project(tmp_path)
    project.configure()
    sent(project)
    assert project.stream("run", "--until-end").code == 0
    (row,) = project.stream("status", "--json").json["partitions"]
    assert "labels" not in row
    assert project.stream("tail", "outcomes").code != 0
    reasons = {dict(each.headers)["stream.reason"] for each in project.records(Channel.QUARANTINE)}
    assert reasons == {b"missing_features"}


@pytest.mark.parametrize(
    ("config", "said"),
    [
        (LABELS + '[delivery]\nguarantee = "at-least-once"\n', "labels are learned once each"),
        ("[labels]\n", "labels.wait"),
        ('[labels]\nwait = "0s"\n', "no time to wait"),
        ('[labels]\nwait = "1h"\nlabel = "id"\n', "labels.id already"),
        ('[labels]\nwait = "1h"\npending_max = 0\n', "labels.pending_max"),
        ('[labels]\nwait = "1h"\non_expiry = "positive"\n', "labels.on_expiry"),
    ],
)
def test_what_labels_cannot_be_is_said(tmp_path: Path, config: str, said: str) -> None:
    """With the key, and what to write; exit 78."""
    project = Project(tmp_path)
    project.configure(EMBEDDED + MODEL + config)
    done = project.stream("check")
    assert done.code == 78, done
    assert done.said(said), done


@pytest.mark.parametrize(
    ("factory", "more", "said"),
    [
        ("half_space_trees", "", "learns without labels"),
        ("linear_regression", 'on_expiry = "negative"\n', "knows no false"),
    ],
)
def test_a_model_without_use_for_late_labels_is_refused(
    tmp_path: Path, factory: str, more: str, said: str
) -> None:
    """Whoever learns without labels has none to wait for."""
    project = Project(tmp_path)
    model = MODEL.replace("logistic_regression", factory)
    project.configure(EMBEDDED + model + LABELS + more)
    done = project.stream("check")
    assert done.code == 78, done
    assert done.said(said), done


def test_check_says_that_more_would_wait_than_there_is_room_for(tmp_path: Path) -> None:
    """At the rate of the last hour, by the events' own times."""
    project = Project(tmp_path)
    project.configure(EMBEDDED + MODEL + LABELS + "pending_max = 50\n")
    sent(project)
    done = project.stream("check")
    assert done.code == 78, done
    assert done.said("labels.pending_max keeps 50: the others would be dropped"), done


CSV_FILE = """id,when,x,came,buys
a,1700000000,1.0,90,true
b,1700000060,2.0,2h,false
c,1700000100,3.0,,true
d,1700009000,4.0,1m,NA
"""


def test_a_file_is_sent_with_labels_that_come_later(tmp_path: Path) -> None:
    """Each in its order: the label behind the events that are older, and of that very time."""
    project = Project(tmp_path)
    project.configure(EMBEDDED + MODEL + LABELS.replace("1h", "3h") + 'id = "who"\n')
    project.write("buys.csv", CSV_FILE)
    words = ("buys.csv", "--label", "buys", "--time", "when", "--delay", "came")
    done = project.stream("produce", *words)
    assert done.code == 0, done
    assert done.said("labels: 2 come later, in records of their own")
    assert done.said("6 events acknowledged")
    records = project.records(Channel.EVENTS)
    assert [(json.loads(e.value or b"").get("who"), e.key) for e in records] == [
        (None, b"a"), (None, b"b"), ("a", b"a"), (None, b"c"), ("b", b"b"), (None, b"d"),
    ]  # fmt: skip
    assert records[2].timestamp_ms == 1_700_000_090_000
    assert json.loads(records[2].value or b"") == {"who": "a", "label": True}
    assert json.loads(records[0].value or b"") == {"id": "a", "features": {"x": 1.0}}
    assert project.stream("run", "--until-end").code == 0
    assert [(e["id"], e["kind"]) for e in outcomes(project)] == [("a", "labeled"), ("b", "labeled")]


@pytest.mark.parametrize(
    ("words", "labels", "code", "said"),
    [
        (("--label", "buys", "--delay", "came"), LABELS, 64, "write --time"),
        (("--label", "buys", "--time", "when", "--delay", "came"), "", 64, "configure [labels]"),
        (("--label", "buys", "--time", "when", "--delay", "cane"), LABELS, 65, "came"),
        (("--label", "buys", "--time", "when", "--delay", "id"), LABELS, 64, "different columns"),
        (("--label", "came", "--time", "when", "--delay", "buys"), LABELS, 65, "is no delay"),
    ],
)
def test_a_delay_that_cannot_be_is_said(
    tmp_path: Path, words: tuple[str, ...], labels: str, code: int, said: str
) -> None:
    """Nothing is sent."""
    project = Project(tmp_path)
    project.configure(EMBEDDED + MODEL + labels)
    project.write("buys.csv", CSV_FILE)
    done = project.stream("produce", "buys.csv", *words)
    assert done.code == code, done
    assert done.said(said), done
