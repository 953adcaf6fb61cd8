"""The control topic is looked at in time, whatever the brokers do."""

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field

import pytest

from stream.core.event import Channel, Record
from stream.errors import ExitCode
from stream.ports import Bounds, Committed, Reader
from stream.runtime.clock import SystemClock
from stream.runtime.control import Control
from stream.runtime.looking import LOOK_EVERY_S_MAX, Looking
from stream.runtime.watchdog import Watchdog
from stream.telemetry import Telemetry

COMMAND = Record(0, 0, 0, None, b"{}", ())


@dataclass
class Late:
    """A reader of brokers that answer late, and count how long they took."""

    takes_s: float
    ends: list[int]
    now_s: float = 0.0
    asked_n: int = 0
    hangs: threading.Event | None = None
    closed: list[int] = field(default_factory=list)

    def bounds(self, channel: Channel, partition: int) -> Bounds:
        """See `Reader.bounds`."""
        assert (channel, partition) == (Channel.CONTROL, 0)
        self.asked_n += 1
        self.now_s += self.takes_s
        if self.hangs is not None:
            self.hangs.wait(30)
        return Bounds(0, self.ends.pop(0) if len(self.ends) > 1 else self.ends[0])

    def read(
        self, channel: Channel, partition: int, start: int, stop: int
    ) -> Iterator[Sequence[Record]]:
        """See `Reader.read`."""
        assert (channel, partition, start, stop) == (Channel.CONTROL, 0, 0, 1)
        yield [COMMAND]

    def committed(self) -> dict[int, Committed]:
        """See `Reader.committed`."""
        raise NotImplementedError

    def close(self) -> None:
        """See `Reader.close`."""
        self.closed.append(self.asked_n)


@dataclass
class OfItsBrokers(SystemClock):
    """A clock that only the answers move."""

    late: Late

    def monotonic(self) -> float:
        """See `Clock.monotonic`."""
        return self.late.now_s


def test_a_look_that_took_long_does_not_put_off_the_next_one() -> None:
    """A loaded broker took 4 s to answer once, and the next look came 200 s later."""
    late = Late(takes_s=4.0, ends=[0, 1])
    control = Control(lambda: late, clock=OfItsBrokers(late), telemetry=Telemetry())
    with closing(Looking(control, "control", clock=OfItsBrokers(late))):
        control.begin(0, 0)
        until_s = time.monotonic() + LOOK_EVERY_S_MAX + 2.0
        while not control.is_waiting() and time.monotonic() < until_s:
            time.sleep(0.02)
        assert control.waiting([0]) == {0: [COMMAND]}


def test_a_look_that_hangs_ends_the_process_with_what_it_was(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody else would notice: the loop goes on without commands."""
    monkeypatch.setattr("stream.runtime.control.LOOK_S_MAX", 0.3)
    ended: list[int] = []
    said: list[str] = []
    hangs = threading.Event()
    late = Late(takes_s=0.0, ends=[0], hangs=hangs)
    reader: Reader = late
    with closing(Watchdog(said.append, ended.append)) as watchdog:
        control = Control(
            lambda: reader,
            clock=OfItsBrokers(late),
            telemetry=Telemetry(),
            deadlined=watchdog.watch,
        )
        with closing(Looking(control, "control", clock=OfItsBrokers(late))):
            control.begin(0, 0)
            until_s = time.monotonic() + 10.0
            while not ended and time.monotonic() < until_s:
                time.sleep(0.02)
            hangs.set()
    assert ended == [ExitCode.INTERNAL]
    assert "looking for commands" in said[0]
    assert capsys.readouterr().err == ""
