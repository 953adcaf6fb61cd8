"""What a fold carries from one record to the next, as an object and as bytes; where it begins."""

import pickle
from typing import Any

from stream.core import pickling, unpickling
from stream.core.detectors import Detectors
from stream.core.failures import Failures
from stream.core.learner import build
from stream.core.metadata import Metadata
from stream.core.recipe import Recipe
from stream.core.scores import Window
from stream.core.snapshot import Header
from stream.errors import Misconfigured

_begun: dict[str, "Beginning"] = {}
"""Of the last recipe, by fingerprint: to make it takes longer than to unpickle a small state."""


class State:
    """All that a fold carries from one record to the next; this is what a snapshot holds.

    Attributes:
        closed_n: from this step on no new name is taken in: the state has reached its ceiling.
            When that is found out no replay could repeat: it is committed beside the offset.
        closed_said_n: the step that said so in an alert, the first that brought a new name.
        classes: the labels there were, of a model whose labels name classes.
        is_ready: the model has answered once since it began to learn. Before that it may not be
            able to, and what it raises when it is asked is no fault of the event's.
    """

    __slots__ = (
        "classes", "closed_n", "closed_said_n", "detectors", "digest", "error_sum", "failures",
        "genesis", "is_ready", "labelled_n", "learned", "model", "n", "names", "next_offset",
        "refused_n", "window",
    )  # fmt: skip

    def __init__(self, *, model: Any, detectors: Detectors, genesis: int) -> None:
        self.model = model
        self.detectors = detectors
        self.genesis = genesis
        self.next_offset = genesis
        self.digest = 0
        self.n = self.learned = self.refused_n = self.labelled_n = 0
        self.error_sum = 0.0
        self.is_ready = False
        self.failures = Failures()
        self.names: set[str] = set()
        self.closed_n: int | None = None
        self.closed_said_n: int | None = None
        self.classes: set[bool | int | str] = set()
        self.window = Window()

    def metadata(self, fingerprint: str, *, is_paused: bool) -> Metadata:
        """The metadata to commit beside `next_offset`, for a fold with this recipe."""
        return Metadata(
            n=self.n,
            digest=f"{self.digest:016x}",
            fingerprint=fingerprint,
            genesis=self.genesis,
            learned=self.learned,
            is_paused=is_paused,
            closed_n=self.closed_n,
        )

    def header(self, recipe: Recipe, partition: int, *, topic_id: str, taken_at_ms: int) -> Header:
        """The header of a snapshot."""
        return Header(
            pipeline=recipe.pipeline,
            topic=recipe.events_topic,
            topic_id=topic_id,
            partition=partition,
            next_offset=self.next_offset,
            n=self.n,
            learned=self.learned,
            digest=f"{self.digest:016x}",
            genesis=self.genesis,
            fingerprint=recipe.fingerprint(),
            recipe=recipe.parts(),
            raw_bytes=0,
            taken_at_ms=taken_at_ms,
        )


def dumps(state: State) -> bytes:
    """Pickle a state. Raises: Misconfigured: its model holds something that cannot be pickled."""
    try:
        return pickling.dumps(state)
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise Misconfigured(
            f"model.factory: {type(state.model).__name__} cannot be pickled ({error}), and so not "
            "snapshotted; use named functions and classes of a module in it"
        ) from error


class Beginning:
    """Where every fold of a recipe begins.

    Attributes:
        pickled: the untrained state at offset 0.
    """

    def __init__(self, recipe: Recipe) -> None:
        model, detectors = build(recipe.model), Detectors(recipe.detectors)
        self.pickled = dumps(State(model=model, detectors=detectors, genesis=0))
        factory = recipe.model.factory.partition(":")[0]
        self._allowed = unpickling.Allowed(self.pickled, factory=factory)
        self._refuse_what_no_snapshot_brings_back()

    def _refuse_what_no_snapshot_brings_back(self) -> None:
        """Stop before the first event if the untrained state could never be restored."""
        if refused := self._allowed.refused:
            raise Misconfigured(
                f"model.factory: the untrained model holds {', '.join(refused)}, which no snapshot "
                "may name (docs/security.md); hold a function or class of a module of yours that "
                "does the same"
            )
        if problem := self.problem_with(self.pickled):
            raise Misconfigured(
                f"model.factory: no snapshot would bring the untrained model back: {problem}; hold "
                "plain values, or objects of a class of a module of yours"
            )

    def problem_with(self, payload: bytes) -> str:
        """Why a state that was pickled would not come back; "" if it does."""
        try:
            self.load(payload)
        except pickle.UnpicklingError as error:
            return str(error)
        return ""

    def load(self, payload: bytes) -> State:
        """Load what `keep_copy` gave. Raises: pickle.UnpicklingError: it is no such state."""
        state = unpickling.loads(payload, self._allowed)
        if type(state) is not State:
            raise pickle.UnpicklingError(f"it is a {type(state).__name__}, not a state")
        return state


def beginning(recipe: Recipe, fingerprint: str) -> Beginning:
    """Where a recipe's folds begin; made once, as long as nobody asks for another's."""
    begin = _begun.get(fingerprint)
    if begin is None:
        begin = Beginning(recipe)
        _begun.clear()
        _begun[fingerprint] = begin
    return begin
