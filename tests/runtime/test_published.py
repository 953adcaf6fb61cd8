"""Of the quarantine's records those of the labels topic tell nothing of events, but of labels."""

from collections.abc import Iterable

import pytest

from stream.core.event import Channel, Output, Reason, Record, Rejection
from stream.core.fold.classes import OVER
from stream.core.fold.task import Task
from stream.core.formats.commands import mark_of
from stream.core.formats.records import Writer, quarantined
from stream.core.snapshots.metadata import NOWHERE, Reached
from stream.core.spec import Limits
from stream.runtime import published
from stream.runtime.commands import difference
from stream.runtime.journal import NO_STEPS
from stream.runtime.keeping import Trial
from tests.runtime.surroundings import NAMES, PIPELINE, RECIPE, Surroundings, events

EVENTS, LABELS = NAMES[Channel.EVENTS], NAMES[Channel.LABELS]
TOO_MANY = f"{OVER} 1 classes"


def refused(topic: str, offset: int, *, value: bytes = b"oops", detail: str = "no JSON") -> Output:
    """A refused record of a topic."""
    return quarantined(
        Record(0, offset, 7, b"k", value), Rejection(Reason.NOT_JSON, detail), pipeline=PIPELINE,
        topic=topic, limits=Limits(),
    )  # fmt: skip


def with_key(output: Output, key: bytes) -> Output:
    """The same with another key."""
    return Output(
        output.channel, output.partition, output.timestamp_ms, key, output.value, output.headers
    )


def published_in(around: Surroundings, outputs: Iterable[Output]) -> None:
    """Append what a worker had published."""
    for each in outputs:
        around.broker.append(
            NAMES[each.channel], each.partition, key=each.key, value=each.value,
            timestamp_ms=each.timestamp_ms, headers=each.headers,
        )  # fmt: skip


@pytest.fixture
def around() -> Surroundings:
    """Five events with a prediction each, and refused labels with larger offsets."""
    around, task = Surroundings(), Task(RECIPE, partition=0)
    around.send(events(8))
    folded = (
        task.step(record) for record in around.reader.read(Channel.EVENTS, 0, 0, 5).__next__()
    )
    published_in(around, Writer(RECIPE).outputs(folded))
    published_in(around, [refused(LABELS, n, detail=TOO_MANY) for n in (0, 3, 900)])
    return around


def test_refused_labels_tell_nothing_of_events(around: Surroundings) -> None:
    """Neither where the outcomes end, nor where they began, nor where one is missing."""
    reader, bounds = around.reader, around.reader.bounds(Channel.EVENTS, 0)

    assert published.next_offset(reader, 0, topic=EVENTS) == 5
    assert published.end_in(reader, 0, bounds, topic=EVENTS) == 5
    assert published.first_offset(reader, 0, topic=EVENTS) == 0
    assert published.first_missing(reader, 0, 8, topic=EVENTS) == 5
    assert published.first_left_out(reader, 0, 0, 1000, topic=EVENTS) is None
    published_in(around, [refused(EVENTS, 5, detail=TOO_MANY)])
    assert published.next_offset(reader, 0, topic=EVENTS) == 6
    assert published.first_left_out(reader, 0, 0, 1000, topic=EVENTS) == 5


def test_no_refused_label_is_taken_for_an_event_that_came_out_otherwise(
    around: Surroundings,
) -> None:
    """`snapshots verify` names the first event that differs."""
    task = Task(RECIPE, partition=0)

    found = difference.first(task, around.reader, stop=5, clock=around.clock, steps=NO_STEPS)

    assert found is None


def test_no_refused_label_is_what_a_state_on_trial_has_to_repeat(around: Surroundings) -> None:
    """After another river, Python or machine: it repeats its last outcomes, which are of events."""
    trial = Trial(around.reader, 0, RECIPE, stop=5)
    task = Task(RECIPE, partition=0)

    for record in next(iter(around.reader.read(Channel.EVENTS, 0, 0, 5))):
        assert not trial.look(task.step(record))

    assert (trial.looked_n, trial.repeated_n, trial.difference) == (5, 5, None)


def test_the_last_refused_label_tells_how_far_labels_were_read(around: Surroundings) -> None:
    """If the topic holds it, or may have held it."""
    assert published.refused_labels(around.reader, 1, topic=LABELS) == NOWHERE
    assert published.refused_labels(around.reader, 0, topic=LABELS) == NOWHERE  # 900: another one's
    for n in range(4):
        around.broker.append(LABELS, 0, key=b"k", value=b"oops %d" % n, timestamp_ms=7)
    label = Record(0, 2, 7, b"k", b"oops 2")
    published_in(around, [refused(LABELS, 2, value=b"oops 2"), refused(EVENTS, 6)])

    assert published.refused_labels(around.reader, 0, topic=LABELS) == Reached(3, mark_of(label))

    published_in(around, [with_key(refused(LABELS, 3), b"of another topic")])
    assert published.refused_labels(around.reader, 0, topic=LABELS) == NOWHERE
