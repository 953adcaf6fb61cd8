"""kafka-python's records as ours."""

from collections.abc import Iterable
from typing import Any

from kafka import errors
from kafka.consumer.fetcher import Fetcher
from kafka.record.default_records import DefaultRecordBatch
from kafka.record.memory_records import MemoryRecords
from kafka.record.util import decode_varint

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
    """Give headers as every client does: librdkafka ends a name at its first NUL."""
    return tuple((name.partition("\0")[0], value) for name, value in pairs)


def tolerate(consumer: Any) -> None:
    """Let a consumer pass a header whose name is no UTF-8: the rest of its record is sound.

    The client takes the whole batch for corrupt and asks for it again, for ever: one record would
    stop its partition. The broker looks at no name.
    """
    consumer._fetcher.PartitionRecords = _PartitionRecords  # noqa: SLF001  # no public way to it


class _PartitionRecords(Fetcher.PartitionRecords):  # type: ignore[misc]  # untyped
    def _unpack_records(self, tp: Any, records: MemoryRecords, *deserializers: Any) -> Any:
        return super()._unpack_records(tp, _Batches(records), *deserializers)


class _Batches:
    """Gives the batches of a fetched answer, each as a tolerant `_Batch`."""

    def __init__(self, records: MemoryRecords) -> None:
        self._records = records

    def next_batch(self) -> Any:
        """The next batch; None: there is no more."""
        batch = self._records.next_batch()
        if type(batch) is DefaultRecordBatch:
            batch.__class__ = _Batch  # with the same slots: to parse its header again costs more
        return batch


class _Batch(DefaultRecordBatch):  # type: ignore[misc]  # untyped
    __slots__ = ()

    def __next__(self) -> Any:
        try:
            return super().__next__()
        except errors.CorruptRecordError as error:
            if not isinstance(error.__context__, UnicodeDecodeError):
                raise
        # It stands where the record begins.
        wrong = _blanked(self._buffer, self._pos)
        record = super().__next__()
        record._headers = [h for i, h in enumerate(record.headers) if i not in wrong]  # noqa: SLF001
        return record


def _blanked(buffer: bytearray, position: int) -> frozenset[int]:
    """Blank the names that are no UTF-8 in the record at `position`. Returns: which they are."""
    for _ in range(4):  # length, attributes, time and offset
        _, position = decode_varint(buffer, position)
    for _ in range(2):  # key and value
        length, position = decode_varint(buffer, position)
        position += max(0, length)
    headers_n, position = decode_varint(buffer, position)
    wrong = set()
    for index in range(headers_n):
        length, position = decode_varint(buffer, position)
        name = slice(position, position + length)
        try:
            buffer[name].decode()
        except UnicodeDecodeError:
            buffer[name] = b" " * length
            wrong.add(index)
        length, position = decode_varint(buffer, name.stop)
        position += max(0, length)
    return frozenset(wrong)
