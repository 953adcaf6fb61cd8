"""Quarantined records read back, and the marks of how far they were sent again."""

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st
from kafka.record.default_records import DefaultRecordBatchBuilder

from stream.core.event import Reason, Record, Rejection
from stream.core.formats.quarantine import OWN_TIMESTAMP, Redriven, parse, shortened
from stream.core.formats.records import quarantined
from stream.core.spec import Limits

HEADERS = (("trace", b"\x00\xff"), ("stream.reason", b"of another pipeline"))
REASONS = st.sampled_from([reason.value for reason in Reason])
OFFSETS = st.integers(0, 10**15)


def _quarantined(record: Record, *, bytes_max: int = 100) -> Record:
    rejection = Rejection(Reason.BAD_LABEL, "the label is a moon")
    output = quarantined(
        record, rejection, pipeline="p", topic="p.events", limits=Limits(value_bytes_max=bytes_max)
    )
    return Record(
        output.partition, 7, output.timestamp_ms, output.key, output.value, output.headers
    )


def test_what_was_written_is_read_back() -> None:
    """The headers it came with are told from ours, even if they have our names."""
    found = parse(_quarantined(Record(3, 41, 5, b"k", b"v", HEADERS)))

    assert found is not None
    assert (found.reason, found.detail) == ("bad_label", "the label is a moon")
    assert (found.pipeline, found.topic, found.partition, found.offset) == ("p", "p.events", 3, 41)
    assert found.headers == HEADERS
    assert not found.is_cut


def test_a_cut_value_is_known_as_cut() -> None:
    """It must never be sent as if it were whole."""
    found = parse(_quarantined(Record(0, 0, 0, None, b"v" * 101)))

    assert found is not None
    assert found.is_cut


def test_a_cut_key_and_left_out_headers_are_known_as_cut() -> None:
    """All three can be cut, and the last one said is enough to know."""
    limits = Limits(value_bytes_max=64, key_and_headers_bytes_max=64)
    many = tuple(("name", b"v" * 10) for _ in range(50))
    for record in (
        Record(0, 0, 0, b"k" * 65, b"v"),
        Record(0, 0, 0, b"k", b"v", many),
        Record(0, 0, 0, b"k" * 65, b"v" * 65, many),
    ):
        rejection = Rejection(Reason.TOO_LARGE, "too much")
        output = quarantined(record, rejection, pipeline="p", topic="p.events", limits=limits)
        found = parse(Record(0, 7, 0, output.key, output.value, output.headers))
        assert found is not None
        assert found.is_cut


def test_an_events_own_timestamp_is_read_back() -> None:
    """Where the topic did not take it, it is the last header; a sender's is no such one."""
    written = _quarantined(Record(0, 0, 5, None, b"v", ((OWN_TIMESTAMP, b"9"), *HEADERS)))
    moved = Record(0, 7, 5, None, b"v", (*written.headers, (OWN_TIMESTAMP, b"1795981075102000")))

    as_it_is, told = parse(written), parse(moved)

    assert as_it_is is not None
    assert told is not None
    assert (as_it_is.timestamp_ms, told.timestamp_ms) == (5, 1795981075102000)
    assert as_it_is.headers == told.headers == ((OWN_TIMESTAMP, b"9"), *HEADERS)


def test_other_writers_records_are_none() -> None:
    """Without our headers, or with ones that make no sense."""
    ours = _quarantined(Record(0, 0, 0, None, b"v"))
    broken = [(name, b"\xff" if name == "stream.offset" else v) for name, v in ours.headers]

    assert parse(Record(0, 0, 0, None, b"v")) is None
    assert parse(Record(0, 0, 0, None, b"v", tuple(broken))) is None


@given(offset=OFFSETS, ahead=st.dictionaries(REASONS, OFFSETS))
def test_marks_survive_being_written(offset: int, ahead: dict[str, int]) -> None:
    """With every reason there is they are far below what a broker takes."""
    marks = Redriven(offset, ahead)

    assert Redriven.parse(offset, marks.metadata()) == marks
    assert len(marks.metadata()) < 1000


