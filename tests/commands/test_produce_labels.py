"""Labels of a file, sent where their events are learned from."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from stream.core.event import Channel
from tests.commands.labelled import CONFIG, LABELS, configured, outcomes, run
from tests.commands.project import EMBEDDED, MODEL, PIPELINE

AMONG = EMBEDDED + MODEL + LABELS

EVENTS = """order,when,x
a,1700000000,1.0
b,1700000060,2.0
c,1700000100,3.0
"""
PAID = """order,when,paid,note
a,1700000090,yes,x
b,1700000200,,x
c,1700000300,no,x
"""
SEND_EVENTS = ("orders.csv", "--id", "order", "--time", "when", "--no-label")
MULTICLASS = CONFIG.replace("logistic_regression", "softmax_regression")


def test_a_file_of_labels_goes_to_their_topic(tmp_path: Path) -> None:
    """With the keys of the events, so that each lies where its event does, and is learned."""
    project = configured(tmp_path, MULTICLASS, partitions=3)
    project.write("orders.csv", EVENTS)
    project.write("paid.csv", PAID)
    assert project.stream("produce", *SEND_EVENTS).code == 0

    done = project.stream(
        "produce", "--labels", "paid.csv", "--id", "order", "--label", "paid", "--time", "when"
    )

    assert done.code == 0, done
    assert done.said("paid.csv: 2 labels, 1 rows without one are passed over; label paid (text)")
    assert done.said("2 labels acknowledged"), done
    for partition in range(3):
        keys = {each.key for each in project.records(Channel.EVENTS, partition)}
        found = project.records(Channel.LABELS, partition)
        assert {each.key for each in found} == keys - {b"b"}
        for each in found:
            name = (each.key or b"").decode()
            value = {"id": name, "label": {"a": "yes", "c": "no"}[name]}
            assert json.loads(each.value or b"") == value
    assert project.stream("check").code == 0
    run(project)
    told = [each for partition in range(3) for each in outcomes(project, partition)]
    assert sorted((each["id"], each["kind"]) for each in told) == [
        ("a", "labeled"), ("c", "labeled"),
    ]  # fmt: skip


def test_a_label_that_names_a_place_goes_to_that_partition(tmp_path: Path) -> None:
    """By partition and offset, or by the id of an event that brought none."""
    project = configured(tmp_path, partitions=3)
    project.write("p.csv", "partition,offset,label\n2,0,true\n1,7,false\n")
    project.write("p.jsonl", f'{{"id": "{PIPELINE}.events-2-4", "label": true, "more": 1}}\n'
                             '{"partition": 0, "offset": 3, "label": null}\n'
                             '{"partition": 0, "offset": 3, "label": true}\n')  # fmt: skip

    for name in ("p.csv", "p.jsonl"):
        done = project.stream("produce", "--labels", name)
        assert done.code == 0, done

    sent = [[json.loads(e.value or b"") for e in project.records(Channel.LABELS, p)]
            for p in range(3)]  # fmt: skip
    assert sent == [
        [{"partition": 0, "offset": 3, "label": True}],
        [{"partition": 1, "offset": 7, "label": False}],
        [
            {"partition": 2, "offset": 0, "label": True},
            {"id": f"{PIPELINE}.events-2-4", "label": True, "more": 1},
        ],
    ]


def test_lines_of_labels_are_sent_as_they_are(tmp_path: Path) -> None:
    """With the key and the time of the fields that are named; by default the id is the key."""
    project = configured(tmp_path)
    line = '{"id": 17, "label": true, "card": "c-1", "at": "2026-01-01T00:00:00Z", "n": 1e400}'
    project.write("l.jsonl", f"{line}\n")

    for words in ((), ("--key", "card", "--time", "at")):
        assert project.stream("produce", "--labels", "l.jsonl", *words).code == 0

    one, other = project.records(Channel.LABELS)
    assert (one.value, other.value) == (line.encode(), line.encode())
    assert (one.key, other.key, other.timestamp_ms) == (b"17", b"c-1", 1_767_225_600_000)


def test_without_a_topic_of_their_own_they_go_among_the_events(tmp_path: Path) -> None:
    """As what they are there: an id and a label alone."""
    project = configured(tmp_path, AMONG)
    project.write("orders.csv", EVENTS)
    project.write("paid.csv", PAID.replace("yes", "true").replace("no,", "false,"))
    assert project.stream("produce", *SEND_EVENTS).code == 0

    done = project.stream(
        "produce", "--labels", "paid.csv", "--id", "order", "--label", "paid", "--time", "when"
    )

    assert done.code == 0, done
    assert (project.end(), project.end(Channel.LABELS)) == (5, 0)
    run(project)
    assert [each["kind"] for each in outcomes(project)] == ["labeled"] * 2


DELAYED = """id,when,x,came,buys
a,1700000000,1.0,90,true
b,1700000060,2.0,2h,false
c,1700000100,3.0,,true
d,1700009000,4.0,1m,NA
"""


def test_delayed_labels_go_to_their_topic(tmp_path: Path) -> None:
    """So much later in event time, with the key of their event."""
    project = configured(tmp_path, CONFIG.replace("1h", "3h"))
    project.write("buys.csv", DELAYED)

    done = project.stream("produce", "buys.csv", "--label", "buys", "--time", "when",
                          "--delay", "came")  # fmt: skip

    assert done.code == 0, done
    assert done.said("2 come later, in records of their own; 1 with an empty delay never come"), (
        done
    )
    assert done.said("4 events and 2 labels acknowledged"), done
    assert [(e.key, e.timestamp_ms - 1_700_000_000_000) for e in project.records()] == [
        (b"a", 0), (b"b", 60_000), (b"c", 100_000), (b"d", 9_000_000),
    ]  # fmt: skip
    found = project.records(Channel.LABELS)
    assert [(e.key, e.timestamp_ms - 1_700_000_000_000) for e in found] == [
        (b"a", 90_000), (b"b", 7_260_000),
    ]  # fmt: skip
    assert json.loads(found[0].value or b"") == {"id": "a", "label": True}
    run(project)
    assert [(e["id"], e["kind"]) for e in outcomes(project)] == [("a", "labeled"), ("b", "labeled")]


def test_a_row_that_waits_for_its_label_needs_no_time(tmp_path: Path) -> None:
    """What has happened has one; an extract of the open ones has neither."""
    project = configured(tmp_path, CONFIG)
    project.write("l.csv", "id,label,at\na,1,1700000000000\nb,,\n")

    done = project.stream("produce", "--labels", "l.csv", "--time", "at")

    assert done.code == 0, done
    assert done.said("1 labels, 1 rows without one are passed over"), done


FLAT = '[events]\nfeatures = "*"\n'


ROW = "id,label\na,1\n"
PLACE = "partition,offset,label\n"
LINE = '{"id": "a", "label": 1}\n'


@pytest.mark.parametrize(
    ("config", "file", "words", "ended"),
    [
        (EMBEDDED + MODEL, ("l.csv", ROW), (), (64, "configure [labels]")),
        (CONFIG, ("l.csv", ROW), ("--delay", "label"), (64, "has no events")),
        (CONFIG, ("l.csv", ROW), ("--no-label",), (64, "has no events")),
        (CONFIG, ("l.csv", ROW), ("--id", "label"), (64, "different columns")),
        (CONFIG, ("l.jsonl", LINE), ("--id", "x"), (64, "only for CSV")),
        (CONFIG, ("l.csv", "id,paid\na,1\n"), (), (65, 'line 1: no column "label" for the label')),
        (CONFIG, ("l.csv", "order,label\na,1\n"), (), (65, 'line 1: no column "id" for the event')),
        (CONFIG, ("l.csv", ROW), ("--key", "ID"), (65, 'did you mean "id"')),
        (CONFIG, ("l.csv", ROW + ",0\n"), (), (65, "line 3: names no event: its id is")),
        (CONFIG, ("l.csv", ROW + "b\n"), (), (65, "line 3: 1 cells, the header has 2")),
        (CONFIG, ("l.csv", "id,label,t\na,1,0\nb,1,x\n"), ("--time", "t"), (65, "line 3: ")),
        (CONFIG, ("l.csv", PLACE + "0,x,1\n"), (), (65, 'line 2: names no event: "x"')),
        (CONFIG, ("l.csv", PLACE + "7,1,1\n"), (), (65, "partition 7; the last one of ")),
        (CONFIG, ("l.jsonl", LINE + '{"id": "b"}'), (), (65, "line 2: is no label")),
        (CONFIG, ("l.jsonl", '{"label": 1}\n'), (), (65, "line 1: names no event")),
        (CONFIG, ("l.jsonl", '{"partition": -1, "offset": 1, "label": 1}\n'), (), (65, "line 1: ")),
        (CONFIG, ("l.jsonl", LINE), ("--key", "k"), (65, 'the field "k"')),
        (CONFIG, ("l.jsonl", "{\n"), (), (65, "line 1: is not JSON")),
        (AMONG, ("l.jsonl", '{"id": "a", "label": 1, "n": 1}\n'), (), (65, "taken for an event")),
        (AMONG + FLAT, ("l.csv", PLACE + "0,1,1\n"), (), (65, 'no column "id"')),
        (AMONG + FLAT, ("l.jsonl", '{"partition": 0, "offset": 1, "label": 1}'), (), (65, "e 1")),
    ],
)  # fmt: skip
def test_a_file_of_labels_that_cannot_be_is_said(
    tmp_path: Path, config: str, file: tuple[str, str], words: Sequence[str], ended: tuple[int, str]
) -> None:
    """With the line; nothing is sent."""
    project = configured(tmp_path, config)
    (name, text), (code, said) = file, ended
    project.write(name, text)

    done = project.stream("produce", "--labels", name, *words)

    assert done.code == code, done
    assert done.said(said), done
    assert (project.end(), project.end(Channel.LABELS)) == (0, 0)
