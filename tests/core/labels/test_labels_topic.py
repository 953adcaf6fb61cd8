"""Steps of a labels topic: they have no offset among the events, and all else is as among them."""

import json
from typing import Any

import pytest

from stream.core.commands import entry_of
from stream.core.event import Channel, LabelRecord, Output, Reason, Record, Rejection
from stream.core.fold.labelling import LabellingTask
from stream.core.fold.repeating import repeat
from stream.core.fold.tasks import task_of
from stream.core.formats.records import Writer
from stream.core.labels.labels_spec import LABEL_BYTES_MAX
from tests import folds
from tests.late_labels import at, event, of, outputs, recipe, task

FACTORY = "tests.folds:plain_pipeline"


def topic_task(**spec: Any) -> LabellingTask:
    """A fold whose labels come in a topic of their own."""
    made = task(FACTORY, has_topic=True, **spec)
    assert isinstance(made, LabellingTask)
    return made


def fold(task: LabellingTask, record: Record) -> list[Output]:
    """All that a record of the labels topic gives."""
    label = task.read_label(record)
    assert isinstance(label, LabelRecord), label
    return Writer(task.recipe).outputs([task.step_label(record, label)])


def label(at_offset: int, timestamp_ms: int, **document: Any) -> Record:
    """A record of the labels topic."""
    return at(at_offset, timestamp_ms, document)


def test_a_label_is_a_step_between_events() -> None:
    """The next offset is that of the events; the outcome has the label's own."""
    under = topic_task()
    under.step(event(4, 1_000, "a"))
    (told,) = of(Channel.OUTCOMES, fold(under, label(70, 2_000, id="a", label=True)))
    assert (told["kind"], told["n"], told["input"]) == ("labeled", 1, "labels")
    assert (told["offset"], told["label_offset"], told["delay_ms"]) == (4, 70, 1_000)
    assert (under.state.n, under.next_offset, under.serving.learned) == (2, 5, 1)
    assert under.state.records_n == 1


@pytest.mark.parametrize(
    ("offset", "partition", "kind"),
    [(4, folds.PARTITION, "labeled"), (3, folds.PARTITION, "unknown"),
     (5, folds.PARTITION, "early"), (4, folds.PARTITION + 1, "unknown")],
)  # fmt: skip
def test_an_event_is_named_by_its_place(offset: int, partition: int, kind: str) -> None:
    """Before the next event there is none any more; behind it one may come."""
    under = topic_task()
    under.step(event(4, 1_000, "a"))
    made = fold(under, label(1, 2_000, partition=partition, offset=offset, label=True))
    (told,) = of(Channel.OUTCOMES, made)
    assert told["kind"] == kind


def test_among_the_events_a_label_is_none() -> None:
    """It has a topic of its own."""
    refused = topic_task().step(at(0, 0, {"id": "a", "label": True})).refusal
    assert refused is not None
    assert refused.reason is Reason.MISSING_FEATURES


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (b"oops", "not_json"), (b"[]", "not_an_object"), (b"\xff", "not_utf8"), (b"", "not_json"),
        (b'{"label": true}', "no_id"), (b'{"id": null, "partition": 1, "label": true}', "no_id"),
        (b'{"id": "a"}', "bad_label"), (b'{"id": "a", "label": null}', "bad_label"),
        (b'{"id": "a", "label": "yes"}', "bad_label"), (b'{"id": [], "label": true}', "bad_id"),
        (b'{"id": "a", "label": true, "x": "' + b"y" * LABEL_BYTES_MAX + b'"}', "too_large"),
    ],
)  # fmt: skip
def test_what_its_bytes_refuse_is_no_step(value: bytes, reason: str) -> None:
    """It goes to the quarantine; the fold does not see it."""
    found = topic_task().read_label(at(0, 0, value))
    assert isinstance(found, Rejection)
    assert found.reason.value == reason


def test_other_fields_of_a_label_mean_nothing() -> None:
    """The topic may be somebody else's."""
    record = label(0, 0, id=7, label=False, at="2026-12-01", source={"shop": 3})
    assert topic_task().read_label(record) == LabelRecord(False, "7")


def test_what_expires_is_told_in_a_label_step_too() -> None:
    """A step takes fifty at most; the next one takes the rest, whatever it is."""
    under = topic_task(wait_ms=1_000)
    for offset in range(60):
        under.step(event(offset, 1_000, f"e{offset}"))
    for offset in range(60, 63):
        under.step(event(offset, 9_000, f"e{offset}"))
    told = of(Channel.OUTCOMES, fold(under, label(0, 9_000, id="e62", label=True)))
    assert [each["kind"] for each in told] == ["labeled", *["expired"] * 10]
    assert {each["input"] for each in told} == {"labels"}


def test_alerts_of_a_label_tell_of_the_last_event_and_have_ids_of_their_own() -> None:
    """Many labels may come behind one event, and a detector may fire at several of them."""
    under = topic_task()
    for offset in range(400):
        under.step(event(offset, 1_000, f"e{offset}", x=1.0))
    alerts = []
    for n in range(400):
        made = fold(under, label(n, 2_000, id=f"e{n}", label=(n // 100) % 2 == 0))
        alerts += of(Channel.ALERTS, made)
    assert len(alerts) > 1
    assert {each["offset"] for each in alerts} == {399}
    assert len({each["id"] for each in alerts}) == len(alerts)


def test_the_journal_brings_it_all_back() -> None:
    """The same records at the same places give the same digest."""
    live, again = topic_task(), topic_task()
    for n in range(50):
        record = event(n, 1_000 * n, f"e{n}")
        live.step(record)
        again.step(record)
        told = label(n, 1_000 * n, id=f"e{n - n % 3}", label=n % 2 == 0)
        entry = entry_of(told, Channel.LABELS, n=live.state.n, next_offset=live.next_offset)
        fold(live, told)
        repeat(again, entry)
    assert live.state.digest == again.state.digest
    assert again.reached[Channel.LABELS].offset == 50


def test_a_fold_for_which_it_is_no_label_passes_it_by() -> None:
    """A rebuild under another recipe takes what the other one was given, where it can."""
    told = at(0, 0, {"id": "a", "label": "UP"})
    entry = entry_of(told, Channel.LABELS, n=0, next_offset=0)
    for under in (topic_task(), folds.task(FACTORY)):
        repeat(under, entry)
        assert (under.state.n, under.state.digest) == (0, 0)
        assert under.reached[Channel.LABELS].offset == 1


def test_the_topic_is_a_part_of_the_recipe() -> None:
    """What a label among the events is depends on it; without one nothing has changed."""
    assert recipe(FACTORY).fingerprint() != recipe(FACTORY, has_topic=True).fingerprint()
    assert "has_topic" not in json.dumps(dict(recipe(FACTORY).extras[0].settings()))


def test_a_stored_state_of_other_settings_goes_on_under_these() -> None:
    """Whatever a snapshot was taken under: the recipe's fingerprint says what is folded with."""
    before = topic_task(wait_ms=1_000)
    for offset in range(3):
        before.step(event(offset, 1_000, f"e{offset}"))
    under = task_of(
        recipe(FACTORY, has_topic=True, wait_ms=9_000), partition=folds.PARTITION,
        payload=before.keep_copy(),
    )  # fmt: skip
    told = of(Channel.OUTCOMES, outputs(under, [event(n, 5_000, f"e{n}") for n in range(3, 8)]))
    assert told == []
    told = of(Channel.OUTCOMES, outputs(under, [event(n, 11_000, f"e{n}") for n in range(8, 12)]))
    assert [each["kind"] for each in told] == ["expired"] * 3
