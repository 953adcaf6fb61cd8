"""What waits is kept in segments: each is written once, and what is found in them is the same."""

import random
import tracemalloc
from collections.abc import Iterator

import pytest

from stream.core.event import Event, Record
from stream.core.labels import segments as module
from stream.core.labels.kept import Kept
from stream.core.labels.labels_spec import LabelsSpec
from stream.core.labels.pending import Pending
from stream.core.labels.segment import GONE, LABELLED, WAITING, Segment
from stream.core.labels.segments import Segments
from stream.core.result import StepResult
from stream.core.snapshots.payload import name_of
from stream.core.snapshots.pickling import dumps

SMALL_BYTES = 2_000
FOREVER_MS = 1 << 60


@pytest.fixture
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Segments of a few dozen events."""
    monkeypatch.setattr(module, "SEGMENT_BYTES", SMALL_BYTES)


def body(time_ms: int, *, size: int = 40) -> bytes:
    """An event, packed."""
    return Kept(time_ms, b"key", b"v" * size, "an id", b"true", None, None).packed()


def again(segments: Segments) -> Segments:
    """The same, after it was written and read."""
    found = Segments.load(segments.state(), segments.full())
    found.order()
    return found


@pytest.mark.usefixtures("_small")
@pytest.mark.parametrize("seed", range(8))
def test_a_dictionary_would_give_the_same(seed: int) -> None:
    """Marks, bodies and what is due, in any order of coming and going; restored or not."""
    rng = random.Random(seed)
    segments, plain = Segments(), dict[int, tuple[int, int, bytes]]()
    offset, most = 0, 0
    for _ in range(4_000):
        chance = rng.random()
        if chance < 0.5:
            offset += rng.choice((1, 1, 1, 7))
            time_ms, mark = rng.randrange(2_000) + offset, rng.choice((WAITING, LABELLED))
            packed = body(time_ms, size=rng.randrange(80))
            segments.append(offset, time_ms, packed, mark)
            plain[offset] = mark, time_ms, packed
        elif chance < 0.9 and plain:
            one = rng.choice(list(plain)[:40] if rng.random() < 0.8 else list(plain))
            if rng.random() < 0.3:
                segments.mark(one, LABELLED)
                plain[one] = LABELLED, *plain[one][1:]
            else:
                segments.mark(one, GONE)
                del plain[one]
        elif chance < 0.999:
            before_ms = rng.randrange(offset + 2_000)
            waiting = [(t, o) for o, (m, t, _) in plain.items() if m == WAITING and t < before_ms]
            due = segments.pop_due(before_ms)
            assert due == min(waiting, default=(0, None))[1]
            if due is not None:
                segments.mark(due, LABELLED)
                plain[due] = LABELLED, *plain[due][1:]
        else:
            segments = again(segments)
        most = max(most, len(segments.full()))
        one = rng.randrange(offset + 3)
        found = segments.find(one)
        assert (found and (found[0], bytes(found[1]))) == (
            (plain[one][0], plain[one][2]) if one in plain else None
        )
    assert [(o, bytes(b)) for o, b in segments.live()] == [(o, b) for o, (*_, b) in plain.items()]
    assert most > 4, "there were some"


def churn(n: int, *, is_fifo: bool) -> Iterator[Segments]:
    """Of a hundred thousand events, so many of which live at a time: the segments at each close."""
    rng, segments, live, before = random.Random(1), Segments(), list[int](), set[str]()
    for offset in range(n):
        segments.append(offset, offset, body(offset), WAITING)
        live.append(offset)
        if len(live) > 500:
            segments.mark(live.pop(0 if is_fifo else rng.randrange(len(live))), GONE)
        names = set(segments.full()) if offset % 20 == 0 else before
        if names != before:
            before = names
            yield segments


@pytest.mark.usefixtures("_small")
@pytest.mark.parametrize(("is_fifo", "more"), [(True, 1.1), (False, 2.5)])
def test_what_is_written_is_about_what_came_and_little_of_it_is_dead(
    is_fifo: bool, more: float
) -> None:
    """Each segment is written once, under a name that says what is in it."""
    written, kept_bytes = dict[str, int](), list[int]()
    for segments in churn(20_000, is_fifo=is_fifo):
        full = segments.full()
        for name, each in full.items():
            assert name == name_of(each)
            written[name] = len(each)
        kept_bytes.append(sum(map(len, full.values())))
    came_bytes = 20_000 * (len(body(20_000)) + 12)
    assert sum(written.values()) < more * came_bytes
    live_bytes = 500 * (len(body(20_000)) + 12)
    assert max(kept_bytes) < 2 * live_bytes + 2 * SMALL_BYTES


@pytest.mark.usefixtures("_small")
def test_a_restored_one_goes_on_with_the_same_segments() -> None:
    """So that a worker that takes over writes none of them anew."""
    going_on, restored = Segments(), Segments()
    for offset in range(2_000):
        for each in (going_on, restored):
            each.append(offset, offset, body(offset), WAITING)
            if offset > 700:
                each.mark(offset * 37 % offset // 2, GONE)
        if offset % 97 == 0:
            restored = again(restored)
        assert going_on.full().keys() == restored.full().keys()
    assert len(going_on.full()) > 4


@pytest.mark.parametrize(
    "written", [b"", b"\1\0\0", b"\1\0\0\0", b"\xff\xff\xff\xff", bytes(8) + b"\2\0\0\0"]
)
def test_what_is_no_segment_is_refused(written: bytes) -> None:
    """Whatever its length claims."""
    with pytest.raises(ValueError, match="no segment"):
        Segment.of(written, b"\1")


def waiting(n: int, *, spec: LabelsSpec | None = None) -> Pending:
    """So many events that wait, of ten features each."""
    rng, pending = random.Random(3), Pending(spec or LabelsSpec(wait_ms=FOREVER_MS))
    for offset in range(n):
        numbers = ",".join(f'"feature_{i}":{rng.gauss(0, 1):.6f}' for i in range(10))
        value = f'{{"id":"event-{offset:08}","features":{{{numbers}}}}}'.encode()
        record = Record(0, offset, 1_700_000_000_000 + offset, b"k%d" % (offset % 999), value)
        canonical = b'{"v":1,"prediction":true,"probabilities":{"false":%.16f,"true":%.16f}}' % (
            (chance := rng.random()), 1 - chance,
        )  # fmt: skip
        pending.on_event(Event(features={}, id=f"event-{offset:08}"), StepResult(record, canonical))
    return pending


def test_what_waits_is_compact_in_memory_and_a_snapshot_writes_little_of_it() -> None:
    """A hundred thousand events of ten features: less than 60 MB; here it is a part of them."""
    n = 12_000
    waiting(10)  # what is made once
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    pending = waiting(n)
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (after - before) / n < 600
    json_bytes = len(b'{"id":"event-00000000","features":{}}') + 10 * len('"feature_0":-0.123456,')
    full = pending.segments()
    assert sum(map(len, full.values())) / n < 2 * json_bytes
    assert len(dumps(pending)) < 2 * module.SEGMENT_BYTES
    assert sum(map(len, full.values())) > 4 * module.SEGMENT_BYTES, "that is most of it"


@pytest.mark.usefixtures("_small")
def test_segments_grow_with_what_is_kept_so_that_they_stay_few() -> None:
    """A store lists them all at each snapshot."""
    segments = Segments()
    for offset in range(20_000):
        segments.append(offset, offset, body(offset), WAITING)
    assert 40 < len(segments.full()) < 200
