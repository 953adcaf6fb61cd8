"""The labels topic is read ahead, waited for as long as patience says, and told from another."""

import threading
import time
from contextlib import closing

import pytest

from stream.adapters.memory import MemoryReader
from stream.core.event import Channel
from stream.core.formats.commands import mark_of
from stream.core.snapshots.metadata import NOWHERE, Reached
from stream.errors import Misconfigured, Retryable
from stream.ports import Bounds
from stream.runtime import labels_look
from stream.runtime.clock import SystemClock
from stream.runtime.labels_topic import LabelsTopic
from stream.runtime.looking import Looking
from stream.telemetry import LogEvent
from tests.runtime.surroundings import NAMES, PIPELINE, Surroundings

TOPIC = NAMES[Channel.LABELS]


def labels(around: Surroundings, *, start: str = "earliest") -> LabelsTopic:
    """The topic of a broker; nothing looks but who asks."""
    return LabelsTopic(
        lambda: around.reader, patience_s=5.0, start=start,  # type: ignore[arg-type]
        clock=around.clock, telemetry=around.diary,
    )  # fmt: skip


def taken(topic: LabelsTopic, partition: int = 0) -> list[int]:
    """The offsets of what waits, which is taken."""
    waiting = topic.waiting(partition)
    return [waiting.popleft().offset for _ in range(len(waiting))]


@pytest.mark.parametrize(
    ("at", "start", "offsets"),
    [
        (NOWHERE, "earliest", [0, 1, 2]), (NOWHERE, "latest", []),
        (Reached(1), "latest", [1, 2]), (Reached(0), "latest", [0, 1, 2]),
    ],
)  # fmt: skip
def test_it_is_read_from_its_place_on(at: Reached, start: str, offsets: list[int]) -> None:
    """Where nothing is committed `topics.start` says it; what comes later is seen by the next."""
    around = Surroundings()
    for n in range(3):
        around.broker.append(TOPIC, 0, value=b"%d" % n)
    topic = labels(around, start=start)
    topic.begin(0, at)
    assert topic.ask([0])
    assert topic.began_at(0) == (offsets[0] if offsets else 3)
    assert taken(topic) == offsets
    assert topic.is_through(0)
    around.broker.append(TOPIC, 0, value=b"3")
    assert topic.ask([0])
    assert taken(topic) == [3]


def test_it_is_not_read_further_ahead_than_it_may(monkeypatch: pytest.MonkeyPatch) -> None:
    """By records, and by bytes; whether there are more is known."""
    monkeypatch.setattr(labels_look, "AHEAD_N", 4)
    around = Surroundings()
    for n in range(10):
        around.broker.append(TOPIC, 0, value=b"%d" % n)
    topic = labels(around)
    topic.begin(0, NOWHERE)
    assert topic.ask([0])
    assert topic.has_more(0)
    assert not topic.is_through(0)
    assert taken(topic) == [0, 1, 2, 3]
    monkeypatch.setattr(labels_look, "AHEAD_BYTES", 2)
    assert topic.ask([0])
    assert taken(topic) == [4, 5]
    assert topic.ask([0])
    assert topic.ask([0])
    assert taken(topic) == [6, 7]


@pytest.mark.parametrize("left_n", [1, 3])
def test_a_topic_that_was_made_again_is_read_from_its_start(left_n: int) -> None:
    """With fewer records than the old one had, or with as many others."""
    around = Surroundings()
    for n in range(3):
        around.broker.append(TOPIC, 0, value=b"%d" % n)
    (_, _, last) = next(iter(around.reader.read(Channel.LABELS, 0, 0, 3)))
    del around.broker.topics[TOPIC]
    around.broker.create(TOPIC, partitions=2)
    for n in range(left_n):
        around.broker.append(TOPIC, 0, value=b"other %d" % n)
    topic = labels(around)
    topic.begin(0, Reached(3, mark_of(last)))
    assert topic.ask([0])
    assert taken(topic) == list(range(left_n))
    (said,) = around.said(LogEvent.LABELS_LOST)
    assert "made again" in str(said["why"])


def test_records_that_retention_took_unread_are_told() -> None:
    """Nobody will ever learn them."""
    around = Surroundings()
    for n in range(5):
        around.broker.append(TOPIC, 0, value=b"%d" % n)
    around.broker.partition(TOPIC, 0).truncate(3)
    topic = labels(around)
    topic.begin(0, Reached(1))
    assert topic.ask([0])
    assert taken(topic) == [3, 4]
    (said,) = around.said(LogEvent.LABELS_LOST)
    assert "records 1 to 2 were deleted" in str(said["why"])


