"""What every client of this adapter is made with, and the one place where its errors become ours."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from kafka import errors

from stream.core.event import Channel
from stream.errors import Fenced, LogLost, Misconfigured, Retryable, StreamError

BOOTSTRAP_TIMEOUT_MS = 10_000
"""A broker that does not answer within this is not reachable; the supervisor comes back later."""

_CONFIGURATION = (
    errors.AuthorizationError,
    errors.SaslAuthenticationFailedError,
    errors.UnsupportedSaslMechanismError,
    errors.IllegalSaslStateError,
    errors.KafkaConfigurationError,
    errors.UnsupportedVersionError,
    errors.InvalidTransactionTimeoutError,
    errors.InvalidSessionTimeoutError,
    errors.InvalidTopicError,
    errors.InvalidReplicationFactorError,
    errors.PolicyViolationError,
    errors.UnsupportedCodecError,
    errors.InconsistentGroupProtocolError,
)
_LOST = (errors.OffsetOutOfRangeError, errors.LogTruncationError, errors.NoOffsetForPartitionError)


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """How to reach the cluster, and the pipeline's names on it.

    Attributes:
        options: security and the like, in kafka-python's own words; go to every client.
        names: the topic of each channel.
        group: the consumer group's id, and the beginning of transactional ids.
    """

    bootstrap_servers: str
    names: Mapping[Channel, str]
    group: str
    options: Mapping[str, Any] = field(default_factory=dict)

    def settings(self, **more: Any) -> dict[str, Any]:
        """Keyword arguments for one client."""
        return {
            "bootstrap_servers": self.bootstrap_servers.split(","),
            "bootstrap_timeout_ms": BOOTSTRAP_TIMEOUT_MS,
            "client_id": self.group,
            **more,
            **self.options,
        }

    @contextmanager
    def translated(self, doing: str) -> Iterator[None]:
        """Turn whatever kafka-python raises inside into one of ours.

        Args:
            doing: what was tried, for the message: "reading the committed offsets".
        """
        try:
            yield
        except StreamError:
            raise
        except (errors.KafkaError, OSError) as error:
            raise self.translate(error, doing) from error
        except (TypeError, ValueError, AssertionError) as error:
            # What its constructors raise on options that they don't know or can't use.
            raise Misconfigured(f"kafka.options: {doing}: {error}") from error

    def translate(self, error: Exception, doing: str) -> StreamError:
        """The error of ours that a client's error means."""
        said = f"{doing}: {type(error).__name__}{_text(error)}"
        if isinstance(error, errors.FencedInstanceIdError):
            return Fenced(f"{said}; another worker has this instance name")
        if isinstance(error, _CONFIGURATION):
            return Misconfigured(f"kafka: {said}; check kafka.options and the permissions")
        if isinstance(error, _LOST):
            return LogLost(f"{said}; the log does not hold that offset")
        if isinstance(error, errors.KafkaTimeoutError | errors.KafkaConnectionError):
            return Retryable(f"{said}; is Kafka at {self.bootstrap_servers} reachable?")
        return Retryable(said)


def _text(error: Exception) -> str:
    text = " ".join(str(error).split())
    name = type(error).__name__
    text = text.removeprefix(f"{name}: ").removeprefix(name)
    return f" ({text[:200]})" if text else ""
