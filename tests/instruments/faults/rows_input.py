"""Rows about what is in the log, and what becomes of the log and of the group."""

import re
import signal
import time
from typing import Any

from kafka import KafkaProducer, TopicPartition

from tests.instruments.faults import expected, settled
from tests.instruments.faults.events import with_features
from tests.instruments.faults.run import Run
from tests.instruments.faults.stage import Stage
from tests.instruments.faults.table import Table, Told
from tests.instruments.faults.worker import Broke, Worker, resident_bytes

STATIC_S = 3.0
BRITTLE = '[model]\nfactory = "tests.instruments.faults.models:brittle"\n'
BREAKER = "[quarantine]\nbreaker_window = 400\n"
POISONED_N = 1_000
GROWTH_BYTES_MAX = 30 << 20


def inputs(table: Table) -> None:
    """Add rows 21, 22, 24, 25, 27 to 29 and 38."""
    table.real(21, "the model raises on one event, half changed", "I1 I2 I4")(poison)
    table.real(22, "1,000 events in a row that the model raises on", "I12 I13")(flood)
    table.real(24, "the input is transactional: aborted, open and committed records, markers",
               "I2 I5")(transactional)  # fmt: skip
    table.real(25, "the log starts behind the newest usable snapshot", "I13")(retention)
    table.real(27, "the events topic is deleted and made again under its name", "I10 I13")(
        recreated
    )
    table.real(28, "the group's committed offsets are lost", "I1 I13")(group_lost)
    table.real(29, "partitions are added to the topics", "I1 I2")(widened)
    table.real(38, "deep JSON, huge numbers, NaN, broken UTF-8, 1,000 names, duplicate keys",
               "I1 I12")(hostile)  # fmt: skip


def poison(stage: Stage) -> Told:
    """Live and in a replay: the same outcome, and the other partition does not notice."""
    with Run(stage, config=BRITTLE, recovery_time_s=STATIC_S) as run:
        worker = run.start(instance="w-0")
        run.flowing()
        for _ in range(3):
            run.feeder.values([with_features(poison=1.0)], partition=0)
            time.sleep(0.2)
        run.flowing(partition=0)
        worker.kill()
        stage.ask_redis("FLUSHALL")
        at = time.monotonic()
        run.start(instance="w-0")
        run.recovered(at, partition=0)
        run.finish()
        return Told("3 poisoned events, then a replay over them from an empty Redis",
                    run.recoveries)  # fmt: skip


def flood(stage: Stage) -> Told:
    """The breaker pauses the partition, the other one goes on; so it is after a restart."""
    with Run(stage, config=BRITTLE + BREAKER, recovery_time_s=STATIC_S) as run:
        worker = run.start(instance="w-0")
        run.flowing()
        before_bytes = resident_bytes(worker.process.pid)
        run.feeder.values([with_features(poison=1.0)] * POISONED_N, partition=0)
        paused_at = _paused(run, worker)
        run.flowing(partition=1)
        grown_bytes = resident_bytes(worker.process.pid) - before_bytes
        worker.kill()
        at = time.monotonic()
        heir = run.start(instance="w-0")
        run.recovered(at, partition=1)
        if _paused(run, heir) != paused_at:
            raise Broke(f"a restart pushed the flood on from {paused_at}")
        heir.signal(signal.SIGTERM)
        heir.ends_with(0, within_s=60)
        # The operator lets it be refused: the way on that the manual names.
        last = run.start(instance="w-0", environment={"STREAM__QUARANTINE__BREAKER_SHARE": "1"})
        run.finish(within_s=90)
        counted = re.search(r"records_quarantined_total=(\d+)", last.log)
        if counted is None or not POISONED_N // 2 < int(counted[1]) <= POISONED_N * 3 // 2:
            raise Broke(f"I13: the count of refused records is not said: {last.log[-300:]}")
        if grown_bytes > GROWTH_BYTES_MAX:
            raise Broke(f"I12: {grown_bytes >> 20} MB more while the flood waits")
        return Told(
            "paused, said, the rest left in the log, partition 1 goes on; a restart does "
            "not push it through; with the breaker off all are quarantined",
            run.recoveries,
        )


