"""Outputs brought within what their topics take, where others made those topics.

An event's timestamp is its outputs' timestamp, and a refused record keeps its bytes: a topic of
ours takes all of that. One made by others may refuse times far from the broker's clock, or records
that are large, and one such output would stop its partition for ever. So its time is moved to the
nearest that the topic takes, with its own in a header, and a refused record is cut.

Neither is seen by the fold: the digest is over values as they were folded, and a replay is mute.
"""

from collections.abc import Collection, Mapping, Sequence

import msgspec

from stream.core.event import Channel, Output
from stream.core.formats.quarantine import OWN_TIMESTAMP, shortened
from stream.ports import Clock, Committed, Log, Polled, TopicInfo
from stream.topic_settings import KAFKAS_ACCEPTS, NO_LIMIT, Accepts

SKEW_MS = 60_000
"""So far a broker's clock may differ from ours."""

_NO_TIMESTAMP = -1  # Kafka's word for it; every topic takes it


class _Room(msgspec.Struct, frozen=True):
    """What a topic accepts at this moment."""

    earliest_ms: int
    latest_ms: int
    own_timestamps: bool
    bytes_max: int


def fitted(
    log: Log,
    infos: Mapping[Channel, TopicInfo],
    *,
    clock: Clock,
    cuttable: Collection[Channel] = (Channel.QUARANTINE,),
    record_bytes_max: int = 0,
) -> Log:
    """A log whose commits fit the topics; the log itself, if these take whatever comes.

    Args:
        log: its commits go to these topics.
        infos: describe the topics; settings that may not be read are taken to be Kafka's own.
        clock: more or less agrees with the brokers' clocks.
        cuttable: the channels whose records may be cut.
        record_bytes_max: how large those can be.
    """
    narrow = {}
    for channel, info in infos.items():
        accepts = info.accepts or KAFKAS_ACCEPTS
        bytes_max = accepts.bytes_max if channel in cuttable else NO_LIMIT
        is_wide = accepts.own_timestamps and accepts.after_ms == accepts.before_ms == NO_LIMIT
        if not is_wide or bytes_max < record_bytes_max:
            narrow[channel] = msgspec.structs.replace(accepts, bytes_max=bytes_max)
    return FittedLog(log, narrow, clock=clock) if narrow else log


class FittedLog:
    """See `stream.ports.Log`.

    Args:
        log: does all the work.
        narrow: what some topics take; others take everything.
        clock: tells how far a timestamp is off.
    """

    def __init__(self, log: Log, narrow: Mapping[Channel, Accepts], *, clock: Clock) -> None:
        self._log = log
        self._narrow = narrow
        self._clock = clock

    def poll(self, *, timeout_s: float, records_max: int) -> Polled:
        """See `Log.poll`."""
        return self._log.poll(timeout_s=timeout_s, records_max=records_max)

    def seek(self, partition: int, offset: int) -> None:
        """See `Log.seek`."""
        self._log.seek(partition, offset)

    def pause(self, partition: int) -> None:
        """See `Log.pause`."""
        self._log.pause(partition)

    def commit(self, outputs: Sequence[Output], offsets: Mapping[int, Committed]) -> None:
        """See `Log.commit`."""
        now_ms = self._clock.now_ms()
        rooms = {channel: _room(accepts, now_ms) for channel, accepts in self._narrow.items()}
        fitting = [
            output if (room := rooms.get(output.channel)) is None else _fit(output, room)
            for output in outputs
        ]
        self._log.commit(fitting, offsets)

    def committed(self, partitions: Collection[int]) -> dict[int, Committed]:
        """See `Log.committed`."""
        return self._log.committed(partitions)

    def close(self) -> None:
        """See `Log.close`."""
        self._log.close()


def _room(accepts: Accepts, now_ms: int) -> _Room:
    return _Room(
        earliest_ms=now_ms - _safely(accepts.before_ms),
        latest_ms=now_ms + _safely(accepts.after_ms),
        own_timestamps=accepts.own_timestamps,
        bytes_max=accepts.bytes_max,
    )


def _safely(limit_ms: int) -> int:
    """A narrower limit by our clock, so that the broker's clock agrees."""
    return max(limit_ms - SKEW_MS, limit_ms // 2)


def _fit(output: Output, room: _Room) -> Output:
    """Change one output so that its topic accepts it: a nearer timestamp, or fewer bytes."""
    timestamp_ms, headers = output.timestamp_ms, output.headers
    fits = room.earliest_ms <= timestamp_ms <= room.latest_ms or timestamp_ms == _NO_TIMESTAMP
    if not (fits and room.own_timestamps):
        headers = (*headers, (OWN_TIMESTAMP, str(timestamp_ms).encode()))
        nearest_ms = min(max(timestamp_ms, room.earliest_ms), room.latest_ms)
        output = msgspec.structs.replace(
            output, timestamp_ms=timestamp_ms if fits else nearest_ms, headers=headers
        )
    return output if room.bytes_max == NO_LIMIT else shortened(output, room.bytes_max)
