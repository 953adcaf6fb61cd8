"""The e-CUSUM: seldom wrong on what does not change, quick on what does, and only upwards."""

import itertools
import math
import random
import statistics
from collections.abc import Iterable, Iterator
from itertools import repeat
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream.core.fold.state import beginning
from stream.core.fold.task import Task
from stream.core.monitoring.betting import RATES_N
from stream.core.monitoring.detected import Alert
from stream.core.monitoring.detectors import build
from stream.core.monitoring.ecusum import ECUSUM, THRESHOLD_MAX
from tests.core.monitoring.detector_reference import bits, found, spec, thawed
from tests.folds import PARTITION, event, recipe

if TYPE_CHECKING:
    from stream.core.result import AlertValue


def drifts(detector: ECUSUM, values: Iterable[float]) -> list[int]:
    """At which values it found a drift."""
    at = []
    for index, value in enumerate(values):
        detector.update(value)
        if detector.drift_detected:
            at.append(index)
    return at


def contents(detector: ECUSUM) -> dict[str, Any]:
    """All that it keeps."""
    return {name: getattr(detector, name) for name in ECUSUM.__slots__}


class Formula:
    """The e-CUSUM as it is written down: each value by itself, nothing left out or put together."""

    def __init__(self, threshold: float, warm_up: int) -> None:
        self.threshold, self.warm_up = threshold, warm_up
        self.values: list[float] = []
        self.logs = [0.0] * RATES_N
        self.limit = math.inf
        self.dispersions: list[float] = []

    def update(self, value: float) -> bool:
        """Whether this value makes it a drift."""
        self.values.append(value)
        if self.limit < math.inf:
            top, dispersion = min(5.0, 0.95 / self.limit), statistics.fmean(self.dispersions)
            for k, won in enumerate(self.logs):
                gain = math.log1p(top / 2**k * (value - self.limit))
                self.logs[k] = max(won, 0.0) + gain / max(1.0, dispersion)
            if math.fsum(map(math.exp, self.logs)) / RATES_N >= self.threshold:
                self.__init__(self.threshold, self.warm_up)  # type: ignore[misc]  # starts over
                return True
        n, block = len(self.values), self.warm_up
        if n % block == 0:
            self.dispersions.append(self._dispersion(self.values[-block:], block // 20))
            self._look_at(block, 2**2 + 4 * math.log(n // block))
            if n // block in {2**k for k in range(1, 30)}:
                self._look_at(n // 2, 2**2)
        return False

    @staticmethod
    def _dispersion(values: list[float], part_n: int) -> float:
        """How much sums of parts differ from the one before; 1 where values are independent."""
        parts = [math.fsum(values[i : i + part_n]) for i in range(0, len(values), part_n)]
        parts = parts[: len(values) // part_n]
        jumps = statistics.fmean((b - a) ** 2 for a, b in itertools.pairwise(parts))
        mean = statistics.fmean(values)
        return jumps / (2 * part_n * mean * (1 - mean))

    def _look_at(self, last_n: int, z2: float) -> None:
        """Wilson's upper limit for the mean of the last values."""
        mean = math.fsum(self.values[-last_n:]) / last_n
        z2 *= max(1.0, statistics.fmean(self.dispersions))
        root = math.sqrt(z2 * mean * (1 - mean) / last_n + z2**2 / (4 * last_n**2))
        self.limit = min(self.limit, (mean + z2 / (2 * last_n) + root) / (1 + z2 / last_n))


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("kind", ["rates", "fractions"])
def test_it_is_the_formula(kind: str, seed: int) -> None:
    """It finds what the plain formula finds, though it puts runs of zeros together."""
    rng = random.Random(seed)
    values = list(bits((0.3, 900), (0.05, 2_500), (0.15, 1_500), (0.6, 2_000), seed=seed))
    if kind == "fractions":  # 1.0 is their 99.9 % quantile, which they are measured by
        values = [value if rng.random() < 0.3 else rng.random() * 0.4 for value in values]
    formula, threshold = Formula(300.0, 250), 300.0

    at = drifts(ECUSUM(threshold, warm_up=250), values)

    assert at == [index for index, value in enumerate(values) if formula.update(value)]
    assert at


@settings(max_examples=60, deadline=None)
@given(
    values=st.lists(
        st.sampled_from([0.0, 0.0, 1.0, 0.25, 3.5, 1e100, 5e-324]) | st.floats(0, 1e100),
        max_size=300,
    ),
    cut=st.integers(0, 300),
    warm_up=st.integers(10, 40),
)
def test_a_restored_one_goes_on_as_if_nothing_had_been(
    values: list[float], cut: int, warm_up: int
) -> None:
    """Whatever it is fed, and wherever the snapshot was taken: all that it keeps is the same."""
    one, other = ECUSUM(12.0, warm_up), ECUSUM(12.0, warm_up)

    at = drifts(one, values)
    before = drifts(other, values[:cut])
    other = thawed(other)
    after = [index + min(cut, len(values)) for index in drifts(other, values[cut:])]

    assert before + after == at
    assert contents(one) == contents(other)


@pytest.mark.parametrize("rate", [0.01, 0.05, 0.2, 0.5, 0.9])
def test_a_false_alarm_takes_as_many_values_as_the_threshold_says(rate: float) -> None:
    """A low threshold, to see any: one in 500 events is promised, and kept tenfold."""
    detector = ECUSUM(500.0, warm_up=200)
    values = bits((rate, 100_000), seed=11)

    assert len(drifts(detector, values)) <= 100_000 / 500 / 10


def test_the_default_keeps_its_half_of_the_budget() -> None:
    """Half a false alarm in 100,000 events may be; here are 600,000, and there is none."""
    for seed, rate in enumerate((0.02, 0.1, 0.3)):
        assert drifts(ECUSUM(), bits((rate, 200_000), seed=seed)) == []


@pytest.mark.parametrize("value", [0.0, 1.0, 0.3, 1.5, 1e-300, 5e-324, 1e100])
def test_what_never_changes_is_no_drift(value: float) -> None:
    """No error, nothing but errors, or a constant: ties add up to nothing."""
    detector = ECUSUM(10.0, warm_up=10)

    assert drifts(detector, repeat(value, 5_000)) == []


@settings(max_examples=30, deadline=None)
@given(
    rates=st.lists(st.floats(0, 1), min_size=1, max_size=6),
    seed=st.integers(0, 1_000),
    scale=st.sampled_from([1.0, 3.0, 1e-6]),
)
def test_it_sees_no_fall(rates: list[float], seed: int, scale: float) -> None:
    """However often the mean falls: it is one-sided."""
    falling = [(rate, 700) for rate in sorted(rates, reverse=True)]
    values = (scale * value for value in bits(*falling, seed=seed))

    assert drifts(ECUSUM(1e6, warm_up=300), values) == []


@pytest.mark.parametrize(
    ("before", "after", "delay_n"), [(0.2, 0.3, 1_000), (0.2, 0.4, 200), (0.2, 0.6, 50)]
)
def test_a_step_is_found_with_its_place_and_size(before: float, after: float, delay_n: int) -> None:
    """Mean delay over 20 seeds; the change is placed within a third of it; evidence is near."""
    delays, off, evidence = [], [], []
    for seed in range(20):
        detector = ECUSUM()
        (at,) = drifts(detector, _until_found(before, after, detector, seed=seed))
        delays.append(at - 5_000 + 1)
        off.append(abs(delays[-1] - detector.since_n))
        evidence.append((detector.before, detector.after))

    assert sum(delays) / 20 < delay_n
    assert sorted(off)[10] < delay_n / 3
    assert sum(each for each, _ in evidence) / 20 == pytest.approx(before, abs=0.02)
    assert sum(each for _, each in evidence) / 20 == pytest.approx(after, abs=0.1)


def _until_found(before: float, after: float, detector: ECUSUM, *, seed: int) -> Iterator[float]:
    rng = random.Random(seed)
    for index in range(20_000):
        if detector.drift_detected:
            return
        yield float(rng.random() < (before if index < 5_000 else after))


@settings(max_examples=40, deadline=None)
@given(
    rates=st.lists(st.floats(0, 1), min_size=2, max_size=6),
    seed=st.integers(0, 1_000),
    noise=st.sampled_from([0.0, 0.4, 9.0]),
)
def test_evidence_says_a_rise_within_what_there_was(
    rates: list[float], seed: int, noise: float
) -> None:
    """Before is less than after, and the change lies between the last drift and this one."""
    detector, rng, last = ECUSUM(100.0, warm_up=100), random.Random(seed), -1
    for index, value in enumerate(bits(*((rate, 400) for rate in rates), seed=seed)):
        detector.update(value + noise * rng.random())
        if detector.drift_detected:
            assert 0 <= detector.before < detector.after <= 1 + noise
            assert 1 <= detector.since_n <= index - last - 100
            last = index


def test_a_level_that_stays_is_one_drift_and_the_next_one_is_another() -> None:
    """It starts over: what is usual now is what the next change is seen against."""
    values = bits((0.1, 5_000), (0.4, 30_000), (0.7, 5_000), seed=3)

    at = drifts(ECUSUM(), values)

    assert [index // 1_000 for index in at] == [5, 35]


def test_the_reference_follows_a_model_that_learns() -> None:
    """Half of the first answers were wrong; later 0.3 is a drift, though it is below that."""
    values = bits((0.5, 1_500), (0.3, 2_500), (0.1, 8_000), (0.3, 2_000), seed=5)

    (at,) = drifts(ECUSUM(), values)

    assert 12_000 < at < 12_300


def test_errors_of_a_regressor_are_measured_by_their_own_quantile() -> None:
    """Heavy tails are no drift, a doubled error is one; the unit does not matter."""
    rng = random.Random(2)
    same = [abs(rng.gauss(0, 1)) ** 3 for _ in range(60_000)]
    twice = [2 * abs(rng.gauss(0, 1)) ** 3 for _ in range(3_000)]

    ats = [drifts(ECUSUM(), (unit * each for each in same + twice)) for unit in (1.0, 0.125, 2**40)]

    assert ats[0] == ats[1] == ats[2]
    assert len(ats[0]) == 1
    assert 60_000 < ats[0][0] < 60_800


def test_bursts_are_no_drift_where_there_were_bursts_before() -> None:
    """Each answer as the one before, four times in five: no false alarm; a rise is found."""

    def sticky(rate: float, n: int, rng: random.Random) -> Iterator[float]:
        value = 0.0
        for _ in range(n):
            if rng.random() < 0.2:
                value = float(rng.random() < rate)
            yield value

    for seed in range(4):
        rng = random.Random(seed)
        values = [*sticky(0.2, 40_000, rng), *sticky(0.6, 2_000, rng)]
        at = drifts(ECUSUM(), values)
        assert len(at) == 1
        assert 40_000 <= at[0] < 41_500


def test_one_outlier_is_no_drift() -> None:
    """It counts as the bound, however large it is."""
    rng = random.Random(4)
    values = [rng.random() * 5 for _ in range(3_000)]
    values[2_000] = 1e100

    assert drifts(ECUSUM(), values) == []


def test_nothing_overflows() -> None:
    """The highest threshold, and nothing but errors after none."""
    detector = ECUSUM(THRESHOLD_MAX, warm_up=1_000)
    most = 0.0
    for value in [0.0] * 3_000 + [1.0] * 100:
        detector.update(value)
        most = max(most, *detector._logs)

    assert math.exp(most) < 6 * RATES_N * THRESHOLD_MAX
    assert detector.since_n < 40


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"threshold": 9}, "threshold must be from 10 to 1e15, not 9"),
        ({"threshold": math.nan}, "not nan"),
        ({"threshold": 1e16}, "not 1e\\+16"),
        ({"warm_up": 9}, "warm_up must be from 10 to 100000, not 9"),
        ({"warm_up": 10**7}, "not 10000000"),
    ],
)
def test_arguments_out_of_range_are_refused(arguments: dict[str, Any], told: str) -> None:
    """With the range and what was given."""
    with pytest.raises(ValueError, match=told):
        ECUSUM(**arguments)


def test_its_alert_says_what_any_detectors_does() -> None:
    """A drift with before and after, never a warning."""
    values = list(bits((0.1, 2_000), (0.5, 200), seed=1))
    detector, plain = build(spec("ECUSUM", warm_up=500)), ECUSUM(warm_up=500)

    alerts = [each for each in found(detector, values) if each is not None]
    drifts(plain, values)

    assert len(alerts) == 1
    assert isinstance(alerts[0], Alert)
    assert alerts[0].kind == "drift"
    assert 0.05 < (alerts[0].before or 0) < 0.15 < (alerts[0].after or 0)


def test_a_fold_with_it_comes_back_from_its_snapshot() -> None:
    """Restored in the warm-up, and in the middle of a rise: the same alert, the same digest."""
    rng, watched = random.Random(6), (spec("ECUSUM", "feature:x", warm_up=50),)
    records = [
        event(n, {"x": float(rng.random() < (0.1 if n < 300 else 0.9))}, n % 2 == 0)
        for n in range(400)
    ]
    made = recipe("stream.models:no_change", detectors=watched)
    whole = Task(made, partition=PARTITION)
    alerts = [alert for record in records for alert in whole.step(record).alerts]

    for cut in (20, 305):
        task = Task(made, partition=PARTITION)
        again: list[AlertValue] = []
        for record in records[:cut]:
            again += task.step(record).alerts
        payload = task.pickled()
        assert beginning(made, made.fingerprint()).problem_with(payload) == ""
        task = Task(made, partition=PARTITION, payload=payload)
        for record in records[cut:]:
            again += task.step(record).alerts
        assert again == alerts
        assert task.state.digest == whole.state.digest

    assert [alert.detector for alert in alerts] == ["ECUSUM"]
    assert alerts[0].message.startswith("feature:x rose from 0.")
    assert alerts[0].message.endswith(f'(ECUSUM "ecusum", partition {PARTITION}, offset '
                                      f"{alerts[0].offset})")  # fmt: skip
