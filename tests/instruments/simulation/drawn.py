"""What a seed draws before its first phase: what comes in, and which settings come when."""

from dataclasses import replace
from random import Random

from stream.core.event import Channel
from stream.core.labels.labels_spec import LabelsSpec
from stream.core.monitoring.episodes import Severity
from stream.core.monitoring.monitors_spec import MonitorsSpec
from stream.core.monitoring.numeric import NumericSpec
from stream.core.monitoring.policy_spec import PolicySpec
from stream.core.monitoring.reactions import ReactionsSpec, Rule
from stream.core.recipe import Recipe
from stream.core.spec import DetectorSpec, ModelSpec
from stream.runtime.breaker import NEVER
from tests.instruments.simulation.model import steep
from tests.instruments.simulation.plain_acting import Reaction
from tests.instruments.simulation.plain_fold import Plan
from tests.instruments.simulation.plain_labels import LabelRules
from tests.instruments.simulation.plain_policy import Rules
from tests.instruments.simulation.workload import Workload
from tests.instruments.simulation.world import NAMES, RECIPE, Options, World

QUIET = DetectorSpec(name="quiet", type="PageHinkley", params={"threshold": 1e9})
"""One more detector, which never finds anything: what is published is that of one fold."""

POLICIES = (
    PolicySpec(min_severity=Severity.INFO, cooldown=8, reminder_ms=0, burst_n=2, refill_n=25),
    PolicySpec(
        min_severity=Severity.INFO, cooldown=15_000, unit="ms", reminder_ms=0, burst_n=2,
        refill_n=30,
    ),
    PolicySpec(cooldown=5, reminder_ms=9_000, burst_n=1, refill_n=40),
)  # fmt: skip
"""On alerts: of a log of 20 to 150 events all three tell firings, reminders, ends and storms."""

MONITORS = MonitorsSpec(block_n=4, reference_n=12, budget_events=20)
"""Beside a policy: they find something in so short a log."""

STEEP = ModelSpec(factory=f"{steep.__module__}:{steep.__name__}")
"""A linear model that one wild number spoils."""

CEILINGS = (1, 1400, 1700)
"""Bytes of a state that is too large: at once, after a few events, after some."""

COMMANDED_SHARE = 0.3
"""Of all seeds; the others are what they were before there were commands."""

LABELLED_SHARE = 0.3
"""Of all seeds: those with labels that come later."""

TOPIC_SHARE = 0.6
"""Of these: those with a topic of their own."""

ACTING_SHARE = 0.7
"""Of the seeds with commands; in the others folds do nothing by themselves."""

REACTIONS: tuple[tuple[Rule, ...], ...] = (
    (),
    (Rule("drift", "reset", 40),),
    (Rule("model:numeric", "reset", 1),),
    (Rule("ph", "freeze", 30), Rule("numeric", "reset", 20)),
    (Rule("drift", "freeze", 20_000, "ms"), Rule("model:failures", "reset", 5)),
    (Rule("input", "reset", 30), Rule("drift", "freeze", 4)),
    (Rule("drift", "reset", 6), Rule("model:numeric", "freeze", 9)),
)
"""To alerts that are there in so short a log."""


def rules_of(policy: PolicySpec) -> Rules:
    """A policy's settings, for the auditor."""
    return Rules(
        min_severity=policy.min_severity.word,
        cooldown=policy.cooldown,
        by_time=policy.unit == "ms",
        reminder_ms=policy.reminder_ms,
        burst_n=policy.burst_n,
        refill_n=policy.refill_n,
    )


def drawn_recipe(seed: int, options: Options) -> tuple[Options, Plan]:
    """What a seed's folds are configured with; and the same for the auditor.

    Each part is drawn by itself, so that where there is none of it a seed is what it was.
    """
    recipe, is_commanded = options.recipe, False
    ceiling = Random(f"ceiling {seed}").choice((None, None, None, *CEILINGS))
    if ceiling is not None:
        recipe = replace(recipe, limits=replace(recipe.limits, state_bytes_max=ceiling))
    recipe, plan = drawn_watching(seed, recipe)
    if plan.rules is None and Random(f"commanded {seed}").random() < COMMANDED_SHARE:
        is_commanded = True
        recipe, plan = drawn_acting(Random(f"acting {seed}"), recipe)
    if Random(f"labelled {seed}").random() < LABELLED_SHARE:
        rng = Random(f"labels {seed}")
        recipe, plan = drawn_labels(rng, recipe, plan)
        assert plan.labels is not None
        options = replace(
            options, has_labels_topic=plan.labels.has_topic,
            limit=options.limit if plan.labels.has_topic else NEVER,
            patience_s=rng.choice((0.0, 0.05, 1.0, 5.0)),
        )  # fmt: skip
    return replace(options, recipe=recipe, is_commanded=is_commanded), plan


def drawn_watching(seed: int, recipe: Recipe) -> tuple[Recipe, Plan]:
    """A policy on alerts and monitors, which decide what is published, or none."""
    policy = Random(f"alerts {seed}").choice((None, None, None, *POLICIES))
    # Only a policy tells what monitors find.
    is_watched = policy is not None and Random(f"monitors {seed}").random() >= 0.5
    return _planned(recipe, Plan(), policy, is_watched=is_watched)


