"""The fold that a recipe asks for."""

from stream.core import seen
from stream.core.fold.deduplicating import DeduplicatingTask
from stream.core.fold.labelling import LabellingTask
from stream.core.fold.task import Task
from stream.core.parts import PENDING
from stream.core.recipe import Recipe


def task_of(
    recipe: Recipe,
    *,
    partition: int,
    genesis: int = 0,
    genesis_n: int = 0,
    payload: bytes | None = None,
) -> Task:
    """One partition's fold: see `Task`, of the arguments, too."""
    parts = {spec.name for spec in recipe.extras}
    made: type[Task] = DeduplicatingTask if seen.NAME in parts else Task
    if PENDING in parts:
        made = LabellingTask
    return made(recipe, partition=partition, genesis=genesis, genesis_n=genesis_n, payload=payload)
