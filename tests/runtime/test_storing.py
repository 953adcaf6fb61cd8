"""What is stored and what is removed; how an absent store and an unreadable state are told."""

import pytest

from stream.core.fold.task import Task
from stream.core.snapshots.seal import Header, unseal
from stream.errors import BadInput, Misconfigured, Retryable
from stream.runtime.packing import packed, unpacked
from stream.runtime.retention import Policy
from stream.runtime.seldom import SAY_EVERY_S, Seldom
from stream.runtime.storing import How, Storing
from stream.telemetry import LogEvent, Metric
from tests.runtime.surroundings import KEYS, RECIPE, Surroundings, events, folded

HOW = How("in line", took_s=0.002, stalled_s=0.001)


class Room(Surroundings):
    """What stores."""

    def __init__(self, *, keep: int = 2, retention_s: float | None = None) -> None:
        super().__init__()
        self.storing = Storing(
            self.store,
            policy=Policy(replay_budget_s=1.0, keep=keep, retention_s=retention_s),
            key=KEYS.signing,
            clock=self.clock,
            telemetry=self.diary,
        )

    def header(self, task: Task) -> Header:
        """Of a snapshot of the task's state."""
        return task.header(topic_id=self.topic_id, taken_at_ms=0)

    def save(self, n: int) -> None:
        """Store the state after so many events."""
        task = folded(events(n))
        self.storing.check_and_save(task, self.header(task), task.pickled(), HOW)

    @property
    def stored(self) -> list[int]:
        """The steps of those that there are."""
        return [each.n for each in self.store.stored(0)]


def test_what_was_saved_is_sealed_and_said() -> None:
    """With what its owner wants to know: its size, and how long the loop stood still for it."""
    at = Room()

    at.save(3)

    sealed = at.store.load(0, 3, len)
    assert sealed is not None
    header, payload = unseal(sealed, KEYS)
    assert Task(RECIPE, partition=0, payload=payload).metadata() == folded(events(3)).metadata()
    assert (header.n, header.topic_id) == (3, at.topic_id)
    (stored,) = at.store.stored(0)
    assert (stored.next_offset, stored.topic_id) == (3, at.topic_id)
    assert at.said(LogEvent.SNAPSHOT_SAVED) == [
        {"partition": 0, "n": 3, "next_offset": 3, "size_bytes": len(sealed), "how": "in line",
         "took_ms": 2.0, "stalled_ms": 1.0}
    ]  # fmt: skip
    assert at.diary.counted() == {"snapshots_saved_total": 1}


def test_older_ones_make_room_only_when_the_new_one_is_there() -> None:
    """As many are kept as was asked for; while the store takes none, none is taken out."""
    at = Room(keep=2)
    for n in (1, 2, 3):
        at.save(n)
    kept = at.stored
    at.fail["save:before"] = [Retryable("full")]
    at.save(4)

    assert (kept, at.stored) == ([3, 2], [3, 2])


def test_one_of_half_the_retention_s_age_is_kept_by_the_clock_of_this_machine() -> None:
    """A rollback can begin from it while the log reaches back."""
    at = Room(keep=1, retention_s=100.0)
    at.save(1)
    at.clock.sleep(51.0)
    at.save(2)
    at.save(3)

    assert at.stored == [3, 1]


@pytest.mark.parametrize("kind", [Retryable, Misconfigured, BadInput])
@pytest.mark.parametrize("step", ["save:before", "stored", "remove:before"])
def test_a_store_that_is_away_costs_a_line_a_minute_and_nothing_else(
    kind: type[Exception], step: str
) -> None:
    """It is a cache: every failure is counted, and the next snapshot is tried as ever."""
    at = Room(keep=1)
    at.save(1)
    at.fail[step] = [kind("away")] * 3
    for n in (2, 3):
        at.save(n)
    at.clock.sleep(SAY_EVERY_S)
    at.save(4)
    at.save(5)

    told = at.said(LogEvent.SNAPSHOTS_UNREACHABLE)
    assert [str(fields["error"]) for fields in told] == ["away"] * 2
    assert at.diary.counters[Metric.SNAPSHOTS_FAILED] == 3
    assert at.stored[0] == 5


def test_a_mistake_of_ours_is_no_failure_of_the_store() -> None:
    """It goes through to whoever asks for the job's result."""
    at = Room()
    at.fail["save:before"] = [ZeroDivisionError("ours")]

    with pytest.raises(ZeroDivisionError):
        at.save(1)
    assert at.diary.said == []


def test_what_would_not_come_back_is_told_and_the_older_one_stays() -> None:
    """All are counted, one a minute is told; and it says why."""
    at = Room(keep=1)
    at.save(1)
    task = folded(events(2))
    for _ in range(2):
        at.storing.check_and_save(task, at.header(task), b"no pickle", HOW)

    (fields,) = at.said(LogEvent.SNAPSHOT_UNREADABLE)
    assert (fields["partition"], fields["next_offset"]) == (0, 2)
    assert fields["why"] == task.problem_with(b"no pickle") != ""
    assert at.diary.counters[Metric.SNAPSHOTS_UNREADABLE] == 2
    assert at.stored == [1]


def test_the_two_troubles_do_not_silence_each_other() -> None:
    """Each has its own minute."""
    at = Room()
    task = folded(events(2))
    at.fail["save:before"] = [Retryable("away")]
    at.save(1)
    at.storing.say_unreadable(at.header(task), "why")

    assert at.diary.events() == [LogEvent.SNAPSHOTS_UNREACHABLE, LogEvent.SNAPSHOT_UNREADABLE]


def test_the_same_trouble_is_said_once_a_minute() -> None:
    """At once, then when a minute has passed since it was last said, not last asked."""
    at = Surroundings()
    seldom, said_at = Seldom(at.clock), []
    for second in range(0, 181, 20):
        if seldom.is_due():
            said_at.append(second)
        at.clock.sleep(20.0)

    assert said_at == [0, 60, 120, 180]


@pytest.mark.parametrize("is_checked", [True, False])
def test_a_child_hands_back_its_pickle_and_how_long_it_read_it_back(*, is_checked: bool) -> None:
    """A sound state has no problem."""
    task = folded(events(4))
    at = Surroundings(tick_s=0.25)

    found = unpacked(packed(task, at.clock, is_checked=is_checked))

    assert found.payload == task.pickled()
    assert (found.checking_s, found.problem) == (0.25, "")


class _Odd(Task):
    """Its state is pickled well, and would not come back."""

    def problem_with(self, payload: bytes) -> str:
        """See `Task.problem_with`."""
        return f"{len(payload)} bytes of “naïve” state"


@pytest.mark.parametrize("is_checked", [True, False])
def test_a_child_hands_back_why_a_pickle_would_not_come_back(*, is_checked: bool) -> None:
    """Whatever letters it is told in; only where it was asked."""
    task = _Odd(RECIPE, partition=0)

    found = unpacked(packed(task, Surroundings().clock, is_checked=is_checked))

    assert found.payload == task.pickled()
    assert found.problem == (task.problem_with(found.payload) if is_checked else "")
