"""A redrive that dies, or whose log fails, at every step: each record is sent once."""

import threading
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import count

import pytest

from stream.adapters.memory import MemoryBroker, MemoryLog, MemoryReader, MemoryTopics
from stream.adapters.memory.broker import no_faults
from stream.config import Settings, from_mapping
from stream.core.event import Channel, Reason, Record, Rejection
from stream.core.formats.records import quarantined
from stream.core.spec import Limits
from stream.errors import Fenced, Retryable
from stream.ports import Clock, Feed, SnapshotStore
from stream.runtime.commands import quarantine
from stream.runtime.commands.redrive import redrive
from stream.telemetry import Telemetry
from tests.instruments.simulation.clock import ManualClock
from tests.instruments.simulation.faults import Crash
from tests.instruments.simulation.world import NAMES, PIPELINE

SETTINGS = from_mapping(
    {"pipeline": PIPELINE, "model": {"factory": "stream.models:logistic_regression"}}
)
REASONS = (Reason.BAD_LABEL, Reason.NOT_JSON)
STEPS = [
    "poll", "committed", "bounds", "read", "send",
    *(f"{s}:{w}" for s in ("begin", "offsets", "end") for w in ("before", "after")),
]  # fmt: skip


@dataclass(frozen=True)
class Rooms:
    """A pipeline in memory, with what a redrive asks of it."""

    broker: MemoryBroker
    stopping: threading.Event
    telemetry: Telemetry
    is_backwards: bool = False
    settings: Settings = SETTINGS

    @property
    def environ(self) -> Mapping[str, str]:
        """Nothing."""
        return {}

    @property
    def backend(self) -> "Rooms":
        """It opens its adapters itself."""
        return self

    def is_idle(self) -> bool:
        """There is nothing to wait for."""
        return False

    def backwards(self) -> "Rooms":
        """See `Backend.backwards`."""
        return replace(self, is_backwards=True)

    def _names(self) -> dict[Channel, str]:
        if not self.is_backwards:
            return NAMES
        there, back = Channel.EVENTS, Channel.QUARANTINE
        return NAMES | {there: NAMES[back], back: NAMES[there]}

    def _group(self) -> str:
        return f"{PIPELINE}.redrive" if self.is_backwards else PIPELINE

    def log(self, *, record_bytes_max: int | None = None) -> MemoryLog:  # noqa: ARG002
        """A member with the stable name, as the command line makes it."""
        return MemoryLog(self.broker, names=self._names(), group=self._group(), instance="redrive")

    def reader(self) -> MemoryReader:
        """Small batches, so that there are several commits."""
        return MemoryReader(
            self.broker, names=self._names(), group=self._group(), batch_records_max=3
        )

    def topics(self) -> MemoryTopics:
        """As any."""
        return MemoryTopics(self.broker, names=self._names())

    def clock(self) -> Clock:
        """The broker's."""
        return self.broker.clock

    def feed(self, *, channel: Channel = Channel.EVENTS) -> Feed:  # noqa: ARG002
        """Nobody asks."""
        raise AssertionError

    def snapshots(self) -> SnapshotStore:
        """Nobody asks."""
        raise AssertionError

    def ask_snapshots(self) -> str | None:
        """Nobody asks."""
        raise AssertionError

    def end_patience(self) -> None:
        """Nothing here waits."""


def _rooms() -> Rooms:
    """Two partitions with eleven refused records each, for two reasons in turn."""
    broker = MemoryBroker(clock=ManualClock())
    for channel in Channel:
        broker.create(NAMES[channel], partitions=2)
    for n in range(22):
        partition, offset = n % 2, n // 2
        output = quarantined(
            Record(partition, offset, n, b"k", f"{partition}-{offset}".encode()),
            Rejection(REASONS[offset % 2], "because"),
            pipeline=PIPELINE, topic=NAMES[Channel.EVENTS], limits=Limits(value_bytes_max=100),
        )  # fmt: skip
        broker.append(
            NAMES[Channel.QUARANTINE], partition, value=output.value, headers=output.headers
        )
    return Rooms(broker, threading.Event(), Telemetry())


def _sent(rooms: Rooms) -> list[bytes | None]:
    found: list[bytes | None] = []
    for number in range(2):
        log = rooms.broker.partition(NAMES[Channel.EVENTS], number)
        found += [r.value for r in log.fetch(0, stop=log.stable_end, records_max=999)[0]]
    return found


