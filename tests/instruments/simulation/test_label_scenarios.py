"""Labels of a topic of their own, in named situations; each says what must come of it."""

import pytest

from stream.adapters.memory.broker import no_faults
from stream.core.event import Channel, Reason
from stream.errors import Misconfigured, Missing, Retryable
from stream.telemetry import LogEvent
from tests.instruments.simulation.label_stage import (
    kinds,
    options,
    seen,
    spec,
    stage,
    tell,
    written,
)
from tests.instruments.simulation.labels_source import Said
from tests.instruments.simulation.stage import Stage, at_nth, away, said
from tests.instruments.simulation.workload import FIRST_MS, Fact


def _refuse(on: Stage, labels_n: int) -> None:
    """Records that no bytes of a label are."""
    for _ in range(labels_n):
        on.world.labels.send(None, b"oops", timestamp_ms=FIRST_MS, reason=Reason.NOT_JSON)


def test_the_older_record_goes_first_and_of_one_time_the_event() -> None:
    """While both are there; and the labels behind the last event follow it."""
    of = spec()
    world = stage(of)
    world.send([seen("a", 0), seen("b", 10), seen("c", 20)])
    for name, second in (("a", 5), ("b", 10), ("a", 3), ("c", 30)):
        tell(world, name, True, second)
    process = world.start(options(of))
    world.finish(process)

    assert written(world) == [(0, 1), (1, 2), (2, 2), (3, 3)]
    assert kinds(world) == [
        ("a", "labeled"), ("b", "labeled"), ("a", "repeated"), ("c", "labeled"),
    ]  # fmt: skip


def test_labels_behind_a_refused_one_wait_for_it_and_no_longer() -> None:
    """It is passed in its place, and quarantined once, under the topic that it came from."""
    of = spec()
    world = stage(of)
    world.send([seen("a", 0), seen("b", 10)])
    _refuse(world, 2)
    tell(world, "a", True, 5)
    process = world.start(options(of))
    world.finish(process)

    refused = [dict(each.headers) for each in world.published(Channel.QUARANTINE)]
    assert [each["stream.topic"] for each in refused] == [b"sim.labels"] * 2
    assert written(world) == [(2, 1)]


def test_a_refused_label_is_no_outcome_of_an_event() -> None:
    """Its offset is one of another topic: whoever takes over passes no event for it.

    What lies at that offset of the events was aborted, so that nothing speaks against it.
    """
    of = spec()
    world = stage(of)
    world.send([seen("a", 0)])
    _refuse(world, 4)
    first = world.start(options(of))
    world.finish(first)
    world.kill(first)
    world.send([seen("b", 1)])
    world.send([seen("c", 2), seen("d", 2)], is_committed=False)
    world.finish(world.start(options(of)))

    assert len(world.published(Channel.PREDICTIONS)) == 2


@pytest.mark.parametrize("error", [Retryable, Missing, Misconfigured])
def test_events_go_on_without_a_topic_that_does_not_answer(error: type[Exception]) -> None:
    """Within a turn of theirs; and what it has is learned once it answers, without a loss."""
    of = spec()
    world = stage(of)
    world.auditor.labels.is_quiet = False
    world.send([seen("a", 0)])
    tell(world, "a", True, 1)
    process = world.start(options(of))
    world.finish(process)
    world.world.labels.away = error
    tell(world, "b", True, 3)
    world.send([seen("b", 2), seen("c", 4)])
    world.turns(process, until=lambda: world.committed[0].offset == 3)
    assert len(said(process, LogEvent.LABELS_UNREADABLE)) == 1
    world.world.labels.away = None
    world.finish(process)

    assert kinds(world) == [("a", "labeled"), ("b", "labeled")]
    assert written(world) == [(0, 1), (1, 3)]


