"""What a fold does by itself to what predicts, at the end of a step: each is told in the ledger."""

from typing import TYPE_CHECKING, Any, Final

import xxhash

from stream.core.commands import LedgerValue, Predicts
from stream.core.event import Channel, iso
from stream.core.fold.state import beginning
from stream.core.formats.commands import written
from stream.core.monitoring import numeric, policy_spec
from stream.core.monitoring.numeric import Breaker, Harm
from stream.core.result import StepResult

if TYPE_CHECKING:
    from stream.core.fold.task import Task
    from stream.core.monitoring.policy import Policy

BREAKER: Final = "breaker"
FREEZE: Final = "freeze"

_hash = xxhash.xxh3_64_intdigest


def trip(task: "Task", result: StepResult, harm: Harm) -> None:
    """Freeze learning, and go back to the last good copy: the event before was not learned.

    Args:
        task: has folded the record in.
        result: of that; it gets the ledger's record.
        harm: why.
    """
    state, learner, breaker = task.state, task.serving, breaker_of(task)
    assert breaker is not None  # noqa: S101  # somebody looked
    learned = learner.learned
    if harm.is_in_state and breaker.copy is not None:
        model = beginning(task.recipe, task.fingerprint).load_model(breaker.copy)
        learner.go_on_from(model, breaker.copied_at)
    breaker.went_back(learner.learned)
    state.commanded.is_frozen = learner.is_frozen = True
    went_back = f"; it predicts as after {learner.learned} of {learned} learned events"
    evidence = {
        "measure": harm.what, "value": harm.finite, "threshold": harm.threshold,
        "learned_before": learned, "learned": learner.learned,
    }  # fmt: skip
    tell(
        task, result, what=FREEZE, by=BREAKER, evidence=evidence,
        why=harm.text + (went_back if learner.learned < learned else ""),
    )  # fmt: skip
    task.keep_copy()


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
    state, record = task.state, result.record
    n, predicts = state.n - 1, state.commanded.predicts
    ledger = LedgerValue(
        n=n,
        input=Channel.EVENTS.value,
        id=f"{task.recipe.pipeline}/{task.partition}/{n}/{what}",
        what=what,
        partition=task.partition,
        offset=state.next_offset,
        event_time=iso(record.timestamp_ms),
        by=by,
        why=why,
        before=before or predicts,
        after=predicts,
        evidence=evidence,
    )
    state.digest = _hash(written(ledger), state.digest)
    result.ledger = (*result.ledger, ledger)


def breaker_of(task: "Task") -> Breaker | None:
    """The numeric breaker's part of the state; None: there is none."""
    found: Breaker | None = task.state.extras.get(numeric.NAME)
    return found


def begin_anew(task: "Task") -> None:
    """Let the breaker go on with another model; what it froze learns again, for that is gone."""
    breaker = breaker_of(task)
    if breaker is not None:
        task.state.commanded.is_frozen &= not breaker.is_tripped
        arm(task)
        breaker.begin_anew()


def arm(task: "Task") -> None:
    """Let the breaker look again, for learning goes on; what it alarmed of is over."""
    breaker = breaker_of(task)
    if breaker is not None and breaker.is_tripped:
        breaker.is_tripped = False
        policy: Policy | None = task.state.extras.get(policy_spec.NAME)
        if policy is not None:
            policy.release(numeric.ALERT)
