"""What producers say to a broker, call by call: our endpoint must answer as a real one does."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from uuid import uuid4

from tests.instruments.endpoint.codes import Code
from tests.instruments.endpoint.hand import Hand

SHORT_MS = 500
ABORTED_AFTER_S = 2.0
"""A broker looks for transactions that are too old every 200 ms (as the sandbox sets it)."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a conversation takes place.

    Attributes:
        events, outputs: topics of one partition.
    """

    bootstrap: str
    events: str
    outputs: str

    def hand(self, transactional_id: str, *, timeout_ms: int = 10_000) -> Hand:
        """A producer."""
        return Hand(self.bootstrap, transactional_id, timeout_ms=timeout_ms)


Conversation = Callable[[Place], Iterator[Code]]


def a_transaction_commits(place: Place) -> Iterator[Code]:
    """And may be ended again, the same way only."""
    name = _name()
    with place.hand(name) as hand:
        yield from _opened(hand, place, name)
        yield hand.end(commits=True)
        yield hand.end(commits=True)
        yield hand.end(commits=False)


def a_transaction_aborts(place: Place) -> Iterator[Code]:
    """And nothing of it is seen."""
    name = _name()
    with place.hand(name) as hand:
        yield from _opened(hand, place, name)
        yield hand.end(commits=False)
        yield hand.end(commits=False)
        yield hand.end(commits=True)


def nothing_was_begun(place: Place) -> Iterator[Code]:
    """Records and offsets of no open transaction are refused, and so is its end."""
    name = _name()
    with place.hand(name) as hand:
        yield hand.take()
        yield hand.produce(place.outputs, b"never")
        yield hand.stage(name, place.events, 5)
        yield hand.end(commits=True)


def what_was_not_added(place: Place) -> Iterator[Code]:
    """A transaction holds only what it was told of."""
    name = _name()
    with place.hand(name) as hand:
        yield hand.take()
        yield hand.add(f"no-such-topic-{name}", 0)
        yield hand.add_offsets(name)
        yield hand.produce(place.outputs, b"never")
        yield hand.add(place.outputs, 0)
        yield hand.stage(f"{name}-other", place.events, 5)
        yield hand.end(commits=False)


def sequences(place: Place) -> Iterator[Code]:
    """A batch that is sent again is there once; one is missing: refused."""
    name = _name()
    with place.hand(name) as hand:
        yield hand.take()
        yield hand.add(place.outputs, 0)
        yield hand.produce(place.outputs, f"{name} a".encode())
        yield hand.produce(place.outputs, f"{name} b".encode())
        yield hand.produce(place.outputs, f"{name} b".encode(), sequence=1)
        yield hand.produce(place.outputs, b"never", sequence=9)
        yield hand.end(commits=True)


def not_a_member(place: Place) -> Iterator[Code]:
    """Offsets of a generation that is not: refused; of nobody at all: taken (no fencing!)."""
    name = _name()
    with place.hand(name) as hand:
        yield from _opened(hand, place, name)
        yield hand.stage(name, place.events, 5, generation=3, member="nobody")
        yield hand.stage(name, place.events, 5, generation=3)
        yield hand.stage(name, place.events, 7)
        yield hand.end(commits=True)


def a_wrong_producer_id(place: Place) -> Iterator[Code]:
    """Not that of the transactional id."""
    name = _name()
    with place.hand(name) as hand:
        yield from _opened(hand, place, name)
        hand.producer_id += 5_000
        yield hand.add(place.outputs, 0)
        yield hand.add_offsets(name)
        yield hand.produce(place.outputs, b"never")
        yield hand.stage(name, place.events, 5)
        yield hand.end(commits=True)


def taken_over(place: Place) -> Iterator[Code]:
    """A younger producer takes the id: what the older left open is gone, and so is the older."""
    name = _name()
    with place.hand(name) as older, place.hand(name) as younger:
        yield from _opened(older, place, name)
        yield from _opened(younger, place, name)
        yield older.add(place.outputs, 0)
        yield older.add_offsets(name)
        yield older.produce(place.outputs, b"never")
        yield older.stage(name, place.events, 99)
        yield older.end(commits=True)
        yield older.end(commits=False)
        yield younger.end(commits=True)
        yield older.take(known=(older.producer_id, older.epoch))


def taken_back(place: Place) -> Iterator[Code]:
    """An older producer that asks for a new epoch ends what the younger has open (a broker's)."""
    name = _name()
    with place.hand(name) as older, place.hand(name) as younger:
        yield older.take()
        yield from _opened(younger, place, name)
        yield older.take(known=(older.producer_id, older.epoch))
        yield younger.produce(place.outputs, b"never")
        yield younger.end(commits=True)


def too_old(place: Place) -> Iterator[Code]:
    """A transaction that ran out was aborted, and its producer fenced; it may take the id back."""
    name = _name()
    with place.hand(name, timeout_ms=SHORT_MS) as hand:
        yield from _opened(hand, place, name)
        time.sleep(ABORTED_AFTER_S)
        yield hand.add(place.outputs, 0)
        yield hand.add_offsets(name)
        yield hand.produce(place.outputs, b"never")
        yield hand.stage(name, place.events, 99)
        yield hand.end(commits=True)
        yield hand.take(known=(hand.producer_id, hand.epoch))
        yield hand.end(commits=False)


ALL: tuple[Conversation, ...] = (
    a_transaction_commits, a_transaction_aborts, nothing_was_begun, what_was_not_added, sequences,
    not_a_member, a_wrong_producer_id, taken_over, taken_back, too_old,
)  # fmt: skip


def _name() -> str:
    return f"conversation-{uuid4().hex[:8]}"


def _opened(hand: Hand, place: Place, name: str) -> Iterator[Code]:
    """One record and one offset are in a transaction."""
    yield hand.take()
    yield hand.add(place.outputs, 0)
    yield hand.produce(place.outputs, name.encode())
    yield hand.add_offsets(name)
    yield hand.stage(name, place.events, 5)
