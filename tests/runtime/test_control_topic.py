"""What becomes of the control topic is noticed: made again, cut, or not to be read any more."""

import pytest

from stream.adapters.memory import MemoryBroker, MemoryReader
from stream.core.event import Channel, Record
from stream.core.formats.commands import mark_of
from stream.errors import Misconfigured
from stream.ports import Bounds
from stream.runtime.control import SURE_S, Control
from stream.telemetry import LogEvent, Telemetry
from tests.contract.memory_world import NAMES, ManualClock

NAME = NAMES[Channel.CONTROL]


class Topic:
    """A control topic with one partition, and whoever looks at it.

    Attributes:
        denied: it may not be read.
        opened_n: how many clients were opened.
        said: the lines about it.
    """

    def __init__(self, *values: bytes) -> None:
        self.clock = ManualClock()
        self.broker = MemoryBroker(clock=self.clock)
        self.denied = False
        self.opened_n = 0
        self.make(*values)
        self.said: list[tuple[LogEvent, dict[str, object]]] = []
        telemetry = Telemetry()
        telemetry.listener = lambda event, fields: self.said.append((event, dict(fields)))
        self.control = Control(self._open, clock=self.clock, telemetry=telemetry)

    def _open(self) -> MemoryReader:
        topic = self
        topic.opened_n += 1

        class Reader(MemoryReader):
            """One that may be denied what it asks for."""

            def bounds(self, channel: Channel, partition: int) -> Bounds:
                if topic.denied:
                    raise Misconfigured(f"kafka: {NAME}: TopicAuthorizationFailed")
                return super().bounds(channel, partition)

        return Reader(self.broker, names=NAMES, group="g")

    def make(self, *values: bytes) -> None:
        """Make it, with records; one of this name is gone then."""
        self.broker.topics.pop(NAME, None)
        self.broker.create(NAME, partitions=1)
        for value in values:
            self.send(value)

    def send(self, value: bytes) -> None:
        """Append a record."""
        self.clock.sleep(1.0)
        self.broker.append(NAME, 0, value=value)

    def looked(self) -> list[bytes | None]:
        """Look once. Returns: what that found, which is taken."""
        self.control.look()
        found = self.control.waiting([0]).get(0, [])
        self.control.take(0, len(found))
        return [record.value for record in found]

    @property
    def last(self) -> Record:
        """The last record there is."""
        partition = self.broker.partition(NAME, 0)
        return partition.fetch(partition.end - 1, stop=partition.end, records_max=1)[0][0]


@pytest.mark.parametrize("new", [(b"x",), (b"x", b"y"), (b"x", b"y", b"z")])
def test_a_topic_that_was_made_again_is_read_from_its_start(new: tuple[bytes, ...]) -> None:
    """Whoever begins knows the old one's offset: fewer records, as many, or more."""
    topic = Topic(b"a", b"b")
    mark = mark_of(topic.last)
    topic.make(*new)
    topic.control.begin(0, 2, mark)

    assert topic.looked() == list(new)
    assert topic.looked() == []


@pytest.mark.parametrize("is_seen_gone", [True, False])
@pytest.mark.parametrize("new", [(b"x",), (b"x", b"y")])
def test_a_running_worker_reads_what_is_new_in_a_topic_made_again(
    new: tuple[bytes, ...], *, is_seen_gone: bool
) -> None:
    """It may have looked while there was none, or not; that many records tell nothing."""
    topic = Topic()
    topic.control.begin(0, 0)
    topic.send(b"a")
    assert topic.looked() == [b"a"]
    if is_seen_gone:
        del topic.broker.topics[NAME]
        assert topic.looked() == []
    topic.make(*new)
    topic.clock.sleep(SURE_S)

    assert topic.looked() == list(new)


def test_what_was_read_is_not_read_again() -> None:
    """Also by whoever knows no mark, as a new group does that begins at the end."""
    topic = Topic(b"a", b"b")
    for mark in ("", mark_of(topic.last)):
        topic.control.begin(0, 2, mark)
        assert topic.looked() == []
    topic.send(b"c")

    assert topic.looked() == [b"c"]


def test_commands_that_nobody_read_and_retention_took_are_told() -> None:
    """Whoever sent them waits for an answer that never comes."""
    topic = Topic(b"a", b"b", b"c", b"d")
    topic.control.begin(0, 1)
    topic.broker.partition(NAME, 0).truncate(3)

    assert topic.looked() == [b"d"]
    assert topic.looked() == []
    ((event, fields),) = topic.said
    assert (event, fields["partition"], fields["offset"]) == (LogEvent.COMMAND_REFUSED, 0, 1)


def test_a_topic_that_may_not_be_read_is_said_once_until_it_may_be() -> None:
    """The client stays, nobody waits for it, and then what was sent meanwhile is found."""
    topic = Topic()
    topic.control.begin(0, 0)
    topic.looked()
    for _ in range(2):
        topic.denied = True
        for _ in range(3):
            assert topic.looked() == []
        topic.send(b"a")
        topic.denied = False
        assert topic.looked() == [b"a"]

    assert [event for event, _ in topic.said] == [LogEvent.CONTROL_UNREADABLE] * 2
    assert "TopicAuthorizationFailed" in str(topic.said)
    assert topic.opened_n == 1
