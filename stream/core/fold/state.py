"""What a fold carries from one record to the next, as an object and as bytes; where it begins."""

import pickle
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from msgspec import UNSET

from stream.core.event import Channel
from stream.core.fold.commanded import Commanded
from stream.core.learning.estimator import build
from stream.core.learning.learner import Learner, LineUp
from stream.core.monitoring import monitors_spec, numeric, policy_spec, reactions
from stream.core.monitoring.detectors import Detectors
from stream.core.parts import PENDING
from stream.core.recipe import Recipe
from stream.core.snapshots import pickling, unpickling
from stream.core.snapshots.metadata import NOWHERE, Generation, Metadata, Reached
from stream.core.snapshots.payload import joined, segments_of
from stream.core.snapshots.seal import Header
from stream.core.stand_in import plain
from stream.errors import Misconfigured

if TYPE_CHECKING:
    from stream.core.labels.pending import Pending
    from stream.core.monitoring.monitors import Monitors
    from stream.core.monitoring.policy import Policy
    from stream.core.parts import Part

_PARTS = {
    "fold": ("n", "next_offset", "digest", "refused_n", "genesis", "genesis_n", "has_base"),
    "learner": (
        "model", "learned", "is_ready", "failures", "window",
    ),
    "admission": ("names", "classes", "closed_n", "closed_said_n"),
    "detectors": ("detectors",),
}  # fmt: skip
"""What a state is made of. A part's version (`stream.core.recipe`) says what its names mean."""

_begun: dict[str, "Beginning"] = {}
"""Of the last recipe, by fingerprint: to make it takes longer than to unpickle a small state."""


class State:
    """All that a fold carries from one record to the next; this is what a snapshot holds.

    Attributes:
        genesis: the offset at which the fold began; genesis_n: how many steps there were before.
        has_base: it began with the state that `PIPELINE.bases` holds of that step; else untrained.
        closed_n: from this step on no new name is taken in: the state has reached its ceiling.
            When that is found out no replay could repeat: it is committed beside the offset.
        closed_said_n: the step that said so in an alert, the first that brought a new name.
        classes: the labels there were, of a model whose labels name classes.
        commanded: what commands have made of it.
        line_up: what learns.
        extras: the optional parts, by name; the policy on alerts, if there is one, is told what was
            found, the others see events.
    """

    __slots__ = (
        "classes", "closed_n", "closed_said_n", "commanded", "detectors", "digest", "extras",
        "genesis", "genesis_n", "has_base", "line_up", "n", "names", "next_offset", "refused_n",
    )  # fmt: skip

    def __init__(self, *, model: Any, detectors: Detectors) -> None:
        self.line_up = LineUp(Learner(model))
        self.detectors = detectors
        self.genesis = self.genesis_n = self.next_offset = 0
        self.has_base = False
        self.digest = 0
        self.n = self.refused_n = 0
        self.names: set[str] = set()
        self.closed_n: int | None = None
        self.closed_said_n: int | None = None
        self.classes: set[bool | int | str] = set()
        self.extras: dict[str, Any] = {}
        self.commanded = Commanded()

    def begin_at(self, offset: int, n: int) -> None:
        """Let an untrained state begin at an offset, after so many steps."""
        self.genesis = self.next_offset = offset
        self.genesis_n = self.n = n

    @property
    def records_n(self) -> int:
        """How many steps were events, valid or not: what a cool-down counts."""
        return self.n - self.commanded.folded_n

    def __getstate__(self) -> dict[str, Any]:
        """The parts by name; extras as bytes, each to be read only by who has such a part."""
        state: dict[str, Any] = {
            part: {name: getattr(self._holder(part), name) for name in names}
            for part, names in _PARTS.items()
        }
        state["learner"]["model"] = plain(self.line_up.serving.model)
        if self.extras:
            state["extras"] = {name: pickling.dumps(each) for name, each in self.extras.items()}
        if commanded := self.commanded.kept():
            state["commanded"] = commanded
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        try:
            self.line_up = LineUp(Learner(state["learner"]["model"]))
            for part, names in _PARTS.items():
                for name in names:
                    setattr(self._holder(part), name, state[part][name])
        except (KeyError, TypeError) as error:
            raise pickle.UnpicklingError(f"it lacks {error}") from error
        self.extras = state.get("extras", {})
        self.commanded = Commanded()
        self.commanded.load(state.get("commanded", {}))

    def segments(self) -> dict[str, bytes]:
        """What is no part of the pickled state and belongs to it, by name; it never changes."""
        pending: Pending | None = self.extras.get(PENDING)
        return {} if pending is None else pending.segments()

    def attach(self, payload: bytes) -> None:
        """Add what belongs to the payload that it was read from.

        Raises: pickle.UnpicklingError: that is not all there.
        """
        pending: Pending | None = self.extras.get(PENDING)
        if pending is not None:
            try:
                pending.attach(segments_of(payload))
            except (KeyError, ValueError) as error:
                raise pickle.UnpicklingError(f"a segment of it is not there: {error}") from error

    def watchers_and_others(self) -> "tuple[Policy | None, Monitors | None, tuple[Part, ...]]":
        """The policy on alerts and the monitors, if there are, and the parts that see events."""
        others = dict(self.extras)
        policy, monitors = others.pop(policy_spec.NAME, None), others.pop(monitors_spec.NAME, None)
        for acting in (numeric.NAME, reactions.NAME):
            others.pop(acting, None)
        return policy, monitors, tuple(others.values())

    def _holder(self, part: str) -> Any:
        return self.line_up.serving if part == "learner" else self

    def metadata(
        self,
        fingerprint: str,
        *,
        learner: str,
        generation: Generation,
        is_paused: bool,
        reached: Mapping[Channel, Reached],
    ) -> Metadata:
        """The metadata to commit beside `next_offset`, for a fold with this recipe."""
        return Metadata(
            n=self.n,
            digest=f"{self.digest:016x}",
            fingerprint=fingerprint,
            learner=learner,
            generation=generation,
            genesis=self.genesis,
            genesis_n=self.genesis_n,
            has_base=self.has_base,
            learned=self.line_up.serving.learned,
            is_paused=is_paused,
            is_stopped=self.commanded.is_paused,
            is_frozen=self.commanded.is_frozen,
            closed_n=self.closed_n,
            journal_n=self.commanded.journal_n,
            genesis_journal_n=self.commanded.genesis_journal_n,
            control=reached.get(Channel.CONTROL, Reached(0)),
            labels_topic=reached.get(Channel.LABELS, NOWHERE),
            labels=pending.counts() if (pending := self.extras.get(PENDING)) else (),
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
            learned=self.line_up.serving.learned,
            digest=f"{self.digest:016x}",
            genesis=self.genesis,
            genesis_n=self.genesis_n,
            has_base=self.has_base,
            fingerprint=recipe.fingerprint(),
            recipe=recipe.parts(),
            pinned=tuple(self.commanded.pinned),
            segments=tuple(self.segments()) or UNSET,
            raw_bytes=0,
            taken_at_ms=taken_at_ms,
        )