def test_labels_that_retention_took_are_told() -> None:
    """A line says which, and those behind them are folded."""
    of = spec()
    world = stage(of)
    world.send([seen("a", 0), seen("b", 1)])
    tell(world, "a", True, 2)
    first = world.start(options(of))
    world.finish(first)
    world.kill(first)
    for n in range(3, 7):
        tell(world, "b", n == 6, n)
    world.world.labels.truncate(0, 4)
    second = world.start(options(of))
    world.finish(second)

    (lost,) = said(second, LogEvent.LABELS_LOST)
    assert lost["why"] == "the records 1 to 3 were deleted, and nobody had read them"
    assert written(world) == [(0, 2), (4, 2)]


@pytest.mark.parametrize("labels_n", [1, 2, 5])
def test_a_topic_that_was_made_again_is_read_from_its_start(labels_n: int) -> None:
    """Whether it has fewer records than the one before, as many, or more."""
    of = spec()
    world = stage(of)
    world.send([seen(f"e{n}", n) for n in range(5)])
    tell(world, "e0", True, 5)
    tell(world, "e1", True, 6)
    process = world.start(options(of))
    world.finish(process)
    world.kill(process)
    world.world.labels.make_again()
    for n in range(labels_n):
        tell(world, f"e{n}", False, 10 + n)
    second = world.start(options(of))
    world.finish(second)

    (lost,) = said(second, LogEvent.LABELS_LOST)
    assert lost["why"] == "the labels topic was made again"
    assert [offset for offset, _ in written(world)] == [0, 1, *range(labels_n)]


def test_a_label_of_a_lost_commit_is_folded_again_and_told_once() -> None:
    """It is read again from where the committed metadata say."""
    of = spec()
    world = stage(of)
    world.send([seen("a", 0)])
    process = world.start(options(of))
    world.finish(process)
    tell(world, "a", True, 1)
    _refuse(world, 1)

    def lose() -> None:
        raise Retryable("lost")

    world.world.faults = at_nth("flush:before", 1, lose)
    world.finish(process)

    assert said(process, LogEvent.COMMIT_LOST)
    assert written(world) == [(0, 1)]
    assert len(world.published(Channel.QUARANTINE)) == 1


def test_a_replay_needs_the_journal_and_no_labels_topic() -> None:
    """The snapshots are lost, and the labels with their topic."""
    of = spec()
    world = stage(of)
    world.send([seen(f"e{n}", 2 * n) for n in range(6)])
    for n in range(6):
        tell(world, f"e{n}", n % 2 == 0, 2 * n + 1)
    process = world.start(options(of, replay_budget_s=1e9))
    world.finish(process)
    world.kill(process)
    world.world.labels.truncate(0, 6)
    world.send([seen("z", 20)])
    second = world.start(options(of, replay_budget_s=1e9))
    world.finish(second)

    assert world.auditor.learned(0) == 6
    assert not said(second, LogEvent.LABELS_LOST)


def test_labels_wait_for_events_on_their_way_and_not_longer_than_patience() -> None:
    """While nobody knows whether there are more events the wall clock decides."""
    of = spec()
    world = stage(of)
    world.auditor.labels.is_quiet = False
    world.send([seen("a", 0)])
    process = world.start(options(of, patience_s=2.0))
    world.finish(process)
    tell(world, "a", True, 1)
    world.world.look_at_labels(process)
    began_s = world.clock.elapsed_s
    world.world.faults = away("look")
    world.turns(process, until=lambda: bool(written(world)))

    assert 2.0 <= world.clock.elapsed_s - began_s < 3.0


def test_labels_that_nobody_waits_for_are_folded_at_once_where_there_is_no_event() -> None:
    """Whoever knows that the events have ended does not wait."""
    of = spec()
    world = stage(of)
    world.send([seen("a", 0)])
    process = world.start(options(of, patience_s=1e6))
    world.finish(process)
    tell(world, "a", True, 1)
    began_s = world.clock.elapsed_s
    world.finish(process)

    assert world.clock.elapsed_s - began_s < 1.0
    assert written(world) == [(0, 1)]


