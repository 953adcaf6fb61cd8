"""What a fold has come to: its state, and what a commit, a snapshot and an undo take of it."""

from stream.core.event import Channel
from stream.core.fold.state import State, beginning, dumps
from stream.core.learning.learner import Learner
from stream.core.learning.undo import CopyPoint
from stream.core.problems import Problem
from stream.core.recipe import Recipe
from stream.core.scores import Score
from stream.core.snapshots.metadata import Generation, Metadata, Reached
from stream.core.snapshots.seal import Header


class Folded:
    """A fold of one partition as all see it but the one who folds: see `Task`."""

    recipe: Recipe
    partition: int
    state: State
    serving: Learner
    fingerprint: str
    learner_fingerprint: str
    generation: Generation
    is_paused: bool
    reached: dict[Channel, Reached]
    _problem: Problem

    @property
    def next_offset(self) -> int:
        """First offset not yet folded in."""
        return self.state.next_offset

    @property
    def is_halted(self) -> bool:
        """Whether nothing more of it is consumed: by the breaker, or by a command."""
        return self.is_paused or self.state.commanded.is_paused

    def freeze(self, *, is_frozen: bool) -> None:
        """Let it only predict from now on, or learn again."""
        self.state.commanded.is_frozen = self.serving.is_frozen = is_frozen

    def pickled(self) -> bytes:
        """The state, pickled: the payload of a snapshot; no step sees it, so a fork may do it.

        Raises: Misconfigured: the model holds something that cannot be pickled.
        """
        return dumps(self.state)

    def segments(self) -> dict[str, bytes]:
        """What belongs to the pickled state and is no part of it: see `Payload`."""
        return self.state.segments()

    def problem_with(self, payload: bytes) -> str:
        """Why a state that `pickled` gave would not come back; "" if it does. Takes its time."""
        return beginning(self.recipe, self.fingerprint).problem_with(payload)

    def keep_copy(self) -> bytes:
        """The state, pickled; it is also what undoing goes back to. Raises: as `pickled`."""
        payload = self.pickled()
        self.serving.way_back.keep(payload)
        return payload

    @property
    def undo_length(self) -> float:
        """How long undoing would take, from 0 to 1; at 1 `step` takes a new copy by itself."""
        return self.serving.way_back.length

    def copy_point(self) -> CopyPoint:
        """Mark the present state, which somebody else is about to pickle: see `rebase`."""
        return self.serving.way_back.copy_point()

    def rebase(self, copy_point: CopyPoint, payload: bytes) -> bool:
        """Let undoing go back to `payload`, the state at `copy_point`, from now on.

        Returns: False if there is a later copy already.
        """
        return self.serving.way_back.rebase(copy_point, payload)

    def advance(self, next_offset: int) -> None:
        """Move over offsets that hold no record (markers, aborted or compacted records)."""
        assert next_offset >= self.state.next_offset, "a fold never goes back"  # noqa: S101
        self.state.next_offset = next_offset

    def score(self) -> Score | None:
        """The windowed score beside the no-change baseline."""
        return self._problem.score(self.serving.window.pairs)

    def metadata(self) -> Metadata:
        """The metadata to commit beside `next_offset`."""
        return self.state.metadata(
            self.fingerprint,
            learner=self.learner_fingerprint,
            generation=self.generation,
            is_paused=self.is_paused,
            reached=self.reached,
        )

    def header(self, *, topic_id: str, taken_at_ms: int) -> Header:
        """The header of a snapshot of this state."""
        state, recipe = self.state, self.recipe
        return state.header(recipe, self.partition, topic_id=topic_id, taken_at_ms=taken_at_ms)
