"""How much room outputs need in their topics, and what is said of topics that have less."""

from collections.abc import Mapping

from stream.config import Settings
from stream.core.event import Channel
from stream.core.quarantine import OWN_TIMESTAMP
from stream.ports import NO_LIMIT, TopicInfo

ESCAPED_BYTES = 6
"""One character as JSON writes it at most."""

RECORD_BYTES = 4_096
"""All of an output that depends on no limit: fields, headers of ours, the batch around it."""

RECORD_BYTES_MAX = 32 << 20
"""No client of ours sends a larger one."""

PROBABILITY_BYTES = 32
"""One of them at full precision, and what is around it and its class."""


def record_bytes_max(channel: Channel, settings: Settings) -> int:
    """How large a record of a channel can be under the limits, with a batch of its own.

    Kafka adds some bytes to each header, at most as many as the limit counts for a small one.
    """
    limits = settings.limits
    key = limits.key_and_headers_bytes_max
    escaped = ESCAPED_BYTES * limits.string_chars_max
    return {
        Channel.EVENTS: limits.value_bytes_max + 2 * key + RECORD_BYTES,
        Channel.PREDICTIONS: 2 * key + 2 * escaped + RECORD_BYTES,  # an id and a label
        Channel.ALERTS: 2 * RECORD_BYTES,
        Channel.QUARANTINE: limits.value_bytes_max + 2 * key + RECORD_BYTES,
    }[channel]


def largest_bytes(channel: Channel, settings: Settings) -> int:
    """How large it can be where every class that there may be has the longest name: for our topics.

    Hardly any stream has such labels, so nobody else's topic is refused for it.
    """
    limits = settings.limits
    classes = limits.classes_max if channel is Channel.PREDICTIONS else 0
    each = ESCAPED_BYTES * limits.string_chars_max + PROBABILITY_BYTES
    return min(record_bytes_max(channel, settings) + classes * each, RECORD_BYTES_MAX)


def size_problems(found: Mapping[Channel, TopicInfo | None], settings: Settings) -> list[str]:
    """What a valid event's outputs can need must be taken, or one event stops its partition."""
    problems = []
    for channel, info in found.items():
        if info is None or info.accepts is None or channel is Channel.EVENTS:
            continue
        # Of a refused record only what we say of it must have room: the record itself is cut.
        cut = channel is Channel.QUARANTINE
        needed = 2 * RECORD_BYTES if cut else record_bytes_max(channel, settings)
        if info.accepts.bytes_max < needed:
            lower = ", or lower limits.key_and_headers_bytes_max"
            problems.append(
                f"topics.{channel}: {info.name} takes records of {info.accepts.bytes_max} bytes, "
                f"an output can have {needed}: raise its max.message.bytes"
                + (lower if channel is Channel.PREDICTIONS else "")
            )
    return problems


def fitting_notes(found: Mapping[Channel, TopicInfo | None], settings: Settings) -> list[str]:
    """How outputs are brought within topics that take less than ours do."""
    notes = []
    for channel, info in found.items():
        if info is None or info.accepts is None or channel is Channel.EVENTS:
            continue
        accepts = info.accepts
        if not accepts.own_timestamps:
            why = "writes its own timestamps"
        elif accepts.after_ms < NO_LIMIT or accepts.before_ms < NO_LIMIT:
            why = "takes no timestamp far from the broker's clock"
        else:
            why = ""
        if why:
            notes.append(
                f"topics.{channel}: {info.name} {why}; an event's own is in the header "
                f"{OWN_TIMESTAMP} then"
            )
        largest = record_bytes_max(channel, settings)
        if channel is Channel.QUARANTINE and accepts.bytes_max < largest:
            notes.append(
                f"topics.{channel}: {info.name} takes records of {accepts.bytes_max} bytes; "
                "larger ones are cut"
            )
    return notes