def test_a_partition_that_a_command_has_paused_folds_no_labels() -> None:
    """They are folded when another command lets it go on."""
    of = spec()
    world = stage(of)
    world.send([seen("a", 0)])
    process = world.start(options(of, is_commanded=True))
    world.finish(process)
    world.world.commands.send("pause")
    world.answer(process)
    tell(world, "a", True, 1)
    world.for_a_while(process)
    assert kinds(world) == []
    world.world.commands.send("resume")
    world.answer(process)
    world.finish(process)

    assert kinds(world) == [("a", "labeled")]


def test_until_end_means_labels_too() -> None:
    """Those that were there when it began; also where no event is left."""
    of = spec()
    world = stage(of, partitions_n=2)
    world.send([seen("a", 0)])
    tell(world, "a", True, 1)
    tell(world, "b", True, 1, partition=1)
    world.world.run(world.start(options(of, until_end=True)))

    assert world.is_done()
    assert (kinds(world), kinds(world, 1)) == ([("a", "labeled")], [("b", "early")])


def test_records_that_appear_late_are_read_in_their_order() -> None:
    """What an open transaction hides holds back all behind it, and only labels."""
    of = spec()
    world = stage(of)
    world.auditor.labels.is_quiet = False
    world.send([seen("a", 0), seen("b", 1)])
    process = world.start(options(of))
    world.finish(process)
    labels = world.world.labels
    hidden = labels.hide()
    labels.send(Said(True, "a"), b'{"id": "a", "label": true}', timestamp_ms=FIRST_MS, among=hidden)
    tell(world, "b", True, 2)
    world.send([seen("c", 3)])
    world.for_a_while(process)
    assert world.committed[0].offset == 3
    assert written(world) == []
    labels.show(hidden, is_committed=True)
    world.finish(process)

    assert written(world) == [(0, 3), (1, 3)]


def test_a_worker_that_was_silent_for_a_while_does_not_fold_anothers_labels() -> None:
    """Its partition went to somebody who folded labels, and came back."""
    of = spec()
    world = stage(of)
    world.send([seen("a", 0), seen("b", 1)])
    tell(world, "a", True, 2)
    first = world.start(options(of))
    world.finish(first)
    assert first.log.member is not None
    world.world.broker.expire("sim", first.log.member)
    second = world.start(options(of))
    tell(world, "b", True, 3)
    world.finish(second)
    world.kill(second)
    tell(world, "a", False, 4)
    world.finish(first)
    world.world.faults = no_faults

    assert kinds(world) == [("a", "labeled"), ("b", "labeled"), ("a", "corrected")]


def test_an_older_offset_repeats_no_outcome_behind_a_label_among_the_events() -> None:
    """A label has no outcome of an event's, and is no hole in those of the events around it."""
    of = spec(has_topic=False)
    world = stage(of)
    world.auditor.labels.is_quiet = False
    world.send([seen("a", 0)])
    first = world.start(options(of))
    world.finish(first)
    older = world.committed[0]
    said_later = Fact(
        b'{"id": "a", "label": true}', timestamp_ms=FIRST_MS + 1_000, said=Said(True, "a")
    )
    world.send([said_later, seen("b", 2)])
    world.finish(first)
    world.kill(first)
    world.committed[0] = older
    world.auditor.operator_moved(0, older)
    world.send([seen("c", 3)])
    world.finish(world.start(options(of)))

    assert len(world.published(Channel.PREDICTIONS)) == 3
    assert kinds(world) == [("a", "labeled")]


def test_an_older_offset_that_tells_of_no_label_folds_none_twice() -> None:
    """Only the journal knows of labels where no event is."""
    of = spec()
    world = stage(of)
    world.auditor.labels.is_quiet = False
    first = world.start(options(of))
    world.turns(first, until=lambda: 0 in world.committed)
    older = world.committed[0]
    tell(world, "a", True, 1)
    world.finish(first)
    world.kill(first)
    world.committed[0] = older
    world.auditor.operator_moved(0, older)
    world.for_a_while(world.start(options(of)))

    assert kinds(world) == [("a", "early")]
    assert written(world) == [(0, 0)]
