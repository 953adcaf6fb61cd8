"""What a member of a group asks."""

from typing import Any

from kafka.protocol import consumer

from tests.instruments.endpoint import wire
from tests.instruments.endpoint.codes import Code
from tests.instruments.endpoint.state import State

ID_REQUIRED = 4
LEAVE_OF_SEVERAL = 3
OFFSETS_OF_GROUPS = 8
"""From these versions on a joining member is named first, several may leave at once, and offsets of
several groups may be asked for."""


def offset_fetch(state: State, request: wire.Asked) -> Any:
    """OffsetFetch: none that an open transaction may move, to who wants it stable."""
    body, response = request.body, consumer.OffsetFetchResponse
    if request.version < OFFSETS_OF_GROUPS:
        name, topic = body.group_id, response.OffsetFetchResponseTopic
        part = topic.OffsetFetchResponsePartition
        found = _offsets(state, name, body.topics, body.require_stable, (topic, part))
        return response(throttle_time_ms=0, error_code=0, topics=found)
    group = response.OffsetFetchResponseGroup
    topic = group.OffsetFetchResponseTopics
    part = topic.OffsetFetchResponsePartitions
    groups = [
        group(
            group_id=g.group_id,
            topics=_offsets(state, g.group_id, g.topics, body.require_stable, (topic, part)),
            error_code=0,
        )
        for g in body.groups
    ]
    return response(throttle_time_ms=0, groups=groups)


def _offsets(
    state: State, group: str, topics: Any, require_stable: bool, kinds: tuple[Any, Any]
) -> list[Any]:
    made, (topic_kind, part_kind) = [], kinds
    with state.lock:
        for topic in topics:
            parts = []
            for p in topic.partition_indexes:
                place = (topic.name, p)
                waits = require_stable and state.ledger.pending(group, place)
                offset, text = state.ledger.offsets.get((group, place), (-1, ""))
                parts.append(
                    part_kind(
                        partition_index=p,
                        committed_offset=-1 if waits else offset,
                        committed_leader_epoch=-1,
                        metadata=text,
                        error_code=Code.UNSTABLE_OFFSET_COMMIT if waits else 0,
                    )
                )
            made.append(topic_kind(name=topic.name, partitions=parts))
    return made


def join_group(state: State, request: wire.Asked) -> Any:
    """JoinGroup."""
    body, response = request.body, consumer.JoinGroupResponse
    joined = state.group(body.group_id).join(
        body.member_id,
        instance=body.group_instance_id,
        protocols=[(p.name, bytes(p.metadata)) for p in body.protocols],
        requires_id=request.version >= ID_REQUIRED,
    )
    return response(
        throttle_time_ms=0,
        error_code=joined.code,
        generation_id=joined.generation,
        protocol_type=body.protocol_type,
        protocol_name=joined.protocol,
        leader=joined.leader,
        skip_assignment=False,
        member_id=joined.member_id,
        members=[
            response.JoinGroupResponseMember(
                member_id=m.member_id, group_instance_id=m.instance, metadata=m.protocols[0][1]
            )
            for m in joined.members
        ],
    )


def sync_group(state: State, request: wire.Asked) -> Any:
    """SyncGroup."""
    body = request.body
    shares = {a.member_id: bytes(a.assignment) for a in body.assignments}
    code, assignment = state.group(body.group_id).sync(
        body.member_id, body.generation_id, body.group_instance_id, shares
    )
    return consumer.SyncGroupResponse(
        throttle_time_ms=0, error_code=code, protocol_type=body.protocol_type,
        protocol_name=body.protocol_name, assignment=assignment,
    )  # fmt: skip


def heartbeat(state: State, request: wire.Asked) -> Any:
    """Heartbeat."""
    body = request.body
    code = state.group(body.group_id).heartbeat(
        body.member_id, body.generation_id, body.group_instance_id
    )
    return consumer.HeartbeatResponse(throttle_time_ms=0, error_code=code)


def leave_group(state: State, request: wire.Asked) -> Any:
    """LeaveGroup."""
    body, response = request.body, consumer.LeaveGroupResponse
    group = state.group(body.group_id)
    if request.version < LEAVE_OF_SEVERAL:
        return response(throttle_time_ms=0, error_code=group.leave(body.member_id))
    return response(
        throttle_time_ms=0,
        error_code=0,
        members=[
            response.MemberResponse(
                member_id=m.member_id, group_instance_id=m.group_instance_id,
                error_code=group.leave(m.member_id),
            )
            for m in body.members
        ],
    )  # fmt: skip
