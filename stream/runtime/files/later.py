"""Labels of a CSV file that come later than their events, each in a record of its own."""

import re
from collections.abc import Iterable, Iterator
from heapq import heappop, heappush
from math import isfinite
from typing import Final, NamedTuple

from stream.config.checks import show
from stream.config.durations import MS
from stream.runtime.files.columns import is_missing
from stream.runtime.files.outgoing import Outgoing

_SPAN: Final = re.compile(r"([0-9]{1,12}(?:\.[0-9]{1,9})?) ?(ms|s|m|h|d)?")
_DELAY_MS_MAX: Final = 100 * 365 * MS["d"]


class Row(NamedTuple):
    """What is sent of one row.

    Attributes:
        event: without its label, if that comes later; its timestamp is known then.
        label: the record with the label, which has the time when it comes; None: there is none.
    """

    event: Outgoing
    label: Outgoing | None


def delay_ms(cell: str) -> int | None:
    """How much later than its event a label comes: a number of seconds, or a time span.

    >>> delay_ms("90"), delay_ms("1.5 h"), delay_ms("15m"), delay_ms("NA")
    (90000, 5400000, 900000, None)

    Returns: milliseconds; None: the cell is empty, so the label never comes.
    Raises: ValueError: the cell holds something else.
    """
    if is_missing(cell):
        return None
    found = _SPAN.fullmatch(cell.strip())
    span_ms = float(found[1]) * MS[found[2] or "s"] if found else -1.0
    if not (isfinite(span_ms) and 0.0 <= span_ms <= _DELAY_MS_MAX):
        raise ValueError(f"{show(cell)} is no delay; write seconds, or a time span like 15m or 2h")
    return round(span_ms)


def in_order(rows: Iterable[Row]) -> Iterator[Outgoing]:
    """Events in the order of the file, and each label before the first event that is later.

    Of one time the event goes first.
    """
    waiting: list[tuple[int, int, Outgoing]] = []
    for number, (event, label) in enumerate(rows):
        now_ms = event.timestamp_ms
        while waiting and now_ms is not None and waiting[0][0] < now_ms:
            yield heappop(waiting)[2]
        yield event
        if label is not None and label.timestamp_ms is not None:
            heappush(waiting, (label.timestamp_ms, number, label))
    while waiting:
        yield heappop(waiting)[2]
