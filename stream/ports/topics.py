"""The topics, as an administrator sees them."""

from collections.abc import Collection
from typing import Literal, Protocol

import msgspec

from stream.core.event import ALWAYS, Channel
from stream.topic_settings import Accepts

Operation = Literal["READ", "WRITE"]


class TopicInfo(msgspec.Struct, frozen=True):
    """What a broker says of a topic.

    Attributes:
        topic_id: changes when a topic is deleted and made again; "" where the log has none.
        retention_ms: -1 = for ever; None where we may not ask.
        cleanup_policy: "delete", "compact" or both with a comma; None where we may not ask.
        accepts: which records it takes; None where we may not ask.
    """

    name: str
    topic_id: str
    partitions: int
    retention_ms: int | None = None
    cleanup_policy: str | None = None
    accepts: Accepts | None = None


class Topics(Protocol):
    """The pipeline's topics as an administrator sees them."""

    def describe(self, channels: Collection[Channel] = ALWAYS) -> dict[Channel, TopicInfo | None]:
        """What the broker says of some topics; None: it is missing.

        Raises: Retryable, Misconfigured.
        """
        ...

    def members(self, *, but: str | None = None) -> int:
        """How many members the pipeline's group has now; 0 where nobody may ask.

        Args:
            but: not counted: members of this instance, as which a worker starts. One that has
                stopped is a member until its session ends.

        Raises: Retryable, Misconfigured.
        """
        ...

    def create(
        self,
        channel: Channel,
        *,
        partitions: int,
        retention_ms: int,
        record_bytes_max: int | None = None,
        is_trial: bool = False,
    ) -> None:
        """Make a topic that takes any timestamp; does nothing if it is there.

        Args:
            channel: which of the four topics.
            partitions: how many it has.
            retention_ms: -1 = for ever.
            record_bytes_max: how large its records can be; None: the broker's own limit.
            is_trial: only raise what would keep it from being made.

        Raises: Retryable, Misconfigured.
        """
        ...

    def widen(self, channel: Channel, *, partitions: int) -> None:
        """Give a topic so many partitions; does nothing if it has as many, or more.

        Raises: Retryable, Misconfigured.
        """
        ...

    def denied(self) -> list[str]:
        """What a worker must do, and this user or this client may not; one line each.

        []: nothing keeps a worker from its work.
        """
        ...

    def refused(self, wanted: Collection[tuple[Channel, Operation]]) -> list[str]:
        """Which of these operations on topics this user may not do; one line each.

        A topic that is not there refuses nothing. Raises: Retryable.
        """
        ...

    def close(self) -> None:
        """Free everything; never hangs."""
        ...
