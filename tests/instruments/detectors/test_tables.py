"""The instrument that compares detectors judges as it says."""

from itertools import repeat
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

from stream.core.monitoring.detected import Alert
from tests.core.monitoring.detector_reference import bits
from tests.instruments.detectors.__main__ import judged, main, of_sine, rates
from tests.instruments.detectors.candidates import Candidate, delay_n, is_worse, run
from tests.instruments.detectors.streams import alarms_with_reset, errors

if TYPE_CHECKING:
    from tests.data import Row

QUICK = Candidate("quick", "ECUSUM", {"threshold": 10_000.0, "warm_up": 100})


@pytest.mark.parametrize(
    ("kind", "before", "after", "worse"),
    [("drift", 0.1, 0.2, True), ("drift", 0.2, 0.1, False), ("drift", None, 0.2, True),
     ("warning", 0.1, 0.2, False)],
)  # fmt: skip
def test_only_a_drift_for_the_worse_counts(
    kind: str, before: float | None, after: float, worse: bool
) -> None:
    """Not a warning, and not that the error fell; where nobody knows, it does."""
    alert = Alert(kind, QUICK.spec(), before, after)  # type: ignore[arg-type]  # one of two words

    assert is_worse(alert) == worse


def test_the_first_alarm_after_a_drift_finds_it_and_all_others_are_false() -> None:
    """Late ones, second ones, and those before."""
    alarms = [19_999, 20_030, 20_100, 46_000, 60_000, 84_999]

    assert judged(alarms) == ([30, 0, 4_999], 3)
    assert list(of_sine([alarms, [], [20_030]])) == ["4 of 12", "1265", "1.0"]


def test_a_run_counts_what_a_detector_finds() -> None:
    """One rise: one for the worse; one delay, and none where nothing changes."""
    values = list(bits((0.1, 2_000), (0.9, 50), seed=1))

    ran = run(QUICK, values)

    assert len(ran.worse) == 1
    assert ran.worse[0] >= 2_000
    assert ran.better_n == 0
    assert run(Candidate("half", "ECUSUM", QUICK.params, share=0.5), values).worse == []
    assert delay_n(QUICK, values[:2_000], values[2_000:]) == ran.worse[0] - 2_000 + 1
    assert delay_n(QUICK, [], repeat(0.0, 500)) is None


def test_the_tree_begins_anew_at_an_alarm() -> None:
    """Labels turn round: with a reset the tree is wrong for a while, without it for long."""
    events: list[tuple[Row, Any]] = [
        ({"x": index % 7}, (index % 7 > 3) == (index < 3_000)) for index in range(6_000)
    ]

    at = alarms_with_reset(QUICK, events)
    left = iter(range(6_000))
    anew = errors(events, lambda _: next(left) in at)

    assert len(at) == 1
    assert 3_000 <= at[0] < 3_100
    assert sum(errors(events)[3_000:]) > 3 * sum(anew[3_000:])


def test_a_table_has_a_row_for_each_chosen_candidate() -> None:
    """As many cells as its head, and numbers in them."""
    cells = list(rates(QUICK, 1))
    done = CliRunner().invoke(main, ["rates", "--only", "ADWIN, ", "--runs", "1"])
    head, _, row = done.output.splitlines()

    assert done.exit_code == 0
    assert len(cells) == head.count("|") - 2 == row.count("|") - 2
    assert all(float(cell) >= 0 for cell in cells)
    assert row.startswith("| ADWIN, delta 1e-5 |")
