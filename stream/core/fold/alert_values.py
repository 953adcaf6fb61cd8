"""What was found, and what the policy tells of it, as values to publish."""

from collections.abc import Sequence

from msgspec import UNSET, structs

from stream.core.event import Record, iso
from stream.core.learning.failures import Failures
from stream.core.monitoring import numeric
from stream.core.monitoring.alert_text import describe
from stream.core.monitoring.detected import Alert
from stream.core.monitoring.episodes import Direction, Episode, Finding, Piece, Severity
from stream.core.monitoring.numeric import Harm
from stream.core.monitoring.policy import Announcement, Policy
from stream.core.monitoring.suggestions import suggestion
from stream.core.result import AlertValue, Evidence, Moved, Seen, Since, Withheld

FULL = "model:names"
"""The alert of a state that has reached its ceiling; no detector can be called so."""

FAILING = "model:failures"
"""That of a model that fails too often."""

NAMED_MAX = 10
"""Features that a message names; `evidence.detectors` has more."""


def detected(
    record: Record, alarm: Alert, policy: Policy | None, moved: Sequence[tuple[str, float]] = ()
) -> Finding:
    """What a detector found.

    Args:
        record: the event after which it did.
        alarm: what it was.
        policy: knows a severity of the detector's own.
        moved: features that have moved, too.
    """
    spec, direction = alarm.spec, _direction(alarm)
    severity = Severity.INFO
    if alarm.kind == "drift" and direction != "better" and not alarm.is_weak:
        severity = Severity.WARNING
        if policy is not None:
            severity = policy.severity(spec.name, severity)
    return Finding(
        alarm.kind, spec.type, spec.name, spec.signal, direction, severity, alarm.before,
        alarm.after, describe(alarm, record.partition, record.offset), alarm.values_n,
        moved=moved,
    )  # fmt: skip


def _direction(alarm: Alert) -> Direction:
    """Only of an error is it known which way is worse."""
    before, after = alarm.before, alarm.after
    if alarm.spec.signal != "error" or before is None or after is None or before == after:
        return "changed"
    return "worse" if after > before else "better"


def failing(record: Record, failures: Failures) -> Finding:
    """A model fails too often."""
    failed_n, of = len(failures.recent), failures.recent[-1] - failures.recent[0] + 1
    return Finding(
        "numeric", "failures", FAILING, "failure", "worse", Severity.CRITICAL, None, failed_n / of,
        f"the model failed on {failed_n} of the last {of} events "
        f'(partition {record.partition}, offset {record.offset}): see "fault" in predictions '
        "and model_error in the quarantine",
    )  # fmt: skip


def broken(record: Record, harm: Harm) -> Finding:
    """The numbers of a model have left their bounds, and it learns no more."""
    return Finding(
        "numeric", "breaker", numeric.ALERT, "breaker", "worse", Severity.CRITICAL, harm.threshold,
        harm.finite,
        f"learning is frozen: {harm.text} (partition {record.partition}, offset {record.offset})",
    )  # fmt: skip


def full(record: Record, *, names_n: int) -> Finding:
    """A state has reached its ceiling, and a name was left out for the first time."""
    return Finding(
        "input", "state_bytes", FULL, "names", "changed", Severity.CRITICAL, None, float(names_n),
        f"the state is over limits.state_bytes_max with {names_n} feature names, so "
        f"new ones are left out (partition {record.partition}, offset {record.offset}): does "
        "an upstream invent names?",
    )  # fmt: skip


def raw(
    record: Record, finding: Finding, *, pipeline: str, learned: int, id_end: str = ""
) -> AlertValue:
    """The alert of what was found, without a policy; its id is the same in every replay.

    Args:
        record: the event after which it was found.
        finding: what it was.
        pipeline: its name begins the id.
        learned: how many events the model had learned before.
        id_end: see `StepResult`.
    """
    own_id = f"{pipeline}/{record.partition}/{record.offset}/{finding.name}{id_end}"
    return _found(record, finding, own_id, learned)


