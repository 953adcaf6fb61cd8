"""kafka-python's records as ours."""

from collections.abc import Iterable
from typing import Any

from stream.core.event import Headers, Record


def converted(batch: Iterable[Any]) -> list[Record]:
    """Records of one partition, in the order given."""
    return [
        Record(
            r.partition, r.offset, r.timestamp, r.key, r.value,
            _headers(r.headers) if r.headers else (),
        )
        for r in batch
    ]  # fmt: skip


def _headers(pairs: Iterable[tuple[str, bytes | None]]) -> Headers:
    """A header may be null; we know no such thing."""
    return tuple((name, b"" if value is None else value) for name, value in pairs)
