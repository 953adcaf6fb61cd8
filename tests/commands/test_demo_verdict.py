"""What the demo concludes from what it read: the comparison, its evidence, its baselines."""

import json
import random
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import msgspec
import pytest

from stream.core.event import Record
from stream.core.fold.alert_values import detected, raw
from stream.core.monitoring.detectors import Detector
from stream.core.spec import DetectorSpec
from stream.demo.chart import nice_ticks
from stream.demo.follower import Drift, Follower
from stream.demo.pipelines import STEADY
from stream.demo.plots import majority
from stream.demo.verdict import Verdict, judge

if TYPE_CHECKING:
    from stream.ports import Reader


@pytest.mark.parametrize(("before", "after", "worse"), [(0.1, 0.5, True), (0.5, 0.1, False)])
def test_a_drift_says_on_how_many_flights_it_stands_and_which_way(
    before: float, after: float, *, worse: bool
) -> None:
    """0 % of 148 is no 0 % of 10,000; and fewer errors are no alarm."""
    drawn, detector = random.Random(3), Detector(DetectorSpec(name="adwin", type="ADWIN"))
    follower = Follower(STEADY, cast("Reader", None))
    for offset in range(4_000):
        wrong = drawn.random() < (before if offset < 2_000 else after)
        follower.answers.append((not wrong, True))
        if (alarm := detector.update(float(wrong))) is not None:
            record = Record(0, offset, 0, None, None)
            alert = raw(record, detected(record, alarm, None), pipeline="demo", learned=0)
            drift = Drift(**msgspec.structs.asdict(alert))
            follower._count_evidence(drift)
            follower.drifts.append(drift)

    drift = follower.drifts[0]
    errors = [float(said != label) for said, label in follower.answers[: drift.offset + 1]]
    assert drift.before_n + drift.after_n == len(errors)
    assert drift.evidence.before == sum(errors[: drift.before_n]) / drift.before_n
    assert drift.evidence.after == sum(errors[drift.before_n :]) / drift.after_n
    assert (drift.worse, follower.alarms_n > 0) == (worse, worse)
    assert f" of {drift.before_n:,} -> " in drift.text()
    assert all(other.before_n and other.after_n for other in follower.drifts)


def test_the_commoner_answer_is_that_of_before() -> None:
    """A baseline that sees the label it guesses would be none."""
    labels = [True, True, False, False, False, False, True]

    hits = majority([(None, label) for label in labels])

    assert hits == [False, True, False, False, True, True, False]


def test_ticks_are_round_and_inside() -> None:
    """Of a share, of seconds, of thousands, of days; and of a span that is nothing."""
    assert nice_ticks((0.42, 0.71), 4) == [0.5, 0.6, 0.7]
    assert nice_ticks((0, 46.3), 9, step_min=1) == [0, 10, 20, 30, 40]
    assert nice_ticks((0, 23_400), 6) == [0, 5_000, 10_000, 15_000, 20_000]
    assert nice_ticks((14_975.3, 15_050.1), 4, step_min=1) == [14_980, 15_000, 15_020, 15_040]
    assert len(nice_ticks((3.0, 3.0), 5)) <= 1


def published(n: int = 4) -> list[dict[str, Any]]:
    """Prediction records as a worker publishes them."""
    return [
        {"v": 1, "id": f"e-0-{i}", "partition": 0, "offset": i, "prediction": True,
         "probabilities": {"false": 0.1 + 0.2, "true": 0.7}, "label": i % 2 == 0, "learned": i}
        for i in range(n)
    ]  # fmt: skip


def judged(
    folder: Path, records: list[dict[str, Any]], *, alerts: tuple[int, ...] = (2,), offset: int = 4
) -> Verdict:
    """The verdict on `records`, where the plain loop gave `published()` and one alarm, at 2."""
    expected = folder / "expected.jsonl"
    lines = [[r["prediction"], r["probabilities"], r["label"], i == 2] for i, r in
             enumerate(published())]  # fmt: skip
    expected.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    values = [json.dumps(record, separators=(",", ":")).encode() for record in records]
    return judge(values, alerts, committed=offset, expected=expected)


def test_equal_outputs_are_exact(tmp_path: Path) -> None:
    """The same answers in the same order, the same alarms, all of it committed."""
    verdict = judged(tmp_path, published())

    assert verdict.exact
    assert (verdict.expected_n, verdict.published_n, verdict.alarms_n) == (4, 4, 1)


def test_a_missing_prediction_is_seen(tmp_path: Path) -> None:
    """An event without a prediction."""
    verdict = judged(tmp_path, published()[:-1])

    assert (verdict.missing_n, verdict.exact) == (1, False)


def test_a_repeated_prediction_is_seen(tmp_path: Path) -> None:
    """The same bytes twice, which at-least-once would allow."""
    verdict = judged(tmp_path, [*published(), published()[-1]])

    assert (verdict.repeated_n, verdict.missing_n, verdict.exact) == (1, 0, False)


@pytest.mark.parametrize(
    "change",
    [
        {"probabilities": {"false": 0.3, "true": 0.7}},  # one bit less than 0.1 + 0.2
        {"probabilities": {"true": 0.7, "false": 0.1 + 0.2}},
        {"prediction": False},
        {"label": None},
        {"learned": 2},
    ],
)
def test_a_different_prediction_is_seen(tmp_path: Path, change: dict[str, Any]) -> None:
    """One bit, another order of the classes, another answer, label or count."""
    records = published()
    records[1] |= change

    verdict = judged(tmp_path, records)

    assert (verdict.different_n, verdict.exact) == (1, False)


def test_another_order_is_seen(tmp_path: Path) -> None:
    """All are there, but not in the order of the events."""
    first, second, *rest = published()

    assert not judged(tmp_path, [second, first, *rest]).exact


@pytest.mark.parametrize("alerts", [(), (1,), (2, 2), (2, 3)])
def test_other_alarms_are_seen(tmp_path: Path, alerts: tuple[int, ...]) -> None:
    """None, elsewhere, twice, or one more."""
    verdict = judged(tmp_path, published(), alerts=alerts)

    assert (verdict.alarms_equal, verdict.exact) == (False, False)


def test_an_uncommitted_end_is_seen(tmp_path: Path) -> None:
    """A restart would read the last event again."""
    assert not judged(tmp_path, published(), offset=3).exact
