"""Deliberate mistakes in the numeric breaker, in reactions, and in what counts as a record."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import msgspec
import pytest

from stream.core.event import Channel, Event, Output
from stream.core.fold import acting as acting_module
from stream.core.fold import commands as commands_module
from stream.core.fold import guard as guard_module
from stream.core.fold import task as task_module
from stream.core.fold.acting import breaker_of, react, tell, trip
from stream.core.fold.alert_values import raw
from stream.core.fold.alerts import Alerts
from stream.core.fold.state import State
from stream.core.fold.task import Task
from stream.core.monitoring.numeric import Breaker, Harm
from stream.core.monitoring.reactions import NAME as REACTIONS
from stream.core.monitoring.reactions import Reactions
from stream.core.result import AlertValue, StepResult
from stream.core.snapshots import pickling
from stream.runtime import beside as beside_module
from stream.runtime.commanding import Commanding
from tests.instruments.simulation.planted_commands import patched, without
from tests.instruments.simulation.world import Parts

Plant = Callable[[pytest.MonkeyPatch], Parts]

_begin_anew, _due, _harm_of_weights = (
    acting_module.begin_anew, Reactions.due, guard_module._harm_of_weights,
)  # fmt: skip


class TellsLater(Commanding):
    """What a fold did by itself is told with the next commit."""

    _held: Sequence[Output] = ()

    def written(
        self, results: Sequence[StepResult], write: Callable[[Iterable[StepResult]], list[Output]]
    ) -> list[Output]:
        """See `Commanding.written`."""
        outputs = super().written(results, write)
        before, self._held = self._held, [o for o in outputs if o.channel is Channel.LEDGER]
        return [*(o for o in outputs if o.channel is not Channel.LEDGER), *before]


def _learns_it(task: Task, result: StepResult, harm: Harm) -> None:
    """The event that trips the breaker is learned all the same."""
    event: Any = task._reread(result.record.value)
    if isinstance(event, Event):  # and not a label that came later
        task.serving.learn(event.features, event.label)
        task.serving.learned += 1
    trip(task, result, harm)


def _copy_unseen(learner: Any, breaker: Breaker) -> Harm | None:
    """The copy is taken before the weights are looked at."""
    breaker.copy, breaker.copied_at = pickling.dumps(learner.model), learner.learned
    return _harm_of_weights(learner, breaker)


def _not_pickled(found: Callable[[Task], Any], name: str, value: Any) -> Plant:
    """No snapshot has one thing of a part; that is another value there."""

    def plant(patch: pytest.MonkeyPatch) -> Parts:
        pickled = Task.pickled

        def lacking(task: Task) -> bytes:
            part = found(task)
            if part is None:
                return pickled(task)
            before = getattr(part, name)
            setattr(part, name, value)
            try:
                return pickled(task)
            finally:
                setattr(part, name, before)

        patch.setattr(Task, "pickled", lacking)
        return Parts()

    return plant


def _reactions(task: Task) -> Any:
    return task.state.extras.get(REACTIONS)


def _due_at_the_end(
    self: Reactions, n: int, timestamp_ms: int | None, alerts: Sequence[AlertValue]
) -> Any:
    """A reminder, or that it is over, is an alert like any other."""
    every = [msgspec.structs.replace(each, state="firing") for each in alerts]
    return _due(self, n, timestamp_ms, every)


def _to_the_unannounced(patch: pytest.MonkeyPatch) -> Parts:
    """A reaction acts on what was found, though the policy announces nothing."""
    found: list[AlertValue] = []
    give = Alerts._give

    def noting(alerts: Alerts, state: Any, result: StepResult, finding: Any, learned: int) -> None:
        found.append(raw(result.record, finding, pipeline="sim", learned=learned))
        give(alerts, state, result, finding, learned)

    def reacting(task: Task, result: StepResult, acted_n: int | None = None) -> None:
        heard = msgspec.structs.replace(result, alerts=result.alerts or tuple(found))
        found.clear()
        react(task, heard, acted_n)
        result.ledger = heard.ledger

    patch.setattr(Alerts, "_give", noting)
    patch.setattr(acting_module, "react", reacting)
    return Parts()


def _twice(task: Task, result: StepResult, **told: Any) -> None:
    tell(task, result, **told)
    tell(task, result, **told)


def _without_a_copy(
    task: Task, result: StepResult, harm: Harm | None, *, acted_n: int | None = None
) -> None:
    """Undoing goes back to before the break, and learns nothing again, for it is frozen."""
    if harm is not None:
        trip(task, result, harm)
    if acting_module.reacts(task):
        react(task, result, acted_n)


def _keep_the_former_models(task: Task) -> None:
    """A reset keeps the copy of the model that there was, and when it is to be looked at."""
    if _is_tripped(task):
        task.state.commanded.is_frozen = task.state.commanded.is_frozen_by_command
    acting_module.arm(task)


def _stay_frozen(task: Task) -> None:
    """A reset does not let go what the breaker froze."""
    is_frozen = task.state.commanded.is_frozen
    _begin_anew(task)
    task.state.commanded.is_frozen = is_frozen


def _is_tripped(task: Task) -> bool:
    breaker = breaker_of(task)
    return breaker is not None and breaker.is_tripped


BUGS: Mapping[str, Plant] = {
    "an event that trips the breaker learned": patched(acting_module, "trip", _learns_it),
    "a copy of a model that has burst": patched(guard_module, "_harm_of_weights", _copy_unseen),
    "a break not in the snapshot": _not_pickled(breaker_of, "is_tripped", False),
    "the last good copy not in the snapshot": _not_pickled(breaker_of, "copy", None),
    "no copy to undo from after a break": patched(task_module, "act", _without_a_copy),
    "an unfreeze that does not arm the breaker": patched(
        commands_module, "arm", lambda _task: None
    ),
    "a reset that keeps the former model's copy": patched(
        task_module, "begin_anew", _keep_the_former_models
    ),
    "a reset that stays frozen by the breaker": patched(task_module, "begin_anew", _stay_frozen),
    "a cool-down not in the snapshot": _not_pickled(_reactions, "_acted", {}),
    "a reaction to the end of an alert": patched(Reactions, "due", _due_at_the_end),
    "a reaction to an alert that is not announced": _to_the_unannounced,
    "a reaction told twice": patched(acting_module, "tell", _twice),
    "a reaction told with the next commit": patched(beside_module, "Commanding", TellsLater),
    "a command counted as a record": patched(State, "records_n", property(lambda each: each.n)),
    "commands among the steps not in the snapshot": without("folded_n"),
}
"""The freeze itself is among the commands' (`planted_commands`), and so is the whole ledger."""
