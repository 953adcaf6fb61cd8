"""Kafka's requests and answers as values, decoded and encoded by kafka-python's own classes.

The only place that knows where an answer of each kind carries its error codes: what the endpoint
answers, what a refusal looks like and how a real broker's answer is spoiled all come from here.
"""

import struct
from collections.abc import Callable
from typing import Any, NamedTuple

from kafka.protocol import admin, consumer, metadata, producer

HEAD = struct.Struct(">hhi")
LENGTH = struct.Struct(">i")

PRODUCE, FETCH, METADATA = 0, 1, 3
OFFSET_FETCH, FIND_COORDINATOR, JOIN_GROUP, HEARTBEAT, LEAVE_GROUP, SYNC_GROUP = (
    9,
    10,
    11,
    12,
    13,
    14,
)
API_VERSIONS = 18
INIT_PRODUCER_ID, ADD_PARTITIONS, ADD_OFFSETS, END_TXN, TXN_OFFSET_COMMIT = 22, 24, 25, 26, 28
LIST_TRANSACTIONS = 66

OFFERED: dict[int, tuple[int, int]] = {
    PRODUCE: (3, 12), FETCH: (4, 16), METADATA: (0, 13), OFFSET_FETCH: (1, 9),
    FIND_COORDINATOR: (0, 6), JOIN_GROUP: (0, 9), HEARTBEAT: (0, 4), LEAVE_GROUP: (0, 5),
    SYNC_GROUP: (0, 5), API_VERSIONS: (0, 4), INIT_PRODUCER_ID: (0, 5), ADD_PARTITIONS: (0, 5),
    ADD_OFFSETS: (0, 4), END_TXN: (0, 5), TXN_OFFSET_COMMIT: (0, 5), LIST_TRANSACTIONS: (0, 2),
}  # fmt: skip
"""As Kafka 4.1 offers them to clients, so that they choose the versions that they choose there.

Without topic ids (Produce 13, Fetch 17, OffsetFetch 10): neither client asks for those.
"""

_MODULES = (producer, consumer, metadata, admin)
REQUESTS: dict[int, Any] = {}
RESPONSES: dict[int, Any] = {}
for _module in _MODULES:
    for _name, _class in vars(_module).items():
        if getattr(_class, "API_KEY", None) in OFFERED:
            (REQUESTS if _name.endswith("Request") else RESPONSES)[_class.API_KEY] = _class


class Asked(NamedTuple):
    """One request.

    Attributes:
        body: kafka-python's object, with the fields of Kafka's own schema.
    """

    api: int
    version: int
    correlation: int
    body: Any


def asked(frame: bytes) -> Asked:
    """The request in a frame, its length cut off."""
    api, version, correlation = HEAD.unpack_from(frame)
    return Asked(
        api, version, correlation, REQUESTS[api].decode(frame, version=version, header=True)
    )


def answer(request: Asked, response: Any) -> bytes:
    """The frame of an answer, with its length."""
    response._header = (
        None  # of one that was decoded: the class would set a request's version in it
    )
    response.API_VERSION = request.version
    response.with_header(correlation_id=request.correlation)
    framed: bytes = response.encode(header=True, framed=True)
    return framed


def ask(api: int, version: int, correlation: int, **fields: Any) -> bytes:
    """The frame of a request, with its length."""
    request = REQUESTS[api](version=version, **fields)
    request.with_header(correlation_id=correlation, client_id="conformance")
    framed: bytes = request.encode(header=True, framed=True)
    return framed


def answered(api: int, version: int, frame: bytes) -> Any:
    """The answer in a frame, its length cut off."""
    return RESPONSES[api].decode(frame, version=version, header=True)


def agreeing(request: Asked) -> Any:
    """An answer that says yes to everything that a request asks for, and did nothing."""
    return _AGREEING[request.api](request)


def codes(api: int, response: Any) -> list[int]:
    """Every error code in an answer, in its order."""
    return [getattr(part, name) for part, name in _coded(api, response)]


