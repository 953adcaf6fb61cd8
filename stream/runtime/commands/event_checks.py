"""What `check` looks at in the first events: would they be taken, and what is learned from them?"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from stream.config import Settings
from stream.config.checks import nearest, show
from stream.core.event import Channel, Event, Kind, LabelRecord, Reason, Record, Rejection
from stream.core.formats.codec import Codec
from stream.core.formats.positive import is_positive
from stream.core.spec import EventShape
from stream.ports import Reader, TopicInfo
from stream.runtime import recent
from stream.runtime.commands.findings import Findings
from stream.runtime.commands.label_checks import label_reader, say_labels

RECORDS_MAX = 1_000
REFUSED_SHARE_MAX = 0.1
"""Beyond it what is refused is no accident of a few records."""

LABELLED_N_MIN = 10
"""Of fewer events nobody can say that labels never come."""

SAME_N_MIN = 20
"""A feature that is the label in fewer events may be it by chance."""

_WHAT_TO_DO: Mapping[str, str] = {
    Reason.NOT_JSON: "does another program write to this topic, in another format?",
    Reason.NOT_UTF8: "does another program write to this topic, in another format?",
    Reason.NOT_AN_OBJECT: "send one JSON object an event",
    Reason.MISSING_FEATURES: 'set events.features to the field that holds them, or to "*" where '
    "every other field is one",
    Reason.UNKNOWN_FIELD: 'set events.extra = "ignore", name the field in events.ignore, or set '
    'events.features = "*" where every other field is a feature',
    Reason.BAD_FEATURE: "send numbers, strings or bools, or leave the field out by events.ignore",
    Reason.TOO_LARGE: "raise limits.value_bytes_max, or send less",
    Reason.TOO_MANY_FEATURES: "raise [limits], or send fewer features",
    Reason.OUT_OF_RANGE: "raise [limits], or send what keeps within them",
    Reason.MODEL_ERROR: "let model.factory cope with such events",
}


def look(
    findings: Findings, records: Sequence[Record], settings: Settings, *, kind: Kind | None
) -> Event | None:
    """Say what would become of the first records.

    Args:
        findings: where it is said.
        records: records of any partitions, in log order.
        settings: how an event looks, how large it may be, and whether labels come later.
        kind: the model's kind; None: there is no model, so nothing is said of labels.

    Returns: an event to try the model with, one with a label if there is one.
    """
    shape, any_kind = settings.events.core(), Kind.ANOMALY if kind is None else kind
    codec = Codec(shape, settings.limits.core(), any_kind)
    label_in = label_reader(settings, any_kind)
    found = [label_in and label_in(record.value) for record in records]
    labels_n = sum(isinstance(each, LabelRecord) for each in found)
    decoded = [
        codec.decode(record.value) if label is None else label
        for record, label in zip(records, found, strict=True)
    ]
    events = [each for each in decoded if isinstance(each, Event)]
    refused = [each for each in decoded if isinstance(each, Rejection)]
    _say_refused(findings, refused, n=len(records), kind=kind)
    if events and not refused:
        findings.ok(f"events: the first {len(events)} are valid")
    if label_in is not None:
        say_labels(findings, settings, labels_n, n=len(records))
    elif events and kind is not None and kind is not Kind.ANOMALY:
        is_misread = any(each.reason is Reason.BAD_LABEL for each in refused)
        _say_labels(findings, events, shape, is_misread=is_misread)
    if events and kind is not None and kind is not Kind.ANOMALY:
        _say_leaks(findings, events, shape)
    return next((each for each in events if each.label is not None), events[0] if events else None)


def say_model_errors(findings: Findings, count: int, *, n: int) -> None:
    """Say of how many of the first events a model raised."""
    refused = [Rejection(Reason.MODEL_ERROR, "the model raised")] * count
    _say_refused(findings, refused, n=n, kind=None)


def say_faults(findings: Findings, faults: Sequence[str], *, n: int) -> None:
    """Say how many of the first events a model did not answer."""
    findings.note(
        f"model: no answer to {_share(len(faults), n)} of the first {n} events ({faults[0]}): "
        "their prediction is null and says why, and they are learned all the same"
    )


def first_records(reader: Reader, events: TopicInfo, *, n: int) -> list[Record]:
    """The first records of every partition, `n` in all. Raises: Retryable, Misconfigured."""
    found: list[Record] = []
    each_n = -(-n // events.partitions)
    for partition in range(events.partitions):
        bounds = reader.bounds(Channel.EVENTS, partition)
        if bounds.start < bounds.end and len(found) < n:
            stop = min(bounds.end, bounds.start + 2 * each_n)  # some offsets hold no record
            records = recent.records_in(reader, Channel.EVENTS, partition, bounds.start, stop)
            found += _first(records, min(each_n, n - len(found)))
    return found


def _first(records: Iterable[Record], n: int) -> Iterator[Record]:
    for count, record in enumerate(records, 1):
        yield record
        if count >= n:
            return


# -- what would be refused ------------------------------------------------------------------------


def _say_refused(
    findings: Findings, refused: Sequence[Rejection], *, n: int, kind: Kind | None
) -> None:
    """Say how many events would be refused, by reason, the most frequent first."""
    for reason, count in Counter(each.reason for each in refused).most_common():
        detail = next(each.detail for each in refused if each.reason == reason)
        text = (
            f"events: {_share(count, n)} of the first {n} would be refused as {reason} "
            f"({detail}); {_what_to_do(reason, kind)}"
        )
        if count > n * REFUSED_SHARE_MAX:
            findings.problem(text)
        else:
            findings.note(text)


def _what_to_do(reason: str, kind: Kind | None) -> str:
    if reason == Reason.BAD_LABEL and kind is Kind.BINARY:
        return "set events.positive to the value that means true, or take a multiclass model"
    if reason == Reason.BAD_LABEL and kind is Kind.REGRESSION:
        return "set events.label to the field with the number, or take a classifier"
    if reason == Reason.BAD_LABEL:
        return "set events.label to the field with the label"
    return _WHAT_TO_DO.get(reason, "mend what sends them")


def _share(count: int, n: int) -> str:
    return "all" if count == n else f"{count} ({100 * count / n:.1f} %)"


# -- what would be learned ------------------------------------------------------------------------


def _say_labels(
    findings: Findings, events: Sequence[Event], shape: EventShape, *, is_misread: bool
) -> None:
    """Say how many of the first events have a label; without any, nothing would be learned.

    Args:
        findings: what is found is said there.
        events: those that would not be refused.
        shape: where a label lies.
        is_misread: other events would be refused for their label; so the field is right.
    """
    labelled_n = sum(event.label is not None for event in events)
    text = f"events: {_share(labelled_n, len(events))} of the first {len(events)} have a label"
    if labelled_n:
        findings.ok(text)
        known = {_written(event.label) for event in events if event.label is not None}
        if labelled_n >= LABELLED_N_MIN and len(known) == 1:
            findings.note(f"events: {show(shape.label)} is {known.pop()} in all of these")
        return
    if is_misread:
        return
    text = f"events: none of the first {len(events)} has a label in the field {show(shape.label)}"
    near = nearest(shape.label, events[0].features) if shape.flat else None
    hint = f' (did you mean "{near}"?)' if near else ""
    text += f", so nothing is ever learned; set events.label to the field that holds it{hint}"
    if len(events) >= LABELLED_N_MIN or near:
        findings.problem(text)
    else:
        findings.note(text)


def _say_leaks(findings: Findings, events: Sequence[Event], shape: EventShape) -> None:
    """Say whether the label is among the features: the model would be told the answer."""
    where = "beside the features, not among them"
    named_n = sum(shape.label in event.features for event in events)
    if named_n:
        findings.problem(
            f"events: the label's name {show(shape.label)} is a feature of "
            f"{_share(named_n, len(events))} of the first {len(events)}: the model would be told "
            f"the answer; send the label {where}"
        )
    for name in _same_as_the_label(events, shape) - {shape.label}:
        way_out = f"name it in events.ignore, or send it {where}" if shape.flat else "leave it out"
        findings.problem(
            f"events: the feature {show(name)} is the label itself in each of the first events: "
            f"the model would be told the answer; {way_out}"
        )


def _same_as_the_label(events: Sequence[Event], shape: EventShape) -> set[str]:
    """The features whose value always is the label's."""
    labelled = [event for event in events if event.label is not None]
    if len(labelled) < SAME_N_MIN or len({_written(event.label) for event in labelled}) == 1:
        return set()
    same = set(labelled[0].features)
    for event in labelled:
        features, label = event.features, event.label
        same = {
            name for name in same
            if name in features and _is_label(features[name], label, shape.positive)
        }  # fmt: skip
        if not same:
            break
    return same


def _is_label(value: Any, label: Any, positive: Any) -> bool:
    if _written(value) == _written(label):
        return True
    if not isinstance(label, bool):
        return False
    if positive is not None:
        return is_positive(value, positive) == label
    return value in (0, 1) and bool(value) == label


def _written(value: Any) -> str:
    """Write a value so that 1, 1.0 and "1" are the same, and true and "True" too."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value).lower()
