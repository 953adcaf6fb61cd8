"""What is watched beside the detectors: what comes in, what goes out, how it comes.

Events are collected; every 250 of them are taken apart once, so that a monitor costs a fraction of
a microsecond an event. What is over its threshold is a finding, of which the policy makes alerts.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from typing import Any, Final

from stream.core.event import Feature
from stream.core.monitoring.bins import NumberBins
from stream.core.monitoring.blocks import (
    Block,
    Column,
    Ordered,
    block,
    blocks,
    column,
    columns,
    of_names,
    values_of,
)  # fmt: skip
from stream.core.monitoring.detectors import FEATURE
from stream.core.monitoring.episodes import Finding, Measured, Severity
from stream.core.monitoring.flow import Flow
from stream.core.monitoring.found import Chances, finding, of_flow, of_slice
from stream.core.monitoring.monitors_spec import (
    FEATURES_MAX,
    MOVED_MAX,
    MonitorsSpec,
    WatchedFeatures,
)  # fmt: skip
from stream.core.monitoring.quality import Labelled, Quality
from stream.core.monitoring.rates import Rate
from stream.core.monitoring.rows import LabelRow, Row
from stream.core.monitoring.slices import Slices
from stream.core.monitoring.variable import Variable
from stream.core.problems import Problem

MOVED_RATIO: Final = 0.5
"""A psi of so much of its threshold counts as moved, where a drift was found."""

RATES_A_VARIABLE: Final = 3
OWN_RATES: Final = 3
"""Beside the variables': chances too low, too high, refusals."""


_GROWN = (Rate, NumberBins, Block, Finding, Measured, Severity)
"""What monitors come to hold: a state may name only what it names before the first event."""


