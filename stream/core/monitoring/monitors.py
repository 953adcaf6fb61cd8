"""What is watched beside the detectors: what comes in, what goes out, how it comes.

Events are collected; every 250 of them are taken apart once, so that a monitor costs a fraction of
a microsecond an event. What is over its threshold is a finding, of which the policy makes alerts.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from operator import itemgetter
from typing import Any, Final, NamedTuple

from stream.core.event import Feature
from stream.core.monitoring.bins import NumberBins
from stream.core.monitoring.blocks import Block
from stream.core.monitoring.detectors import FEATURE
from stream.core.monitoring.episodes import Direction, Finding, Measured, Severity
from stream.core.monitoring.flow import Flow
from stream.core.monitoring.found import Chances, Found
from stream.core.monitoring.monitors_spec import MOVED_MAX, MonitorsSpec
from stream.core.monitoring.quality import Labelled, Quality
from stream.core.monitoring.rates import Rate
from stream.core.monitoring.slices import Slices
from stream.core.monitoring.variable import Variable
from stream.core.problems import Problem

FEATURES_MAX: Final = 100
"""So many are watched: those that came first."""

MOVED_RATIO: Final = 0.5
"""A psi of so much of its threshold counts as moved, where a drift was found."""

RATES_A_VARIABLE: Final = 3
OWN_RATES: Final = 3
"""Beside the variables': chances too low, too high, refusals."""


Row = tuple[Mapping[str, Feature], Any, Any, float | None, float | None]
"""Of one event: features, label, the prediction's value, what detectors on "prediction" are told of
it, and its error; None: it has no label."""

_GROWN = (Rate, NumberBins, Block)
"""What monitors come to hold: a state may name only what it names before the first event."""


class WatchedFeatures(NamedTuple):
    """The features that are watched.

    Attributes:
        n: how many.
        not_monitorable: of which only what is missing, of another type or constant is told: a
            clock, a counter or an id is never as it was.
    """

    n: int
    not_monitorable: tuple[str, ...]


