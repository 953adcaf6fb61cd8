"""Commands to a running worker, and what became of each, as values.

docs/TOPICS.md tells what each field means in the control topic and in the ledger.
"""

from enum import StrEnum
from typing import Annotated, Any, Final

import msgspec

from stream.core.event import Channel, Record

TEXT_CHARS_MAX: Final = 1_000
ID_CHARS_MAX: Final = 128
WITHIN_MS_MAX: Final = 7 * 86_400_000

IDS_MAX: Final = 1_000
"""So many commands of a partition are known again when they come twice."""

MAIN: Final = "main"
"""The name of the model that predicts, where there is one."""


class What(StrEnum):
    """What can be commanded."""

    FREEZE = "freeze"
    UNFREEZE = "unfreeze"
    PAUSE = "pause"
    RESUME = "resume"
    RESET = "reset"
    PROMOTE = "promote"
    RENEW = "renew"


REFUSED: Final = "refused"
"""What the ledger tells of a command that was not done."""

LATE: Final = "late"
"""Why it was not, where its time was over before anybody found it."""

LEDGERED: Final = (
    *(what.value for what in What),
    "refuse", "rollback", "install", "keep", "rebuild", "fresh", REFUSED,
)  # fmt: skip
"""What the ledger tells of: commands, and what gates, reactions and workers do."""


Id = Annotated[str, msgspec.Meta(min_length=1, max_length=ID_CHARS_MAX)]
Text = Annotated[str, msgspec.Meta(max_length=TEXT_CHARS_MAX)]


class Command(msgspec.Struct, frozen=True, kw_only=True):
    """One command to one partition.

    Attributes:
        id: whoever sends it again keeps it, and it is done once.
        by: what the sender says who it is.
        within_ms: after its record's timestamp; not folded by then it is never done.
    """

    v: Annotated[int, msgspec.Meta(ge=1, le=1)] = 1
    id: Id
    what: What
    by: Text
    why: Text
    within_ms: Annotated[int, msgspec.Meta(ge=0, le=WITHIN_MS_MAX)]

    def is_late(self, record: Record, now_ms: int) -> bool:
        """Whether its time is over; `record` is the one it came in."""
        return now_ms > record.timestamp_ms + self.within_ms


class Predicts(msgspec.Struct, frozen=True):
    """What predicts: a model by its name, and which of its versions."""

    model: str
    version: int


class LedgerValue(msgspec.Struct, frozen=True, kw_only=True):
    """One record of the ledger."""

    v: int = 1
    n: int
    input: str
    id: str
    what: str
    partition: int
    offset: int
    event_time: str
    by: str
    why: str
    before: Predicts
    after: Predicts
    evidence: dict[str, Any] = {}


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One step of a fold that did not come from the events topic, as the journal keeps it.

    Attributes:
        n: the step's number.
        next_offset: that of the event behind it.
        input: which topic it came from.
        offset, timestamp_ms, key, value: the record's there, as it came.
    """

    n: int
    next_offset: int
    input: str
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None

    def record(self, partition: int) -> Record:
        """The record as it came."""
        return Record(partition, self.offset, self.timestamp_ms, self.key, self.value)


def entry_of(record: Record, source: Channel, *, n: int, next_offset: int) -> Entry:
    """What the journal keeps of a record that is about to be folded.

    Args:
        record: as it came.
        source: the topic that it came from.
        n: the step's number.
        next_offset: that of the event behind it.
    """
    return Entry(
        n=n, next_offset=next_offset, input=source.value, offset=record.offset,
        timestamp_ms=record.timestamp_ms, key=record.key, value=record.value,
    )  # fmt: skip
