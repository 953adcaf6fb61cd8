"""Deliberate mistakes where settings change and the model goes on."""

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from stream.core.fold.carrying import kept
from stream.core.fold.task import Task
from stream.core.recipe import Recipe
from stream.runtime import restore as restore_module
from stream.runtime.keeping import Keeping
from stream.runtime.restore import Restore
from tests.instruments.simulation.world import Parts

Plant = Callable[[pytest.MonkeyPatch], Parts]


class KeepsNoBase(Restore):
    """Commits that the fold began with a base, and does not write it."""

    def _kept(self, task: Task, how: Keeping) -> Task:
        kept = super()._kept(task, how)
        self.base = None
        return kept


def _untrained(task: Task, recipe: Recipe) -> tuple[Task, bytes]:
    """What is kept is the untrained model, with the counts of the trained one."""
    task.serving.model = Task(recipe, partition=task.partition).serving.model
    return kept(task, recipe)


def _restarted(task: Task, recipe: Recipe) -> tuple[Task, bytes]:
    """The steps are counted anew."""
    task.state.n = 0
    return kept(task, recipe)


def _keeping(mistaken: Callable[[Task, Recipe], tuple[Task, bytes]]) -> Plant:
    def plant(patch: pytest.MonkeyPatch) -> Parts:
        patch.setattr(restore_module, "kept", mistaken)
        return Parts()

    return plant


def _no_base(patch: pytest.MonkeyPatch) -> Parts:
    patch.setattr("stream.runtime.settling.Restore", KeepsNoBase)
    return Parts()


def _older_takes_newer(patch: pytest.MonkeyPatch) -> Parts:
    def nothing(*_: Any) -> None:
        """Take any recipe for as good."""

    patch.setattr(restore_module, "refuse_older", nothing)
    return Parts()


BUGS: Mapping[str, Plant] = {
    "a model that is kept begins untrained": _keeping(_untrained),
    "steps counted anew when a model is kept": _keeping(_restarted),
    "a base that is not written": _no_base,
    "an older recipe takes over from a newer one": _older_takes_newer,
}
