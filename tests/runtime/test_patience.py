"""A server that has just started is waited for, one that is not there is not."""

import pytest

from stream.errors import NotReady, Retryable
from stream.runtime import patience
from stream.runtime.patience import Patience


class _Starting:
    """Answers after so many refusals."""

    kind = "an adapter"

    def __init__(self, refusals_n: int, error: type[Retryable] = NotReady) -> None:
        self.refusals_n, self.error, self.asked_n = refusals_n, error, 0

    def describe(self, name: str, *, more: int) -> tuple[str, int]:
        """As a port's method."""
        self.asked_n += 1
        if self.asked_n <= self.refusals_n:
            raise self.error("CoordinatorNotAvailable")
        return name, more


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "EVERY_S", 0.001)
    monkeypatch.setattr(patience, "SILENT_S", 0.01)


def test_a_call_is_made_again_until_the_server_is_ready() -> None:
    """Whatever it is called with, and with a word when it takes long, once."""
    said: list[str] = []
    starting = _Starting(60)

    answer = Patience(said.append, wait_s=30).through(starting).describe("x", more=3)

    assert answer == ("x", 3)
    assert starting.asked_n == 61
    assert said == ["waiting up to 30 s: CoordinatorNotAvailable"]


def test_what_is_ready_soon_is_not_mentioned() -> None:
    """Nobody needs to know."""
    said: list[str] = []
    adapter = Patience(said.append, wait_s=30).through(_Starting(1))

    assert adapter.describe("x", more=3) == ("x", 3)
    assert adapter.kind == "an adapter"
    assert said == []


def test_the_wait_has_an_end_over_all_calls() -> None:
    """A command does not wait anew for each of its questions."""
    patient = Patience(lambda _text: None, wait_s=0.05)
    first, second = _Starting(10**6), _Starting(10**6)

    with pytest.raises(NotReady):
        patient.through(first).describe("x", more=1)
    with pytest.raises(NotReady):
        patient.through(second).describe("x", more=1)

    assert second.asked_n == 1


def test_a_server_that_nobody_reaches_is_not_waited_for() -> None:
    """A wrong address is told at once."""
    starting = _Starting(1, Retryable)

    with pytest.raises(Retryable):
        Patience(lambda _text: None).through(starting).describe("x", more=1)

    assert starting.asked_n == 1


def test_a_worker_that_works_does_not_wait() -> None:
    """It has a loop of its own, and a call that waits would be taken for one that hangs."""
    patient = Patience(lambda _text: None)
    starting = _Starting(1)
    patient.end()

    with pytest.raises(NotReady):
        patient.through(starting).describe("x", more=1)
