"""How much room outputs need in their topics, and what is said of topics that have less."""

from collections.abc import Mapping

from stream.config import Settings
from stream.core.event import INPUTS, Channel, Kind
from stream.core.formats.quarantine import OWN_TIMESTAMP
from stream.core.labels.labels_spec import LABEL_BYTES_MAX
from stream.core.monitoring.episodes import PIECES_MAX
from stream.core.monitoring.monitors_spec import MOVED_MAX
from stream.core.monitoring.policy import LARGEST_N
from stream.core.problems import PROBLEMS
from stream.ports import TopicInfo
from stream.topic_settings import KAFKAS_ACCEPTS, NO_LIMIT

ESCAPED_BYTES = 6
"""One character as JSON writes it at most."""

RECORD_BYTES = 4_096
"""All of an output that depends on no limit: fields, headers of ours, the batch around it."""

WITHHELD_BYTES, SEEN_BYTES = 2_048, 512
"""An episode in a storm's evidence: its name and its message; and what one detector saw."""

CLASSES_BYTES_LEAST = 1024
"""What `limits.classes_bytes_max` may be at least."""

_WITH_PROBABILITIES = (Channel.PREDICTIONS, Channel.OUTCOMES)

RECORD_BYTES_MAX = 32 << 20
"""No client of ours sends a larger one."""


def record_bytes_max(channel: Channel, settings: Settings) -> int:
    """How large a record of a channel can be under the limits, with a batch of its own.

    Kafka adds some bytes to each header, at most as many as the limit counts for a small one.
    """
    limits = settings.limits
    key = limits.key_and_headers_bytes_max
    escaped = ESCAPED_BYTES * limits.string_chars_max
    return {
        Channel.EVENTS: limits.value_bytes_max + 2 * key + RECORD_BYTES,
        Channel.LABELS: LABEL_BYTES_MAX + 2 * key + RECORD_BYTES,
        # An id, a label, and the label that was predicted.
        Channel.PREDICTIONS: 2 * key + 3 * escaped + RECORD_BYTES,
        Channel.ALERTS: 2 * RECORD_BYTES + _policy_bytes(settings),
        Channel.QUARANTINE: limits.value_bytes_max + 2 * key + RECORD_BYTES,
        # An id, the label before and after, the one that was predicted; and the event's features.
        Channel.OUTCOMES: 2 * key
        + 5 * escaped
        + RECORD_BYTES
        + (ESCAPED_BYTES * limits.value_bytes_max if settings.outcomes.features else 0),
    }[channel]


def _policy_bytes(settings: Settings) -> int:
    """What an alert of a policy holds beside: what each detector saw, or a storm's largest ones."""
    if settings.alerts.policy == "raw":
        return 0
    seen_n = max(PIECES_MAX, len(settings.detectors or ()))
    # Each may name a feature, and a slice its value.
    names_n = 2 * LARGEST_N + 2 * PIECES_MAX + MOVED_MAX
    name_bytes = ESCAPED_BYTES * (settings.limits.name_chars_max + settings.limits.string_chars_max)
    return LARGEST_N * WITHHELD_BYTES + seen_n * SEEN_BYTES + names_n * name_bytes


def largest_bytes(channel: Channel, settings: Settings, kind: Kind | None = None) -> int:
    """How large a record can be with the probabilities of as many classes as there may be.

    Args:
        channel: whose record it is.
        settings: hold the limits.
        kind: the model's kind; None: any. Only one that names classes has so many probabilities.
    """
    largest = record_bytes_max(channel, settings)
    is_any = kind is None or PROBLEMS[kind].names_classes
    names_classes = is_any and settings.events.positive is None
    if channel in _WITH_PROBABILITIES and names_classes:
        largest += settings.limits.classes_bytes_max
    return min(largest, RECORD_BYTES_MAX)


def own_topic_bytes(channel: Channel, settings: Settings) -> int | None:
    """The record size that a topic of ours must accept; None: Kafka's default is enough."""
    largest = largest_bytes(channel, settings)
    if channel in _WITH_PROBABILITIES:  # whatever the broker's own limit is
        return max(largest, KAFKAS_ACCEPTS.bytes_max)
    return largest if largest > KAFKAS_ACCEPTS.bytes_max else None


def size_problems(
    found: Mapping[Channel, TopicInfo | None], settings: Settings, kind: Kind | None
) -> list[str]:
    """Topics that accept less than a valid event's outputs can need: it would stop its partition.

    Args:
        found: the topics.
        settings: hold the limits.
        kind: the model's kind; None: unknown, then room for class names is not asked for.
    """
    problems = []
    for channel, info in found.items():
        if info is None or info.accepts is None or channel in INPUTS:
            continue
        # Of a refused record only what we say of it must have room: the record itself is cut.
        cut, is_predictions = channel is Channel.QUARANTINE, channel is Channel.PREDICTIONS
        needed = 2 * RECORD_BYTES if cut else largest_bytes(channel, settings, kind or Kind.BINARY)
        if info.accepts.bytes_max < needed:
            problems.append(
                f"topics.{channel}: {info.name} takes records of {info.accepts.bytes_max} bytes, "
                f"an output can have {needed}: raise its max.message.bytes"
                + (_lower(info.accepts.bytes_max, settings, kind) if is_predictions else "")
            )
    return problems


def _lower(bytes_max: int, settings: Settings, kind: Kind | None) -> str:
    """Say which limit to lower so that predictions fit."""
    left = bytes_max - record_bytes_max(Channel.PREDICTIONS, settings)
    if kind is not None and PROBLEMS[kind].names_classes and left >= CLASSES_BYTES_LEAST:
        return f", or set limits.classes_bytes_max = {left} (or less)"
    return ", or lower limits.key_and_headers_bytes_max"


def fitting_notes(found: Mapping[Channel, TopicInfo | None], settings: Settings) -> list[str]:
    """Say how outputs are changed to fit topics that accept less than ours do."""
    notes = []
    for channel, info in found.items():
        if info is None or info.accepts is None or channel in INPUTS:
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
