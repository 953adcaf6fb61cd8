"""An event on which the model raises leaves no trace but its quarantined record."""

from collections.abc import Sequence

import pytest

from stream.core.event import Channel, Kind, Output, Reason, Record
from stream.core.fold.task import Task
from stream.core.learning.undo import BYTES_MAX
from stream.core.spec import Limits
from tests.folds import (
    ON_PREDICTION,
    PARTITION,
    document_of,
    event,
    fold,
    outputs_of,
    recipe,
    record,
    workload,
)

FRAGILE = {
    Kind.BINARY: "tests.fragile:FragileClassifier",
    Kind.MULTICLASS: "tests.fragile:FragileVoter",
    Kind.REGRESSION: "tests.fragile:FragileRegressor",
    Kind.ANOMALY: "tests.fragile:FragileDetector",
}
FAILURES = [
    "raise in predict",
    "raise in learn",
    "panic in predict",
    "panic in learn",
    "exit in predict",
]
COUNT = 60
WARM_UP = 8
"""Good events before the first that fails: a model that never answered is excused."""

PLACES = {
    "the first": {WARM_UP},
    "the last": {COUNT - 1},
    "two in a row": {30, 31},
    "here and there": {WARM_UP, WARM_UP + 1, 17, 30, 44, 45, 46, 59},
    "all": set(range(WARM_UP, COUNT)),
}


def build(kind: Kind, payload: bytes | None = None) -> Task:
    """A fold with a fragile model."""
    parts = recipe(FRAGILE[kind], detectors=(ON_PREDICTION,))
    return Task(parts, partition=PARTITION, payload=payload)


def poison(offset: int, kind: Kind, fail: str) -> Record:
    """An event that fails; it brings a new name, too."""
    label = {Kind.REGRESSION: 1, Kind.MULTICLASS: "low"}.get(kind, True)
    return event(offset, {"a": 7.0, "only here": 1, "fail": fail}, label)


def poisoned(records: Sequence[Record], places: set[int], kind: Kind, fail: str) -> list[Record]:
    """The same records, but for events that fail at these places."""
    return [
        poison(each.offset, kind, fail) if index in places else each
        for index, each in enumerate(records)
    ]


def published(outputs: Sequence[Output]) -> list[Output]:
    """What comes out of an event, but for the alert that too many failed."""
    return [each for each in outputs if b"model:failures" not in (each.value or b"")]


def reason_of(outputs: Sequence[Output]) -> str | None:
    """Why a record was quarantined; None if it was predicted."""
    if outputs[0].channel is Channel.PREDICTIONS:
        return None
    return (dict(outputs[0].headers)["stream.reason"] or b"").decode()


@pytest.mark.parametrize("places", PLACES.values(), ids=PLACES.keys())
@pytest.mark.parametrize("kind", list(Kind))
@pytest.mark.parametrize("fail", FAILURES)
def test_the_state_is_as_if_the_event_had_never_been(
    fail: str, kind: Kind, places: set[int]
) -> None:
    """State and outputs of all later events equal those of a fold that never saw it."""
    records = workload(kind, COUNT)
    clean, dirty = build(kind), build(kind)
    expected = fold(clean, [each for i, each in enumerate(records) if i not in places])
    found = fold(dirty, poisoned(records, places, kind, fail))

    assert {reason_of(found[i]) for i in places} == {Reason.MODEL_ERROR}
    assert [published(each) for i, each in enumerate(found) if i not in places] == [
        published(each) for each in expected
    ]
    assert dirty.state.names == clean.state.names
    assert dirty.serving.learned == clean.serving.learned
    assert dirty.score() == clean.score()
    assert dirty.state.n == clean.state.n + len(places)
    assert dirty.state.refused_n == clean.state.refused_n + len(places)
    assert dirty.next_offset == records[-1].offset + 1