def spoil(api: int, response: Any, code: int, *, first_only: bool = False) -> None:
    """Write an error code over those in an answer; `first_only`: of several parts, one failed."""
    places = _coded(api, response)
    for part, name in places[:1] if first_only else places:
        setattr(part, name, code)
        if api == INIT_PRODUCER_ID:
            part.producer_id, part.producer_epoch = -1, -1
        if api == PRODUCE:
            part.base_offset = -1


def _coded(api: int, response: Any) -> list[tuple[Any, str]]:
    parts = _PARTS.get(api)
    if parts is not None:
        return [(part, "error_code") for part in parts(response)]
    if api == ADD_PARTITIONS:
        return [
            (part, "partition_error_code")
            for topic in response.results_by_topic_v3_and_below
            for part in topic.results_by_partition
        ]
    if api == FIND_COORDINATOR and response.coordinators:
        return [(each, "error_code") for each in response.coordinators]
    return [(response, "error_code")]


_PARTS: dict[int, Callable[[Any], list[Any]]] = {
    PRODUCE: lambda r: [p for t in r.responses for p in t.partition_responses],
    TXN_OFFSET_COMMIT: lambda r: [p for t in r.topics for p in t.partitions],
}


def _produce(request: Asked) -> Any:
    response = producer.ProduceResponse
    topic = response.TopicProduceResponse
    part = topic.PartitionProduceResponse
    return response(
        responses=[
            topic(
                name=t.name,
                partition_responses=[
                    part(index=p.index, error_code=0, base_offset=0, log_append_time_ms=-1,
                         log_start_offset=0, record_errors=[], error_message=None)
                    for p in t.partition_data
                ],
            )
            for t in request.body.topic_data
        ],
        throttle_time_ms=0,
    )  # fmt: skip


def _add_partitions(request: Asked) -> Any:
    response = producer.AddPartitionsToTxnResponse
    topic = response.AddPartitionsToTxnTopicResult
    part = topic.AddPartitionsToTxnPartitionResult
    return response(
        throttle_time_ms=0,
        results_by_topic_v3_and_below=[
            topic(
                name=t.name,
                results_by_partition=[
                    part(partition_index=p, partition_error_code=0) for p in t.partitions
                ],
            )
            for t in request.body.v3_and_below_topics
        ],
    )


def _txn_offset_commit(request: Asked) -> Any:
    response = producer.TxnOffsetCommitResponse
    topic = response.TxnOffsetCommitResponseTopic
    part = topic.TxnOffsetCommitResponsePartition
    return response(
        throttle_time_ms=0,
        topics=[
            topic(
                name=t.name,
                partitions=[
                    part(partition_index=p.partition_index, error_code=0) for p in t.partitions
                ],
            )
            for t in request.body.topics
        ],
    )


def _find_coordinator(request: Asked) -> Any:
    response = metadata.FindCoordinatorResponse
    none: dict[str, Any] = {
        "error_code": 0,
        "error_message": None,
        "node_id": -1,
        "host": "",
        "port": -1,
    }
    if request.version < FIND_COORDINATOR_BATCHED:
        return response(throttle_time_ms=0, **none)
    return response(
        throttle_time_ms=0,
        coordinators=[
            response.Coordinator(key=key, **none) for key in request.body.coordinator_keys
        ],
    )


FIND_COORDINATOR_BATCHED = 4
"""From this version on one request may ask for several coordinators."""

_AGREEING: dict[int, Callable[[Asked], Any]] = {
    PRODUCE: _produce,
    ADD_PARTITIONS: _add_partitions,
    TXN_OFFSET_COMMIT: _txn_offset_commit,
    FIND_COORDINATOR: _find_coordinator,
    INIT_PRODUCER_ID: lambda _: producer.InitProducerIdResponse(
        throttle_time_ms=0, error_code=0, producer_id=-1, producer_epoch=-1
    ),
    ADD_OFFSETS: lambda _: producer.AddOffsetsToTxnResponse(throttle_time_ms=0, error_code=0),
    END_TXN: lambda _: producer.EndTxnResponse(throttle_time_ms=0, error_code=0),
}
