"""Labels in a topic of their own, as a user meets them: looked at, and sent again."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from stream.core.event import Channel
from tests.commands.labelled import (
    CONFIG,
    LABELS,
    NAMES,
    OFF,
    T_MS,
    TOPIC,
    configured,
    events,
    labels,
    make,
    outcomes,
    run,
    send,
)
from tests.commands.project import EMBEDDED, MODEL, PIPELINE, Done, Project


def problems(done: Done) -> list[str]:
    """What `check` calls problems."""
    return [line for line in done.err.splitlines() if line.startswith("problem ")]


# -- how far the outcomes reach -------------------------------------------------------------------


def test_refused_labels_tell_nothing_of_events(tmp_path: Path) -> None:
    """Also where key and time are those of the event with that offset: each has its prediction."""
    project = configured(tmp_path)
    send(project, Channel.EVENTS, events(2))
    send(project, Channel.LABELS, [(b"e%d" % n, b"oops", n) for n in range(40)])
    run(project)
    assert project.end(Channel.QUARANTINE) == 40

    send(project, Channel.EVENTS, events(20, since=2))
    assert not project.stream("check").said("topics.quarantine: commands.quarantine holds")
    run(project)

    told = [
        json.loads(each.value or b"")["offset"] for each in project.records(Channel.PREDICTIONS)
    ]
    assert told == list(range(22))
    assert project.end(Channel.QUARANTINE) == 40


@pytest.mark.parametrize("on_change", ["rebuild", "fresh"])
@pytest.mark.parametrize("refused_at_s", [0, 99])
def test_a_label_is_neither_refused_nor_folded_twice_where_metadata_are_lost(
    tmp_path: Path, on_change: str, refused_at_s: int
) -> None:
    """The journal and the quarantine tell how far the labels topic was read."""
    project = configured(tmp_path)
    refused = [(b"k", b"oops", refused_at_s)] * 3
    send(project, Channel.EVENTS, events(100))
    send(project, Channel.LABELS, sorted([*labels(60), *refused], key=lambda each: each[2]))
    run(project)
    before = outcomes(project)
    assert project.sql("UPDATE committed SET metadata = '' WHERE topic = ?", NAMES[Channel.EVENTS])

    run(project, on_change=on_change)
    assert (project.end(Channel.QUARANTINE), outcomes(project)) == (3, before)

    send(project, Channel.LABELS, [*labels(2, since=60), (b"k", b"again", 200)])
    run(project)
    kinds = [each["kind"] for each in outcomes(project)[len(before) :]]
    assert kinds == ["labeled" if on_change == "rebuild" else "early"] * 2
    assert project.end(Channel.QUARANTINE) == 4


def test_a_labels_topic_that_was_made_again_is_read_from_its_start(tmp_path: Path) -> None:
    """What was refused of the old one says nothing of it."""
    project = configured(tmp_path)
    send(project, Channel.EVENTS, events(3))
    send(project, Channel.LABELS, [(b"k", b"oops", n) for n in range(5)])
    run(project)
    project.sql("DELETE FROM partitions WHERE topic = ?", NAMES[Channel.LABELS])
    project.sql("DELETE FROM topics WHERE name = ?", NAMES[Channel.LABELS])
    make(project, Channel.LABELS, 1)
    send(project, Channel.LABELS, labels(3))
    assert project.sql("UPDATE committed SET metadata = '' WHERE topic = ?", NAMES[Channel.EVENTS])

    run(project, on_change="rebuild")

    assert [each["kind"] for each in outcomes(project)] == ["labeled"] * 3


def test_workers_under_a_supervisor_end_behind_the_labels_too(tmp_path: Path) -> None:
    """`--until-end` means events and labels, however many processes there are."""
    project = configured(tmp_path)
    send(project, Channel.EVENTS, events(3))
    run(project)
    send(project, Channel.LABELS, labels(3))

    done = project.stream("run", "--workers", "auto", "--until-end")

    assert done.code == 0, done
    assert [each["kind"] for each in outcomes(project)] == ["labeled"] * 3


@pytest.mark.parametrize("is_taken_away", [True, False])
def test_a_topic_that_is_named_later_or_no_more_costs_no_event(
    tmp_path: Path, *, is_taken_away: bool
) -> None:
    """Neither the model nor what waits: the label comes the other way then."""
    project = configured(tmp_path)
    configs = [CONFIG, EMBEDDED + MODEL + LABELS + OFF]
    before, after = configs if is_taken_away else reversed(configs)
    (first,), (second,) = labels(1), labels(1, since=1)
    project.configure(before)
    send(project, Channel.EVENTS, events(3))
    send(project, Channel.LABELS if is_taken_away else Channel.EVENTS, [first])
    run(project)

    project.configure(after)
    checked = project.stream("check")
    assert checked.said("only settings changed, the learner is kept"), checked
    moved = "problem labels: 1 of the first 4 records are labels of events, and are refused among "
    assert checked.said(f"{moved}these: send them to {PIPELINE}.labels") is not is_taken_away
    send(project, Channel.EVENTS if is_taken_away else Channel.LABELS, [second])
    run(project)

    assert [(each["id"], each["kind"]) for each in outcomes(project)] == [
        ("e0", "labeled"), ("e1", "labeled"),
    ]  # fmt: skip
    (row,) = project.stream("status", "--json").json["partitions"]
    assert row["learned"] == 2
    assert project.stream("snapshots", "verify").code == 0


# -- sent again -----------------------------------------------------------------------------------


def test_a_refused_label_goes_back_to_the_labels_topic(tmp_path: Path) -> None:
    """As it came, once, whether a mark or the topic itself tells that it was sent."""
    project = configured(tmp_path)
    send(project, Channel.EVENTS, [(b"a", b"no event", 0), *events(2)])
    send(project, Channel.LABELS, [(b"e0", b'{"id": "e0"}', 40), (b"e1", b"no label", 41)])
    run(project)
    listed = project.stream("quarantine", "list", "--json").json
    assert {each["event"] for each in listed["records"]} == {
        f"{PIPELINE}.events-0-0", f"{PIPELINE}.labels-0-0", f"{PIPELINE}.labels-0-1",
    }  # fmt: skip

    dry = project.stream("quarantine", "redrive", "--dry-run")
    said = (
        f"1 records (1 not_json) %s {PIPELINE}.events, "
        f"2 records (1 bad_label, 1 not_json) %s {PIPELINE}.labels"
    )
    assert sorted(dry.out.strip().split(", 2")) == sorted(
        (said % (("would be sent to",) * 2)).split(", 2")
    ), dry
    done = project.stream("quarantine", "redrive")
    assert done.code == 0, done
    for _ in range(2):
        again = project.stream("quarantine", "redrive")
        assert again.out == f"0 records sent to {PIPELINE}.events\n", again
        project.sql("DELETE FROM committed WHERE pipeline = ?", f"{PIPELINE}.redrive")

    sent = project.records(Channel.LABELS)[2:]
    assert [(each.key, each.value, each.timestamp_ms) for each in sent] == [
        (b"e0", b'{"id": "e0"}', T_MS + 40_000), (b"e1", b"no label", T_MS + 41_000),
    ]  # fmt: skip
    assert [each.headers for each in sent] == [
        (("stream.redriven", f"{PIPELINE}-0-{n}".encode()),) for n in range(2)
    ]
    assert [each.value for each in project.records()[3:]] == [b"no event"]


def test_a_label_that_was_sent_again_hides_no_event_of_the_same_offset(tmp_path: Path) -> None:
    """Where no mark tells, what was sent again is found in each topic by itself."""
    project = configured(tmp_path)
    send(project, Channel.EVENTS, [(b"a", b"no event", 0)])
    send(project, Channel.LABELS, [(b"e0", {"id": "e0"}, 40)])
    run(project)
    assert project.stream("quarantine", "redrive", "--reason", "bad_label").code == 0
    project.sql("DELETE FROM committed WHERE pipeline = ?", f"{PIPELINE}.redrive")

    done = project.stream("quarantine", "redrive")

    assert done.out == f"1 records (1 not_json) sent to {PIPELINE}.events\n", done
    assert (project.end(), project.end(Channel.LABELS)) == (2, 2)


def test_a_label_that_is_good_by_now_is_learned(tmp_path: Path) -> None:
    """The way it is meant: the field was another, and is configured now."""
    project = configured(tmp_path)
    send(project, Channel.EVENTS, events(2))
    send(project, Channel.LABELS, [(b"e1", {"id": "e1", "paid": True}, 40)])
    run(project)

    project.configure(CONFIG.replace("wait", 'label = "paid"\nwait'))
    assert project.stream("quarantine", "redrive").code == 0
    run(project)

    assert [(each["id"], each["kind"]) for each in outcomes(project)] == [("e1", "labeled")]


def test_a_label_that_was_cut_is_looked_up_in_its_topic(tmp_path: Path) -> None:
    """Where that holds it no more, the others are sent, and it is named (65)."""
    project = configured(tmp_path, CONFIG + "[limits]\nvalue_bytes_max = 64\n")
    large = b'{"id": "e0", "label": "%s' % (b"x" * 200)
    send(project, Channel.EVENTS, events(1))
    send(project, Channel.LABELS, [(b"e0", large, 40), (b"e0", large + b"y", 41)])
    run(project)
    project.sql("UPDATE records SET value = ? WHERE value = ?", b"gone", large + b"y")

    done = project.stream("quarantine", "redrive")

    assert done.code == 65, done
    assert done.said(f"they were cut and {PIPELINE}.labels does not hold them"), done
    assert done.said(f"ask their sender: {PIPELINE}.labels-0-1"), done
    assert [each.value for each in project.records(Channel.LABELS)[2:]] == [large]


def test_a_worker_that_refused_most_labels_says_so_of_all_that_it_read(tmp_path: Path) -> None:
    """Labels count as events do: both as read, and as refused."""
    project = configured(tmp_path)
    send(project, Channel.EVENTS, events(10))
    send(project, Channel.LABELS, [*labels(5), *((b"k", b"oops", 99) for _ in range(45))])

    done = run(project)

    assert done.said("45 of 60 records (75 %) were refused, most often as not_json (45)"), done


# -- check ----------------------------------------------------------------------------------------


def test_check_knows_labels_of_a_topic_of_their_own(tmp_path: Path) -> None:
    """Nobody misses labels in events, or among them."""
    project = configured(tmp_path)
    send(project, Channel.EVENTS, events(50))
    empty = project.stream("check")
    assert empty.code == 0, empty
    assert empty.said(f"note labels: {PIPELINE}.labels is empty; until one comes"), empty

    send(project, Channel.LABELS, [*labels(20), (b"z", {"id": "old", "label": True}, 1)])
    done = project.stream("check")

    assert done.code == 0, done
    assert done.said(f"ok topics.labels: {PIPELINE}.labels, partitions: 1"), done
    assert done.said("ok labels: 20 of the last 21 lie where their event does; of 1 no event"), done
    assert done.said(" events wait in partition 0, of at most 100,000"), done
    assert done.said("journal does not exist, and which commands and labels were folded"), done
    assert done.said("; the next start makes it"), done
    assert not done.said("labels of events"), done
    run(project)
    after = project.stream("check")
    assert after.said(f"ok journal: {PIPELINE}.journal\n"), after
    assert not after.said("topics.control"), after


@pytest.mark.parametrize(
    ("config", "said"),
    [
        (EMBEDDED + MODEL + TOPIC, "topics.labels: there is no [labels]"),
        (CONFIG + '[delivery]\nguarantee = "at-least-once"\n', "labels are learned once each"),
        (
            CONFIG.replace("[topics]", "[topics]\ncreate = false"),
            f"topics.labels: {PIPELINE}.labels does not exist; create it, or",
        ),
    ],
)
@pytest.mark.parametrize("command", [("check",), ("run", "--until-end")])
def test_what_a_labels_topic_cannot_be_without_is_said(
    tmp_path: Path, config: str, said: str, command: Sequence[str]
) -> None:
    """In one line, by `check` and by a worker; 78."""
    project = Project(tmp_path)
    project.configure(EMBEDDED + MODEL)
    for channel in Channel:
        if channel is not Channel.LABELS:
            make(project, channel, 1)
    project.configure(config)

    done = project.stream(*command)

    assert done.code == 78, done
    assert sum(said in line for line in done.err.splitlines()) == 1, done


@pytest.mark.parametrize(("events_n", "labels_n"), [(3, 2), (2, 3)])
def test_topics_of_different_width_are_a_problem(
    tmp_path: Path, events_n: int, labels_n: int
) -> None:
    """A key lies in the same partition of both only where they have as many."""
    project = Project(tmp_path)
    project.configure(CONFIG)
    make(project, Channel.EVENTS, events_n)
    make(project, Channel.LABELS, labels_n)

    done = project.stream("check")

    (line,) = problems(done)
    assert done.code == 78, done
    assert f"{PIPELINE}.labels has {labels_n} partitions, {PIPELINE}.events has {events_n}" in line


def test_a_worker_that_may_make_no_partitions_waits_with_the_one_without_labels(
    tmp_path: Path,
) -> None:
    """The others are finished; 78, as for outputs."""
    project = Project(tmp_path)
    project.configure(CONFIG.replace("[topics]", "[topics]\ncreate = false"))
    for channel in Channel:
        make(project, channel, 1 if channel is Channel.LABELS else 2)
    for partition in range(2):
        send(project, Channel.EVENTS, events(3), partition=partition)

    done = project.stream("run", "--until-end")

    assert done.code == 78, done
    assert done.said(f"{PIPELINE}.labels has 1 partitions"), done
    assert [project.end(Channel.PREDICTIONS, p) for p in range(2)] == [3, 0]


@pytest.mark.parametrize(
    ("key", "label", "strays_n", "word"),
    [
        (b"s", {"id": "e{i}", "label": True}, 30, "problem"),
        (b"s", {"partition": 1, "offset": 0, "label": True}, 30, "problem"),
        (b"s", {"id": f"{PIPELINE}.events-1-0", "label": True}, 30, "problem"),
        (b"e", {"id": "long ago", "label": True}, 30, "problem"),
        (None, {"id": "e{i}", "label": True}, 3, "note"),
    ],
)
def test_check_says_how_many_labels_lie_elsewhere_than_their_events(
    tmp_path: Path, key: bytes | None, label: dict[str, object], strays_n: int, word: str
) -> None:
    """Known by their ids, by their places, or by their keys; a few are a note."""
    project = configured(tmp_path, partitions=2)
    send(project, Channel.EVENTS, events(100), partition=1)
    send(project, Channel.LABELS, labels(100), partition=1)
    strays = [
        (key and b"%s%d" % (key, i), json.loads(json.dumps(label).replace("{i}", f"{i}")), i + 30)
        for i in range(strays_n)
    ]
    others = [(b"other", {"id": f"o{i}", "label": True}, i) for i in range(80 - strays_n)]
    send(project, Channel.LABELS, [*strays, *others], partition=0)

    done = project.stream("check")

    line = f"{word} labels: {strays_n} of the last 80 labels of partition 0 belong to events of "
    assert done.said(f"{line}other partitions"), done
    assert done.code == (78 if word == "problem" else 0), done


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ({"id": "e1", "paid": True}, "bad_label (the label is null); labels.label, which is"),
        ({"order": "e1", "label": True}, "no_id (neither"),
        (b"oops", "not_json ("),
    ],
)
def test_check_says_how_many_labels_are_refused_and_why(
    tmp_path: Path, value: object, said: str
) -> None:
    """Of more than a tenth as a problem: they are never learned."""
    project = configured(tmp_path)
    send(project, Channel.EVENTS, events(10))
    send(project, Channel.LABELS, [*labels(10), *((b"e1", value, 50) for _ in range(5))])

    done = project.stream("check")

    assert done.code == 78, done
    (line,) = problems(done)
    assert f"labels: 5 of the last 15 are refused as {said}" in line, done


# -- status ---------------------------------------------------------------------------------------


def test_status_says_how_many_labels_are_not_folded_yet(tmp_path: Path) -> None:
    """Of the labels topic, and only where there is one."""
    project = configured(tmp_path)
    send(project, Channel.EVENTS, events(20))
    send(project, Channel.LABELS, labels(5))
    assert project.stream("status", "--json").json["partitions"][0]["labels"]["lag"] == 5
    run(project)
    send(project, Channel.LABELS, labels(3, since=5))

    (row,) = project.stream("status", "--json").json["partitions"]
    head, cells = (line.split() for line in project.stream("status").out.splitlines()[-2:])

    assert (row["labels"]["lag"], row["lag"]) == (3, 0)
    assert dict(zip(head, cells, strict=False))["lag"] == "3"
    run(project)
    assert project.stream("status", "--json").json["partitions"][0]["labels"]["lag"] == 0
    project.configure(EMBEDDED + MODEL + LABELS)
    assert "lag" not in project.stream("status", "--json").json["partitions"][0]["labels"]