class Monitors:
    """The monitors of one partition; a deterministic fold that can be pickled at any point.

    Attributes:
        rows: of the block that goes on, in order. Whoever appends the last calls `close`.
        block_n: so many are a block.
    """

    __slots__ = (
        "_features", "_flow", "_grown", "_label", "_labelled", "_next", "_on", "_prediction",
        "_quality", "_seen_n", "_sizes", "_slices", "_spec", "block_n", "rows",
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
        self._on: dict[str, tuple[Finding, ...]] = {}  # what was looked at, and found
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
        looked = [
            of_flow(each, self.block_n) for each in self._flow.close(n, refused_n, timestamp_ms)
        ]
        yield from self._note("flow", looked, self._flow.holding)

    def close(self, problem: Problem) -> list[Finding]:
        """Take a full block apart. Returns: what is over its threshold."""
        rows, self.rows = self.rows, []
        events, labels, values, chances, errors = zip(*rows, strict=True)
        found: list[Finding] = []
        features = self._columns(events) if self._spec.inputs else []
        *taken, (told, told_order) = blocks([*features, chances])
        for (name, variable), (its, its_order) in zip(self._features.items(), taken, strict=True):
            found += self._of(variable, its, f"{FEATURE}{name}", its_order)
        self._seen_n += 1
        if self._spec.outputs:
            label, chance = column(labels), Column(chances, told)
            found += self._outputs(label.block, values, chance, told_order)
            if problem.is_supervised:
                found += self._scores(label, chance, errors, problem)
        return found + self._of_slices(events, errors)

    def close_labels(self, rows: Sequence[LabelRow], problem: Problem) -> list[Finding]:
        """Take a block apart of labels that came later than their events. Returns: as `close`."""
        events, labels, chances, errors, known = zip(*rows, strict=True)
        found: list[Finding] = []
        if self._spec.outputs:
            label = column(labels)
            found += self._of(self._label, label.block, "label")
            found += self._of_quality(label, column(chances), errors, problem, known)
        return found + self._of_slices(events, errors)

    def _of_slices(
        self, events: Sequence[Mapping[str, Feature]], errors: Sequence[float | None]
    ) -> list[Finding]:
        """Look at the errors of the slices."""
        found: list[Finding] = []
        for name, slices in self._slices.items():
            pairs = ((each.get(name), error) for each, error in zip(events, errors, strict=True))
            for word, worse, is_on in slices.add(pairs):
                of = [] if worse is None else [of_slice(name, word, worse, self.block_n)]
                found += self._note(f"slice:{name}={word}", of, ("slice",) if is_on else ())
        return found

    def ongoing(self) -> Iterable[Finding]:
        """What was found and is not over: before the next look, nothing is."""
        return chain.from_iterable(self._on.values())

    def _note(
        self, what: str, found: Sequence[Finding], holding: Collection[str]
    ) -> Sequence[Finding]:
        """Keep what was found, until it is over; `holding` are measures that are not."""
        now = {each.detector for each in found}
        on = *found, *(each for each in self._on.get(what, ())
                       if each.detector in holding and each.detector not in now)  # fmt: skip
        if on:
            self._on[what] = on
        else:
            self._on.pop(what, None)
        return found

    def moved(self) -> list[tuple[str, float]]:
        """The features that have moved most: name, and psi as a multiple of its threshold."""
        events = [row[0] for row in self.rows]
        watched = {name: each for name, each in self._features.items() if each.is_monitorable}
        found = blocks(of_names(events, columns(events), watched))
        taken = zip(watched.items(), found, strict=True)
        ratios = [(name, each.look(*of)) for (name, each), of in taken]
        moved = [(name, ratio) for name, ratio in ratios if ratio > MOVED_RATIO]
        return sorted(moved, key=lambda each: (-each[1], each[0]))[:MOVED_MAX]

    def watched(self) -> WatchedFeatures | None:
        """The features whose reference is complete; None: there are none yet."""
        ready = {name: each for name, each in self._features.items() if each.is_ready}
        if not ready:
            return None
        return WatchedFeatures(
            len(ready), tuple(n for n, each in ready.items() if not each.is_monitorable)
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
            events = rows[start : start + self.block_n]
            self._meet(events, self._sizes)
            self._sizes.append(self.block_n)
            for name, variable in self._features.items():
                variable.learn(block(values_of(events, name)))
        for variable in self._features.values():
            variable.complete(self._chances())

    def _meet(self, rows: Iterable[Mapping[str, Feature]], missed: Sequence[int]) -> None:
        """Watch the features of a block that are new, as long as there is room.

        Args:
            rows: the block.
            missed: blocks of the reference before it, of which new ones were not there. One that
                comes after the reference gets a reference of its own.
        """
        features, room = self._features, FEATURES_MAX
        for row in rows:
            if len(features) < room and not features.keys() >= row.keys():
                new = [name for name in row if name not in features][: room - len(features)]
                features.update((name, Variable(self._spec.least_n, missed)) for name in new)

    def _columns(self, events: Sequence[Mapping[str, Feature]]) -> list[Sequence[Any]]:
        """The values of each feature that is watched; one that is new begins a reference."""
        together = columns(events)
        is_reference = not self._spec.digest and len(self._sizes) < self._spec.blocks_n
        self._meet(events[:1] if together else events, self._sizes if is_reference else ())
        if is_reference:
            self._sizes.append(self.block_n)
        return of_names(events, together, self._features)

    def _outputs(
        self, labels: Block, values: Sequence[Any], chances: Column, of: Ordered | None
    ) -> Iterator[Finding]:
        """Compare labels with the first ones, and predictions with those before."""
        seen_n, n = self._seen_n, self._spec.blocks_n
        # Where labels begin late their reference does, too.
        if self._label.learned_n or self._label.is_ready or labels.present_n:
            yield from self._of(self._label, labels, "label")
        # What an untrained model says is no reference.
        if seen_n > n:
            told = chances.block
            if told.present_n < told.n:
                pairs = zip(values, chances.values, strict=True)
                told = block([value if chance is None else chance for value, chance in pairs])
            yield from self._predictions(told, of, is_last=seen_n % n == 0)

    def _predictions(self, found: Block, of: Ordered | None, *, is_last: bool) -> Iterator[Finding]:
        """Compare predictions with those of before: a model that learns says ever other things."""
        if self._prediction.is_ready:
            yield from self._of(self._prediction, found, "prediction", of)
        self._next.learn(found)
        if is_last:
            self._next.complete(self._chances())
            if not self._prediction.is_moved:
                self._prediction = self._next
            self._next = Variable(self._spec.least_n)

    def _of(
        self, variable: Variable, block: Block, signal: str, of: Ordered | None = None
    ) -> Sequence[Finding]:
        """Watch one variable, or learn what it is usually like."""
        if not variable.is_ready:
            variable.learn(block)
            if variable.learned_n >= self._spec.blocks_n:
                variable.complete(self._chances())
            return ()
        seen = variable.watch(block, of)
        if not seen and signal not in self._on:
            return ()
        kind, feature, what = "output", None, signal
        if signal.startswith(FEATURE):
            kind, feature = "input", signal.removeprefix(FEATURE)
            what = f'feature "{feature}"'
        found = []
        for each in seen:
            # A model that learns says other things by itself: a tree that splits does so at once.
            is_learning = variable is self._prediction and each.measure not in _ALWAYS
            told = each._replace(severity=Severity.INFO) if is_learning else each
            found.append(finding(told, kind, signal, block_n=self.block_n, what=f"{what}: ",
                                 feature=feature))  # fmt: skip
        return self._note(signal, found, variable.holding)

    def _scores(
        self, labels: Column, chances: Column, errors: Sequence[float | None], problem: Problem
    ) -> Sequence[Finding]:
        """Look at a block of labelled events; where not all are, collect them."""
        waiting = self._labelled
        known: Sequence[Any] = errors
        if waiting or labels.block.present_n < len(errors):  # what has no label has no error
            rows = zip(labels.values, chances.values, errors, strict=True)
            waiting += [(label, chance, error) for label, chance, error in rows
                        if error is not None]  # fmt: skip
            if len(waiting) < self.block_n:
                return ()
            now, self._labelled = waiting[: self.block_n], waiting[self.block_n :]
            labels, chances = (column([each[at] for each in now]) for at in range(2))
            known = [each[2] for each in now]
        return self._of_quality(labels, chances, known, problem)

    def _of_quality(
        self, labels: Column, chances: Column, errors: Sequence[float], problem: Problem,
        known: Sequence[Any] = (),
    ) -> Sequence[Finding]:  # fmt: skip
        """Look at a block of labels: see `Quality.add`."""
        found = []
        for poor in self._quality.add(labels, chances, errors, problem, known):
            kind, signal = _OF_MEASURE[poor.measure]
            found.append(finding(poor, kind, signal, block_n=self.block_n, direction="worse"))
        return self._note("quality", found, self._quality.holding)


_ALWAYS: Final = frozenset({"missing", "constant"})
"""What no model says by itself."""

_OF_MEASURE: Final = {"baseline": ("score", "error"), "calibration": ("output", "prediction")}
