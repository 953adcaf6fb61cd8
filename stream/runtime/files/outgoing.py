"""A record to send."""

import msgspec


class Outgoing(msgspec.Struct, frozen=True, gc=False):
    """A record to send; without a time it happens now."""

    value: bytes
    key: bytes | None = None
    timestamp_ms: int | None = None
