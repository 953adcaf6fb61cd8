"""What a copy of a state costs, and how often one is taken for undoing alone."""

import pytest

from stream.runtime.copies import SHARE_MAX, UNDO_LONG, CopyPace, Costs
from tests.runtime.surroundings import LARGE, Surroundings, events, folded, step


@pytest.mark.parametrize(("large_n", "is_due"), [(0, False), (3, False), (4, True)])
def test_a_copy_for_undoing_is_due_when_the_way_back_is_long(large_n: int, *, is_due: bool) -> None:
    """Before the first one none has cost anything."""
    task = folded([*events(1), *[LARGE] * large_n])

    assert CopyPace(Surroundings().clock).is_due(task) == is_due
    assert (task.undo_length >= UNDO_LONG) == is_due


def test_a_dear_copy_is_paid_off_before_the_next() -> None:
    """So that they take no more than their share of a core, whatever one costs."""
    at = Surroundings()
    pace, task = CopyPace(at.clock), folded([*events(1), *[LARGE] * 5])
    pace.took(0.5)
    at.clock.sleep(0.5 / SHARE_MAX - 0.1)
    early = pace.is_due(task)
    at.clock.sleep(0.2)

    assert (early, pace.is_due(task)) == (False, True)


def test_of_what_was_never_pickled_the_worst_is_expected() -> None:
    """A child takes it; of another partition nothing is concluded, nor of a state that is gone."""
    costs, task = Costs(), folded(events(2))
    costs.note(1, took_s=0.1, learned=2)
    unknown = costs.predicted_s(task)
    costs.note(0, took_s=0.1, learned=2)
    known = costs.predicted_s(task)
    costs.forget(0)

    assert (unknown, known, costs.predicted_s(task)) == (float("inf"), 0.1, float("inf"))


@pytest.mark.parametrize(
    ("learned_then", "expected_s"), [(20, 0.1), (10, 0.1), (5, 0.2), (1, 1.0), (0, 1.0)]
)
def test_a_state_costs_more_by_as_much_as_it_has_learned_more(
    learned_then: int, expected_s: float
) -> None:
    """Never less: what it has, it keeps."""
    costs, task = Costs(), folded(events(10))
    costs.note(0, took_s=0.1, learned=learned_then)

    assert costs.predicted_s(task) == pytest.approx(expected_s)


def test_the_last_price_counts() -> None:
    """A model may have grown, or its machine may be busy."""
    costs, task = Costs(), folded(events(4))
    costs.note(0, took_s=9.0, learned=4)
    step(task, events(4))
    costs.note(0, took_s=0.2, learned=8)

    assert costs.predicted_s(task) == pytest.approx(0.2)
