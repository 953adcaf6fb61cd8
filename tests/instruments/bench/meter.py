"""What a loop took: wall, CPU of all its processes, time without a core, and the machine's speed.

The clock starts at the first event and stops after the last commit. Imports only what every
peer's environment has.
"""

import json
import os
import resource
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NoReturn

YARDSTICK_EVENTS = 1_500
YARDSTICK_ROUNDS = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Spec:
    """What a loop is told, as JSON on its command line.

    Attributes:
        variant: which of the module's loops.
        events_n: how many events the topic holds; the loop ends with the last.
        topic: of the events; has one partition.
        name: of this run: group, transactional id, and the topic of the predictions.
        folder: for whatever it writes.
        more: what only some loops want.
    """

    variant: str
    model: str
    events_n: int
    folder: str
    name: str
    bootstrap: str = ""
    topic: str = ""
    more: Mapping[str, str] = field(default_factory=dict)

    def dumps(self) -> str:
        """As the command line has it."""
        return json.dumps(asdict(self))


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What one run took.

    Attributes:
        wall_s: the time that the learning thread stood in the run queue is taken out.
        cpu_s: of all threads and processes of the loop.
        waited_s: what was taken out.
        yardsticks_us: CPU of the bare loop an event, in the same process, before and after.
        more: what only some loops tell.
    """

    wall_s: float
    cpu_s: float
    waited_s: float
    yardsticks_us: tuple[float, float]
    more: Mapping[str, Any] = field(default_factory=dict)

    @property
    def yardstick_us(self) -> float:
        """The calmer of the two: what slowed the other one down did not befall the run."""
        return min(self.yardsticks_us)


class Stopwatch:
    """Wall, CPU and waiting between the first event and the last commit.

    Args:
        whole_session: count other living processes of this loop, too (ended children always are).
    """

    def __init__(self, *, whole_session: bool = False) -> None:
        self._whole_session = whole_session
        self._began: tuple[float, float, float] | None = None
        self._ended = (0.0, 0.0, 0.0)
        self._thread = 0

    def start(self) -> None:
        """Call with each event, from the thread that learns; the first time counts."""
        if self._began is None:
            self._thread = threading.get_native_id()
            self._began = self.now()

    def stop(self) -> None:
        """Call after a commit, from any thread; the last time counts."""
        self._ended = self.now()

    def taken(self) -> tuple[float, float, float]:
        """Seconds between start and stop: wall, CPU, waiting."""
        assert self._began is not None, "no event came"
        return between(self._began, self._ended)

    def now(self) -> tuple[float, float, float]:
        """Wall, CPU and waiting until now, each from some beginning of its own."""
        cpu_s = _own_cpu_s() + (_others_cpu_s() if self._whole_session else 0.0)
        return time.perf_counter(), cpu_s, waited_s(self._thread)


def between(
    began: tuple[float, float, float], ended: tuple[float, float, float]
) -> tuple[float, float, float]:
    """What passed between two looks at a stopwatch."""
    wall, cpu, waited = (b - a for a, b in zip(began, ended, strict=True))
    return wall, cpu, waited


class Meter(Stopwatch):
    """A stopwatch beside a yardstick; made before the loop's clients, so that none disturbs it."""

    def __init__(self) -> None:
        super().__init__()
        self.yardstick = Yardstick()
        self._before_us = self.yardstick.us()

    def tell(self, taken: tuple[float, float, float] | None = None, **more: Any) -> NoReturn:
        """Print the figures and leave at once: nobody measures or waits for a client's farewell.

        Args:
            taken: what another process's stopwatch took, if the learning was done there.
            more: for `Figures.more`.
        """
        wall, cpu, waited = taken or self.taken()
        figures = Figures(
            wall_s=wall - waited,
            cpu_s=cpu,
            waited_s=waited,
            yardsticks_us=(self._before_us, self.yardstick.us()),
            more=more,
        )
        sys.stderr.flush()
        os.write(1, f"\n{FIGURES}{json.dumps(asdict(figures))}\n".encode())
        os._exit(0)


FIGURES = "FIGURES "
"""Begins the line of a loop's standard output that holds its figures."""


def serve(run: Callable[[Spec, Meter], None]) -> None:
    """The main program of a loop: `run` returns after `Meter.stop`, or tells by itself."""
    spec = Spec(**json.loads(sys.argv[1]))
    meter = Meter()
    run(spec, meter)
    meter.tell()


def read_figures(output: str) -> Figures | None:
    """The figures in a loop's standard output; None: it told none."""
    for line in reversed(output.splitlines()):
        if line.startswith(FIGURES):
            told = json.loads(line.removeprefix(FIGURES))
            return Figures(**told | {"yardsticks_us": tuple(told["yardsticks_us"])})
    return None


class Yardstick:
    """The bare loop over a few events: shared machines change their speed by the minute."""

    def __init__(self) -> None:
        from tests.instruments.bench.events import events  # noqa: PLC0415  # both import river, which is slow
        from tests.instruments.bench.step import Step  # noqa: PLC0415

        self._data = [(features, label) for _, features, label in events(YARDSTICK_EVENTS)]
        self._step = Step("lr")

    def us(self) -> float:
        """CPU of the bare loop an event in these minutes, in microseconds.

        The least of half a second's rounds: who shares a core slows it down for parts of one (by a
        quarter and more, measured), and what befalls the yardstick does not befall the run.
        """
        step, took = self._step, []
        for _ in range(YARDSTICK_ROUNDS):
            began = time.thread_time()
            for features, label in self._data:
                step(features, label)
            took.append((time.thread_time() - began) / len(self._data) * 1e6)
        return min(took)


def _own_cpu_s() -> float:
    """This process's, and its ended children's."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def _others_cpu_s() -> float:
    """Of the other living processes of this loop: each loop is a session of its own."""
    session, ticks = os.getsid(0), 0
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit() or int(folder.name) == os.getpid():
            continue
        try:
            status = (folder / "stat").read_text()
        except OSError:  # it has just ended
            continue
        # The command's name stands in brackets and may hold anything.
        fields = status.rpartition(")")[2].split()
        if int(fields[3]) == session:
            ticks += sum(map(int, fields[11:15]))  # user, system, and those of ended children
    return ticks / os.sysconf("SC_CLK_TCK")


def waited_s(thread: int) -> float:
    """How long a thread stood ready without a core; 0 where the kernel does not say."""
    try:
        text = Path(f"/proc/self/task/{thread}/schedstat").read_text()
    except OSError:
        return 0.0
    return int(text.split()[1]) / 1e9
