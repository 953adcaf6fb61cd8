"""The command `check`: looks at everything a worker needs, and says all problems at once."""

import pickle
from collections.abc import Callable, Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass
from itertools import islice

from river import base

from stream.core import learner
from stream.core.codec import Codec
from stream.core.event import Channel, Event, Kind, Rejection
from stream.core.recipe import Recipe
from stream.errors import Misconfigured
from stream.ports import Reader, TopicInfo, Topics
from stream.runtime import preparation, recent
from stream.runtime.commands.findings import Findings
from stream.runtime.commands.inspection import existing_keys
from stream.runtime.commands.log_checks import LogChecks
from stream.runtime.house import House
from stream.runtime.keys import key_path
from stream.runtime.topics import partition_problems

TRIED_RECORDS_MAX = 100
"""From the log's start, to find one event that the model can be tried with."""


@dataclass(frozen=True, slots=True)
class _Built:
    recipe: Recipe
    model: base.Estimator
    kind: Kind


def check(open_house: Callable[[], House]) -> bool:
    """Look at configuration, model, snapshots, topics and log; nothing is changed.

    Args:
        open_house: reads the configuration; raises Misconfigured.

    Returns: whether there are no problems.
    """
    findings = Findings()
    with findings.step():
        house = open_house()
        findings.clean = house.telemetry.clean
        findings.ok(f"configuration: pipeline {house.settings.pipeline}")
        built = event = None
        with findings.step():
            built = _build(house, findings)
        with findings.step():
            _ask_snapshots(house, findings)
        with findings.step():
            event = _look_at_kafka(house, findings, built)
        if built is not None:
            with findings.step():
                _try_model(findings, built, event)
    return not findings.problems_n


def _build(house: House, findings: Findings) -> _Built:
    """The recipe and its untrained model. Raises: Misconfigured."""
    recipe = preparation.make_recipe(house.settings)
    model = learner.build(recipe.model)
    kind = learner.kind_of(model)
    try:
        pickle.dumps(model.clone())
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise Misconfigured(
            f"model.factory: {recipe.model.factory} gives a model that cannot be pickled "
            f"({error}); use a module's functions, not lambdas, and keep files and locks out"
        ) from error
    findings.ok(f"model: {recipe.model.factory}, {kind}, recipe {recipe.fingerprint()}")
    return _Built(recipe, model, kind)


def _ask_snapshots(house: House, findings: Findings) -> None:
    if key_path(house.settings, house.environ).exists():
        # Read now what a worker would refuse; a missing one is made by the first worker.
        existing_keys(house)
    note = house.ask_snapshots()
    if note is None:
        findings.ok("snapshots: the store answers")
    else:
        findings.note(f"snapshots: {note}")


def _look_at_kafka(house: House, findings: Findings, built: _Built | None) -> Event | None:
    """Topics, then what is in the log. Returns: an event to try the model with, if there is one."""
    with ExitStack() as stack:
        topics = stack.enter_context(closing(house.topics()))
        infos = topics.describe()
        findings.ok(f"log: {house.settings.kafka.client} reaches it")
        with findings.step():
            _look_at_topics(house, findings, topics, infos)
        events = infos[Channel.EVENTS]
        if events is None:
            return None
        reader = stack.enter_context(closing(house.reader()))
        with findings.step():
            recipe = None if built is None else built.recipe
            LogChecks(house, findings, recipe=recipe, reader=reader).look(infos, events)
        return None if built is None else _first_event(findings, reader, events, built)


def _look_at_topics(
    house: House,
    findings: Findings,
    topics: Topics,
    infos: Mapping[Channel, TopicInfo | None],
) -> None:
    settings = house.settings
    for channel, info in infos.items():
        if info is None and settings.topics.create:
            findings.note(
                f"topics.{channel}: {settings.topics.name(channel)} does not exist; the first "
                "worker, or produce, makes it"
            )
        elif info is None:
            findings.problem(
                f"topics.{channel}: {settings.topics.name(channel)} does not exist; create it, or "
                "set topics.create = true"
            )
        else:
            findings.ok(f"topics.{channel}: {info.name}, partitions: {info.partitions}")
    events = infos[Channel.EVENTS]
    if events is not None:
        for problem in partition_problems(infos, events):
            findings.problem(problem)
        if events.cleanup_policy is None:
            findings.note(f"topics.events: the settings of {events.name} may not be read")
        elif events.cleanup_policy != "delete":
            findings.problem(
                f"topics.events: cleanup.policy of {events.name} is {events.cleanup_policy}, which "
                "removes events that a state is made of; set it to delete"
            )
    denied = topics.denied()
    for problem in denied:
        findings.problem(problem)
    if not denied:
        findings.ok("permissions: nothing is denied")


def _first_event(
    findings: Findings, reader: Reader, events: TopicInfo, built: _Built
) -> Event | None:
    """A valid event from the log's start, one with a label if there is one."""
    codec = Codec(built.recipe.shape, built.recipe.limits, built.kind)
    unlabelled = rejection = None
    for partition in range(events.partitions):
        bounds = reader.bounds(Channel.EVENTS, partition)
        records = recent.records_in(reader, Channel.EVENTS, partition, bounds.start, bounds.end)
        for record in islice(records, TRIED_RECORDS_MAX):
            event = codec.decode(record.value)
            if isinstance(event, Rejection):
                rejection = rejection or event
            elif event.label is not None:
                return event
            else:
                unlabelled = unlabelled or event
        if unlabelled is not None:
            break
    if unlabelled is None and rejection is not None:
        findings.note(
            f"events: none of the first is valid, so all are quarantined ({rejection.reason}: "
            f"{rejection.detail}); does [events] say how they look?"
        )
    return unlabelled


def _try_model(findings: Findings, built: _Built, event: Event | None) -> None:
    """Predict and learn once, on a copy. Raises: Misconfigured: not on a real event."""
    if event is not None:
        _trial(built, event)
        findings.ok("model: predicts and learns the first event of the log")
        return
    label = {Kind.REGRESSION: 1.5, Kind.ANOMALY: None}.get(built.kind, True)
    try:
        _trial(built, Event(features={"a": 0.5, "b": 2.0}, label=label))
    except Misconfigured as error:
        # It may want features that only the real events have.
        findings.note(f"{error}; there is no real event yet to try it with")
        return
    findings.ok("model: predicts and learns a made-up event")


def _trial(built: _Built, event: Event) -> None:
    try:
        learner.trial(built.model, built.kind, event.features, event.label)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # whatever a user's model raises, a panic of Rust included
        names = ", ".join(event.features)
        raise Misconfigured(
            f"model: {built.recipe.model.factory} raised {type(error).__name__}: {error} on "
            f"an event with the features {names[:120]}; such events would be quarantined"
        ) from error