def test_another_tools_offset_counts_without_marks() -> None:
    """An operator who resets the group means the offset."""
    assert Redriven.parse(5, "") == Redriven.parse(5, "by hand") == Redriven(5)


@given(
    stored=st.lists(REASONS, max_size=30),
    runs=st.lists(st.tuples(st.none() | REASONS, st.integers(0, 30)), max_size=8),
)
def test_no_run_sends_twice_or_loses_what_another_did_not_want(
    stored: list[str], runs: list[tuple[str | None, int]]
) -> None:
    """Runs for some reasons, each interrupted somewhere, then one for all: each is sent once."""
    records = []
    for offset, name in enumerate(stored):
        rejection = Rejection(Reason(name), "")
        output = quarantined(
            Record(0, offset, 0, None, b""),
            rejection,
            pipeline="p",
            topic="t",
            limits=Limits(value_bytes_max=9),
        )
        found = parse(Record(0, offset, 0, None, b"", output.headers))
        assert found is not None
        records.append(found)
    redriven, sent = Redriven(), []
    for reason, stop in [*runs, (None, len(records))]:
        start = redriven.start(reason)
        stop = min(max(start, stop), len(records))  # noqa: PLW2901  # where it was killed
        sent += [
            r.offset
            for r in records[start:stop]
            if reason in (None, r.reason) and not redriven.has(r)
        ]
        redriven = Redriven.parse(redriven.next_offset, redriven.metadata()).moved(stop, reason)

    assert sorted(sent) == list(range(len(records)))


@settings(max_examples=200, deadline=None)
@given(
    key_n=st.none() | st.integers(0, 70_000),
    value_n=st.none() | st.integers(0, 70_000),
    headers=st.lists(st.tuples(st.integers(0, 40), st.none() | st.integers(0, 9_000)), max_size=9),
    repeated=st.sampled_from([1, 1, 300]),
    bytes_max=st.integers(3_000, 200_000),
    is_moved=st.booleans(),
)
def test_a_record_is_shortened_until_its_topic_takes_it(
    key_n: int | None, value_n: int | None, headers: list[tuple[int, int | None]], repeated: int,
    bytes_max: int, *, is_moved: bool,
) -> None:  # fmt: skip
    """It fits by Kafka's own count; what is left is the beginning; it is cut only if it must be."""
    sent = tuple(("n" * n, None if v is None else b"v" * v) for n, v in headers * repeated)
    key, value = (None if n is None else b"k" * n for n in (key_n, value_n))
    whole = quarantined(
        Record(0, 0, 0, key, value, sent), Rejection(Reason.BAD_LABEL, "d" * 200),
        pipeline="p" * 64, topic="t" * 249, limits=Limits(key_and_headers_bytes_max=1 << 24),
    )  # fmt: skip
    if is_moved:
        moved = (*whole.headers, (OWN_TIMESTAMP, str(-(2**63)).encode()))
        whole = msgspec.structs.replace(whole, headers=moved)
    size = DefaultRecordBatchBuilder.estimate_size_in_bytes

    short = shortened(whole, bytes_max)

    assert size(short.key, short.value, list(short.headers)) <= bytes_max
    found = parse(Record(0, 1, 0, short.key, short.value, short.headers))
    assert found is not None
    assert found.headers == sent[: len(found.headers)]
    assert (short.key or b"", short.value or b"") == (
        (key or b"")[: len(short.key or b"")], (value or b"")[: len(short.value or b"")]
    )  # fmt: skip
    is_whole = (short.key, short.value, found.headers) == (key, value, sent)
    assert found.is_cut != is_whole
    slack = 400 + 10 * len(whole.headers)
    if size(whole.key, whole.value, list(whole.headers)) + slack <= bytes_max:
        assert is_whole
