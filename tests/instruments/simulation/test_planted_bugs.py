"""The simulation itself under test: it must find mistakes that we plant."""

from collections.abc import Callable

import pytest

from tests.instruments.simulation.hunt import hunt
from tests.instruments.simulation.planted import BUGS

BUGS_N_MIN = 50

SHOWN_BY = {
    "a lost commit sent again": 79,
    "group metadata taken late": 10,
    "offsets read that are not stable": 831,
    "a broken read taken for the end": 177,
    "a replay that is not proved": 191,
    "a snapshot of another topic loaded": 486,
    "a snapshot under another's key loaded": 213,
    "chunks of two writes under one name": 149,
    "a closed state opened when a fold goes back": 212,
    "an alert resolved twice after a restart": 21,
    "alerts forgotten when settings change": 150,
    "repeats of an alert not in the snapshot": 172,
    "a command done twice after a restart": 78,
    "the journal's number not in the snapshot": 74,
    "feature names not in the snapshot": 14,
    "events polled before a resume folded twice": 234,
    "a record of the journal not seen yet taken for none": 74,
    "a freeze not in the snapshot": 78,
    "an operator's pause forgotten by the next owner": 303,
    "a frozen model that learns": 74,
    "a reset that keeps what is not committed": 308,
    "a snapshot of an uncommitted state": 10,
    "outputs of a lost commit kept": 11,
    "a seek that failed taken for a good one": 241,
    "a commit before the flush is checked": 57,
    "a lost offset begins again": 166,
    "events passed over in silence": 31,
    "an event refused for a gap of the model's": 27,
    "refusals of a lost commit counted twice": 21,
    "a model that is kept begins untrained": 54,
    "a base that is not written": 22,
    "a monitor fed before the event is accepted": 21,
    "a block that ends with a poll": 40,
    "a restore forgotten when it fails": 83,
    "steps counted anew when a model is kept": 54,
    "events of a block not in the snapshot": 239,
    "commands passed over that were only read": 10,
    "offsets of an aborted transaction kept": 10,
    "commands of a lost commit not read again": 10,
    "commands of a former stay folded": 10,
    "a break not in the snapshot": 80,
    "the last good copy not in the snapshot": 856,
    "no copy to undo from after a break": 75,
    "an unfreeze that does not arm the breaker": 80,
    "a cool-down not in the snapshot": 663,
    "a reaction to the end of an alert": 41,
    "a reaction to an alert that is not announced": 10,
    "a command counted as a record": 97,
    "commands among the steps not in the snapshot": 1428,
}
"""Seeds to begin with, of those that many others do not show; `scripts/simulate --planted`."""


@pytest.mark.parametrize("name", BUGS)
def test_a_planted_bug_is_found(name: str, record_property: Callable[[str, object], None]) -> None:
    """A mistake that no seed shows means that the simulation is too weak."""
    first = SHOWN_BY.get(name, 0)
    found = hunt(name, first=first, seeds_max=10)
    if found.seeds_n is None:  # the schedules have changed since
        first = 0
        found = hunt(name)

    assert found.seeds_n is not None, f"not found: {name}"
    record_property("seeds", (first, first + found.seeds_n))


def test_there_are_enough_planted_bugs() -> None:
    """Each is in the list once, and hints are of those in the list."""
    assert len(BUGS) >= BUGS_N_MIN
    assert SHOWN_BY.keys() <= BUGS.keys()
