"""Deliberate mistakes in the policy on alerts, and in how it is carried and brought back."""

from collections.abc import Callable, Mapping
from itertools import count
from typing import Any

import pytest

from stream.core.event import Record
from stream.core.fold.carrying import kept
from stream.core.fold.state import State
from stream.core.fold.task import Task
from stream.core.monitoring.episodes import Episode
from stream.core.monitoring.monitors import Monitors
from stream.core.monitoring.monitors_spec import NAME as MONITORS
from stream.core.monitoring.policy import Policy
from stream.core.monitoring.policy_spec import NAME
from stream.core.parts import Part
from stream.core.problems import BINARY
from stream.core.recipe import Recipe
from stream.runtime import restore as restore_module
from stream.runtime.folding import Folding
from tests.instruments.simulation.world import Parts

Plant = Callable[[pytest.MonkeyPatch], Parts]


def _by_arrival(patch: pytest.MonkeyPatch) -> Parts:
    """Time is how many records this process has seen, replayed ones and all partitions' too."""
    sees, arrived = Policy.sees, count()

    def counting(policy: Policy, n: int, timestamp_ms: int) -> bool:
        sees(policy, n, timestamp_ms)
        policy._now = next(arrived)
        policy.due_n = 0
        return True

    patch.setattr(Policy, "sees", counting)
    return Parts()


def _open_after_a_restart(patch: pytest.MonkeyPatch) -> Parts:
    """What was resolved is taken for open when a state is read, and so is resolved twice."""
    read = State.watchers_and_others

    def reopened(state: State) -> tuple[Policy | None, Monitors | None, tuple[Part, ...]]:
        policy, monitors, others = read(state)
        for episode in policy.episodes.values() if policy is not None else ():
            if episode.over_at is not None:
                episode.over_at, episode.announced = None, episode.severity
        return policy, monitors, others

    patch.setattr(State, "watchers_and_others", reopened)
    return Parts()


def _forgotten_when_kept(patch: pytest.MonkeyPatch) -> Parts:
    """The policy begins anew whenever any setting changes."""

    def forgetful(task: Task, recipe: Recipe) -> tuple[Task, bytes]:
        task.state.extras = {n: part for n, part in task.state.extras.items() if n != NAME}
        return kept(task, recipe)

    patch.setattr(restore_module, "kept", forgetful)
    return Parts()


def _not_pickled(patch: pytest.MonkeyPatch) -> Parts:
    """No snapshot has the repeats of an episode that goes on."""
    keep_copy = Task.pickled

    def pickled(task: Task) -> bytes:
        policy, _, _ = task.state.watchers_and_others()
        episodes = list(policy.episodes.values()) if policy is not None else []
        repeats = [each.repeats for each in episodes]
        for each in episodes:
            each.repeats = 1
        try:
            return keep_copy(task)
        finally:
            for each, before in zip(episodes, repeats, strict=True):
                each.repeats = before

    patch.setattr(Task, "pickled", pickled)
    return Parts()


def _end_of_the_unknown(patch: pytest.MonkeyPatch) -> Parts:
    """The end of what nobody knows of is announced."""

    def resolve(episode: Episode, at: int) -> bool:
        episode.announced, episode.over_at, episode.is_withheld = None, at, False
        return True

    patch.setattr(Episode, "resolve", resolve)
    return Parts()


def _fed_before(patch: pytest.MonkeyPatch) -> Parts:
    """A monitor is fed before the event is accepted: what the model then refuses, too."""
    fail = Task._fail

    def shown(task: Task, record: Record, features: Any, raised: BaseException, **at: Any) -> Any:
        monitors = task.state.extras.get(MONITORS)
        if monitors is not None:
            monitors.rows.append((features, None, None, None, None))
        return fail(task, record, features, raised, **at)

    patch.setattr(Task, "_fail", shown)
    return Parts()


def _rows_not_pickled(patch: pytest.MonkeyPatch) -> Parts:
    """No snapshot has the events of the block that goes on."""
    pickle_it = Task.pickled

    def pickled(task: Task) -> bytes:
        monitors = task.state.extras.get(MONITORS)
        rows = [] if monitors is None else monitors.rows
        if monitors is not None:
            monitors.rows = []
        try:
            return pickle_it(task)
        finally:
            if monitors is not None:
                monitors.rows = rows

    patch.setattr(Task, "pickled", pickled)
    return Parts()


def _blocks_of_polls(patch: pytest.MonkeyPatch) -> Parts:
    """A block ends with a batch of the log, too: where that ends no replay repeats."""
    advance, fold = Folding._fold_some, Monitors.close

    def some(folding: Folding, task: Task, records: Any, deadline: float) -> int:
        n = advance(folding, task, records, deadline)
        monitors = task.state.extras.get(MONITORS)
        if monitors is not None and len(monitors.rows) > 1:
            fold(monitors, BINARY)
        return n

    patch.setattr(Folding, "_fold_some", some)
    return Parts()


BUGS: Mapping[str, Plant] = {
    "a cooldown by arrival": _by_arrival,
    "an alert resolved twice after a restart": _open_after_a_restart,
    "alerts forgotten when settings change": _forgotten_when_kept,
    "repeats of an alert not in the snapshot": _not_pickled,
    "a monitor fed before the event is accepted": _fed_before,
    "events of a block not in the snapshot": _rows_not_pickled,
    "a block that ends with a poll": _blocks_of_polls,
    "the end told of an alert that was not": _end_of_the_unknown,
}
