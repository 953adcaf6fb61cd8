"""What a client's error means, in the same words whichever client had it."""

from enum import Enum, auto

from stream.core.event import Channel
from stream.errors import Fenced, LogLost, Misconfigured, NotReady, Retryable, StreamError

CHECK_OPTIONS = "check kafka.options and the permissions"

_NO_BROKER_YET = "brokers: 0"
"""In what a new cluster answers to whoever wants a topic: nobody is registered to hold it."""


class Meaning(Enum):
    """What errors are about; each client sorts its own (`meanings.py`)."""

    FENCED = auto()
    """A newer worker has this one's name."""

    CONFIGURATION = auto()
    """Security, permissions or settings, which an operator must change."""

    REFUSED = auto()
    """A topic takes no such record."""

    LOST = auto()
    """The log does not hold an offset."""

    UNREACHABLE = auto()
    """Nobody answers."""

    NOT_READY = auto()
    """What brokers answer that have just started, or while one of them goes."""

    OTHER = auto()
    """What may pass."""


def our_error(
    said: str, meaning: Meaning, *, servers: str, advice: str = CHECK_OPTIONS
) -> StreamError:
    """The error of ours that a client's error means.

    Args:
        said: what was tried, and the client's words.
        meaning: what it is about.
        servers: where the Kafka should be.
        advice: what to do about the configuration.
    """
    is_early = meaning is Meaning.NOT_READY or _NO_BROKER_YET in said
    match meaning:
        case Meaning.FENCED:
            return Fenced(
                f"{said}: a newer worker took over this one's name; give each worker its own "
                "worker.instance"
            )
        case Meaning.CONFIGURATION if not is_early:
            return Misconfigured(f"kafka: {said}; {advice}")
        case Meaning.REFUSED:
            return Misconfigured(
                f"kafka: {said}; the topic's settings refuse this record: raise max.message.bytes "
                "or message.timestamp.after.max.ms, or lower [limits]"
            )
        case Meaning.LOST:
            return LogLost(f"{said}; the log does not hold that offset")
        case Meaning.UNREACHABLE:
            return Retryable(f"{said}; is Kafka at {servers} reachable?")
    return NotReady(said) if is_early else Retryable(said)


def no_topic(channel: Channel, name: str) -> Misconfigured:
    """Nobody made the topic of a channel."""
    return Misconfigured(f"topics.{channel}: {name} does not exist; create it")


def no_place(channel: Channel, name: str, *, there: int, partition: int) -> Misconfigured | None:
    """An output has no partition to go to; None: it has one.

    Args:
        channel: the output's.
        name: of its topic.
        there: so many partitions the topic has; 0: it does not exist.
        partition: the one that is wanted.
    """
    if partition < there:
        return None
    if not there:
        return no_topic(channel, name)
    return Misconfigured(
        f"topics.{channel}: {name} has {there} partitions and needs {partition + 1}: an output "
        "goes to the partition of its event; add partitions"
    )
