"""A fold goes on with another recipe, and its learner with it."""

import xxhash

from stream.core.fold.state import State, dumps
from stream.core.fold.task import Task
from stream.core.fold.tasks import task_of
from stream.core.monitoring.detectors import Detectors
from stream.core.parts import CarrySpec, PartSpec
from stream.core.recipe import Recipe


def kept(task: Task, recipe: Recipe) -> tuple[Task, bytes]:
    """The fold that goes on where `task` stands with another recipe: a new genesis, its learner.

    Returns: its task, in which the state of `task` went over, and that state as bytes.
    """
    state = carried(task.state, recipe, task.recipe)
    state.genesis, state.genesis_n, state.has_base = state.next_offset, state.n, True
    state.commanded.genesis_journal_n = state.commanded.journal_n
    kept_by = f"kept:{recipe.fingerprint()}".encode()
    state.digest = xxhash.xxh3_64_intdigest(kept_by, state.digest)
    payload = dumps(state)
    going_on = task_of(recipe, partition=task.partition, payload=payload)
    going_on.is_paused = task.is_paused
    going_on.admission.weigh(len(payload))
    return going_on, payload


def carried(state: State, recipe: Recipe, before: Recipe) -> State:
    """A state that was folded with another recipe, as it goes on with this one.

    The learner goes on as it is. What has its very settings of before goes on, too, and what knows
    how to go on with others; the rest begins anew. Names and classes that there were are known yet;
    a state that had reached another ceiling opens again.

    Args:
        state: its parts are taken over, not copied.
        recipe: goes on with it.
        before: what `state` was folded with.
    """
    state.detectors = Detectors(recipe.detectors, kept=state.detectors.detectors)
    if recipe.limits.state_bytes_max != before.limits.state_bytes_max:
        state.closed_n = state.closed_said_n = None
    state.extras = {spec.name: _part(spec, state, before) for spec in recipe.extras}
    return state


def _part(spec: PartSpec, state: State, before: Recipe) -> object:
    """One part, as it goes on, or begins."""
    was = next((each for each in before.extras if each.name == spec.name), None)
    if was is None or spec.name not in state.extras:
        return spec.begin()
    if was == spec:
        return state.extras[spec.name]
    if isinstance(spec, CarrySpec) and was.version == spec.version:
        return spec.carry(state.extras[spec.name])
    return spec.begin()
