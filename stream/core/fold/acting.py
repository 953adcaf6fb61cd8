"""What a fold does by itself to what predicts, at the end of a step: each is told in the ledger."""

from typing import TYPE_CHECKING, Any, Final

from stream.core.commands import Predicts, What
from stream.core.event import Channel
from stream.core.fold.ledger import add_to_digest, told
from stream.core.fold.state import beginning
from stream.core.monitoring import numeric, policy_spec, reactions
from stream.core.monitoring.numeric import Breaker, Harm
from stream.core.result import StepResult

if TYPE_CHECKING:
    from stream.core.fold.task import Task
    from stream.core.monitoring.policy import Policy
    from stream.core.monitoring.reactions import Reactions

BREAKER: Final = "breaker"


def act(task: "Task", result: StepResult, harm: Harm | None, *, acted_n: int | None = None) -> None:
    """Do at the end of a step what its event and its alerts call for.

    Args:
        task: has folded the record in.
        result: of that; it gets the ledger's records.
        harm: what the numeric breaker found.
        acted_n: see `react`.
    """
    if harm is not None:
        trip(task, result, harm)
    if reacts(task):
        react(task, result, acted_n)
    if result.ledger:
        task.keep_copy()  # all events since are of one kind: learned, or not


def reacts(task: "Task") -> bool:
    """Whether a fold has reactions."""
    return reactions.NAME in task.state.extras


def react(task: "Task", result: StepResult, acted_n: int | None = None) -> None:
    """Freeze or reset, if an alert of this step calls for it; frozen it is not frozen again.

    Args:
        task: see `act`.
        result: see `act`.
        acted_n: so many of the alerts were acted on before, and time does not pass: the record was
            seen, or is none of the events topic. None: it is seen now.
    """
    state, at_ms = task.state, result.record.timestamp_ms if acted_n is None else None
    rules: Reactions = state.extras[reactions.NAME]
    for number, rule, alert in rules.due(state.records_n, at_ms, result.alerts[acted_n or 0 :]):
        before = state.commanded.predicts
        if rule.do == "freeze":
            if task.serving.is_frozen:
                continue
            task.freeze(is_frozen=True)
        else:
            state.commanded.renew()
            task.begin_untrained()
        rules.acted(number, state.records_n)
        tell(
            task, result, what=rule.do, by=f"reaction:{rule.when}", why=alert.message,
            evidence={"alert": alert.id}, before=before,
        )  # fmt: skip


def trip(task: "Task", result: StepResult, harm: Harm) -> None:
    """Freeze learning, and go back to the last good copy: the event before was not learned.

    Args:
        task: has folded the record in.
        result: of that; it gets the ledger's record.
        harm: why.
    """
    learner, breaker = task.serving, breaker_of(task)
    assert breaker is not None  # noqa: S101  # somebody looked
    learned = learner.learned
    if harm.is_in_state and breaker.copy is not None:
        model = beginning(task.recipe, task.fingerprint).load_model(breaker.copy)
        learner.go_on_from(model, breaker.copied_at)
        task.state.commanded.unlearned_n += learned - learner.learned
    breaker.went_back(learner.learned)
    task.freeze(is_frozen=True)
    went_back = f"; it predicts as after {learner.learned} of {learned} learned events"
    evidence = {
        "measure": harm.what, "value": harm.finite, "threshold": harm.threshold,
        "learned_before": learned, "learned": learner.learned,
    }  # fmt: skip
    tell(
        task, result, what=What.FREEZE.value, by=BREAKER, evidence=evidence,
        why=harm.text + (went_back if learner.learned < learned else ""),
    )  # fmt: skip


def tell(
    task: "Task",
    result: StepResult,
    *,
    what: str,
    by: str,
    why: str,
    evidence: dict[str, Any],
    before: Predicts | None = None,
) -> None:
    """Add to the result, and to the digest, what was done at the end of its step."""
    source = Channel.EVENTS if result.label_offset is None else Channel.LABELS
    ledger = told(
        task, n=task.state.n - 1, source=source.value, what=what, by=by, why=why,
        timestamp_ms=result.record.timestamp_ms, before=before, evidence=evidence,
    )  # fmt: skip
    add_to_digest(task, ledger)
    result.ledger = (*result.ledger, ledger)


def breaker_of(task: "Task") -> Breaker | None:
    """The numeric breaker's part of the state; None: there is none."""
    found: Breaker | None = task.state.extras.get(numeric.NAME)
    return found


def begin_anew(task: "Task") -> None:
    """Let the breaker go on with another model; what it alone froze learns, for that is gone."""
    breaker, commanded = breaker_of(task), task.state.commanded
    if breaker is not None:
        if breaker.is_tripped:
            commanded.is_frozen = commanded.is_frozen_by_command
        arm(task)
        breaker.begin_anew()


def arm(task: "Task") -> None:
    """Let the breaker look again, for learning goes on; what it alarmed of is over."""
    breaker = breaker_of(task)
    if breaker is not None and breaker.is_tripped:
        breaker.is_tripped = False
        policy: Policy | None = task.state.extras.get(policy_spec.NAME)
        if policy is not None:
            policy.release(numeric.ALERT, task.state.records_n - 1)
