"""The simulation itself under test: it must find mistakes that we plant."""

from collections.abc import Callable

import pytest

from tests.instruments.simulation.hunt import hunt
from tests.instruments.simulation.planted import BUGS

BUGS_N_MIN = 50

SHOWN_BY = {
    "a lost commit sent again": 265,
    "offsets read that are not stable": 152,
    "a broken read taken for the end": 54,
    "a replay that is not proved": 69,
    "a snapshot of another topic loaded": 204,
    "a snapshot under another's key loaded": 204,
    "chunks of two writes under one name": 19,
    "alerts forgotten when settings change": 186,
    "repeats of an alert not in the snapshot": 41,
    "a command done twice after a restart": 595,
    "events polled before a resume folded twice": 41,
    "a record of the journal not seen yet taken for none": 303,
    "a freeze not in the snapshot": 63,
    "an operator's pause forgotten by the next owner": 392,
    "a frozen model that learns": 15,
    "a reset that keeps what is not committed": 156,
    "a seek that failed taken for a good one": 155,
    "a commit before the flush is checked": 56,
    "events passed over in silence": 113,
    "refusals of a lost commit counted twice": 21,
    "a model that is kept begins untrained": 58,
    "a base that is not written": 37,
    "a monitor fed before the event is accepted": 19,
    "steps counted anew when a model is kept": 58,
    "events of a block not in the snapshot": 181,
    "offsets of an aborted transaction kept": 39,
    "commands of a lost commit not read again": 41,
    "commands of a former stay folded": 10,
    "a break not in the snapshot": 63,
    "the last good copy not in the snapshot": 158,
    "no copy to undo from after a break": 94,
    "an unfreeze that does not arm the breaker": 1406,
    "a cool-down not in the snapshot": 1261,
    "a reaction to the end of an alert": 41,
    "a reaction to an alert that is not announced": 10,
    "outputs of a revoked partition committed": 67,
    "a send repeated": 27,
    "aborted events replayed": 25,
    "a signature not checked": 33,
    "an older recipe takes over from a newer one": 173,
    "a correction scored": 28,
    "labels that wait for no event": 86,
    "labels of a paused partition folded": 28,
    "labels not learned again after an undo": 31,
    "one of two early labels lost": 63,
    "a refused label taken for an event's outcome": 877,
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
