"""The command `check`: looks at everything a worker needs, and says all problems at once."""

import json
import pickle
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path

from stream.config import load_model
from stream.core.event import Channel, Event, Kind, Reason, Record
from stream.core.formats.checks import in_words
from stream.core.learning import estimator
from stream.errors import Misconfigured
from stream.ports import Reader, TopicInfo, Topics
from stream.runtime import first_start, preparation, repeating
from stream.runtime.commands import (
    base_checks,
    command_checks,
    event_checks,
    label_checks,
    labels_topic_checks,
    output_checks,
    permission_checks,
)
from stream.runtime.commands.findings import Findings
from stream.runtime.commands.log_checks import LogChecks
from stream.runtime.commands.snapshots import existing_keys
from stream.runtime.keys import key_path
from stream.runtime.pipeline import Pipeline
from stream.runtime.preparation import Prepared
from stream.runtime.repeated_fold import Outcome
from stream.runtime.topics import partition_problems

MODEL_ERROR = Reason.MODEL_ERROR.value.encode()


def check(
    open_pipeline: Callable[[Path], Pipeline], path: Path, *, environ: Mapping[str, str]
) -> bool:
    """Look at configuration, model, snapshots, topics and log; nothing is changed.

    Args:
        open_pipeline: reads the configuration; raises Misconfigured.
        path: the configuration file.
        environ: the process's environment.

    Returns: whether there are no problems.
    """
    findings, pipeline = Findings(), None
    with findings.step():
        pipeline = open_pipeline(path)
    if pipeline is None:
        with findings.step():
            _look_at_model_alone(path, environ, findings)
        return False
    findings.clean = pipeline.telemetry.clean
    findings.ok(f"configuration: pipeline {pipeline.settings.pipeline}")
    built, seen = None, Seen()
    with findings.step():
        built = _build(pipeline, findings)
    with findings.step():
        _ask_snapshots(pipeline, findings)
    with findings.step():
        seen = _look_at_kafka(pipeline, findings, built)
    if built is not None:
        with findings.step():
            _try_model(pipeline, findings, built, seen)
    return not findings.problems_n


def _look_at_model_alone(path: Path, environ: Mapping[str, str], findings: Findings) -> None:
    """Check the model even though the rest of the configuration cannot be used."""
    if not path.is_file():
        return
    model = load_model(path, environ=environ)
    if model is not None:
        for problem in preparation.model_problems(model.core(), path.parent):
            findings.problem(problem)


@dataclass(frozen=True, slots=True)
class Seen:
    """What the log has to try a model with.

    Attributes:
        records: the first records of one partition.
        event: a valid one, with a label if there is one.
    """

    records: Sequence[Record] = ()
    event: Event | None = None


def _build(pipeline: Pipeline, findings: Findings) -> Prepared:
    """The recipe and its untrained model. Raises: Misconfigured."""
    prepared = preparation.prepare(pipeline.settings)
    recipe = prepared.recipe
    try:
        pickle.dumps(prepared.model.clone())
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise Misconfigured(
            f"model.factory: {recipe.model.factory} gives a model that cannot be pickled "
            f"({error}); use a module's functions, not lambdas, and keep files and locks out"
        ) from error
    findings.ok(f"model: {recipe.model.factory}, {prepared.kind}, recipe {recipe.fingerprint()}")
    findings.ok(f"model: {prepared.path}")
    return prepared


def _ask_snapshots(pipeline: Pipeline, findings: Findings) -> None:
    """Ask the store whether it works, and try the keys if there are any."""
    if key_path(pipeline.settings, pipeline.environ).exists():
        # Read now what a worker would refuse; a missing one is made by the first worker.
        existing_keys(pipeline)
    note = pipeline.backend.ask_snapshots()
    if note is None:
        findings.ok("snapshots: the store answers")
    else:
        findings.note(f"snapshots: {note}")


def _look_at_kafka(pipeline: Pipeline, findings: Findings, built: Prepared | None) -> Seen:
    """Check the topics, then what is in the log."""
    kind, recipe = (None, None) if built is None else (built.kind, built.recipe)
    with ExitStack() as stack:
        topics = stack.enter_context(closing(pipeline.backend.topics()))
        infos = topics.describe(pipeline.settings.channels)
        findings.ok(f"log: {pipeline.settings.kafka.client} reaches it")
        with findings.step():
            _look_at_topics(pipeline, findings, topics, infos, kind)
        reader = stack.enter_context(closing(pipeline.backend.reader()))
        with findings.step():
            output_checks.look(pipeline, findings, reader, infos)
        events = infos[Channel.EVENTS]
        if events is None:
            return Seen()
        if recipe is not None:
            with findings.step():
                base_checks.look(
                    pipeline, findings, topics=topics, reader=reader, events=events,
                    recipe=recipe,
                )  # fmt: skip
        with findings.step():
            command_checks.look(pipeline, findings, topics=topics, reader=reader, events=events)
        with findings.step():
            LogChecks(pipeline, findings, recipe=recipe, reader=reader).look(infos, events)
        with findings.step():
            settings = pipeline.settings
            labels_topic_checks.look(findings, reader, settings, infos=infos, kind=kind)
        return _look_at_events(pipeline, findings, reader, events, built)


