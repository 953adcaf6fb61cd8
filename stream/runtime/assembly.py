"""Puts a worker together from ports and settings; the adapters come from the command line."""

import random
import threading
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from typing import NamedTuple

from stream.config import Settings
from stream.core.event import Channel
from stream.core.formats.records import Writer
from stream.core.recipe import Recipe
from stream.core.snapshots.metadata import Generation
from stream.core.snapshots.seal import Keys
from stream.ports import Clock, Log, Reader, SnapshotStore, TopicInfo
from stream.runtime.breaker import Limit
from stream.runtime.commanding import nothing
from stream.runtime.commit_policy import CommitPolicy
from stream.runtime.control import Control
from stream.runtime.flow_watch import FlowWatch, Watched
from stream.runtime.forking import CAN_FORK, Fork, ForkedCopy
from stream.runtime.growing_lag import GrowingLag
from stream.runtime.labelling import Labels
from stream.runtime.retention import Policy
from stream.runtime.room import Room
from stream.runtime.silence import Silence
from stream.runtime.snapshotter import Snapshotter
from stream.runtime.sources import Sources
from stream.runtime.topics import Width
from stream.runtime.watchdog import Watchdog
from stream.runtime.worker import Worker
from stream.telemetry import Telemetry


class Parts(NamedTuple):
    """The classes that a worker is made of; the simulation plants its mistakes here."""

    worker: type[Worker] = Worker
    snapshotter: type[Snapshotter] = Snapshotter


THE_PARTS = Parts()


class FlowTimes(NamedTuple):
    """After how long something about the flow is told; None: it never is."""

    silence_s: float | None = None
    lag_s: float | None = None


NOTHING_WATCHED = FlowTimes()


def wired(
    sources: Sources,
    *,
    log: Log,
    policy: Policy,
    commit_policy: CommitPolicy,
    executor: Executor,
    watchdog: Watchdog,
    stopping: threading.Event,
    limit: Limit,
    headers: frozenset[str] = frozenset(),
    flow: FlowTimes = NOTHING_WATCHED,
    room: Room | None = None,
    fork: Fork | None = None,
    control: Control | None = None,
    labels: Labels | None = None,
    ready_commands: Callable[[Collection[Channel]], None] = nothing,
    jitter: Callable[[], float] = random.random,
    parts: Parts = THE_PARTS,
) -> Worker:
    """A worker of these parts: the one place where they get to know each other.

    `headers` names those of an event that its prediction gets, `flow` tells what is watched by the
    wall clock; `executor` and `fork` are as `Snapshotter` takes them, the rest as `Worker` does.
    """
    snapshotter = parts.snapshotter(
        sources.store,
        executor=executor,
        policy=policy,
        key=sources.keys.signing,
        topic_id=sources.topic_id,
        clock=sources.clock,
        telemetry=sources.telemetry,
        fork=fork,
    )
    writer = Writer(sources.recipe, headers=headers)
    return parts.worker(
        log,
        sources=sources,
        writer=writer,
        flow_watch=FlowWatch(
            tuple(_watched(flow, sources)),
            pipeline=sources.recipe.pipeline,
            write=writer.alert,
            clock=sources.clock,
        ),
        snapshotter=snapshotter,
        commit_policy=commit_policy,
        room=room,
        watchdog=watchdog,
        stopping=stopping,
        limit=limit,
        control=control,
        labels=labels,
        ready_commands=ready_commands,
        jitter=jitter,
    )


def assemble(
    settings: Settings,
    *,
    recipe: Recipe,
    generation: Generation,
    keys: Keys,
    events: TopicInfo,
    width: Width,
    look_for_room: Callable[[], Width],
    log: Log,
    reader: Reader,
    store: SnapshotStore,
    clock: Clock,
    telemetry: Telemetry,
    stopping: threading.Event,
    until_end: bool,
    control: Control | None = None,
    labels: Labels | None = None,
    ready_commands: Callable[[Collection[Channel]], None] = nothing,
) -> Worker:
    """A worker that stops when `stopping` is set.

    `events` is the events topic, `width` says how many of its partitions have a place in the
    outputs; `look_for_room` looks again, and makes more if it may. `control`, `labels` and
    `ready_commands` are as `Worker` takes them.
    """
    repeats = settings.delivery.guarantee == "at-least-once"
    may_repeat = repeats and not settings.kafka.traits.always_exact
    sources = Sources(
        recipe=recipe,
        generation=generation,
        reader=reader,
        store=store,
        keys=keys,
        topic_id=events.topic_id,
        start=settings.topics.start,
        on_change=settings.model.on_change,
        clock=clock,
        telemetry=telemetry,
        may_repeat=may_repeat,
        labels_topic=settings.labels_topic,
    )
    retention_ms = events.retention_ms
    policy = Policy(
        replay_budget_s=settings.timings.replay_budget_s,
        keep=settings.snapshots.keep,
        retention_s=None if retention_ms is None or retention_ms < 0 else retention_ms / 1000,
    )
    commit_policy = _policy(settings, until_end=until_end, is_ahead=may_repeat)
    watchdog = Watchdog.saying(telemetry)
    room = Room(
        look_for_room, known=width, session_s=_session_s(settings), clock=clock,
        telemetry=telemetry, deadlined=watchdog.watch,
    )  # fmt: skip
    return wired(
        sources,
        log=log,
        policy=policy,
        commit_policy=commit_policy,
        executor=ThreadPoolExecutor(1, thread_name_prefix="snapshots"),
        watchdog=watchdog,
        stopping=stopping,
        limit=Limit(
            window=settings.quarantine.breaker_window, share=settings.quarantine.breaker_share
        ),
        headers=frozenset(settings.outputs.headers),
        flow=FlowTimes(settings.silence_s, settings.lag_s),
        room=room,
        fork=ForkedCopy if CAN_FORK else None,
        control=control,
        labels=labels,
        ready_commands=ready_commands,
    )


def _watched(times: FlowTimes, sources: Sources) -> Iterator[Watched]:
    """What is watched by the wall clock."""
    if times.silence_s is not None:
        yield Silence(times.silence_s, clock=sources.clock)
    if times.lag_s is not None:
        yield GrowingLag(
            times.lag_s, end_of=lambda p: sources.reader.bounds(Channel.EVENTS, p).end,
            clock=sources.clock,
        )  # fmt: skip


def _policy(settings: Settings, *, until_end: bool, is_ahead: bool) -> CommitPolicy:
    """Derive the worker's timings from the configuration and from what its client can bear."""
    timings = settings.timings
    return CommitPolicy(
        commit_interval_s=settings.delivery.commit_interval_ms / 1000,
        # A quarter: a batch whose cost was misjudged still commits within the timeout.
        fold_s_max=timings.transaction_timeout_ms / 4000,
        call_deadline_s=timings.call_deadline_s,
        min_gap_s=settings.kafka.traits.min_gap_s,
        until_end=until_end,
        is_ahead=is_ahead,
    )


def _session_s(settings: Settings) -> float | None:
    """How long a group waits for a dead member; None: there is no group."""
    has_group = settings.kafka.traits.has_group
    return settings.timings.session_timeout_ms / 1000 if has_group else None
