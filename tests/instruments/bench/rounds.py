"""All loops in turn, several rounds: every run is compared with the bare loop of its own round."""

import math
import statistics
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Self

from confluent_kafka import KafkaException

from stream.errors import StreamError
from tests.instruments.bench.environments import Unavailable
from tests.instruments.bench.loops import BARE, Loop
from tests.instruments.bench.meter import Spec
from tests.instruments.bench.stage import Failed, Ran, Stage

BARE_RUNS_N = 3
"""Runs of the bare loop a round: everything is divided by their median."""

FAILURES_MAX = 2
"""A loop that failed so often is left alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """The median of some runs, and how far they lie apart."""

    median: float
    min: float
    max: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Self:
        """Of at least one value."""
        return cls(median=statistics.median(values), min=min(values), max=max(values))


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """One run beside the bare loop of its round.

    Attributes:
        wall: events a second divided by those of the bare loop.
        cpu: the same of events a CPU-second.
        slowdown: what the yardstick took, divided by what it took beside the bare loop.
    """

    wall: float
    cpu: float
    slowdown: float
    ran: Ran


@dataclass(slots=True, kw_only=True)
class Row:
    """One loop with one model.

    Attributes:
        measured: a round each.
        expected: the digest that its predictions must have.
        failures: why runs came to nothing.
        is_scaled: the machine's speed, as the yardstick shows it, is taken out of the ratios.
    """

    loop: Loop
    model: str
    events_n: int
    expected: str
    measured: list[Measured] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    is_scaled: bool = False

    @property
    def failed(self) -> str | None:
        """Why the last run that came to nothing did; None: all went well."""
        return self.failures[-1] if self.failures else None

    @property
    def is_same(self) -> bool:
        """Whether every run published the bare loop's predictions, each once."""
        return all(
            it.ran.digest == self.expected and it.ran.outputs_n == self.events_n
            for it in self.measured
        )

    @property
    def events_per_s(self) -> Spread:
        """As the clock showed, less the time without a core."""
        return Spread.of([self.events_n / it.ran.figures.wall_s for it in self.measured])

    @property
    def cpu_us(self) -> Spread:
        """CPU an event."""
        return Spread.of([it.ran.figures.cpu_s / self.events_n * 1e6 for it in self.measured])

    @property
    def wall(self) -> Spread:
        """Of the bare loop's events a second."""
        return Spread.of([it.wall * self._scale(it) for it in self.measured])

    @property
    def cpu(self) -> Spread:
        """Of the bare loop's events a CPU-second."""
        return Spread.of([it.cpu * self._scale(it) for it in self.measured])

    def _scale(self, measured: Measured) -> float:
        return measured.slowdown if self.is_scaled else 1.0

    def apart(self, *, scaled: bool) -> float:
        """How far its runs lie apart: the standard deviation of the logarithm of their CPU time."""
        figures = [it.ran.figures for it in self.measured]
        return statistics.stdev(
            math.log(each.cpu_s / (each.yardstick_us if scaled else 1.0)) for each in figures
        )


def measure(
    stage: Stage, loops: Sequence[Loop], *, events_n: Mapping[str, int], rounds: int
) -> Iterator[list[Row]]:
    """Run everything in turn.

    Args:
        stage: where.
        loops: beside the bare one.
        events_n: by model.
        rounds: how many times.

    Yields: the rows after each round, always the same list: a run that is stopped is not lost.
    Raises: Failed: the bare loop did.
    """
    embedded = any(loop.variant == "embedded" for loop in loops)
    runnable = [loop for loop in loops if stage.topics is not None or not loop.needs_kafka]
    for loop in loops:
        if loop not in runnable:
            stage.say(f"bench: {loop.name} left out: there is no Kafka")
    rows: list[Row] = []
    for model, n in events_n.items():
        stage.fill(model, n, embedded=embedded)
        expected = _expected(stage, model, n)
        rows += [
            Row(loop=loop, model=model, events_n=n, expected=expected)
            for loop in (BARE, *runnable)
            if model in loop.models
        ]
    for number in range(rounds):
        bare: dict[str, Ran] = {}
        for row in rows:
            _run(stage, row, bare, number=number, rounds=rounds)
        judge(rows)
        yield rows


def judge(rows: Iterable[Row]) -> None:
    """Scale a model's ratios by the yardstick if that makes runs of the same loop agree better.

    It does where a machine changes its speed by the minute. Where it does so within a second, the
    yardstick meets one speed and a run all of them (measured: 0.2 instead of 0.1 apart).
    """
    for of_model in by_model(rows).values():
        several = [row for row in of_model if len(row.measured) > 1]
        for row in of_model:
            row.is_scaled = _apart(several, scaled=True) < _apart(several, scaled=False)


def _apart(rows: Sequence[Row], *, scaled: bool) -> float:
    return sum(row.apart(scaled=scaled) for row in rows)


def _expected(stage: Stage, model: str, n: int) -> str:
    """What the bare loop predicts."""
    spec = Spec(
        variant="answers", model=model, events_n=n, folder=str(stage.folder),
        name=f"answers-{model}",
    )  # fmt: skip
    told: str = stage.child(BARE, spec).more["digest"]
    return told


def _run(stage: Stage, row: Row, bare: dict[str, Ran], *, number: int, rounds: int) -> None:
    """One round of a row; `bare` holds the round's bare loops."""
    if len(row.failures) >= FAILURES_MAX:
        return
    about = f"round {number + 1} of {rounds}, {row.model}, {row.loop.name}"
    try:
        name = f"r{number}-{row.model}-{row.loop.name}"
        runs = [
            stage.run(row.loop, model=row.model, n=row.events_n, name=f"{name}-{turn}")
            for turn in range(BARE_RUNS_N if row.loop is BARE else 1)
        ]
    except (Failed, Unavailable, KafkaException, StreamError) as error:
        if row.loop is BARE:
            raise
        row.failures.append(str(error))
        stage.say(f"{about}: failed: {error}")
        return
    ran = sorted(runs, key=lambda each: each.figures.wall_s)[len(runs) // 2]
    if row.loop is BARE:
        bare[row.model] = ran
        # Its digest comes from a pass of its own.
        ran = Ran(figures=ran.figures, digest=row.expected, outputs_n=ran.outputs_n)
    measured = compare(ran, bare[row.model])
    row.measured.append(measured)
    n, figures = row.events_n, ran.figures
    stage.say(
        f"{about}: {figures.wall_s / n * 1e6:.1f} µs wall, {figures.cpu_s / n * 1e6:.1f} µs CPU "
        f"an event; {measured.wall:.3f} and {measured.cpu:.3f} of the bare loop"
        f"{'' if row.is_same else '; OTHER PREDICTIONS'}"
    )


def compare(ran: Ran, bare: Ran) -> Measured:
    """A run beside the bare loop's."""
    own, other = ran.figures, bare.figures
    return Measured(
        wall=other.wall_s / own.wall_s, cpu=other.cpu_s / own.cpu_s,
        slowdown=own.yardstick_us / other.yardstick_us, ran=ran,
    )  # fmt: skip


def by_model(rows: Iterable[Row]) -> dict[str, list[Row]]:
    """The rows of each model, in the order they came."""
    grouped: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        grouped[row.model].append(row)
    return dict(grouped)
