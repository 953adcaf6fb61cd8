"""The verdict at the end of a row: the faults are off, and everything has to be right.

I7  lag reaches 0 in time
I1  every input record has exactly one outcome, and nothing else has one
I2  the outcomes are those of a plain loop, bit for bit
I5  what was read during the fault is what a new reader reads afterwards
I8  no transaction is left open: the last stable offset is the end of the log
"""

import json
import time
from collections.abc import Callable, Sequence
from typing import Any

from kafka import KafkaAdminClient, KafkaConsumer, TopicPartition, errors

from tests.end_to_end.outside import without_place
from tests.instruments.faults import expected
from tests.instruments.faults.verifier import CHANNELS, Seen, Verifier, input_offset

READ_WITHIN_S = 60.0


def read(bootstrap: str, tp: TopicPartition) -> list[Any]:
    """Every committed record of a partition."""
    consumer = _consumer(bootstrap, "read_committed")
    try:
        consumer.assign([tp])
        consumer.seek_to_beginning(tp)
        end, found = consumer.end_offsets([tp])[tp], []
        deadline = time.monotonic() + READ_WITHIN_S
        while consumer.position(tp) < end and time.monotonic() < deadline:
            for batch in consumer.poll(200, max_records=10_000).values():
                found += batch
    finally:
        consumer.close(autocommit=False)
    return found


def _consumer(bootstrap: str, isolation_level: str) -> KafkaConsumer:
    return KafkaConsumer(
        bootstrap_servers=bootstrap,
        isolation_level=isolation_level,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
    )


def ends(bootstrap: str, tps: Sequence[TopicPartition], isolation_level: str) -> dict[Any, int]:
    """The last stable offsets (`read_committed`), or the ends of the log."""
    consumer = _consumer(bootstrap, isolation_level)
    try:
        found: dict[Any, int] = consumer.end_offsets(list(tps))
    finally:
        consumer.close(autocommit=False)
    return found


def end_offsets(verifier: Verifier) -> dict[int, int]:
    """How far each partition of the events topic goes now."""
    tps = [TopicPartition(f"{verifier.pipeline}.events", p) for p in range(verifier.partitions_n)]
    return {
        tp.partition: end for tp, end in ends(verifier.bootstrap, tps, "read_committed").items()
    }


def inputs(verifier: Verifier) -> dict[int, list[expected.InputRecord]]:
    """The committed records of the events topic."""
    topic = f"{verifier.pipeline}.events"
    return {
        partition: [
            (r.offset, r.value) for r in read(verifier.bootstrap, TopicPartition(topic, partition))
        ]
        for partition in range(verifier.partitions_n)
    }


def lag_gone(verifier: Verifier, records: dict[int, list[expected.InputRecord]]) -> bool:
    """Whether all of these are committed and seen."""
    return all(
        verifier.committed.get(partition, -1) > given[-1][0]
        for partition, given in records.items()
        if given
    ) and verifier.outcomes_n() >= sum(len(given) for given in records.values())


def problems(
    verifier: Verifier,
    records: dict[int, list[expected.InputRecord]],
    model: Callable[[], Any],
    *,
    is_event: expected.IsEvent,
    open_transactions_s: float,
    is_commanded: bool = False,
) -> list[str]:
    """What is wrong now that all is over; nothing, it is hoped."""
    found = []
    for partition, given in records.items():
        outputs = {
            channel: read(
                verifier.bootstrap, TopicPartition(f"{verifier.pipeline}.{channel}", partition)
            )
            for channel in CHANNELS
        }
        done = commanded(verifier, partition) if is_commanded else expected.NO_COMMANDS
        found += _unlike_the_loop(partition, outputs, expected.of(given, model, is_event, done))
        found += _read_otherwise(verifier, partition, outputs)
    return found + _left_open(verifier, within_s=open_transactions_s)