def _found(record: Record, finding: Finding, own_id: str, learned: int) -> AlertValue:
    """What all alerts have in common: what was found, and at which event."""
    return AlertValue(
        id=own_id,
        kind=finding.kind,
        detector=finding.detector,
        name=finding.name,
        signal=finding.signal,
        partition=record.partition,
        offset=record.offset,
        event_time=iso(record.timestamp_ms),
        learned=learned,
        evidence=Evidence(finding.before, finding.after),
        message=finding.message,
    )


def announced(
    announcement: Announcement, record: Record, *, where: str, learned: int, id_end: str = ""
) -> AlertValue:
    """The alert that the policy announces; its id and its episode are the same in every replay.

    Args:
        announcement: what.
        record: that of the step at which it does.
        where: the pipeline and the partition, as ids begin.
        learned: how many events the model had learned before.
        id_end: see `StepResult`.
    """
    episode = announcement.episode
    first, name = episode.first, _name(episode, where)
    return structs.replace(
        _found(record, first, f"{name}/{record.offset}{id_end}", learned),
        evidence=_evidence(announcement, where),
        message=_message(announcement),
        severity=episode.severity.word,
        direction=first.direction,
        state=announcement.state,
        episode=name,
        since=Since(episode.since.offset, iso(episode.since.timestamp_ms)),
        repeats=episode.repeats,
        suggestion=suggestion(episode, announcement.state),
    )


def _evidence(announcement: Announcement, where: str) -> Evidence:
    """Both sides as the first of the episode saw them, and what each saw."""
    episode = announcement.episode
    seen = [_seen(name, piece) for (name, _), piece in episode.pieces.items()]
    evidence = Evidence(
        seen[0].before if seen else None,
        seen[0].after if seen else None,
        seen or UNSET,
        [_withheld(each, where) for each in announcement.largest] or UNSET,
        episode.repeats if announcement.largest else UNSET,
        moved=[Moved(feature, times) for feature, times in episode.moved] or UNSET,
    )
    if not seen or seen[0].value is UNSET:
        return evidence
    first = {name: getattr(seen[0], name) for name in _MEASURED}
    return structs.replace(evidence, measure=seen[0].detector, **first)


_MEASURED = ("value", "threshold", "before_n", "after_n", "feature", "slice")


def _seen(name: str, piece: Piece) -> Seen:
    """A piece of evidence, with what a monitor measured."""
    measured = piece.measured
    seen = Seen(name, piece.detector, piece.before, piece.after, piece.offset)
    if measured is None:
        return seen
    return structs.replace(
        seen,
        value=measured.value,
        threshold=measured.threshold,
        before_n=measured.before_n,
        after_n=measured.after_n,
        feature=UNSET if measured.feature is None else measured.feature,
        slice=UNSET if measured.part is None else measured.part,
    )


def _name(episode: Episode, where: str) -> str:
    first = episode.first
    return f"{where}/{first.kind}/{first.name}/{first.signal}/{episode.began.offset}"


def _withheld(episode: Episode, where: str) -> Withheld:
    return Withheld(
        _name(episode, where), episode.severity.word, episode.repeats, episode.first.message
    )


def _message(announcement: Announcement) -> str:
    """One line for people."""
    episode = announcement.episode
    features = dict.fromkeys(feature for _, feature in episode.pieces if feature)
    message = episode.message
    if len(features) > 1:
        message += f"; of {len(features)} features: {', '.join(list(features)[:NAMED_MAX])}"
    if announcement.state == "firing":
        return message
    times = "once" if episode.repeats == 1 else f"{episode.repeats} times"
    since = f"{times} since offset {episode.began.offset}"
    if announcement.state == "reminder":
        return f"{since}: {message}"
    return f"resolved, after it fired {since}, last at {episode.last_offset}: {message}"
