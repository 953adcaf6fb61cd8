"""The command `run`: a worker's life, from the recipe to the last commit."""

import logging
from collections.abc import Collection, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from functools import partial

from stream.config import Settings
from stream.core.event import INPUTS, Channel
from stream.errors import Misconfigured
from stream.ports import Log, TopicInfo, Topics
from stream.runtime import first_start, garbage, preparation, process
from stream.runtime.assembly import assemble
from stream.runtime.capacity import record_bytes_max
from stream.runtime.control import Control
from stream.runtime.fitting import fitted
from stream.runtime.generations import generation_at_start
from stream.runtime.keeping import uses_bases, writes_bases
from stream.runtime.kept_topics import OF_LABELS, USED, ready_kept_topics
from stream.runtime.keys import snapshot_keys
from stream.runtime.labelling import Labels
from stream.runtime.labels_topic import LabelsTopic
from stream.runtime.looking import Looking
from stream.runtime.pipeline import Pipeline
from stream.runtime.topics import Width, ready_bases, ready_topics, widened
from stream.runtime.watchdog import Watchdog
from stream.telemetry import LogEvent, Metric, Telemetry

SEEN_MIN = 20
"""Of fewer records a share tells nothing."""


def work(pipeline: Pipeline, *, until_end: bool) -> None:
    """Work until `pipeline.stopping` is set, or until the events there are at start are done.

    Raises: StreamError: the process must end with its exit code.
    """
    settings, telemetry = pipeline.settings, pipeline.telemetry
    prepared = preparation.prepare(settings)
    recipe = prepared.recipe
    with ExitStack() as stack:
        with closing(pipeline.backend.topics()) as topics:
            infos, width = ready_topics(topics, settings, telemetry, kind=prepared.kind)
            reader = stack.enter_context(closing(pipeline.backend.reader()))
            committed = reader.committed()
            generation = generation_at_start(
                recipe, committed,
                may_return=lambda: settings.model.on_change == "keep"
                or not topics.members(but=settings.worker.instance),
            )  # fmt: skip
            if settings.has_labels_topic:
                _ready_journal(topics, settings, telemetry, events=infos[Channel.EVENTS])
            if uses_bases(recipe, committed, settings.model.on_change):
                ready_bases(
                    topics, settings, telemetry, events=infos[Channel.EVENTS],
                    is_written=writes_bases(recipe, committed, settings.model.on_change),
                )  # fmt: skip
        first_start.try_model(
            recipe, prepared.kind, events=infos[Channel.EVENTS], reader=reader, telemetry=telemetry,
            stopping=pipeline.stopping,
        )  # fmt: skip
        # Not before: what is refused leaves no key behind.
        keys = snapshot_keys(settings, pipeline.environ, telemetry)
        store = stack.enter_context(closing(pipeline.backend.snapshots()))
        log = stack.enter_context(closing(_fitted_log(pipeline, infos)))
        control = stack.enter_context(_control(pipeline))
        labels = stack.enter_context(_labels(pipeline)) if settings.has_labels_topic else None
        worker = assemble(
            settings, recipe=recipe, generation=generation, keys=keys,
            events=infos[Channel.EVENTS], width=width,
            look_for_room=lambda: _look_for_room(pipeline), log=log, reader=reader, store=store,
            clock=pipeline.clock(), telemetry=telemetry, stopping=pipeline.stopping,
            until_end=until_end, control=control, labels=labels,
            ready_commands=partial(_ready_commands, pipeline, infos[Channel.EVENTS]),
        )  # fmt: skip
        telemetry.say(
            LogEvent.WORKER_STARTED,
            pipeline=settings.pipeline,
            client=settings.kafka.client,
            guarantee=settings.delivery.guarantee,
            fingerprint=recipe.fingerprint(),
            path=prepared.path,
        )
        pipeline.backend.end_patience()
        process.collect_rarely()
        garbage.watch()
        worker.run()
    say_if_mostly_refused(telemetry)
    telemetry.say(LogEvent.WORKER_STOPPED, **telemetry.counted())


