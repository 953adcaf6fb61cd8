"""Our worker over very many events: what an event costs, and the memory, window by window."""

import statistics
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from stream.runtime.garbage import resident_bytes
from tests.instruments.bench.meter import Meter, Spec, Stopwatch, serve
from tests.instruments.bench.peers.ours import Watch, work

SLICE_N = 10_000
"""Events in a slice of a window: long enough for a commit in each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """Some events in a row.

    Attributes:
        end: how many events were folded when it ended.
        events_n: in the window.
        calm_us: CPU an event of the slice that a quarter of its slices stay below: what who
            shares the core made slow is not in it. None: the window is too short for slices.
        yardsticks_us: right before and right after it.
        rss_mib: resident memory at its end.
    """

    end: int
    events_n: int
    wall_s: float
    cpu_s: float
    calm_us: float | None
    yardsticks_us: tuple[float, float]
    rss_mib: float


class Windows(Watch):
    """Cuts a run at the marks; the yardstick's own time is in no window."""

    def __init__(self, meter: Meter, marks: list[int]) -> None:
        super().__init__(meter)
        self.windows: list[Window] = []
        self._meter: Meter = meter
        self._marks = marks
        self._folded = self._began = 0
        self._watch = Stopwatch()
        self._slices_us: list[float] = []
        self._slice_began = 0, 0.0
        self._before_us = meter.yardstick.us()

    def on_poll(self) -> None:
        """The windows are cut here, between two batches."""
        super().on_poll()
        if self._marks and self._folded >= self._marks[0]:
            self._watch.stop()
            self.cut()
        self._watch.start()
        self._slice()

    def _slice(self) -> None:
        (folded, began_s), now_s = self._slice_began, time.process_time()
        n = self._folded - folded
        if not began_s:
            self._slice_began = self._folded, now_s
        elif n >= SLICE_N:
            self._slices_us.append((now_s - began_s) / n * 1e6)
            self._slice_began = self._folded, now_s

    def on_fold(self, n: int) -> None:
        """Count."""
        self._folded += n

    def on_commit(self) -> None:
        """The last one ends the last window."""
        super().on_commit()
        self._watch.stop()

    def cut(self) -> None:
        """End a window."""
        after_us = self._meter.yardstick.us()
        wall_s, cpu_s, waited_s = self._watch.taken()
        rss_mib = (resident_bytes() or 0) / (1 << 20)
        self.windows.append(
            Window(
                end=self._folded, events_n=self._folded - self._began, wall_s=wall_s - waited_s,
                cpu_s=cpu_s, calm_us=_calm(self._slices_us), rss_mib=rss_mib,
                yardsticks_us=(self._before_us, after_us),
            )
        )  # fmt: skip
        self._marks = [mark for mark in self._marks if mark > self._folded]
        self._before_us, self._began = after_us, self._folded
        self._watch = Stopwatch()
        self._slices_us.clear()
        self._slice_began = 0, 0.0


def _calm(slices_us: list[float]) -> float | None:
    few = 4
    return statistics.quantiles(slices_us, n=4)[0] if len(slices_us) >= few else None


def run(spec: Spec, meter: Meter) -> None:
    """The worker of `spec.more["config"]`, cut at the events `spec.more["marks"]`."""
    windows = Windows(meter, [int(mark) for mark in spec.more["marks"].split(",")])
    work(Path(spec.more["config"]), windows)
    windows.cut()
    meter.tell(windows=[asdict(window) for window in windows.windows])


if __name__ == "__main__":
    serve(run)
