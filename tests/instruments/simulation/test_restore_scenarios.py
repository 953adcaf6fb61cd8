"""How a state comes back, in named situations."""

import msgspec

from stream.core.event import Channel
from stream.errors import Retryable
from stream.telemetry import LogEvent, Metric
from tests.instruments.simulation.spoiling import load, put
from tests.instruments.simulation.stage import (
    INDEX,
    NO_SNAPSHOTS,
    SNAPSHOTS,
    STORE_AWAY,
    Stage,
    away,
    done,
    said,
)
from tests.instruments.simulation.workload import event, events
from tests.instruments.simulation.world import Options


def test_a_start_at_the_latest_is_durable_before_anything_else() -> None:
    """A second look, after a crash, must not move it: what came between would have no outcome."""
    stage = Stage(genesis=5)
    stage.send(events(5))
    options = Options(start="latest", commit_interval_s=60.0)
    first = stage.start(options)
    stage.turns(first, until=lambda: 0 in stage.committed)

    assert stage.committed[0].offset == 5
    assert ";g=5;" in stage.committed[0].metadata

    stage.send(events(2, seed=1))
    stage.kill(first)
    stage.send(events(2, seed=2))
    stage.finish(stage.start(options))

    offsets = [msgspec.json.decode(r.value or b"")["offset"]
               for r in stage.published(Channel.PREDICTIONS)]  # fmt: skip
    assert offsets == [5, 6, 7, 8]


def test_a_crash_while_a_start_is_made_durable_folds_nothing() -> None:
    """Until the start is committed no event is folded, and so none is published."""
    stage = Stage(genesis=5)
    stage.send(events(5))
    process = stage.start(Options(start="latest"))
    stage.world.faults = away("end:before")
    for _ in range(20):
        stage.world.turn(process)
        stage.send(events(1))

    assert process.telemetry.counters[Metric.RECORDS] == 0
    assert not stage.committed


def test_without_the_store_a_start_replays_the_log() -> None:
    """Snapshots only save time."""
    stage = done(SNAPSHOTS)
    stage.world.faults = away(*STORE_AWAY)
    stage.send(events(3))
    process = stage.start()

    stage.finish(process)

    assert process.telemetry.counters[Metric.REPLAYED] == 12
    assert said(process, LogEvent.SNAPSHOTS_UNREACHABLE)


def test_without_the_store_a_log_that_lost_its_start_waits_for_it() -> None:
    """Only a snapshot can help; it may be there in a minute."""
    stage = done(SNAPSHOTS)
    stage.log().truncate(3)
    stage.send(events(3))
    stage.world.faults = away(*STORE_AWAY)
    process = stage.start()
    for _ in range(50):
        stage.world.turn(process)

    assert stage.committed[0].offset == 12

    stage.world.faults = away()
    stage.finish(process)

    (fields,) = said(process, LogEvent.TASK_RESTORED)
    assert str(fields["origin"]).startswith("snapshot at")


def test_a_damaged_snapshot_is_passed_over_for_an_older_one() -> None:
    """Its signature betrays it before anything of it is used."""
    stage = done(SNAPSHOTS)
    older, newest = stage.snapshots
    stage.auditor.is_cache_spoiled = True
    cache = stage.world.cache
    sealed = load(cache, INDEX, newest) or b""
    put(cache, INDEX, newest, sealed[:-1] + bytes((sealed[-1] ^ 1,)), next_offset=newest)
    stage.send(events(3))
    process = stage.start()

    stage.finish(process)

    (fields,) = said(process, LogEvent.TASK_RESTORED)
    assert fields["origin"] == f"snapshot at {older}"
    assert len(said(process, LogEvent.SNAPSHOT_REJECTED)) == 1


def test_a_replay_that_fails_half_way_goes_on_where_it_was() -> None:
    """A reader's generator that raised has ended, which must not pass for the log's end."""
    stage = done(NO_SNAPSHOTS, n=30)
    reads = []

    def fail(step: str) -> None:
        if step == "read":
            reads.append(step)
            if len(reads) % 2 == 0:
                raise Retryable("away")

    stage.world.faults = fail
    stage.send(events(3))
    process = stage.start(NO_SNAPSHOTS)
    stage.finish(process)

    assert process.telemetry.counters[Metric.REPLAYED] == 30
    assert len(reads) > 6


def test_a_stop_signal_while_restoring_ends_at_once() -> None:
    """A replay may take long; nothing of it needs to be finished."""
    stage = done(NO_SNAPSHOTS, n=40)
    stage.send(events(3))
    process = stage.start(NO_SNAPSHOTS)

    def stop(step: str) -> None:
        if step == "read":
            stage.clock.sleep(1.0)
            process.stopping.set()

    stage.world.faults = stop
    stage.world.run(process)

    assert process.telemetry.counters[Metric.REPLAYED] < 40
    assert stage.committed[0].offset == 40


def test_a_rebalance_during_a_restore_drops_it() -> None:
    """Whoever gets the partition restores it from what is committed then."""
    stage = Stage(partitions_n=2)
    for partition in (0, 1):
        stage.send(events(30, seed=partition), partition=partition)
    first = stage.start(NO_SNAPSHOTS)
    stage.finish(first)
    stage.kill(first)

    slow = stage.start(NO_SNAPSHOTS)
    stage.world.faults = lambda step: stage.clock.sleep(0.3) if step == "read" else None
    stage.turns(slow, until=lambda: slow.telemetry.counters[Metric.REPLAYED] > 0)
    other = stage.start(NO_SNAPSHOTS)
    for _ in range(60):
        stage.world.turn(other)
        stage.world.turn(slow)
    stage.send(events(3, seed=7))
    stage.send(events(3, seed=8), partition=1)
    for _ in range(60):
        stage.world.turn(other)
        stage.world.turn(slow)

    assert stage.is_done()
    assert said(slow, LogEvent.PARTITIONS_REVOKED)
    restored = [str(fields["partition"]) for p in (slow, other)
                for fields in said(p, LogEvent.TASK_RESTORED)]  # fmt: skip
    assert sorted(restored) == ["0", "1"]


def test_poison_has_the_same_outcome_live_and_in_a_replay() -> None:
    """Quarantined once, and the state is as if it had never been."""
    stage = Stage()
    stage.send(
        [
            *events(4),
            event(label=True, x=0.5, bomb="learn"),
            event(label=True, x=0.5, bomb="predict"),
            *events(4, seed=1),
        ]
    )
    first = stage.start(NO_SNAPSHOTS)
    stage.finish(first)
    stage.kill(first)
    stage.send([event(label=False, x=0.1, bomb="learn"), *events(4, seed=2)])
    second = stage.start(NO_SNAPSHOTS)

    stage.finish(second)

    assert second.telemetry.counters[Metric.REPLAYED] == 10
    assert len(stage.published(Channel.QUARANTINE)) == 3