def told(verifier: Verifier, partition: int, channel: str = "ledger") -> list[dict[str, Any]]:
    """What a partition of the ledger, or of the journal, says."""
    tp = TopicPartition(f"{verifier.pipeline}.{channel}", partition)
    return [json.loads(record.value) for record in read(verifier.bootstrap, tp)]


def commanded(verifier: Verifier, partition: int) -> expected.Commands:
    """What was done before which event, as the ledger tells."""
    done: dict[int, list[str]] = {}
    for each in told(verifier, partition):
        if each["what"] != "refused":
            done.setdefault(each["offset"], []).append(each["what"])
    return done


def _unlike_the_loop(
    partition: int, outputs: dict[str, list[Any]], answer: expected.Expected
) -> list[str]:
    found = []
    values = [json.loads(r.value) for r in outputs["predictions"]]
    offsets = [v["offset"] for v in values]
    if offsets != list(answer.predictions):
        wanted = set(answer.predictions)
        missing, more = sorted(wanted - set(offsets)), sorted(set(offsets) - wanted)
        found.append(
            f"I1: partition {partition}: {len(offsets)} predictions for {len(wanted)} events; "
            f"missing {missing[:3]}, not asked for {more[:3]}"
        )
    for value in values:
        wished = answer.predictions.get(value["offset"])
        if wished is not None and without_place(value) != wished:
            found.append(
                f"I2: partition {partition} offset {value['offset']}: {without_place(value)} "
                f"instead of {wished}"
            )
            break
    refused = {input_offset("quarantine", r): r.value for r in outputs["quarantine"]}
    if refused != answer.quarantined or len(refused) != len(outputs["quarantine"]):
        odd = sorted(refused.keys() ^ answer.quarantined.keys())
        found.append(
            f"I1: partition {partition}: {len(outputs['quarantine'])} quarantined instead of "
            f"{len(answer.quarantined)}; {odd[:3]}"
        )
    alerts = [json.loads(r.value) for r in outputs["alerts"]]
    drifts = [(a["name"], a["offset"]) for a in alerts if a["kind"] == "drift"]
    if drifts != answer.drifts:
        found.append(f"I2: partition {partition}: drifts {drifts} instead of {answer.drifts}")
    return found


def _read_otherwise(verifier: Verifier, partition: int, outputs: dict[str, list[Any]]) -> list[str]:
    found = []
    for channel, records in outputs.items():
        tp = TopicPartition(f"{verifier.pipeline}.{channel}", partition)
        now = [Seen(r.offset, r.key, r.value, tuple(r.headers)) for r in records]
        live = list(verifier.live[tp])
        if live != now[: len(live)]:
            found.append(f"I5: {tp}: what was read during the fault is not what is there now")
    return found


def _left_open(verifier: Verifier, *, within_s: float) -> list[str]:
    """Transactions of the pipeline that do not end by themselves in time."""
    deadline = time.monotonic() + within_s
    tps = verifier.topic_partitions()
    while True:
        stable = ends(verifier.bootstrap, tps, "read_committed")
        high = ends(verifier.bootstrap, tps, "read_uncommitted")
        held = [str(tp) for tp in tps if stable[tp] != high[tp]]
        ongoing = _ongoing(verifier)
        if not held and not ongoing:
            return []
        if time.monotonic() > deadline:
            return [f"I8: held open after {within_s:g} s: {held} {ongoing}"]
        time.sleep(0.2)


def _ongoing(verifier: Verifier) -> list[str]:
    admin = KafkaAdminClient(bootstrap_servers=verifier.bootstrap)
    try:
        listed = admin.list_transactions(state_filters=["Ongoing", "PrepareCommit", "PrepareAbort"])
    except errors.KafkaError as error:
        return [repr(error)]
    finally:
        admin.close()
    prefix = f"{verifier.pipeline}-"
    return [
        t.transactional_id
        for of_broker in listed.values()
        for t in of_broker
        if t.transactional_id.startswith(prefix)
    ]