def drawn_acting(rng: Random, recipe: Recipe) -> tuple[Recipe, Plan]:
    """What a fold that takes commands does by itself, beside them; perhaps nothing."""
    if rng.random() >= ACTING_SHARE:
        return recipe, Plan()
    plan = Plan(has_breaker=rng.random() < 0.8)
    rules = rng.choice(REACTIONS)
    if rng.random() < 0.5:
        recipe, plan = replace(recipe, model=STEEP), replace(plan, make=steep)
    policy = rng.choice((None, None, *POLICIES))
    is_watched = policy is not None and rng.random() < 0.5
    return _planned(recipe, plan, policy, *rules, is_watched=is_watched)


def _planned(
    recipe: Recipe, plan: Plan, policy: PolicySpec | None, *rules: Rule, is_watched: bool
) -> tuple[Recipe, Plan]:
    """The recipe of workers, and what the auditor is told of it."""
    parts = (
        policy,
        MONITORS if is_watched else None,
        NumericSpec() if plan.has_breaker else None,
        ReactionsSpec(rules) if rules else None,
    )
    told = replace(
        plan,
        rules=None if policy is None else rules_of(policy),
        monitors=MONITORS if is_watched else None,
        reactions=tuple(
            Reaction(each.when, each.do, each.cooldown, each.unit == "ms") for each in rules
        ),
    )
    return replace(recipe, extras=tuple(part for part in parts if part is not None)), told


def drawn_labels(rng: Random, recipe: Recipe, plan: Plan) -> tuple[Recipe, Plan]:
    """Labels that come later, in a topic of their own or among the events."""
    spec = drawn_labels_spec(rng)
    return labelled(recipe, spec), replace(plan, labels=label_rules(spec))


def drawn_labels_spec(rng: Random) -> LabelsSpec:
    """How events wait for their labels."""
    return LabelsSpec(
        wait_ms=rng.choice((2_000, 5_000, 15_000, 60_000, 10**9)),
        pending_max=rng.choice((3, 8, 1_000, 1_000)),
        on_expiry=rng.choice(("drop", "negative")),
        early_max=rng.choice((1, 3, 1_000)),
        on_correction=rng.choice(("learn", "ignore")),
        has_topic=rng.random() < TOPIC_SHARE,
        unknown=rng.choice(("outcome", "outcome", "outcome", "count")),
        publish=rng.choice(("late", "late", "all", "all", "none")),
        features=rng.random() < 0.3,
    )


def labelled(recipe: Recipe, spec: LabelsSpec) -> Recipe:
    """A recipe whose labels come later, so."""
    others = (each for each in recipe.extras if not isinstance(each, LabelsSpec))
    return replace(recipe, extras=(*others, spec))


def rules_by_fingerprint(recipe: Recipe) -> dict[str, LabelRules]:
    """What a recipe says of labels, if it does, for the auditor."""
    specs = (each for each in recipe.extras if isinstance(each, LabelsSpec))
    return {recipe.fingerprint(): label_rules(each) for each in specs}


def label_rules(spec: LabelsSpec) -> LabelRules:
    """The settings, for the auditor."""
    return LabelRules(
        wait_ms=spec.wait_ms, pending_max=spec.pending_max, early_max=spec.early_max,
        on_expiry=spec.on_expiry, on_correction=spec.on_correction, unknown=spec.unknown,
        publish=spec.publish, has_features=spec.features, has_topic=spec.has_topic,
    )  # fmt: skip


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


def drawn_wildness(seed: int, plan: Plan) -> float:
    """How likely an event is one that trips a breaker; without one there are none."""
    return Random(f"wild {seed}").choice((0.05, 0.1, 0.25)) if plan.has_breaker else 0.0


def _with_other_labels(rng: Random, recipe: Recipe) -> Recipe:
    """Events wait otherwise; and perhaps the model is another one, so that all is folded again."""
    spec = next(each for each in recipe.extras if isinstance(each, LabelsSpec))
    spec = replace(
        drawn_labels_spec(rng), has_topic=spec.has_topic, publish=spec.publish,
        unknown=spec.unknown, features=spec.features,
    )  # fmt: skip
    if recipe.limits.state_bytes_max == RECIPE.limits.state_bytes_max and rng.random() < 0.4:
        recipe = replace(recipe, hash_seed=recipe.hash_seed + 1)
    return labelled(recipe, spec)


def drawn_changes(rng: Random, recipe: Recipe, *, is_stored: bool) -> dict[int, Recipe]:
    """Settings that whoever starts after so many actions has; others run on with theirs.

    Those of labels decide what is learned. They change only where what is stored can be read
    (`is_stored`): else somebody may go on from a snapshot without the settings that it was made
    with, and nobody outside can say from where on it has today's.
    """
    if rng.random() < 0.3:
        return {}
    changes = {}
    has_labels = is_stored and any(isinstance(each, LabelsSpec) for each in recipe.extras)
    for _ in range(rng.choice((1, 1, 2))):
        if has_labels and rng.random() < 0.6:
            recipe = _with_other_labels(rng, recipe)
            changes[rng.choice((5, 20, 60, 150))] = recipe
            continue
        if recipe.limits.features_max == RECIPE.limits.features_max and rng.random() < 0.5:
            recipe = replace(recipe, limits=replace(recipe.limits, features_max=1_000))
        else:
            names = recipe.detectors
            recipe = replace(
                recipe, detectors=RECIPE.detectors if QUIET in names else (*names, QUIET)
            )
        changes[rng.choice((1, 5, 20, 60, 150))] = recipe
    return changes
