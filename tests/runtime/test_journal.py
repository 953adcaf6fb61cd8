"""The journal is read from a place on, and a replay that was interrupted goes on where it was."""

from collections.abc import Iterator, Sequence

import pytest

from stream.core.commands import Entry
from stream.core.event import Channel, Record
from stream.core.formats.commands import JournalValue, written
from stream.errors import LogLost, Retryable
from stream.ports import Bounds, Committed
from stream.runtime.journal import Journal, Steps
from tests.runtime.surroundings import NAMES, Surroundings

STEPS_N = 2


class Counting:
    """A reader that counts the records it gives, and fails at some of them.

    Attributes:
        fails_at: offsets at which the next read of them fails, once.
    """

    def __init__(self, around: Surroundings) -> None:
        self._reader = around.reader
        self.read_n = 0
        self.fails_at: set[int] = set()

    def bounds(self, channel: Channel, partition: int) -> Bounds:
        """See `Reader.bounds`."""
        return self._reader.bounds(channel, partition)

    def read(
        self, channel: Channel, partition: int, start: int, stop: int
    ) -> Iterator[Sequence[Record]]:
        """See `Reader.read`."""
        for batch in self._reader.read(channel, partition, start, stop):
            for record in batch:
                if record.offset in self.fails_at:
                    self.fails_at.discard(record.offset)
                    raise Retryable("no answer")
                self.read_n += 1
                yield [record]

    def committed(self) -> dict[int, Committed]:
        """See `Reader.committed`."""
        return self._reader.committed()

    def close(self) -> None:
        """See `Reader.close`."""


def value(j: int) -> JournalValue:
    """The journal's record `j`: two labels before the event `10 * j`, of steps `20 * j` on."""
    entries = [
        Entry(n=20 * j + i, next_offset=10 * j, input="labels", offset=STEPS_N * j + i,
              timestamp_ms=0, key=None, value=b"%d" % j)
        for i in range(STEPS_N)
    ]  # fmt: skip
    return JournalValue(j=j, steps=entries)


def filled(js: Sequence[int]) -> Counting:
    """The reader of a broker whose journal has these records, in this order."""
    around = Surroundings()
    for j in js:
        around.broker.append(NAMES[Channel.JOURNAL], 0, value=written(value(j)))
    return Counting(around)


@pytest.mark.parametrize("after", [0, 1, 500, 994, 999, 1000, 1200])
def test_it_is_read_from_a_place_on(after: int) -> None:
    """Of a long one only what is wanted, and little before it."""
    reader = filled(range(1, 1001))
    journal = Journal(reader, 0)
    found = [each.j for each in journal.after(after)]
    assert found == list(range(after + 1, 1001))
    assert reader.read_n < 600 + 8 * len(found)
    assert (journal.first_j(), journal.last_j) == (1, 1000)


@pytest.mark.parametrize(("offset", "j"), [(0, 0), (10, 0), (11, 1), (5_001, 500), (99_999, 1000)])
def test_what_comes_before_an_event_is_known(offset: int, j: int) -> None:
    """An untrained model begins behind it."""
    assert Journal(filled(range(1, 1001)), 0).before(offset) == j


def test_a_journal_without_a_record_is_empty() -> None:
    """As that of a pipeline that was given nothing."""
    journal = Journal(filled([]), 0)
    assert (journal.first_j(), journal.last_j, list(journal.after(0)), journal.before(9)) == (
        0, 0, [], 0,
    )  # fmt: skip


def test_of_a_number_that_comes_again_the_last_counts() -> None:
    """At least once the one before was not committed."""
    assert [each.j for each in Journal(filled([1, 2, 2, 3, 3]), 0).after(0)] == [1, 2, 3]


def test_what_is_no_record_of_it_is_said() -> None:
    """Somebody else writes there."""
    around = Surroundings()
    around.broker.append(NAMES[Channel.JOURNAL], 0, value=b"oops")
    with pytest.raises(LogLost, match="none of its records"):
        Journal(around.reader, 0)


@pytest.mark.parametrize("fails_at", [0, 2, 3, 4])
def test_steps_go_on_where_reading_failed(fails_at: int) -> None:
    """Each comes once, though the reader raised between them; nothing of it is passed over."""
    reader = filled(range(1, 6))
    steps = Steps(Journal(reader, 0), 0, upto=None).after(0)
    reader.fails_at = {fails_at}
    found, failed_n = [], 0
    while True:
        try:
            step = steps.next()
        except Retryable:
            failed_n += 1
            continue
        if step is None:
            break
        assert steps.next() is step, "until it is passed"
        found.append((step[0], step[1].n, step[2]))
        steps.pass_it()
    assert failed_n == 1
    assert found == [(j, 20 * j + i, i == 1) for j in range(1, 6) for i in range(STEPS_N)]


@pytest.mark.parametrize("js", [(1, 3), (2, 3), (1, 2)])
def test_a_record_that_is_gone_is_missed(js: Sequence[int]) -> None:
    """Whichever it is, the fold could not be made again."""
    steps = Steps(Journal(filled(js), 0), 0, upto=3)
    with pytest.raises((LogLost, Retryable), match=r"record \d of the journal"):
        _all_of(steps)


def _all_of(steps: Steps) -> None:
    following = steps.after(0)
    while following.next() is not None:
        following.pass_it()


def test_steps_end_before_a_number() -> None:
    """Those of the same offset that come later belong to a later snapshot."""
    following = Steps(Journal(filled(range(1, 4)), 0), 0, upto=3, before_n=41).after(0)
    seen = []
    while (step := following.next()) is not None:
        seen.append(step[1].n)
        following.pass_it()
    assert seen == [20, 21, 40]
