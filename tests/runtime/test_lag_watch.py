"""What a supervisor sees of the log, and that it never waits for it."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import pytest

from stream.core.event import Channel, Record
from stream.errors import Missing, Retryable
from stream.ports import Bounds, Committed
from stream.runtime.lag import Standing, standings
from stream.runtime.supervision.lag_watch import Blind, ReaderLookout, Seen

PAUSED = "v1;n=3;h=0123456789abcdef;f=0123abcd;g=0;l=3;p=1"


@dataclass
class Shown:
    """A log as the test wants it seen; see `stream.ports.Reader`."""

    bounds_by_partition: dict[int, Bounds]
    commits: dict[int, Committed] = field(default_factory=dict)
    trouble: Exception | None = None
    closed_n: int = 0

    def bounds(self, channel: Channel, partition: int) -> Bounds:
        """See `Reader.bounds`."""
        assert channel is Channel.EVENTS
        if partition not in self.bounds_by_partition:
            raise Missing(f"there is no partition {partition}")
        return self.bounds_by_partition[partition]

    def read(
        self, channel: Channel, partition: int, start: int, stop: int
    ) -> Iterator[Sequence[Record]]:
        """See `Reader.read`."""
        raise NotImplementedError((channel, partition, start, stop))

    def committed(self) -> dict[int, Committed]:
        """See `Reader.committed`."""
        if self.trouble is not None:
            raise self.trouble
        return self.commits

    def close(self) -> None:
        """See `Reader.close`."""
        self.closed_n += 1


def _eventually(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 120
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_a_partition_stands_where_it_is_committed() -> None:
    """Lag before a first commit counts from `topics.start`; a pause is told."""
    log = Shown(
        {0: Bounds(2, 10), 1: Bounds(0, 9), 2: Bounds(0, 3)},
        {1: Committed(4, ""), 2: Committed(3, PAUSED)},
    )

    assert standings(log, partitions=3, start="earliest") == {
        0: Standing(None, 8),
        1: Standing(4, 5),
        2: Standing(3, 0, is_paused=True),
    }
    assert standings(log, partitions=1, start="latest")[0] == Standing(None, None)


def test_partitions_that_came_later_are_seen_and_those_that_went_are_not() -> None:
    """A topic may be widened under running workers, or have been made again with fewer."""
    log = Shown({0: Bounds(0, 9), 1: Bounds(0, 9)}, {1: Committed(4, ""), 7: Committed(4, "")})

    assert set(standings(log, partitions=1, start="earliest")) == {0, 1}
    with pytest.raises(Missing):
        standings(log, partitions=3, start="earliest")


def test_a_log_that_is_away_is_said_and_asked_again_by_a_new_reader() -> None:
    """Each look is given once."""
    log = Shown({0: Bounds(0, 9)}, trouble=Retryable("no broker"))
    lookout = ReaderLookout(lambda: log, partitions=1, start="earliest", every_s=0.01)
    looks: list[Seen | Blind] = []

    def saw(kind: type) -> bool:
        look = lookout.look()
        if look is not None:
            looks.append(look)
        return bool(looks) and isinstance(looks[-1], kind)

    _eventually(lambda: saw(Blind))
    assert log.closed_n >= 1
    log.trouble = None
    _eventually(lambda: saw(Seen))
    lookout.close()

    assert str(looks[0].why) == "no broker" if isinstance(looks[0], Blind) else False
    assert looks[-1] == Seen({0: Standing(None, 9)})


def test_a_look_that_hangs_holds_nobody_up() -> None:
    """A client may wait half a minute for a broker; children and signals must not."""
    released = threading.Event()
    lookout = ReaderLookout(
        lambda: (released.wait(), Shown({}))[1], partitions=1, start="earliest", every_s=0.0
    )
    began = time.monotonic()

    assert lookout.look() is None
    lookout.close()

    assert time.monotonic() - began < 120
    released.set()


def test_what_nobody_foresaw_is_raised_where_it_is_asked() -> None:
    """A thread that dies in silence would leave the workers unwatched."""
    log = Shown({}, trouble=ZeroDivisionError())
    lookout = ReaderLookout(lambda: log, partitions=1, start="earliest", every_s=0.0)

    def raises() -> bool:
        try:
            return lookout.look() is not None
        except ZeroDivisionError:
            return True

    _eventually(raises)
    lookout.close()