@pytest.mark.parametrize("error", [Retryable("no answer"), Misconfigured("READ is not permitted")])
def test_what_keeps_it_from_reading_is_said_once_a_minute(error: Exception) -> None:
    """And all else goes on; once it answers again all is there."""
    around = Surroundings()
    around.broker.append(TOPIC, 0, value=b"0")
    topic = labels(around)
    topic.begin(0, NOWHERE)
    around.fail["bounds"] = [error, error, error]
    assert not topic.ask([0])
    assert not topic.ask([0])
    (said,) = around.said(LogEvent.LABELS_UNREADABLE)
    assert str(said["error"]) == str(error)
    assert topic.ask([0])
    assert taken(topic) == [0]


class Hanging(MemoryReader):
    """A reader whose broker can stop to answer."""

    answers = threading.Event()

    def bounds(self, channel: Channel, partition: int) -> Bounds:
        """See `Reader.bounds`."""
        assert self.answers.wait(30)
        return super().bounds(channel, partition)


def test_a_broker_that_hangs_is_waited_for_once() -> None:
    """As long as patience says; then not at all, until it answers."""
    around = Surroundings()
    around.broker.append(TOPIC, 0, value=b"0")
    reader = Hanging(around.broker, names=NAMES, group=PIPELINE)
    reader.answers.clear()
    clock = SystemClock()
    topic = LabelsTopic(
        lambda: reader, patience_s=0.4, start="earliest", clock=clock, telemetry=around.diary
    )
    near = closing(Looking(topic.near, "labels", clock=clock))
    with near, closing(Looking(topic.far, "labels away", clock=clock)):
        topic.begin(0, NOWHERE)
        began = time.monotonic()
        assert not topic.ask([0])
        assert 0.3 < time.monotonic() - began < 3.0
        began = time.monotonic()
        for _ in range(50):
            assert not topic.ask([0])
        assert time.monotonic() - began < 0.3
        assert "no answer within 0.4 s" in str(around.said(LogEvent.LABELS_UNREADABLE)[0]["error"])
        reader.answers.set()
        until_s = time.monotonic() + 10
        while not topic.ask([0]) and time.monotonic() < until_s:
            time.sleep(0.02)
        assert taken(topic) == [0]


def test_a_mistake_of_ours_in_the_thread_ends_the_worker() -> None:
    """It is raised where the loop asks."""
    around = Surroundings()
    topic = labels(around)
    topic.far.failure = AssertionError("ours")
    topic.begin(0, NOWHERE)
    with pytest.raises(AssertionError, match="ours"):
        topic.ask([0])


def test_the_end_of_the_events_is_known_where_it_was_asked_for() -> None:
    """So labels behind the last event need not wait for another one."""
    around = Surroundings()
    around.send([b"{}", b"{}"])
    topic = labels(around)
    topic.begin(0, NOWHERE)
    assert topic.ask([0])
    assert topic.events_end(0) is None
    assert topic.ask([0], events=True)
    assert topic.events_end(0) == 2


class HalfAway(MemoryReader):
    """One of whose partitions does not answer: that is known after some time."""

    def bounds(self, channel: Channel, partition: int) -> Bounds:
        """See `Reader.bounds`."""
        if partition:
            time.sleep(0.3)
            raise Retryable("no answer")
        return super().bounds(channel, partition)


def test_a_partition_that_is_away_holds_up_no_other() -> None:
    """Its broker is away; those of the others answer as ever."""
    around = Surroundings()
    reader = HalfAway(around.broker, names=NAMES, group=PIPELINE)
    clock = SystemClock()
    topic = LabelsTopic(
        lambda: reader, patience_s=0.5, start="earliest", clock=clock, telemetry=around.diary
    )
    near = closing(Looking(topic.near, "labels", clock=clock))
    with near, closing(Looking(topic.far, "labels away", clock=clock)):
        topic.begin(0, NOWHERE)
        topic.begin(1, NOWHERE)
        assert topic.ask([0, 1]) == [0]
        for n in range(20):
            around.broker.append(TOPIC, 0, value=b"%d" % n)
            began = time.monotonic()
            assert topic.ask([0, 1]) == [0]
            assert time.monotonic() - began < 0.25
        assert taken(topic) == list(range(20))