class Monitors:
    """The monitors of one partition; a deterministic fold that can be pickled at any point.

    Attributes:
        rows: of the block that goes on, in order. Whoever appends the last calls `close`.
        block_n: so many are a block.
    """

    __slots__ = (
        "_features", "_flow", "_grown", "_label", "_labelled", "_next", "_prediction", "_quality",
        "_seen_n", "_sizes", "_slices", "_spec", "block_n", "rows",
    )  # fmt: skip

    def __init__(self, spec: MonitorsSpec) -> None:
        # No snapshot needs the rows of a reference.
        self._spec, self._grown = replace(spec, rows=()), _GROWN
        self.block_n = spec.block_n
        self.rows: list[Row] = []
        self._features: dict[str, Variable] = {}
        self._sizes: list[int] = []  # of the reference's blocks
        self._seen_n = 0
        self._label, self._prediction, self._next = (Variable(spec.least_n) for _ in range(3))
        self._labelled: list[Labelled] = []
        blocks = self._blocks(OWN_RATES + len(spec.slices) * spec.slices_max)
        self._quality, self._flow = Quality(blocks), Flow(blocks)
        self._slices = {each: Slices(spec.slices_max, blocks) for each in spec.slices}
        if spec.inputs:
            self._learn(spec.rows)

    def flow(self, n: int, refused_n: int, timestamp_ms: int) -> Iterator[Finding]:
        """Close a block of records, valid or not, if there are as many: see `Flow.close`."""
        begun_n = self._flow.begun_n
        if begun_n is not None and n - begun_n < self.block_n:
            return
        for found in self._flow.close(n, refused_n, timestamp_ms):
            if found.measure == "quarantine_rate":
                yield self._finding(found, "flow", "quarantine", direction="worse")
            else:
                yield self._finding(found, "flow", "events")

    def close(self, problem: Problem) -> list[Finding]:
        """Take a full block apart. Returns: what is over its threshold."""
        rows, self.rows = self.rows, []
        events, labels, values, chances, errors = zip(*rows, strict=True)
        found: list[Finding] = []
        if self._spec.inputs:
            found += self._inputs(events)
        self._seen_n += 1
        if self._spec.outputs:
            found += self._outputs(labels, values, chances)
            if problem.is_supervised:
                found += self._scores(zip(labels, chances, errors, strict=True), problem)
        for name, slices in self._slices.items():
            pairs = ((each.get(name), error) for each, error in zip(events, errors, strict=True))
            found += [self._of_slice(name, *each) for each in slices.add(pairs)]
        return found

    def moved(self) -> list[tuple[str, float]]:
        """The features that have moved most: name, and psi as a multiple of its threshold."""
        events = [features for features, _, _, _, _ in self.rows]
        ratios = [
            (name, each.look(_values(events, name)))
            for name, each in self._features.items()
            if each.is_monitorable
        ]
        moved = [(name, ratio) for name, ratio in ratios if ratio > MOVED_RATIO]
        return sorted(moved, key=lambda each: (-each[1], each[0]))[:MOVED_MAX]

    def watched(self) -> "WatchedFeatures | None":
        """What is known of the features once their reference is complete; None: it is not yet."""
        features = self._features
        if not features or not all(each.is_ready for each in features.values()):
            return None
        return WatchedFeatures(
            len(features), tuple(n for n, each in features.items() if not each.is_monitorable)
        )

    def _blocks(self, rates_n: int) -> float:
        """Blocks to a false alarm of one of so many rates: an eighth of the budget is theirs."""
        return rates_n * 8.0 * self._spec.budget_events / self.block_n

    def _chances(self) -> Chances:
        """An eighth for the rates of variables, a quarter for their distributions."""
        variables_n = len(self._features) + 2
        return Chances(
            self.block_n / (4.0 * self._spec.budget_events * variables_n),
            self._blocks(variables_n * RATES_A_VARIABLE),
        )

    def _learn(self, rows: Sequence[Mapping[str, Feature]]) -> None:
        """Take a reference that is given, in the order in which it came."""
        for start in range(0, len(rows) - self.block_n + 1, self.block_n):
            block = rows[start : start + self.block_n]
            self._meet(block)
            for name, variable in self._features.items():
                variable.learn(_values(block, name))
        for variable in self._features.values():
            variable.complete(self._chances())

    def _meet(self, rows: Iterable[Mapping[str, Feature]]) -> None:
        """Watch the features of a block that are new, as long as there is room."""
        features = self._features
        for row in rows:
            if not features.keys() >= row.keys():
                for name in row:
                    if name not in features and len(features) < FEATURES_MAX:
                        features[name] = Variable(self._spec.least_n, self._sizes)
        self._sizes.append(self.block_n)

    def _inputs(self, events: Sequence[Mapping[str, Feature]]) -> Iterator[Finding]:
        features, reference_n = self._features, self._spec.blocks_n
        if not self._spec.digest and self._seen_n < reference_n:
            self._meet(events)
        is_last, columns = self._seen_n + 1 == reference_n, _columns(events)
        for name, variable in features.items():
            values = columns.get(name) or _values(events, name)
            yield from self._of(variable, values, f"{FEATURE}{name}", is_last=is_last)

    def _outputs(
        self, labels: Sequence[Any], values: Sequence[Any], chances: Sequence[float | None]
    ) -> Iterator[Finding]:
        """Compare labels with the first ones, and predictions with those before."""
        seen_n, n = self._seen_n, self._spec.blocks_n
        yield from self._of(self._label, labels, "label", is_last=seen_n == n)
        # What an untrained model says is no reference.
        if seen_n > n:
            told = [value if chance is None else chance
                    for value, chance in zip(values, chances, strict=True)]  # fmt: skip
            yield from self._predictions(told, is_last=seen_n % n == 0)

    def _predictions(self, values: list[Any], *, is_last: bool) -> Iterator[Finding]:
        """Compare predictions with those of before: a model that learns says ever other things."""
        if self._prediction.is_ready:
            yield from self._of(self._prediction, values, "prediction", is_last=False)
        self._next.learn(values)
        if is_last:
            self._next.complete(self._chances())
            if not self._prediction.is_moved:
                self._prediction = self._next
            self._next = Variable(self._spec.least_n)

    def _of(
        self, variable: Variable, values: Sequence[Any], signal: str, *, is_last: bool
    ) -> Iterator[Finding]:
        """Watch one variable, or learn what it is usually like, with this block as the last."""
        if not variable.is_ready:
            variable.learn(values)
            if is_last:
                variable.complete(self._chances())
            return
        kind, feature, what = "output", None, signal
        if signal.startswith(FEATURE):
            kind, feature = "input", signal.removeprefix(FEATURE)
            what = f'feature "{feature}"'
        for of in variable.watch(values):
            # A model that learns says other things by itself: a tree that splits does so at once.
            is_learning = variable is self._prediction and of.measure == "psi"
            told = of._replace(severity=Severity.INFO) if is_learning else of
            yield self._finding(told, kind, signal, what=f"{what}: ", feature=feature)

    def _scores(
        self, rows: Iterable[tuple[Any, float | None, float | None]], problem: Problem
    ) -> Iterator[Finding]:
        """Collect labelled events, and look at a block of them."""
        labelled = self._labelled
        labelled += [(label, chance, error) for label, chance, error in rows if error is not None]
        while len(labelled) >= self.block_n:
            block = labelled[: self.block_n]
            del labelled[: self.block_n]
            for poor in self._quality.add(block, problem):
                kind, signal = _OF_MEASURE[poor.measure]
                yield self._finding(poor, kind, signal, direction="worse")

    def _of_slice(self, feature: str, word: str, worse: Found) -> Finding:
        value = f"{feature}={word}"
        return self._finding(
            worse, "score", f"slice:{value}", direction="worse", what=f"{value}: ",
            feature=feature, part=word,
        )  # fmt: skip

    def _finding(
        self,
        of: Found,
        kind: str,
        signal: str,
        *,
        direction: Direction = "changed",
        what: str = "",
        feature: str | None = None,
        part: str | None = None,
    ) -> Finding:
        """What a monitor found, as the policy takes it; `what` begins its message."""
        return Finding(
            kind, of.measure, of.name or of.measure, signal, direction, of.severity, of.before,
            of.after, f"{what}{of.text}",
            None if of.since_n is None else of.since_n * self.block_n,
            Measured(of.value, of.threshold, of.before_n, of.after_n, feature, part),
        )  # fmt: skip


_OF_MEASURE: Final = {"baseline": ("score", "error"), "calibration": ("output", "prediction")}


def _columns(events: Sequence[Mapping[str, Feature]]) -> dict[str, tuple[Any, ...]]:
    """Each feature of each event, where all events have the same; else nothing."""
    names = tuple(events[0])
    if any(tuple(each) != names for each in events):
        return {}
    # All at once: a fifth of what one feature after the other takes.
    return dict(zip(names, zip(*(each.values() for each in events), strict=True), strict=True))


def _values(events: Sequence[Mapping[str, Feature]], name: str) -> list[Any]:
    """One feature of each event; None: it is missing."""
    try:
        return list(map(itemgetter(name), events))  # half of what asking each takes
    except KeyError:
        return [each.get(name) for each in events]