def _paused(run: Run, worker: Worker) -> int:
    """Wait for the pause. Returns: the committed offset, which does not move any more."""
    run.until(lambda: "partition_paused" in worker.log, within_s=80, what="I13: a pause is said")
    said = re.search(r"partition_paused partition=0 next_offset=(\d+)", worker.log)
    if said is None:
        raise Broke("I13: it is not said where the pause is")
    run.until(lambda: run.verifier.committed[0] == int(said[1]), within_s=60, what="its commit")
    run.feeder.burst(300, [1])
    run.flowing(partition=1)
    time.sleep(1.0)
    if run.verifier.committed[0] != int(said[1]):
        raise Broke(f"a paused partition went from {said[1]} to {run.verifier.committed[0]}")
    return int(said[1])


def transactional(stage: Stage) -> Told:
    """Offsets have gaps, and an open transaction holds everything behind it back."""
    with Run(stage, rate=0.0, partitions_n=1, is_dense=False) as run:
        topic = f"{run.name}.events"
        writer = _writer(run, "committing")
        other = _writer(run, "aborting")
        worker = run.start(instance="w-0")
        for turn in range(6):
            for producer, count in ((writer, 20), (other, 7)):
                producer.begin_transaction()
                for n in range(count):
                    producer.send(topic, with_features(a=turn + n / 10), partition=0)
                producer.flush()
            run.feeder.burst(5)
            other.abort_transaction()
            writer.commit_transaction()
        run.flowing(after=time.monotonic() - 30.0)
        writer.begin_transaction()
        writer.send(topic, with_features(a=9.0), partition=0)
        writer.flush()
        run.feeder.burst(5)
        time.sleep(1.0)
        before = run.verifier.outcomes_n()
        worker.kill()
        stage.ask_redis("FLUSHALL")
        run.start(instance="w-0")
        time.sleep(3.0)
        if run.verifier.outcomes_n() != before:
            raise Broke("I5: something behind an open transaction was learned")
        at = time.monotonic()
        writer.commit_transaction()
        run.recoveries.append(run.flowing(after=at))  # nobody died: none of them is a late one
        other.begin_transaction()
        other.send(topic, with_features(a=9.0), partition=0)
        other.flush()
        other.abort_transaction()
        for producer in (writer, other):
            producer.close(timeout=5)
        end = _end(run)
        run.until(
            lambda: run.verifier.committed[0] == end, within_s=60,
            what=f"the committed offset passes the last marker, up to {end}",
        )  # fmt: skip
        run.finish()
        return Told("42 aborted of 193 records; committed past the last marker", run.recoveries)


def _writer(run: Run, name: str) -> KafkaProducer:
    producer = KafkaProducer(
        bootstrap_servers=run.bootstrap, transactional_id=f"upstream-{run.name}-{name}"
    )
    producer.init_transactions()
    return producer


def _end(run: Run) -> int:
    tp = TopicPartition(f"{run.name}.events", 0)
    return int(settled.ends(run.bootstrap, [tp], "read_committed")[tp])


def retention(stage: Stage) -> Told:
    """With the snapshot it goes on; without it there is no honest way on, and it says so."""
    with Run(stage, rate=0.0, partitions_n=1, recovery_time_s=STATIC_S) as run:
        run.feeder.burst(500)
        worker = run.start(instance="w-0")
        run.until(lambda: run.verifier.committed.get(0, 0) >= 500, within_s=80, what="500")
        worker.signal(signal.SIGTERM)
        worker.ends_with(0, within_s=60, says="snapshot_saved")
        _delete_before(run, 400)
        at = time.monotonic()
        second = run.start(instance="w-0")
        run.feeder.burst(100)
        run.recovered(at)
        second.signal(signal.SIGTERM)
        second.ends_with(0, within_s=60)
        stage.ask_redis("FLUSHALL")
        run.start(instance="w-0").ends_with(65, within_s=90, says="the log starts at 400")
        run.feeder.burst(100)
        _delete_before(run, 650)
        run.start(instance="w-0").ends_with(65, within_s=90, says="records were deleted")
        return Told("with its snapshot: goes on; without: 65; past the committed offset: 65",
                    run.recoveries)  # fmt: skip


def _delete_before(run: Run, offset: int) -> None:
    admin = run.admin()
    try:
        admin.delete_records({TopicPartition(f"{run.name}.events", 0): offset})
    finally:
        admin.close()


