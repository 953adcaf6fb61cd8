"""Whether there are topics for commands is asked seldom, and what is found goes for a while."""

from collections.abc import Collection

import pytest

from stream.core.event import COMMANDED, Channel
from stream.errors import Misconfigured, Retryable, StreamError
from stream.runtime.kept_topics import LACKING_S, THERE_S, Readiness
from tests.contract.memory_world import ManualClock


class Asked:
    """Brokers that answer with `problem`, if there is one, and count."""

    def __init__(self) -> None:
        self.problem: StreamError | None = None
        self.channels: list[Collection[Channel]] = []

    def __call__(self, channels: Collection[Channel]) -> None:
        """As `ready_kept_topics`."""
        self.channels.append(channels)
        if self.problem is not None:
            raise self.problem


def test_topics_that_are_there_are_asked_for_once_a_minute() -> None:
    """They may be deleted meanwhile, or a permission may be taken away."""
    asked, clock = Asked(), ManualClock()
    readiness = Readiness(asked, clock)
    for _ in range(5):
        assert readiness.lacks(*COMMANDED) == ""
        assert readiness.lacks(Channel.LEDGER) == ""
    assert asked.channels == [COMMANDED]
    clock.sleep(THERE_S)
    asked.problem = Misconfigured("topics.journal: gone")

    assert readiness.lacks(*COMMANDED) == "topics.journal: gone"


def test_what_is_lacking_is_not_asked_for_at_each_turn_of_the_loop() -> None:
    """It takes a client of its own: predictions would wait for it as long as a command does."""
    asked, clock = Asked(), ManualClock()
    readiness = Readiness(asked, clock)
    asked.problem = Misconfigured("topics.journal: gone")
    for _ in range(20):
        assert readiness.lacks(*COMMANDED) == "topics.journal: gone"
        clock.sleep(LACKING_S / 10)
    assert len(asked.channels) == 2
    assert readiness.lacks(Channel.LEDGER), "others are another matter"
    asked.problem = None
    clock.sleep(LACKING_S)

    assert readiness.lacks(*COMMANDED) == ""


def test_brokers_that_cannot_be_asked_are_not_asked_at_each_turn_either() -> None:
    """A question without an answer takes seconds."""
    asked, clock = Asked(), ManualClock()
    readiness = Readiness(asked, clock)
    asked.problem = Retryable("away")
    for _ in range(5):
        with pytest.raises(Retryable, match="away"):
            readiness.lacks(*COMMANDED)
    assert len(asked.channels) == 1
    asked.problem = None
    clock.sleep(LACKING_S)

    assert readiness.lacks(*COMMANDED) == ""
