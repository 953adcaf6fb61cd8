"""The command `run`: a worker's life, from the recipe to the last commit."""

import logging
from collections.abc import Mapping
from contextlib import ExitStack, closing

from stream.core.event import Channel
from stream.ports import Log, TopicInfo
from stream.runtime import first_start, memory, preparation, process
from stream.runtime.assembly import assemble
from stream.runtime.capacity import record_bytes_max
from stream.runtime.fitting import fitted
from stream.runtime.house import House
from stream.runtime.keys import snapshot_keys
from stream.runtime.topics import Width, ready_topics, widened
from stream.telemetry import Event, Metric, Telemetry

SEEN_MIN = 20
"""Of fewer records a share tells nothing."""


def work(house: House, *, until_end: bool) -> None:
    """Work until `house.stopping` is set, or until the events there are at start are done.

    Raises: StreamError: the process must end with its exit code.
    """
    settings, telemetry = house.settings, house.telemetry
    prepared = preparation.prepare(settings)
    recipe = prepared.recipe
    with ExitStack() as stack:
        with closing(house.topics()) as topics:
            infos, width = ready_topics(topics, settings, telemetry, kind=prepared.kind)
        reader = stack.enter_context(closing(house.reader()))
        first_start.try_model(
            recipe, prepared.kind, events=infos[Channel.EVENTS], reader=reader, telemetry=telemetry,
            stopping=house.stopping,
        )  # fmt: skip
        # Not before: what is refused leaves no key behind.
        keys = snapshot_keys(settings, house.environ, telemetry)
        store = stack.enter_context(closing(house.snapshots()))
        log = stack.enter_context(closing(_fitted_log(house, infos)))
        worker = assemble(
            settings, recipe=recipe, keys=keys, events=infos[Channel.EVENTS], width=width,
            look_for_room=lambda: _look_for_room(house), log=log, reader=reader, store=store,
            clock=house.clock(), telemetry=telemetry, stopping=house.stopping, until_end=until_end,
        )  # fmt: skip
        telemetry.say(
            Event.WORKER_STARTED,
            pipeline=settings.pipeline,
            client=settings.kafka.client,
            guarantee=settings.delivery.guarantee,
            fingerprint=recipe.fingerprint(),
        )
        house.hurry()
        process.collect_rarely()
        memory.watch()
        worker.run()
    say_if_mostly_refused(telemetry)
    telemetry.say(Event.WORKER_STOPPED, **telemetry.counted())


def say_if_mostly_refused(telemetry: Telemetry) -> None:
    """A worker that refuses nearly everything ends well, and yet nothing came of its work."""
    seen_n, refused_n = telemetry.counters[Metric.RECORDS], telemetry.counters[Metric.REJECTED]
    if seen_n < SEEN_MIN or 2 * refused_n <= seen_n:
        return
    ((reason, n),) = telemetry.reasons.most_common(1)
    telemetry.say(
        Event.MOSTLY_REFUSED,
        level=logging.WARNING,
        why=f"{refused_n} of {seen_n} records ({100 * refused_n // seen_n} %) were refused, "
        f"most often as {reason} ({n})",
        then="`stream quarantine list` shows them and why; `stream quarantine redrive` sends them "
        "again once that is mended",
    )


def _look_for_room(house: House) -> Width:
    """How many partitions the outputs have a place for by now, with a client of its own."""
    with closing(house.topics()) as topics:
        return widened(topics, house.settings, house.telemetry)


def _fitted_log(house: House, infos: Mapping[Channel, TopicInfo]) -> Log:
    """The worker's log, whose outputs fit the topics as they are now."""
    outputs: dict[Channel, TopicInfo] = {
        c: info for c, info in infos.items() if c != Channel.EVENTS
    }
    known = [info.accepts.bytes_max for info in outputs.values() if info.accepts is not None]
    return fitted(
        house.log(record_bytes_max=min(known, default=None)),
        outputs,
        clock=house.clock(),
        record_bytes_max=record_bytes_max(Channel.QUARANTINE, house.settings),
    )