@contextmanager
def _control(pipeline: Pipeline) -> Iterator[Control]:
    """The control topic, looked at by a thread with a watchdog of its own."""
    telemetry, clock = pipeline.telemetry, pipeline.clock()
    with closing(Watchdog.saying(telemetry)) as watchdog:
        control = Control(
            pipeline.backend.reader, clock=clock, telemetry=telemetry, deadlined=watchdog.watch
        )
        with closing(Looking(control, "control", clock=clock)):
            yield control


@contextmanager
def _labels(pipeline: Pipeline) -> Iterator[Labels]:
    """The labels topic, read by a thread with a watchdog of its own."""
    settings, telemetry, clock = pipeline.settings, pipeline.telemetry, pipeline.clock()
    assert settings.labels is not None  # noqa: S101  # there is a topic of theirs
    patience_s = settings.labels.patience_s
    with ExitStack() as stack:
        near, far = (stack.enter_context(closing(Watchdog.saying(telemetry))) for _ in range(2))
        topic = LabelsTopic(
            pipeline.backend.reader, patience_s=patience_s, start=settings.topics.start,
            clock=clock, telemetry=telemetry, deadlined=(near.watch, far.watch),
        )  # fmt: skip
        stack.enter_context(closing(Looking(topic.near, "labels", clock=clock)))
        stack.enter_context(closing(Looking(topic.far, "labels away", clock=clock)))
        yield Labels(topic, settings.topics.name(Channel.LABELS), patience_s)


def say_if_mostly_refused(telemetry: Telemetry) -> None:
    """Warn that most records were refused, for the worker itself ends with 0 all the same."""
    counters, refused_n = telemetry.counters, telemetry.counters[Metric.REJECTED]
    seen_n = counters[Metric.RECORDS] + counters[Metric.LABELS]
    if seen_n < SEEN_MIN or 2 * refused_n <= seen_n:
        return
    ((reason, n),) = telemetry.reasons.most_common(1)
    telemetry.say(
        LogEvent.MOSTLY_REFUSED,
        level=logging.WARNING,
        why=f"{refused_n} of {seen_n} records ({100 * refused_n // seen_n} %) were refused, "
        f"most often as {reason} ({n})",
        then="`stream quarantine list` shows them and why; `stream quarantine redrive` sends them "
        "again once that is mended",
    )


def _look_for_room(pipeline: Pipeline) -> Width:
    """How many partitions the outputs have a place for by now, with a client of its own."""
    with closing(pipeline.backend.topics()) as topics:
        return widened(topics, pipeline.settings, pipeline.telemetry)


def _ready_commands(pipeline: Pipeline, events: TopicInfo, channels: Collection[Channel]) -> None:
    """Make what is missing of the topics for commands, with a client of its own."""
    with closing(pipeline.backend.topics()) as topics:
        now = topics.describe((Channel.EVENTS,))[Channel.EVENTS] or events
        ready_kept_topics(
            topics, pipeline.settings, pipeline.telemetry, partitions=now.partitions,
            channels=channels,
        )  # fmt: skip
        if refused := topics.refused([each for each in USED if each[0] in channels]):
            raise Misconfigured(*refused)


def _ready_journal(
    topics: Topics, settings: Settings, telemetry: Telemetry, *, events: TopicInfo
) -> None:
    """Make the journal, if it is missing, before the first label needs it.

    Raises: Misconfigured: it may not be made, written or read, or labels may not be read, or what
        became of them not be told.
    """
    ready_kept_topics(
        topics, settings, telemetry, partitions=events.partitions, channels=(Channel.JOURNAL,)
    )
    wanted = [each for each in OF_LABELS if each[0] in settings.channels]
    wanted += [each for each in USED if each[0] is Channel.JOURNAL]
    if refused := topics.refused(wanted):
        raise Misconfigured(*refused)


def _fitted_log(pipeline: Pipeline, infos: Mapping[Channel, TopicInfo]) -> Log:
    """The worker's log, whose outputs fit the topics as they are now."""
    outputs: dict[Channel, TopicInfo] = {c: info for c, info in infos.items() if c not in INPUTS}
    known = [info.accepts.bytes_max for info in outputs.values() if info.accepts is not None]
    return fitted(
        pipeline.backend.log(record_bytes_max=min(known, default=None)),
        outputs,
        clock=pipeline.clock(),
        record_bytes_max=record_bytes_max(Channel.QUARANTINE, pipeline.settings),
    )
