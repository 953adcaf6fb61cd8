"""Quarantined records read back, and how far they were sent again."""

import re
from collections.abc import Mapping
from typing import Self

import msgspec

from stream.core.event import Headers, Output, Record
from stream.core.formats.sizes import cut, is_cut, key_and_headers_bytes

_PROGRESS = re.compile(r"v1((?:;[a-z0-9_]+=\d{1,18})*)", re.ASCII)

_BATCH_BYTES = 128
"""What Kafka adds to one record at most, with the batch around it."""

_HEADER_BYTES = 8
"""And to each header."""

_SAID_BYTES = 200
"""What `cut` says at most."""

QUARANTINE_HEADERS = (
    "stream.reason", "stream.detail", "stream.topic", "stream.partition", "stream.offset",
    "stream.pipeline",
)  # fmt: skip
"""What a quarantined record gets, after the headers it came with."""

OWN_TIMESTAMP = "stream.timestamp"
"""The last header of an output whose topic does not take its event's timestamp: that timestamp, in
milliseconds. The record's is the nearest one that the topic takes."""

REDRIVEN = "stream.redriven"
"""The header of an event that was sent again: where it was refused. Tells it for ever, while a
broker forgets a group's offsets some days after its last member."""


class Refused(msgspec.Struct, frozen=True, kw_only=True):
    """A quarantined record.

    Attributes:
        record: the record that the quarantine topic holds.
        reason: one of `Reason`, or of another version's.
        topic, partition, offset: where it was refused.
        timestamp_ms: the record's own, in the topic that it was refused from.
        headers: the record's own, in that topic.
        is_cut: only the beginning of its key, value or headers is here.
    """

    record: Record
    reason: str
    detail: str
    pipeline: str
    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    headers: Headers
    is_cut: bool

    @property
    def origin(self) -> bytes:
        """The value of the header `REDRIVEN`; no other record of its topic gets it."""
        return f"{self.pipeline}-{self.partition}-{self.offset}".encode()

    def resent_headers(self, whole: Record) -> Headers:
        """The headers to send again: those of the whole record, and one that says where it was."""
        own = (header for header in whole.headers if header[0] != REDRIVEN)
        return (*own, (REDRIVEN, self.origin))


def parse(record: Record) -> Refused | None:
    """What a record of the quarantine topic says of itself; None: another writer's.

    The sender may have used our headers' names too, so the last ones count.
    """
    headers, timestamp_ms = record.headers, record.timestamp_ms
    if headers and headers[-1][0] == OWN_TIMESTAMP:
        timestamp_ms = _integer(headers[-1][1], default=timestamp_ms)
        headers = headers[:-1]
    own_n = len(QUARANTINE_HEADERS)
    headers, own = headers[:-own_n], headers[-own_n:]
    if tuple(name for name, _ in own) != QUARANTINE_HEADERS:
        return None
    try:
        reason, detail, topic, partition, offset, pipeline = ((v or b"").decode() for _, v in own)
        where = int(partition), int(offset)
    except ValueError:  # neither text nor numbers
        return None
    return Refused(
        record=record,
        reason=reason,
        detail=detail,
        pipeline=pipeline,
        topic=topic,
        partition=where[0],
        offset=where[1],
        timestamp_ms=timestamp_ms,
        headers=headers,
        is_cut=is_cut(detail),
    )


def _integer(text: bytes | None, *, default: int) -> int:
    try:
        return int(text or b"")
    except ValueError:
        return default


def shortened(output: Output, bytes_max: int) -> Output:
    """Cut a quarantined record so that it and its batch fit so many bytes; it says what was cut.

    Where our own headers alone are larger than that, only they are left.
    """
    sent_n = len(output.headers) - len(QUARANTINE_HEADERS)
    sent_n -= output.headers[-1][0] == OWN_TIMESTAMP
    sent, own = output.headers[:sent_n], output.headers[sent_n:]
    room = bytes_max - _BATCH_BYTES - key_and_headers_bytes(None, own)
    room -= _HEADER_BYTES * len(output.headers)
    value_n = len(output.value or b"")
    if key_and_headers_bytes(output.key, sent) + value_n <= room:
        return output
    room = max(0, room - _SAID_BYTES)
    left = cut(
        Record(0, 0, 0, output.key, output.value, sent),
        value_bytes_max=max(room // 2, room - key_and_headers_bytes(output.key, sent)),
        key_and_headers_bytes_max=max(room // 2, room - value_n),
    )
    said = tuple(
        (name, (value or b"") + left.said.encode() if name == "stream.detail" else value)
        for name, value in own
    )
    return msgspec.structs.replace(
        output, key=left.key, value=left.value, headers=(*left.headers, *said)
    )


class Redriven(msgspec.Struct, frozen=True):
    """How far a partition of the quarantine was sent again: committed beside its offset.

    One place for all reasons, so that a run for one reason loses nothing of the others: it moves
    its own mark, a run for all of them moves `next_offset`.

    Attributes:
        next_offset: every record below it was sent again.
        ahead: reason -> offset; every record of that reason below it was sent again.
    """

    next_offset: int = 0
    ahead: Mapping[str, int] = {}

    @classmethod
    def parse(cls, next_offset: int, metadata: str) -> Self:
        """Read a mark back. With another tool's metadata only the offset counts."""
        match = _PROGRESS.fullmatch(metadata)
        marks = match[1].split(";")[1:] if match else []
        return cls(next_offset, {r: int(n) for r, _, n in (m.partition("=") for m in marks)})

    def metadata(self) -> str:
        """What is committed beside `next_offset`.

        >>> Redriven(7, {"bad_label": 9, "not_json": 8}).metadata()
        'v1;bad_label=9;not_json=8'
        """
        return "v1" + "".join(f";{r}={n}" for r, n in sorted(self.ahead.items()))

    def start(self, reason: str | None) -> int:
        """The first offset that may hold a record to send, for one reason or (None) for any."""
        return self.next_offset if reason is None else max(self.next_offset, self._sent(reason))

    def has(self, refused: Refused) -> bool:
        """Whether a record was sent again."""
        return refused.record.offset < self.start(refused.reason)

    def moved(self, offset: int, reason: str | None) -> "Redriven":
        """How far it is once everything below an offset, of one reason or of all, was sent."""
        if reason is None:
            return Redriven(offset, {r: n for r, n in self.ahead.items() if n > offset})
        return Redriven(self.next_offset, {**self.ahead, reason: offset})

    def _sent(self, reason: str) -> int:
        return self.ahead.get(reason, 0)
