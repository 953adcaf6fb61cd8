"""Deliberate mistakes in how a worker talks to the log."""

from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from typing import Any

from stream.adapters.memory import MemoryReader
from stream.adapters.memory.broker import Producer
from stream.adapters.memory.group import Member
from stream.adapters.memory.topic import Transaction
from stream.core.event import Channel, Output, Record
from stream.errors import CommitLost, Retryable
from stream.ports import Committed, Polled
from tests.instruments.simulation.doubles import PositionedLog
from tests.instruments.simulation.world import NAMES, Parts


class StickyLog(PositionedLog):
    """Does not go back to the committed offset after an abort."""

    def seek(self, partition: int, offset: int) -> None:
        """Only the first time."""
        if partition not in self._positions:
            super().seek(partition, offset)


def _shifted(by: int) -> type[PositionedLog]:
    class Shifted(PositionedLog):
        def commit(self, outputs: Sequence[Output], offsets: Mapping[int, Committed]) -> None:
            """Off by one."""
            super().commit(
                outputs,
                {p: Committed(max(0, c.offset + by), c.metadata) for p, c in offsets.items()},
            )

    return Shifted


class CommitsTwice(PositionedLog):
    """Outputs in one transaction, offsets in another."""

    def commit(self, outputs: Sequence[Output], offsets: Mapping[int, Committed]) -> None:
        """See `Log.commit`."""
        super().commit(outputs, {})
        super().commit((), offsets)


class RepeatsALostCommit(PositionedLog):
    """Sends a commit again that may have taken effect."""

    def commit(self, outputs: Sequence[Output], offsets: Mapping[int, Committed]) -> None:
        """See `Log.commit`."""
        try:
            super().commit(outputs, offsets)
        except CommitLost:
            super().commit(outputs, offsets)


class CommitsUnchecked(PositionedLog):
    """Ends a transaction without a look at what became of its records."""

    def _send(self, outputs: Sequence[Output], transaction: Transaction | None) -> None:
        for output in outputs:
            with suppress(Retryable):
                super()._send([output], transaction)


class SendsAgain(PositionedLog):
    """Repeats a send whose answer was lost."""

    def _send(self, outputs: Sequence[Output], transaction: Transaction | None) -> None:
        for output in outputs:
            try:
                super()._send([output], transaction)
            except Retryable:
                super()._send([output], transaction)


class TakesMetadataLate(PositionedLog):
    """Commits as whoever it is now, not as the member that polled."""

    def _membership(self) -> Member:
        if self.member is None or self.member not in self._group._members:
            self.member = self._group.join(self._instance)
        return self.member


class KeepsOffsets(PositionedLog):
    """Sends the offsets of an aborted transaction along with the next one."""

    _kept: Mapping[int, Committed] = {}

    def _commit_at_once(self, outputs: Sequence[Output], offsets: dict[int, Committed]) -> None:
        self._kept = {**self._kept, **offsets}
        super()._commit_at_once(outputs, dict(self._kept))
        self._kept = {}


class QuarantinesOutside(PositionedLog):
    """Sends quarantined records as they come, not in the transaction."""

    def commit(self, outputs: Sequence[Output], offsets: Mapping[int, Committed]) -> None:
        """See `Log.commit`."""
        self._send([o for o in outputs if o.channel is Channel.QUARANTINE], None)
        super().commit([o for o in outputs if o.channel is not Channel.QUARANTINE], offsets)


class BeginsWhileIdle(PositionedLog):
    """Has a transaction open before there is anything to send."""

    def poll(self, *, timeout_s: float, records_max: int) -> Polled:
        """See `Log.poll`."""
        polled = super().poll(timeout_s=timeout_s, records_max=records_max)
        if not polled.records and isinstance(self._producer, Producer):
            with suppress(Retryable):
                self._broker.begin(self._producer)
        return polled


class RemembersOffsets(PositionedLog):
    """Looks a committed offset up once."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._known: dict[int, Committed] = {}

    def committed(self, partitions: Collection[int]) -> dict[int, Committed]:
        """See `Log.committed`."""
        self._known = super().committed(partitions) | self._known
        return {p: c for p, c in self._known.items() if p in partitions}


class ReadsUnstableOffsets(PositionedLog):
    """Does not wait for an open transaction that may yet move an offset."""

    def committed(self, partitions: Collection[int]) -> dict[int, Committed]:
        """See `Log.committed`."""
        try:
            return super().committed(partitions)
        except Retryable as error:
            if "is open yet" not in str(error):
                raise
            return {p: c for p, c in self._group.offsets.items() if p in partitions}


class LearnsAborted(PositionedLog):
    """Polls with `read_uncommitted`."""

    def _fetch(self, records_max: int) -> dict[int, Sequence[Record]]:
        found: dict[int, Sequence[Record]] = {}
        for number, position in self._positions.items():
            log = self._broker.partition(NAMES[Channel.EVENTS], number)
            entries = log._entries[position : position + records_max]
            found[number] = [record for record, _ in entries if record is not None]
            self._positions[number] = position + len(entries)
        return {number: records for number, records in found.items() if records}


class ReplaysAborted(MemoryReader):
    """Replays with `read_uncommitted`."""

    def _partition(self, channel: Channel, partition: int) -> Any:
        log = super()._partition(channel, partition)
        return _Uncommitted(log) if channel is Channel.EVENTS else log


class _Uncommitted:
    def __init__(self, log: Any) -> None:
        self._log = log

    def __getattr__(self, name: str) -> Any:
        return getattr(self._log, name)

    def fetch(self, position: int, *, stop: int, records_max: int) -> tuple[list[Record], int]:
        entries = self._log._entries[position : min(stop, position + records_max)]
        return [r for r, _ in entries if r is not None], position + len(entries)


def _silent_output(channel: Channel) -> type[PositionedLog]:
    class Silent(PositionedLog):
        def commit(self, outputs: Sequence[Output], offsets: Mapping[int, Committed]) -> None:
            """Lose one channel's records."""
            super().commit([o for o in outputs if o.channel is not channel], offsets)

    return Silent


BUGS: Mapping[str, Parts] = {
    "no rewind after an abort": Parts(log=StickyLog),
    "committed offset one too low": Parts(log=_shifted(-1)),
    "committed offset one too high": Parts(log=_shifted(1)),
    "outputs and offsets in two transactions": Parts(log=CommitsTwice),
    "a lost commit sent again": Parts(log=RepeatsALostCommit),
    "alerts never sent": Parts(log=_silent_output(Channel.ALERTS)),
    "a commit before the flush is checked": Parts(log=CommitsUnchecked),
    "a send repeated": Parts(log=SendsAgain),
    "group metadata taken late": Parts(log=TakesMetadataLate),
    "offsets of an aborted transaction kept": Parts(log=KeepsOffsets),
    "quarantine outside the transaction": Parts(log=QuarantinesOutside),
    "a transaction held open while idle": Parts(log=BeginsWhileIdle),
    "committed offsets looked up once": Parts(log=RemembersOffsets),
    "offsets read that are not stable": Parts(log=ReadsUnstableOffsets),
    "aborted events learned": Parts(log=LearnsAborted),
    "aborted events replayed": Parts(reader=ReplaysAborted),
}
