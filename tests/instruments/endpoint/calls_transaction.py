"""What a transactional producer asks."""

import time
from typing import Any

from kafka.record import MemoryRecords

from tests.instruments.endpoint import wire
from tests.instruments.endpoint.codes import Code
from tests.instruments.endpoint.ledger import Batch, Place
from tests.instruments.endpoint.state import State


def init_producer_id(state: State, request: wire.Asked) -> Any:
    """InitProducerId."""
    body, response = request.body, wire.agreeing(request)
    with state.lock:
        code, response.producer_id, response.producer_epoch = state.ledger.take(
            body.transactional_id,
            body.transaction_timeout_ms / 1000,
            known=(body.producer_id, body.producer_epoch),
        )
    response.error_code = code
    return response


def add_partitions(state: State, request: wire.Asked) -> Any:
    """AddPartitionsToTxn: all of them, or none."""
    body, response = request.body, wire.agreeing(request)
    places = {(t.name, p) for t in body.v3_and_below_topics for p in t.partitions}
    with state.lock:
        missing = places - state.ledger.partitions.keys()
        code = Code.OPERATION_NOT_ATTEMPTED
        if not missing:
            code = state.ledger.join(
                body.v3_and_below_transactional_id,
                (body.v3_and_below_producer_id, body.v3_and_below_producer_epoch),
                places=places, group=None, now_s=time.monotonic(),
            )  # fmt: skip
    for topic in response.results_by_topic_v3_and_below:
        for part in topic.results_by_partition:
            is_missing = (topic.name, part.partition_index) in missing
            part.partition_error_code = Code.UNKNOWN_TOPIC_OR_PARTITION if is_missing else code
    return response


def add_offsets(state: State, request: wire.Asked) -> Any:
    """AddOffsetsToTxn."""
    body, response = request.body, wire.agreeing(request)
    with state.lock:
        response.error_code = state.ledger.join(
            body.transactional_id, (body.producer_id, body.producer_epoch),
            places=set(), group=body.group_id, now_s=time.monotonic(),
        )  # fmt: skip
    return response


def produce(state: State, request: wire.Asked) -> Any:
    """Produce."""
    body, response = request.body, wire.agreeing(request)
    for topic, told in zip(body.topic_data, response.responses, strict=True):
        for part, said in zip(topic.partition_data, told.partition_responses, strict=True):
            for batch in _batches(part.records):
                with state.lock:
                    said.error_code, said.base_offset = state.ledger.append(
                        body.transactional_id, (topic.name, part.index), batch
                    )
    return response


def txn_offset_commit(state: State, request: wire.Asked) -> Any:
    """TxnOffsetCommit: of a member of the present generation, or of nobody, as Kafka has it."""
    body, response = request.body, wire.agreeing(request)
    code = Code.NONE
    if body.member_id or body.generation_id >= 0:
        code = state.group(body.group_id).check(
            body.member_id, body.generation_id, body.group_instance_id
        )
    if code is Code.NONE:
        offsets: dict[Place, tuple[int, str]] = {
            (t.name, p.partition_index): (p.committed_offset, p.committed_metadata or "")
            for t in body.topics
            for p in t.partitions
        }
        with state.lock:
            code = state.ledger.stage(
                body.transactional_id, (body.producer_id, body.producer_epoch),
                body.group_id, offsets,
            )  # fmt: skip
    wire.spoil(request.api, response, code)
    return response


def end_txn(state: State, request: wire.Asked) -> Any:
    """EndTxn."""
    body, response = request.body, wire.agreeing(request)
    with state.lock:
        response.error_code = state.ledger.end(
            body.transactional_id, (body.producer_id, body.producer_epoch),
            commits=body.committed,
        )  # fmt: skip
    return response


def _batches(records: Any) -> list[Batch]:
    """The batches of a Produce request."""
    found, kept = MemoryRecords(bytes(records)), []
    while found.has_next():
        batch = found.next_batch()
        kept.append(
            Batch(
                producer_id=batch.producer_id,
                epoch=batch.producer_epoch,
                sequence=batch.base_sequence,
                values=tuple(record.value or b"" for record in batch),
                is_transactional=batch.is_transactional,
            )
        )
    return kept