def _look_at_topics(
    pipeline: Pipeline,
    findings: Findings,
    topics: Topics,
    infos: Mapping[Channel, TopicInfo | None],
    kind: Kind | None,
) -> None:
    """Say which topics exist, whether they fit together, and what we may do with them."""
    settings = pipeline.settings
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
    output_checks.say_what_they_take(findings, infos, settings, kind)
    permission_checks.look(findings, topics, infos)


def _look_at_events(
    pipeline: Pipeline,
    findings: Findings,
    reader: Reader,
    events: TopicInfo,
    built: Prepared | None,
) -> Seen:
    """Check the format of the first events, and collect some to try the model with."""
    first = event_checks.first_records(reader, events, n=event_checks.RECORDS_MAX)
    if not first:
        return Seen()
    settings, kind = pipeline.settings, None if built is None else built.kind
    event = event_checks.look(findings, first, settings, kind=kind)
    label_checks.look(findings, reader, settings, events=events, kind=kind)
    return Seen(first_start.first_records(reader, events, n=repeating.EVENTS_MAX), event)


def _try_model(pipeline: Pipeline, findings: Findings, built: Prepared, seen: Seen) -> None:
    """Fold the events there are in two processes, then try one. Raises: Misconfigured."""
    recipe, factory = built.recipe, built.recipe.model.factory
    records = seen.records or first_start.made_up(recipe.shape, built.kind)
    outcomes: Sequence[Outcome] = ()
    try:
        compared = repeating.compare(recipe, records, stopping=pipeline.stopping)
    except repeating.Untried as error:
        findings.note(f"model: whether {factory} repeats itself could not be tried: {error}")
    else:
        outcomes = compared.outcomes
        n = len(outcomes)
        which = f"the first {n}" if seen.records else f"{n} made-up"
        if compared.difference is None and not n:
            findings.note(f"model: {factory} was not compared in two processes: it folded no event")
        elif compared.difference is None:
            findings.ok(f"model: two processes agree on {which} events")
        else:
            findings.problem(f"model.factory: {factory} {compared.difference}")
    # Only now: a fork of a process in which a model has worked may lack its threads.
    tried = outcomes if seen.records else ()
    _try_event(findings, built, seen.event, tried)
    _say_model_errors(findings, tried)


def _say_model_errors(findings: Findings, outcomes: Sequence[Outcome]) -> None:
    """Say on how many of the first events the model raised, whatever the first one did."""
    raised_n = sum(map(_is_model_error, outcomes))
    if raised_n:
        event_checks.say_model_errors(findings, raised_n, n=len(outcomes))


def _is_model_error(outcome: Outcome) -> bool:
    return (Channel.QUARANTINE, MODEL_ERROR) in outcome


def _fault(outcome: Outcome) -> str | None:
    """Why an event got no answer; None: it got one, or was refused."""
    channel, value = outcome[0]
    found = json.loads(value).get("fault") if channel == Channel.PREDICTIONS else None
    return None if found is None else str(found)


def _try_event(
    findings: Findings, built: Prepared, event: Event | None, outcomes: Sequence[Outcome]
) -> None:
    """Predict and learn once, on a copy. Raises: Misconfigured: not on a real event."""
    if event is not None:
        faults = [fault for each in outcomes if (fault := _fault(each)) is not None]
        if faults:
            event_checks.say_faults(findings, faults, n=len(outcomes))
        try:
            _trial(built, event)
        except Misconfigured:
            # Of one event, again and again, naive Bayes learns no variance; of all of them it did.
            if len(faults) == len(outcomes) or any(map(_is_model_error, outcomes)):
                raise
            findings.ok("model: predicts and learns the first events of the log")
            return
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


def _trial(built: Prepared, event: Event) -> None:
    """Let the model predict and learn once, on a copy. Raises: Misconfigured: it raised."""
    try:
        quicken = built.recipe.quicken
        estimator.trial(built.model, built.kind, event.features, event.label, quicken=quicken)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # whatever a user's model raises, a panic of Rust included
        names = ", ".join(event.features)
        raise Misconfigured(
            f"model: {built.recipe.model.factory} raised {in_words(error)} on "
            f"an event with the features {names[:120]}; such events would be quarantined"
        ) from error
