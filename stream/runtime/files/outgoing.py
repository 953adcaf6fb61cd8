"""A record to send."""

import msgspec


class Outgoing(msgspec.Struct, frozen=True, gc=False):
    """A record to send; without a time it happens now.

    Attributes:
        partition: the one that it belongs to, whatever its key is; None: the key's.
        is_label: it brings nothing but the label of an event.
    """

    value: bytes
    key: bytes | None = None
    timestamp_ms: int | None = None
    partition: int | None = None
    is_label: bool = False
