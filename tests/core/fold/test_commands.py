"""Commands are steps of the fold: a plain loop that is told their places predicts the same."""

import json
from collections.abc import Mapping
from typing import Any

import msgspec
import pytest

from stream.core.commands import Command, LedgerValue, What
from stream.core.event import Record
from stream.core.fold import commands
from stream.core.fold.task import Task
from stream.core.learning.estimator import build
from tests.folds import PARTITION, event, recipe, task

LOGISTIC = "tests.folds:plain_pipeline"
N = 60


def command(what: What, *, command_id: str = "c1") -> tuple[Record, Command]:
    """A record of the control topic, and what it says."""
    said = Command(id=command_id, what=what, by="ada", why="a bad deploy", within_ms=60_000)
    record = Record(PARTITION, 7, 1_700_000_000_123, None, msgspec.json.encode(said))
    return record, said


def fold(to: Task, what: What, *, command_id: str | None = None) -> LedgerValue | None:
    """Fold a command in; each has an id of its own unless it is told one."""
    return commands.fold(to, *command(what, command_id=command_id or f"{what}-{to.state.n}"))


def labelled(n: int = N) -> list[Record]:
    """Events of which each has a label."""
    return [event(i, {"a": i % 7 - 3.0, "b": i % 3}, i % 7 > 3) for i in range(n)]


def plain_loop(records: list[Record], places: Mapping[int, What]) -> list[bool]:
    """What a loop of river predicts that is told where learning stopped and the model was reset."""
    model: Any = build(recipe(LOGISTIC).model)
    learns, predicted = True, []
    for record in records:
        what = places.get(record.offset)
        if what is What.RESET:
            model = build(recipe(LOGISTIC).model)
        elif what is not None:
            learns = what is What.UNFREEZE
        said = json.loads(record.value or b"")
        predicted.append(bool(model.predict_one(said["features"])))
        if learns:
            model.learn_one(said["features"], said["label"])
    return predicted


PLACES = {12: What.FREEZE, 30: What.UNFREEZE, 45: What.RESET}


@pytest.mark.parametrize("revive_every", [None, 1, 7])
def test_a_plain_loop_that_is_told_the_places_predicts_the_same(revive_every: int | None) -> None:
    """Wherever the state is pickled in between."""
    folding, predicted = task(LOGISTIC), []
    records = labelled()

    for record in records:
        if record.offset in PLACES:
            fold(folding, PLACES[record.offset])
        predicted.append(json.loads(folding.step(record).canonical)["prediction"])
        if revive_every and record.offset % revive_every == 0:
            folding = Task(folding.recipe, partition=PARTITION, payload=folding.pickled())

    assert predicted == plain_loop(records, PLACES)
    assert folding.state.n == N + len(PLACES)


def test_what_is_frozen_is_seen_and_not_learned() -> None:
    """The score of what predicts goes on; what it learned is counted as before."""
    folding = task(LOGISTIC)
    for record in labelled()[:20]:
        folding.step(record)
    fold(folding, What.FREEZE)
    for record in labelled()[20:40]:
        result = folding.step(record)

    assert json.loads(result.canonical)["learned"] == 20
    assert folding.metadata().learned == 20
    assert len(folding.serving.window.pairs) == 40
    fold(folding, What.UNFREEZE)
    folding.step(labelled()[40])
    assert folding.metadata().learned == 21


def test_the_ledger_says_who_did_what_and_where() -> None:
    """Word for word as docs/TOPICS.md has it; the next event's offset, the step's number."""
    folding = task(LOGISTIC)
    for record in labelled()[:5]:
        folding.step(record)

    ledger = fold(folding, What.RESET)

    assert json.loads(msgspec.json.encode(ledger)) == {
        "v": 1, "n": 5, "input": "control", "id": f"power/{PARTITION}/5/reset", "what": "reset",
        "partition": PARTITION, "offset": 5, "event_time": "2023-11-14T22:13:20.123Z",
        "by": "operator:ada", "why": "a bad deploy", "before": {"model": "main", "version": 1},
        "after": {"model": "main", "version": 2}, "evidence": {},
    }  # fmt: skip
    assert folding.state.n == 6


@pytest.mark.parametrize("what", [What.PROMOTE, What.RENEW])
def test_there_is_nothing_to_promote_yet(what: What) -> None:
    """It is refused, and that is an answer."""
    ledger = fold(task(LOGISTIC), what)

    assert ledger is not None
    assert ledger.what == "refused"
    assert ledger.evidence == {"command": what.value, "reason": "nothing to promote"}


@pytest.mark.parametrize("is_revived", [False, True])
def test_a_command_that_comes_twice_is_done_once(*, is_revived: bool) -> None:
    """By its id; also if the state was brought back in between."""
    folding = task(LOGISTIC)
    fold(folding, What.FREEZE, command_id="once")
    fold(folding, What.UNFREEZE, command_id="twice")
    if is_revived:
        folding = Task(folding.recipe, partition=PARTITION, payload=folding.pickled())

    assert fold(folding, What.FREEZE, command_id="once") is None
    assert not folding.serving.is_frozen
    assert folding.state.n == 3


def test_the_digest_tells_folds_with_commands_apart() -> None:
    """Also those whose events gave the same."""

    def digest(*whats: What) -> int:
        folding = task(LOGISTIC)
        for what in whats:
            fold(folding, what)
        return folding.state.digest

    assert len({digest(), digest(What.FREEZE), digest(What.PAUSE), digest(What.RESET)}) == 4


def test_a_fold_without_commands_takes_no_byte_of_a_snapshot() -> None:
    """Nor of the line beside its offset."""
    folding = task(LOGISTIC)
    for record in labelled():
        folding.step(record)

    assert b"commanded" not in folding.pickled()
    assert ";j=" not in folding.metadata().encode()
    assert ";k=" not in folding.metadata().encode()


def test_an_event_on_which_a_frozen_model_raises_leaves_no_trace() -> None:
    """Going back teaches nothing that was not learned."""
    ends = []
    for fails in (False, True):
        folding = task("tests.fragile:FragileClassifier")
        for offset in range(30):
            if offset == 10:
                fold(folding, What.FREEZE)
            if offset == 20:
                fold(folding, What.UNFREEZE)
            features: dict[str, object] = {"a": offset % 5 - 2.0}
            if fails and offset in (5, 15, 25):
                features["fail"] = "raise in predict" if offset == 15 else "raise in learn"
            elif offset in (5, 15, 25):
                continue
            folding.step(event(offset, features, offset % 3 > 0))
        ends.append((folding.serving.learned, folding.serving.model.calls))

    assert ends[0] == ends[1]
