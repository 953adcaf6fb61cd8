"""Partitions that somebody added to the events: who may begin, and what is said of the others."""

from contextlib import nullcontext

import pytest

from stream.config import from_mapping
from stream.errors import Retryable
from stream.runtime import assembly
from stream.runtime.room import LOOK_EVERY_S, SAY_EVERY_S, Room
from stream.runtime.topics import Width
from stream.telemetry import LogEvent
from tests.instruments.simulation.clock import ManualClock
from tests.instruments.simulation.doubles import Diary


class _World:
    """The outputs' width, as an administrator sees it."""

    def __init__(self, n: int) -> None:
        self.now = Width(n, "topics.alerts: narrow")
        self.looks_n = 0
        self.is_away = False
        self.clock = ManualClock()
        self.diary = Diary("room", None)
        self.room = Room(
            self.look, known=self.now, clock=self.clock, telemetry=self.diary,
            deadlined=lambda *_: nullcontext(),
        )  # fmt: skip

    def look(self) -> Width:
        self.looks_n += 1
        if self.is_away:
            raise Retryable("Kafka is away")
        return self.now


def test_what_has_a_place_begins_without_a_look() -> None:
    """The usual case costs nothing."""
    world = _World(3)

    assert world.room.admitted({0, 2}) == {0, 2}
    assert world.looks_n == 0


def test_the_old_partitions_begin_and_the_new_one_waits() -> None:
    """It is said at once, and once a minute; the look is every ten seconds."""
    world = _World(2)

    assert world.room.admitted({0, 1, 2}) == {0, 1}
    for _ in range(130):
        world.clock.sleep(1.0)
        assert world.room.admitted(()) == set()

    said_n = world.diary.events().count(LogEvent.PARTITIONS_WAITING)
    assert said_n == 1 + 130 // SAY_EVERY_S
    assert 1 + 130 // LOOK_EVERY_S - 1 <= world.looks_n <= 1 + 130 // LOOK_EVERY_S


def test_it_begins_as_soon_as_somebody_made_a_place() -> None:
    """No restart is needed."""
    world = _World(2)
    world.room.admitted({0, 1, 2, 3})
    world.now = Width(4)
    world.clock.sleep(LOOK_EVERY_S)

    assert world.room.admitted(()) == {2, 3}
    assert not world.room.waiting


def test_what_was_revoked_waits_no_more() -> None:
    """It is another's business."""
    world = _World(1)
    world.room.admitted({1})
    world.room.drop({1})
    world.now = Width(4)
    world.clock.sleep(LOOK_EVERY_S)

    assert world.room.admitted(()) == set()


def test_a_look_that_fails_is_tried_again() -> None:
    """A Kafka that is away for a moment ends nothing."""
    world = _World(1)
    world.is_away = True
    assert world.room.admitted({0, 1}) == {0}
    world.is_away, world.now = False, Width(2)
    world.clock.sleep(LOOK_EVERY_S)

    assert world.room.admitted(()) == {1}


def _lonely(session_s: float | None) -> tuple[Room, ManualClock, Diary]:
    clock, diary = ManualClock(), Diary("room", None)
    room = Room(
        lambda: Width(1), known=Width(1), session_s=session_s, clock=clock, telemetry=diary,
        deadlined=lambda *_: nullcontext(),
    )  # fmt: skip
    return room, clock, diary


def test_a_worker_without_partitions_says_how_long_that_may_last() -> None:
    """The group waits for the session of one that was killed; once, and with the seconds left."""
    room, clock, diary = _lonely(session_s=6.0)
    for _ in range(100):
        clock.sleep(0.1)
        room.admitted(())

    ((event, fields),) = diary.said
    assert event is LogEvent.NO_PARTITIONS_YET
    assert 3.5 < float(str(fields["within_s"])) <= 4.0
    assert "worker.instance" in str(fields["why"])


def test_a_worker_that_stays_without_partitions_says_that_it_is_spare() -> None:
    """Once the session of any dead member is over; an hour of idling adds nothing to that."""
    room, clock, diary = _lonely(session_s=6.0)
    for _ in range(3600):
        clock.sleep(1.0)
        room.admitted(())

    (_, first), (event, fields) = diary.said
    assert event is LogEvent.NO_PARTITIONS_YET
    assert "within_s" in first
    assert "within_s" not in fields
    assert "this one is spare" in str(fields["why"])


def test_one_that_gets_a_partition_late_is_not_called_spare() -> None:
    """Neither then, nor when it loses that partition again: what was revoked is said anyway."""
    room, clock, diary = _lonely(session_s=6.0)
    clock.sleep(5.0)
    room.admitted(())
    clock.sleep(4.0)
    room.admitted({0})
    room.drop({0})
    clock.sleep(60.0)
    room.admitted(())

    assert len(diary.said) == 1


@pytest.mark.parametrize("instance", [None, "c"])
def test_every_worker_of_a_group_speaks_of_it(instance: str | None) -> None:
    """A name spares its own restart the wait; it makes no partition for a spare worker."""
    kafka = {"client": "confluent"}
    settings = from_mapping({
        "pipeline": "p", "kafka": kafka, "model": {"factory": "stream.models:logistic_regression"},
        "worker": {} if instance is None else {"instance": instance},
    })  # fmt: skip

    assert assembly._session_s(settings) == settings.timings.session_timeout_ms / 1000


def test_partitions_that_come_soon_are_no_reason_to_speak() -> None:
    """Nor later ones; nor is there anything to wait for without a group."""
    room, clock, diary = _lonely(session_s=6.0)
    clock.sleep(1.0)
    room.admitted({0})
    clock.sleep(60.0)
    room.admitted(())
    alone, clock, other = _lonely(session_s=None)
    clock.sleep(60.0)
    alone.admitted(())

    assert diary.said == other.said == []
