"""What a seed draws before its first phase: what comes in, and which settings come when."""

from dataclasses import replace
from random import Random

from stream.core.event import Channel
from stream.core.recipe import Recipe
from stream.core.spec import DetectorSpec
from tests.instruments.simulation.workload import Workload
from tests.instruments.simulation.world import NAMES, RECIPE, World

QUIET = DetectorSpec(name="quiet", type="PageHinkley", params={"threshold": 1e9})
"""One more detector, which never finds anything: what is published is that of one fold."""


def drawn_workload(world: World, rng: Random, records_n: int | None) -> Workload:
    """What comes in: so many records, if that is told."""
    drawn_n, broker = rng.choice((20, 60, 150)), world.broker
    return Workload(
        broker,
        topic=NAMES[Channel.EVENTS],
        rng=rng,
        partitions_n=len(broker.topic(NAMES[Channel.EVENTS]).partitions),
        records_n=records_n or drawn_n,
    )


def drawn_changes(rng: Random, recipe: Recipe) -> dict[int, Recipe]:
    """Settings that whoever starts after so many actions has; others run on with theirs."""
    if rng.random() < 0.3:
        return {}
    changes = {}
    for _ in range(rng.choice((1, 1, 2))):
        if recipe.limits.features_max == RECIPE.limits.features_max and rng.random() < 0.5:
            recipe = replace(recipe, limits=replace(recipe.limits, features_max=1_000))
        else:
            names = recipe.detectors
            recipe = replace(
                recipe, detectors=RECIPE.detectors if QUIET in names else (*names, QUIET)
            )
        changes[rng.choice((1, 5, 20, 60, 150))] = recipe
    return changes
