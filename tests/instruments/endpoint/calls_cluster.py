"""What a client asks of any broker: versions, topics, coordinators, open transactions."""

import time
from typing import Any
from uuid import NAMESPACE_DNS, UUID, uuid5

from kafka.protocol import admin, consumer, metadata

from tests.instruments.endpoint import wire
from tests.instruments.endpoint.codes import Code
from tests.instruments.endpoint.state import HOST, NODE, State


def api_versions(_state: State, _request: wire.Asked) -> Any:
    """ApiVersions: as Kafka 4.1 offers them."""
    response = metadata.ApiVersionsResponse
    return response(
        error_code=0,
        api_keys=[
            response.ApiVersion(api_key=api, min_version=first, max_version=last)
            for api, (first, last) in wire.OFFERED.items()
        ],
        throttle_time_ms=0,
    )


def metadata_of(state: State, request: wire.Asked) -> Any:
    """Metadata: one node, all topics or those asked for."""
    response = metadata.MetadataResponse
    asked = request.body.topics
    names = list(state.topics) if asked is None else [t.name for t in asked]
    return response(
        throttle_time_ms=0,
        brokers=[
            response.MetadataResponseBroker(
                node_id=NODE, host=HOST, port=state.advertised_port, rack=None
            )
        ],
        cluster_id="endpoint",
        controller_id=NODE,
        topics=[_topic(state, name) for name in names],
        error_code=0,
    )


def _topic(state: State, name: str) -> Any:
    topic = metadata.MetadataResponse.MetadataResponseTopic
    n = state.topics.get(name, 0)
    return topic(
        error_code=0 if n else Code.UNKNOWN_TOPIC_OR_PARTITION,
        name=name,
        topic_id=_topic_id(name) if n else UUID(int=0),
        is_internal=False,
        partitions=[
            topic.MetadataResponsePartition(
                error_code=0, partition_index=p, leader_id=NODE, leader_epoch=0,
                replica_nodes=[NODE], isr_nodes=[NODE], offline_replicas=[],
            )
            for p in range(n)
        ],
    )  # fmt: skip


def find_coordinator(state: State, request: wire.Asked) -> Any:
    """FindCoordinator: always this node."""
    response = wire.agreeing(request)
    for each in response.coordinators or [response]:
        each.node_id, each.host, each.port = NODE, HOST, state.advertised_port
    return response


def list_transactions(state: State, _request: wire.Asked) -> Any:
    """ListTransactions: the open ones."""
    response = admin.ListTransactionsResponse
    with state.lock:
        states = [
            response.TransactionState(
                transactional_id=name,
                producer_id=state.ledger.transactions[name].producer_id,
                transaction_state="Ongoing",
            )
            for name in state.ledger.open_ids()
        ]
    return response(
        throttle_time_ms=0, error_code=0, unknown_state_filters=[], transaction_states=states
    )


def fetch(_state: State, request: wire.Asked) -> Any:
    """Fetch: nothing, after the wait that was asked for."""
    time.sleep(request.body.max_wait_ms / 1000)
    return consumer.FetchResponse(throttle_time_ms=0, error_code=0, session_id=0, responses=[])


def _topic_id(name: str) -> UUID:
    return uuid5(NAMESPACE_DNS, name)
