"""Commands, the journal and the ledger as bytes."""

import msgspec
import xxhash

from stream.core.commands import Command, Entry, LedgerValue
from stream.core.event import Record

COMMAND = "stream.command"
"""Header of a ledger's record: the id of the command that it answers."""


class JournalValue(msgspec.Struct, frozen=True, kw_only=True):
    """One record of the journal: the steps of one commit that no event made.

    Attributes:
        j: its number in its partition, from 1.
        steps: in the order in which they were folded.
    """

    v: int = 1
    j: int
    steps: list[Entry]


class NotReadable(ValueError):
    """Bytes that are no command, or no record of a journal; says why in one line."""


_encode = msgspec.json.Encoder().encode
_read_command = msgspec.json.Decoder(Command).decode
_read_journal = msgspec.json.Decoder(JournalValue).decode
_read_ledger = msgspec.json.Decoder(LedgerValue).decode


def mark_of(record: Record) -> str:
    """By what a record of the control topic is known again where the topic was made again."""
    said = f"{record.offset}:{record.timestamp_ms}:".encode() + (record.value or b"")
    return f"{xxhash.xxh3_64_intdigest(said) & 0xFFFFFFFF:08x}"


def written(value: Command | LedgerValue | JournalValue) -> bytes:
    """The value of a record."""
    return _encode(value)


def command_in(record: Record) -> Command:
    """What a record of the control topic commands. Raises: NotReadable."""
    try:
        return _read_command(record.value or b"")
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise NotReadable(str(error)) from error


def journal_in(record: Record) -> JournalValue:
    """What a record of the journal says. Raises: NotReadable."""
    try:
        return _read_journal(record.value or b"")
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise NotReadable(str(error)) from error


def ledger_in(record: Record) -> LedgerValue | None:
    """What a record of the ledger says; None: it is none of ours."""
    try:
        return _read_ledger(record.value or b"")
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def answered_by(record: Record) -> str | None:
    """Which command a record of the ledger answers; None: it answers none."""
    told = dict(record.headers).get(COMMAND)
    return None if told is None else told.decode(errors="replace")
