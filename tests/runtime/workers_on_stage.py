"""A supervisor whose workers are played, in a time that only the test moves."""

import io
import threading
from dataclasses import dataclass, field

from stream.errors import ExitCode
from stream.runtime.lag import Standing
from stream.runtime.supervision.lag_watch import Blind, Seen
from stream.runtime.supervision.stagnation import Stagnation
from stream.runtime.supervision.supervisor import TICK_S, Supervisor
from stream.runtime.supervision.until_end import Goals
from stream.runtime.supervision.worker_link import Report
from stream.telemetry import LogEvent, Scrubber, Telemetry, configure_logging
from tests.instruments.simulation.clock import ManualClock

STUCK_AFTER_S = 30.0


@dataclass
class Played:
    """A worker's process; see `stream.runtime.supervision.worker_process.Hired`.

    Attributes:
        obeys: whether it ends when it is asked to.
        asked: what the supervisor did to it.
    """

    name: str
    pid: int
    obeys: bool = True
    ended: int | None = None
    said: list[Report] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    def code(self) -> int | None:
        """See `Hired.code`."""
        return self.ended

    def reports(self) -> list[Report]:
        """See `Hired.reports`."""
        said, self.said = self.said, []
        return said

    def drain(self) -> None:
        """See `Hired.drain`."""
        self.asked.append("drain")
        if self.obeys:
            self.ended = ExitCode.OK

    def show_stacks(self) -> None:
        """See `Hired.show_stacks`."""
        self.asked.append("show stacks")

    def kill(self) -> None:
        """See `Hired.kill`."""
        self.asked.append("kill")
        self.ended = -9

    def begins(self, *partitions: int) -> None:
        """It polls, and gets these."""
        self.said.append(Report(event=LogEvent.WORKER_STARTED))
        self.said.append(Report(event=LogEvent.PARTITIONS_ASSIGNED, partitions=partitions))
        for each in partitions:
            self.said.append(Report(event=LogEvent.TASK_FRESH, partitions=(each,)))


class Stage:
    """Three workers, a log that the test shows, and all that was said."""

    def __init__(self, *, ends: dict[int, int] | None = None) -> None:
        self.clock = ManualClock(tick_s=0.0)
        self.stopping = threading.Event()
        self.hired: list[Played] = []
        self.hiring_fails = False
        self.shown: Seen | Blind | Exception | None = None
        self._lines = io.StringIO()
        configure_logging(Scrubber(), self._lines)
        self.supervisor = Supervisor(
            ("w-0", "w-1", "w-2"),
            hire=self._hire,
            lookout=self,
            stagnation=Stagnation(after_s=STUCK_AFTER_S),
            goals=Goals(ends, patience_s=STUCK_AFTER_S),
            clock=self.clock,
            telemetry=Telemetry(),
            stopping=self.stopping,
            jitter=lambda: 0.0,
        )

    @property
    def lines(self) -> str:
        """All that was said."""
        return self._lines.getvalue()

    def look(self) -> Seen | Blind | None:
        """See `Lookout.look`."""
        if isinstance(self.shown, Exception):
            raise self.shown
        return self.shown

    def show(self, *offsets: int, lag: int) -> None:
        """Where the partitions stand, from now on."""
        self.shown = Seen({p: Standing(at, lag) for p, at in enumerate(offsets)})

    def turns(self, seconds: float) -> None:
        """Let the supervisor work for a while."""
        for _ in range(round(seconds / TICK_S)):
            self.supervisor.turn()
            self.clock.sleep(TICK_S)

    def now(self, name: str) -> Played:
        """The process of a worker, the newest one."""
        return [each for each in self.hired if each.name == name][-1]

    def names_hired(self) -> list[str]:
        """Every start there was."""
        return [each.name for each in self.hired]

    def _hire(self, name: str) -> Played:
        if self.hiring_fails:
            raise OSError("no process to be had")
        self.hired.append(Played(name, pid=100 + len(self.hired)))
        return self.hired[-1]
