"""Which of a pipeline's recipes is the newest, so that a rolling deploy never goes back and forth.

Each change of a recipe is a new generation, which the metadata beside the committed offsets carry,
with the fingerprints that it took the place of. A worker finds its own when it starts. On a
partition that a newer one has folded it ends with 75, and leaves it to the others.
"""

from collections.abc import Callable, Mapping

from stream.core.recipe import Recipe
from stream.core.snapshots.metadata import FIRST, Generation, Metadata, parse_metadata
from stream.errors import Fenced
from stream.ports import Committed
from stream.runtime.sources import Sources


def generation_at_start(
    recipe: Recipe, committed: Mapping[int, Committed], *, may_return: Callable[[], bool]
) -> Generation:
    """The generation of a recipe, by what its group has committed.

    Args:
        recipe: this process's.
        committed: by partition.
        may_return: whether a recipe that another one took the place of may take it back: nobody
            works with that one any more, or the configuration says so. Asked only then.
    """
    known = [m for at in committed.values() if (m := parse_metadata(at.metadata)) is not None]
    if not known:
        return FIRST
    fingerprint = recipe.fingerprint()
    last = max(each.generation.number for each in known)
    newest = [each for each in known if each.generation.number == last]
    others = [each for each in newest if each.fingerprint != fingerprint]
    if not others:
        return newest[0].generation
    # Of two that began at once, before either had committed, neither is the newer one: whichever
    # starts first from now on.
    is_tied, other = len(others) < len(newest), others[0]
    if not is_tied and fingerprint in other.generation.replaced and not may_return():
        own = [each.generation for each in known if each.fingerprint == fingerprint]
        return max(own, key=lambda each: each.number, default=Generation(0))
    return other.generation.next(other.fingerprint, fingerprint)


def refuse_older(known: Metadata, sources: Sources, partition: int) -> None:
    """Raises: Fenced: the partition was folded with a newer recipe than ours."""
    own, theirs = sources.generation, known.generation
    is_ours = known.fingerprint == sources.recipe.fingerprint()
    if is_ours or theirs.number < own.number:
        return
    raise Fenced(
        f"partition {partition} was folded with a newer recipe (generation {theirs.number}, "
        f"{known.fingerprint}; ours is {own.number}, {sources.recipe.fingerprint()}): it is left "
        "to the workers that have it; to go back to this recipe, stop them first, or set "
        'model.on_change = "keep" for one start'
    )
