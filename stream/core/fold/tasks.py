"""The fold that a recipe asks for."""

from stream.core.fold.labelling import LabellingTask
from stream.core.fold.task import Task
from stream.core.labels import labels_spec
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
    has_labels = any(spec.name == labels_spec.NAME for spec in recipe.extras)
    made = LabellingTask if has_labels else Task
    return made(recipe, partition=partition, genesis=genesis, genesis_n=genesis_n, payload=payload)