def dumps(state: State) -> bytes:
    """Pickle a state. Raises: Misconfigured: its model holds something that cannot be pickled."""
    try:
        return joined(pickling.dumps(state), state.segments())
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        model = type(plain(state.line_up.serving.model)).__name__
        raise Misconfigured(
            f"model.factory: {model} cannot be pickled ({error}), and so not "
            "snapshotted; use named functions and classes of a module in it"
        ) from error


class Beginning:
    """Where every fold of a recipe begins.

    Attributes:
        pickled: the untrained state at offset 0.
    """

    def __init__(self, recipe: Recipe) -> None:
        begun = State(model=build(recipe.model), detectors=Detectors(recipe.detectors))
        begun.extras = {spec.name: spec.begin() for spec in recipe.extras}
        self.pickled = dumps(begun)
        extras = {name: pickling.dumps(each) for name, each in begun.extras.items()}
        self._extras = {name: unpickling.Allowed(each, factory="") for name, each in extras.items()}
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
        pickled: dict[str, Any] = state.extras  # not read yet
        state.extras = {
            name: unpickling.loads(pickled[name], allowed)
            for name, allowed in self._extras.items()
            if name in pickled
        }
        state.attach(payload)
        return state

    def load_model(self, payload: bytes) -> Any:
        """Load a model that a part of the state holds. Raises: as `load`."""
        return unpickling.loads(payload, self._allowed)


def revived(payload: bytes, *, has_extras: bool = True) -> State:
    """Load what this very process pickled, or has loaded before: nobody else's bytes.

    Args:
        payload: the state.
        has_extras: read the optional parts, too; they may be large.
    """
    state: State = pickle.loads(payload)
    pickled = state.extras if has_extras else {}
    state.extras = {name: pickle.loads(each) for name, each in pickled.items()}
    state.attach(payload)
    return state


def beginning(recipe: Recipe, fingerprint: str) -> Beginning:
    """Where a recipe's folds begin; made once, as long as nobody asks for another's."""
    begin = _begun.get(fingerprint)
    if begin is None:
        begin = Beginning(recipe)
        _begun.clear()
        _begun[fingerprint] = begin
    return begin
