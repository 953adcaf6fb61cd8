"""Puts a worker together from ports and settings; the adapters come from the command line."""

import logging
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from stream.config import Settings
from stream.core.recipe import Recipe
from stream.core.snapshot import Keys
from stream.ports import Clock, Log, Reader, SnapshotStore, TopicInfo
from stream.runtime.breaker import Limit
from stream.runtime.commit_policy import MIN_GAPS_S, CommitPolicy
from stream.runtime.forking import CAN_FORK, ForkedCopy
from stream.runtime.restore import Sources
from stream.runtime.room import Room
from stream.runtime.snapshotter import Policy, Snapshotter
from stream.runtime.topics import Width
from stream.runtime.watchdog import Watchdog
from stream.runtime.worker import Worker
from stream.telemetry import LogEvent, Telemetry


def assemble(
    settings: Settings,
    *,
    recipe: Recipe,
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
) -> Worker:
    """A worker that stops when `stopping` is set.

    `events` is the events topic, `width` says how many of its partitions have a place in the
    outputs; `look_for_room` looks again, and makes more if it may.
    """
    may_repeat = (
        settings.delivery.guarantee == "at-least-once"
        and settings.kafka.client != "embedded"  # there every commit is one, whatever is asked
    )
    sources = Sources(
        recipe=recipe,
        reader=reader,
        store=store,
        keys=keys,
        topic_id=events.topic_id,
        start=settings.topics.start,
        on_change=settings.model.on_change,
        clock=clock,
        telemetry=telemetry,
        may_repeat=may_repeat,
    )
    retention_ms = events.retention_ms
    policy = Policy(
        replay_budget_s=settings.timings.replay_budget_s,
        keep=settings.snapshots.keep,
        retention_s=None if retention_ms is None or retention_ms < 0 else retention_ms / 1000,
    )
    snapshotter = Snapshotter(
        store,
        executor=ThreadPoolExecutor(1, thread_name_prefix="snapshots"),
        policy=policy,
        key=keys.signing,
        topic_id=events.topic_id,
        clock=clock,
        telemetry=telemetry,
        fork=ForkedCopy if CAN_FORK else None,
    )
    commit_policy = _policy(settings, until_end=until_end, is_ahead=may_repeat)
    watchdog = Watchdog(lambda why: telemetry.say(LogEvent.CALL_HUNG, level=logging.ERROR, why=why))
    room = Room(
        look_for_room,
        known=width,
        session_s=_session_s(settings),
        clock=clock,
        telemetry=telemetry,
        deadlined=watchdog.watch,
    )
    return Worker(
        log,
        room=room,
        sources=sources,
        snapshotter=snapshotter,
        commit_policy=commit_policy,
        watchdog=watchdog,
        stopping=stopping,
        limit=Limit(
            window=settings.quarantine.breaker_window, share=settings.quarantine.breaker_share
        ),
    )


def _policy(settings: Settings, *, until_end: bool, is_ahead: bool) -> CommitPolicy:
    """Derive the worker's timings from the configuration and from what its client can bear."""
    timings = settings.timings
    return CommitPolicy(
        commit_interval_s=settings.delivery.commit_interval_ms / 1000,
        # A quarter: a batch whose cost was misjudged still commits within the timeout.
        fold_s_max=timings.transaction_timeout_ms / 4000,
        call_deadline_s=timings.call_deadline_s,
        min_gap_s=MIN_GAPS_S[settings.kafka.client],
        until_end=until_end,
        is_ahead=is_ahead,
    )


def _session_s(settings: Settings) -> float | None:
    """How long a group waits for a dead member; None: there is no group."""
    if settings.kafka.client == "embedded":
        return None
    return settings.timings.session_timeout_ms / 1000