@pytest.mark.parametrize("fail", ["raise in predict", "raise in learn"])
@pytest.mark.parametrize("kind", list(Kind))
def test_a_replay_from_any_earlier_state_decides_the_same(kind: Kind, fail: str) -> None:
    """Restored from any payload, with its own copy to undo to, a fold ends in the same digest."""
    records = poisoned(workload(kind, COUNT), PLACES["here and there"], kind, fail)
    direct, frozen = build(kind), build(kind)
    expected = fold(direct, records)
    for index, each in enumerate(records):
        restored = build(kind, payload=frozen.keep_copy())
        assert fold(restored, records[index:]) == expected[index:]
        assert restored.metadata() == direct.metadata()
        outputs_of(frozen, each)


def test_rejections_between_failures_are_counted_once() -> None:
    """Broken, refused and failing records in any order keep the counts and the digest right."""
    kind = Kind.REGRESSION
    bad, failing = workload(kind, 1)[0], poison(0, kind, "raise in learn")
    good = event(0, {"a": 1.0}, 2)
    makers = {"b": bad, "f": failing, "g": good}
    for pattern in ("fffbbb", "bfbfbf", "gbfbgf", "bgfffg", "gffbbfg", "fgbgfbgf"):
        direct, stepwise = build(kind), build(kind)
        records = [
            Record(PARTITION, i, 5, None, b"oops" if letter == "b" else makers[letter].value)
            for i, letter in enumerate(pattern)
        ]
        expected = fold(direct, records)
        for each, outputs in zip(records, expected, strict=True):
            assert outputs_of(stepwise, each) == outputs
            stepwise = build(kind, payload=stepwise.keep_copy())
        assert stepwise.metadata() == direct.metadata()
        assert direct.state.n == direct.next_offset == len(pattern)
        assert direct.state.refused_n == len(pattern) - pattern.count("g")
        assert direct.serving.learned == pattern.count("g")


def test_a_snapshot_amid_failures_holds_them() -> None:
    """What `keep_copy` gives right after a failure counts it, with anything learned or not."""
    kind = Kind.BINARY
    for records in ([], workload(kind, 20)):
        folded = build(kind)
        fold(folded, records)
        outputs_of(folded, poison(100, kind, "raise in learn"))
        restored = build(kind, payload=folded.keep_copy())
        assert restored.metadata() == folded.metadata()
        assert restored.next_offset == 101


def test_of_many_failures_each_costs_only_what_was_learned_before_it() -> None:
    """After one is undone there is a new copy to go back to, and nothing to fold again."""
    folded = build(Kind.REGRESSION)
    fold(folded, workload(Kind.REGRESSION, 20))
    assert len(folded.serving.way_back.since) == 19  # one of them was refused
    outputs_of(folded, poison(100, Kind.REGRESSION, "raise in learn"))
    assert folded.serving.way_back.since == []
    outputs_of(folded, poison(101, Kind.REGRESSION, "raise in learn"))
    assert folded.serving.way_back.since == []


def test_the_reason_is_told_in_one_line() -> None:
    """The header says what the model raised."""
    output = outputs_of(build(Kind.BINARY), poison(4, Kind.BINARY, "raise in learn"))[0]

    assert (
        dict(output.headers)["stream.detail"]
        == b"ValueError: learn or predict does not like?this event"
    )
    assert output.value == poison(4, Kind.BINARY, "raise in learn").value


@pytest.mark.parametrize("where", ["predict", "learn"])
@pytest.mark.parametrize("warm_up", [0, WARM_UP])
def test_an_error_that_cannot_say_what_is_wrong_is_one_all_the_same(
    where: str, warm_up: int
) -> None:
    """A user's `__str__` may raise, too: the event is refused, or its answer has a gap."""
    folded = build(Kind.BINARY)
    fold(folded, workload(Kind.BINARY, warm_up))
    output = outputs_of(folded, poison(100, Kind.BINARY, f"wordless in {where}"))[0]

    words = "Wordless (its text cannot be had: KeyError)"
    if where == "predict" and not warm_up:
        assert document_of(output)["fault"] == words
    else:
        assert (dict(output.headers)["stream.detail"] or b"").decode() == words