def _all(*offsets: int) -> list[bytes]:
    return [f"{p}-{offset}".encode() for p in range(2) for offset in offsets]


@pytest.mark.parametrize("fault", ["crash", "away"])
@pytest.mark.parametrize("step", STEPS)
def test_a_fault_at_any_step_and_each_is_sent_once(step: str, fault: str) -> None:
    """First a run for one reason, then one for all; the second goes on where the first was."""
    for nth in count(1):
        rooms, left = _rooms(), [nth]

        def fail(name: str, left: list[int] = left) -> None:
            left[0] -= name == step
            if name == step and not left[0]:
                raise Crash.at(step) if fault == "crash" else Retryable(step)

        rooms.broker.faults = fail
        for reason in ("not_json", None):
            try:
                redrive(rooms, reason=reason, dry_run=False)
            except (Crash, Retryable):
                sent = _sent(rooms)
                assert len(sent) == len(set(sent))
        if left[0] > 0:
            break
        rooms.broker.faults = no_faults
        redrive(rooms, reason=None, dry_run=False)

        assert sorted(v or b"" for v in _sent(rooms)) == sorted(_all(*range(11)))
    assert nth > 2, "the fault never happened"


def test_an_older_redrive_commits_nothing_once_a_younger_one_ran() -> None:
    """It stood still in the middle of a commit; then it is fenced."""
    rooms, seen = _rooms(), [0]

    def overtake(name: str) -> None:
        seen[0] += name == "offsets:before"
        if name == "offsets:before" and seen[0] == 2:
            redrive(rooms, reason=None, dry_run=False)

    rooms.broker.faults = overtake
    with pytest.raises((Fenced, Retryable)):
        redrive(rooms, reason=None, dry_run=False)

    assert _sent(rooms) == _all(*range(11))


def test_what_another_sent_meanwhile_is_not_sent_again() -> None:
    """What counts is what is committed once nobody else can commit any more."""
    rooms, is_first = _rooms(), [True]

    def overtake(name: str) -> None:
        if name == "poll" and is_first[0]:
            is_first[0] = False
            redrive(rooms, reason=None, dry_run=False)

    rooms.broker.faults = overtake
    redrive(rooms, reason=None, dry_run=False)

    assert not is_first[0]
    assert _sent(rooms) == _all(*range(11))


def test_a_stop_signal_ends_it_between_two_commits(capsys: pytest.CaptureFixture[str]) -> None:
    """What was sent stands; the next run sends the rest."""
    rooms = _rooms()

    def stop(name: str) -> None:
        if name == "end:after":
            rooms.stopping.set()

    rooms.broker.faults = stop
    redrive(rooms, reason=None, dry_run=False)
    first = _sent(rooms)
    rooms.stopping.clear()
    rooms.broker.faults = no_faults
    redrive(rooms, reason=None, dry_run=False)

    assert first == [b"0-0", b"0-1", b"0-2"]
    assert _sent(rooms) == _all(*range(11))
    assert "stopped by a signal, run it again" in capsys.readouterr().out


def test_a_dry_run_changes_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    """It says the same numbers as the run after it."""
    rooms = _rooms()

    redrive(rooms, reason="not_json", dry_run=True)
    assert _sent(rooms) == []
    assert not rooms.broker.group(f"{PIPELINE}.redrive").offsets
    redrive(rooms, reason="not_json", dry_run=False)

    dry, done = capsys.readouterr().out.splitlines()
    assert dry == done.replace(" sent ", " would be sent ")
    assert _sent(rooms) == _all(1, 3, 5, 7, 9)


def test_another_pipelines_records_in_a_shared_topic_are_passed_over() -> None:
    """They are its own business."""
    rooms = _rooms()
    own = quarantine.TO
    output = quarantined(
        Record(0, 99, 0, None, b"another's"), Rejection(Reason.NOT_JSON, ""),
        pipeline="another", topic="t", limits=Limits(value_bytes_max=100),
    )  # fmt: skip
    rooms.broker.append(NAMES[own], 0, value=output.value, headers=output.headers)
    rooms.broker.append(NAMES[own], 0, value=b"no header at all")

    redrive(rooms, reason=None, dry_run=False)

    assert _sent(rooms) == _all(*range(11))
