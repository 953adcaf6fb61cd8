"""What a record of the labels topic says, whatever the state is: a worker and `check` read it."""

from stream.core.event import LabelRecord, Reason, Record, Rejection
from stream.core.formats.label_records import LabelReader
from stream.core.formats.sizes import oversize
from stream.core.labels.labels_spec import LABEL_BYTES_MAX


def label_in_topic(
    record: Record, reader: LabelReader, *, key_bytes_max: int
) -> LabelRecord | Rejection:
    """What a record brings, or why its bytes alone say nothing.

    Args:
        record: as it came.
        reader: knows the fields, and which labels fit.
        key_bytes_max: of key and headers together.
    """
    size_bytes = len(record.key or b"") + len(record.value or b"")
    if size_bytes > LABEL_BYTES_MAX:
        detail = f"key and value have {size_bytes} bytes, and a label at most {LABEL_BYTES_MAX}"
        return Rejection(Reason.TOO_LARGE, detail)
    may_be_large = record.headers or size_bytes > key_bytes_max
    found = oversize(record, bytes_max=key_bytes_max) if may_be_large else None
    return found or reader.in_topic(record.value)
