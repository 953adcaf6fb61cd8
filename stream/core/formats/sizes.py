"""How large a record is beside its value, and what is cut of one that is too large."""

import re
from typing import NamedTuple

from stream.core.event import Headers, Reason, Record, Rejection

_CUT = re.compile(
    r"; (?:the (?:key|value) was cut to its first \d+ bytes|\d+ of \d+ headers were left out)\Z"
)


class Cut(NamedTuple):
    """What is left of a record's bytes; `said` is for the end of a detail."""

    key: bytes | None
    value: bytes | None
    headers: Headers
    said: str


def key_and_headers_bytes(key: bytes | None, headers: Headers) -> int:
    """The bytes of a record's key, and of its headers: names, values and two for each."""
    return len(key or b"") + sum(map(_header_bytes, headers))


def _header_bytes(header: tuple[str, bytes | None]) -> int:
    """A header's bytes; Kafka adds at least two, which count where there are very many."""
    name, value = header
    return len(name.encode()) + len(value or b"") + 2


def oversize(record: Record, *, bytes_max: int) -> Rejection | None:
    """Why a record's key and headers are too large; None: they are not."""
    found = key_and_headers_bytes(record.key, record.headers)
    if found <= bytes_max:
        return None
    return Rejection(
        Reason.TOO_LARGE, f"key and headers together have {found} bytes, more than {bytes_max}"
    )


def cut(record: Record, *, value_bytes_max: int, key_and_headers_bytes_max: int) -> Cut:
    """A record within both limits: the beginnings of key and value, and the first headers."""
    key, value, headers, said = record.key, record.value, record.headers, ""
    if value is not None and len(value) > value_bytes_max:
        value = value[:value_bytes_max]
        said += f"; the value was cut to its first {value_bytes_max} bytes"
    left = key_and_headers_bytes_max
    if key is not None and len(key) > left:
        key = key[:left]
        said += f"; the key was cut to its first {left} bytes"
    if headers:
        kept = _first(headers, left - len(key or b""))
        if kept < len(headers):
            said += f"; {len(headers) - kept} of {len(headers)} headers were left out"
            headers = headers[:kept]
    return Cut(key, value, headers, said)


def is_cut(detail: str) -> bool:
    """Whether a detail ends with what `cut` said."""
    return _CUT.search(detail) is not None


def _first(headers: Headers, bytes_max: int) -> int:
    """How many headers fit, counted from the first."""
    for kept, header in enumerate(headers):
        bytes_max -= _header_bytes(header)
        if bytes_max < 0:
            return kept
    return len(headers)