def recreated(stage: Stage) -> Told:
    """Shorter than committed, and longer: offsets alone would not tell."""
    with Run(stage, rate=0.0, partitions_n=1, recovery_time_s=STATIC_S) as run:
        run.feeder.burst(300)
        worker = run.start(instance="w-0")
        run.until(lambda: run.verifier.committed.get(0, 0) >= 300, within_s=80, what="300")
        _make_again(run)
        live = worker.ends(within_s=120)
        if live not in (65, 78):
            raise Broke(f"a running worker ended with {live}: {worker.log[-600:]}")
        run.feeder.burst(100)
        # Brokers drop the offsets of a topic that is deleted: beginning again would be silent.
        run.start(instance="w-0").ends_with(65, within_s=90, says="made again")
        run.feeder.burst(400)
        run.start(instance="w-0").ends_with(65, within_s=90, says="made again")
        run.set_offset(300)
        run.start(instance="w-0").ends_with(78, within_s=90, says="another tool set it")
        return Told(f"running: {live}; shorter: 65; longer: 65; an offset by hand: 78")


def _make_again(run: Run) -> None:
    admin = run.admin()
    try:
        admin.delete_topics([f"{run.name}.events"])
    finally:
        admin.close()
    time.sleep(3.0)
    run.make_topics(("events",))


def group_lost(stage: Stage) -> Told:
    """Nothing says any more where to go on: beginning again would publish everything twice."""
    with Run(stage, rate=0.0, partitions_n=1) as run:
        run.feeder.burst(300)
        worker = run.start()
        run.until(lambda: run.verifier.committed.get(0, 0) >= 300, within_s=80, what="300")
        worker.signal(signal.SIGTERM)
        worker.ends_with(0, within_s=60)
        admin = run.admin()
        try:
            admin.delete_groups([run.name])
        finally:
            admin.close()
        run.start().ends_with(65, within_s=90, says="offset")
        stage.ask_redis("FLUSHALL")
        run.start().ends_with(65, within_s=90, says="offset")
        # The way on that the message names.
        run.configure(run.config.replace("[model]\n", '[model]\non_change = "rebuild"\n'))
        run.feeder.burst(50)
        before = run.verifier.outcomes_n()
        run.set_offset(300)
        at = time.monotonic()
        run.start()
        run.recovered(at)
        run.finish()
        if run.verifier.outcomes_n() != before + 50:
            raise Broke("I1: more outcomes than events")
        return Told("with and without Redis: 65, and how to go on; done so, it goes on",
                    run.recoveries)  # fmt: skip


def widened(stage: Stage) -> Told:
    """While a worker runs: the new partition begins at 0 with an untrained model."""
    with Run(stage) as run:
        run.start()
        run.flowing()
        admin: Any = run.admin()
        try:
            for channel in ("predictions", "alerts", "quarantine", "events"):
                admin.create_partitions({f"{run.name}.{channel}": 3})
        finally:
            admin.close()
        at = time.monotonic()
        run.partitions_n = run.feeder.partitions_n = 3
        run.verifier.widen(3)
        run.recovered(at, partition=2, within_s=90)
        run.finish()
        return Told("2 partitions became 3 under a running worker", run.recoveries)


def hostile(stage: Stage) -> Told:
    """Each is one record in the quarantine, as it came, and the worker stays up."""
    deep = b'{"features": ' * 5_000 + b"1" + b"}" * 5_000
    huge = b'{"features": {"a": ' + b"9" * 400 + b'}, "label": true}'
    names = ", ".join(f'"n{n}": 1' for n in range(1_000)).encode()
    bad = [
        deep, huge, b'{"features": {"a": NaN}, "label": true}',
        b'{"features": {"a": 1e400}, "label": true}', b'{"features": {"a": 1e308}, "label": true}',
        b'{"features": {"a": "\xed\xa0\x80"}, "label": true}', b"\xff\xfe", b"", b"null", b"[]",
        b'{"features": {' + names + b'}, "label": true}', b'{"label": true}',
        b'{"features": {"a": {"b": 1}}, "label": true}', b"x" * 70_000,
    ]  # fmt: skip
    with Run(stage, partitions_n=1) as run:
        worker = run.start()
        run.flowing()
        run.feeder.values(bad)
        run.feeder.values([b'{"features": {"a": 1, "a": 2.5}, "label": true}'])
        run.until(lambda: _quarantined(run) >= len(bad), within_s=80, what="all are quarantined")
        at = time.monotonic()
        run.recovered(at)
        if not worker.running:
            raise Broke(f"the worker ended: {worker.log[-600:]}")
        refused = set(bad)
        run.is_event = lambda value: None if value in refused else expected.event_of(value)
        run.finish()
        return Told(f"{len(bad)} kinds, each quarantined; a duplicate key counts once",
                    run.recoveries)  # fmt: skip


def _quarantined(run: Run) -> int:
    live = run.verifier.live[TopicPartition(f"{run.name}.quarantine", 0)]
    return sum(not (s.value or b"").startswith(b"no event") for s in live)
