"""Who writes to the topics beside the events, as a seed draws them."""

from collections.abc import Callable

from stream.core.event import Channel
from tests.instruments.simulation.commander import WHATS, Commander
from tests.instruments.simulation.labeller import Labeller
from tests.instruments.simulation.plain_fold import Plan
from tests.instruments.simulation.workload import Workload
from tests.instruments.simulation.world import NAMES, Options, World

LABELLED = 0.3
"""Of the events so many bring their labels, where the others' come later."""


def drawn_commander(
    seed: int, plan: Plan, world: World, workload: Workload, note: Callable[[str], None]
) -> Commander:
    """Who commands; before the first process starts, there has been a command."""
    # What freezes by itself is to learn again.
    whats = (*WHATS, *("unfreeze",) * (4 if plan.has_breaker else 0))
    commander = Commander(
        world.commands, NAMES.__getitem__, seed=f"commands {seed}", note=note, whats=whats
    )
    for partition in range(len(workload.facts)):
        world.commands.append(b"hello", partition=partition)
    world.is_looking = commander.is_looking
    return commander


def drawn_labeller(
    seed: int, options: Options, world: World, workload: Workload, note: Callable[[str], None]
) -> Labeller:
    """Who knows labels later."""
    source = world.labels if options.has_labels_topic else None
    labeller = Labeller(
        workload, source, events=NAMES[Channel.EVENTS], seed=f"labeller {seed}", note=note
    )
    workload.labeller, workload.labelled = labeller, LABELLED
    world.is_reading = labeller.is_reading
    return labeller