@pytest.mark.parametrize("where", ["predict", "learn"])
@pytest.mark.parametrize(
    ("fail", "error"),
    [
        ("memory", MemoryError),
        ("recursion", RecursionError),
        ("disk", OSError),
        ("interrupt", KeyboardInterrupt),
    ],
)
def test_a_failure_of_the_process_is_a_crash(
    where: str, fail: str, error: type[BaseException]
) -> None:
    """No memory, no stack, no disk: a replay would decide otherwise, so it is no poison."""
    folded = build(Kind.REGRESSION)
    with pytest.raises(error):
        outputs_of(folded, poison(0, Kind.REGRESSION, f"{fail} in {where}"))


def test_a_panic_in_rivers_own_rust_quarantines() -> None:
    """ADWIN's, with a clock of 0: no `Exception`, and no failure of the process either."""
    folded = Task(recipe("tests.fragile:panicking", detectors=()), partition=PARTITION)

    found = [reason_of(outputs_of(folded, each)) for each in workload(Kind.BINARY, 300)]

    assert Reason.MODEL_ERROR in found
    assert folded.state.n == 300


def test_refused_names_stay_unknown() -> None:
    """The names of a failing event do not count against the cap of a partition's life."""
    limits = Limits(distinct_features_max=3, features_max=3)
    parts = recipe(FRAGILE[Kind.REGRESSION], detectors=(), limits=limits)
    folded = Task(parts, partition=PARTITION)
    outputs_of(folded, event(0, {"a": 1.0}, 1))
    failing = outputs_of(folded, event(1, {"b": 1, "c": 1, "fail": "raise in learn"}, 1))
    assert reason_of(failing) == Reason.TOO_MANY_FEATURES
    assert (
        reason_of(outputs_of(folded, event(2, {"b": 1, "fail": "raise in learn"}, 1)))
        == "model_error"
    )
    assert reason_of(outputs_of(folded, event(3, {"x": 1, "y": 1}, 1))) is None
    assert reason_of(outputs_of(folded, event(4, {"z": 1}, 1))) == Reason.TOO_MANY_FEATURES


def test_what_is_kept_for_undoing_is_bounded() -> None:
    """By its size, keys and headers included: then the copy is renewed, if it was not before."""
    limits = Limits(key_and_headers_bytes_max=2_000_000)
    parts = recipe(FRAGILE[Kind.REGRESSION], detectors=(), limits=limits)
    folded = Task(parts, partition=PARTITION)
    value = b'{"features": {"a": 1}, "label": 2}'
    key, headers = b"k" * 400_000, (("trace", b"h" * 600_000),)
    lengths, told = [], []
    for offset in range(100):
        outputs_of(folded, record(offset, value, key=key, headers=headers))
        lengths.append(len(folded.serving.way_back.since))
        told.append(folded.undo_length)
    assert max(lengths) * 1_000_000 <= BYTES_MAX
    assert lengths.index(0) == max(lengths)
    assert told[: max(lengths)] == sorted(told[: max(lengths)])
    assert 0.9 < max(told) < 1
    assert told[lengths.index(0)] == 0


@pytest.mark.parametrize("refused_before", [0, 2])
@pytest.mark.parametrize("learned_before", [0, 7])
@pytest.mark.parametrize("learned_after", [0, 5])
def test_a_copy_that_comes_late_takes_the_place_of_the_older_one(
    refused_before: int, learned_before: int, learned_after: int
) -> None:
    """Going back to it, and over all that came since, gives what a fold of everything gives."""
    kind = Kind.REGRESSION
    good = iter(workload(kind, 30))
    direct, forked = build(kind), build(kind)

    def both(n: int, *, refused: int = 0) -> None:
        for value in [b"oops"] * refused + [next(good).value for _ in range(n)]:
            for each in (direct, forked):
                outputs_of(each, Record(PARTITION, each.next_offset, 5, None, value))

    both(learned_before, refused=refused_before)
    copy_point, payload = forked.copy_point(), forked.pickled()
    both(learned_after, refused=2)
    assert forked.rebase(copy_point, payload)
    assert not forked.rebase(copy_point, payload)  # it is no news any more
    for each in (direct, forked):
        outputs_of(each, poison(each.next_offset, kind, "raise in learn"))
    both(5)
    assert forked.metadata() == direct.metadata()
    assert forked.state.refused_n == direct.state.refused_n
