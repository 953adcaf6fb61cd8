"""Which records a topic takes, as its settings say it; and the settings of topics that we make."""

from collections.abc import Mapping
from typing import Self

import msgspec

NO_LIMIT = 2**63 - 1


class Accepts(msgspec.Struct, frozen=True):
    """Which records a topic takes.

    Attributes:
        bytes_max: how large a batch may be, and so a record.
        after_ms, before_ms: how far a timestamp may lie from the broker's clock.
        own_timestamps: False: the broker writes its own time over the record's.
    """

    bytes_max: int = NO_LIMIT
    after_ms: int = NO_LIMIT
    before_ms: int = NO_LIMIT
    own_timestamps: bool = True

    @classmethod
    def of(cls, settings: Mapping[str, str]) -> Self | None:
        """Read it from a topic's settings. Returns: None: they may not be read.

        Before version 3.6 Kafka has one setting for both sides of the clock, from 4.0 on two.
        """
        if not settings:
            return None
        both = int(settings.get("message.timestamp.difference.max.ms", NO_LIMIT))
        return cls(
            bytes_max=int(settings.get("max.message.bytes", NO_LIMIT)),
            after_ms=min(both, int(settings.get("message.timestamp.after.max.ms", NO_LIMIT))),
            before_ms=min(both, int(settings.get("message.timestamp.before.max.ms", NO_LIMIT))),
            own_timestamps=settings.get("message.timestamp.type") != "LogAppendTime",
        )


KAFKAS_ACCEPTS = Accepts(bytes_max=1_048_588, after_ms=3_600_000)
"""What a topic takes if nobody has configured it."""

ANY_TIMESTAMP: Mapping[str, str] = {
    "message.timestamp.type": "CreateTime",
    "message.timestamp.after.max.ms": str(NO_LIMIT),
    "message.timestamp.before.max.ms": str(NO_LIMIT),
}
"""Settings of the topics that we make: whatever time an event bears, its outputs can bear it.

Brokers before 3.6 do not know the last two, and take any time by themselves.
"""

ACCEPTS_SETTINGS = (*ANY_TIMESTAMP, "message.timestamp.difference.max.ms", "max.message.bytes")
