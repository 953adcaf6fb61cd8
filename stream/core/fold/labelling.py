"""A fold whose labels come later: each finds its event, waits for it, or is nobody's.

A label is a step of the fold, as an event is. What a record sets off beside (an event that expires,
a label that waited for this event) belongs to its step, and comes after the event's own learning.
"""

import json
import re
from collections.abc import Iterable
from typing import Any

import xxhash
from msgspec import UNSET

from stream.core.event import Event, LabelRecord, Reason, Record, Rejection, own_id
from stream.core.fold.acting import act
from stream.core.fold.late_learning import LateLearningTask
from stream.core.fold.state import State
from stream.core.formats.checks import one_line
from stream.core.formats.label_records import LabelReader
from stream.core.formats.sizes import oversize
from stream.core.labels.kept import Early, Kept, kept_of
from stream.core.labels.labels_spec import LabelsSpec
from stream.core.labels.pending import Place
from stream.core.labels.reading import label_in_topic
from stream.core.labels.telling import (
    At,
    Came,
    Found,
    Held,
    came_early,
    value_of,
    written,
)
from stream.core.monitoring.numeric import Harm
from stream.core.outcomes import EVENTS, LABELS, OutcomeKind
from stream.core.result import StepResult

_hash = xxhash.xxh3_64_intdigest


class LabellingTask(LateLearningTask):
    """One partition's fold, with events that wait for their labels: see `Task`."""

    def _hold(self, state: State, payload: bytes) -> None:
        """See `Task`; and look up what each label needs of the recipe."""
        super()._hold(state, payload)
        recipe = self.recipe
        self._labels = spec_of(recipe.extras)
        self._pending.obey(self._labels)
        self._published = {kind.value for kind in OutcomeKind if self._labels.publishes(kind)}
        self._decode_event, self._decode = self._decode, self._decode_new
        reader = LabelReader(
            recipe.shape, recipe.limits, self.kind,
            id_field=self._labels.id, label_field=self._labels.label,
        )  # fmt: skip
        self._reader, self._label_in = reader, reader.among_events
        self._bytes_max, self._is_flat = recipe.limits.value_bytes_max, recipe.shape.flat
        self._place = own_id(recipe.events_topic, self.partition, "")
        name = json.dumps(recipe.shape.features, ensure_ascii=False)  # however else it is written
        self._features_field = re.compile(re.escape(name).encode() + rb"\s*:").search

    def step(self, record: Record) -> StepResult:
        """Fold one record in, be it an event or a label: see `Task.step`."""
        state, n = self.state, self.state.n
        assert record.offset >= state.next_offset, "records come in order, each once"  # noqa: S101
        self._pending.time.see(record.timestamp_ms)
        label = self._label_in(record.value) if self._may_be_label(record) else None
        if isinstance(label, LabelRecord):
            at, acted_n = At(StepResult(record), n, LABELS), 0
            harm = self._fold_label(at, record, label)
            state.next_offset = record.offset + 1
        else:
            result = super().step(record) if label is None else self._refuse(record, label)
            at, acted_n, harm = At(result, n, EVENTS), len(result.alerts), None
            if result.refusal is None:
                harm = self._after_event(at)
        return self._end_of_step(at, harm, acted_n)

    def read_label(self, record: Record) -> LabelRecord | Rejection:
        """What a record of the labels topic says, or why its bytes alone say nothing."""
        return label_in_topic(record, self._reader, key_bytes_max=self._key_bytes_max)

    def step_label(self, record: Record, label: LabelRecord) -> StepResult:
        """Fold in a record of the labels topic, whose offset is one of that topic.

        Args:
            record: as it came.
            label: what `read_label` made of it.

        Returns: what it gave; its alerts and ledger tell of the last event before it.
        """
        state = self.state
        last = max(state.next_offset - 1, 0)
        stand_in = Record(self.partition, last, record.timestamp_ms, None, None)
        at = At(StepResult(stand_in, label_offset=record.offset), state.n, LABELS)
        return self._end_of_step(at, self._fold_label(at, record, label), 0)

    def _end_of_step(self, at: At, harm: Harm | None, acted_n: int) -> StepResult:
        """Let go what is over, and do what the step calls for.

        Args:
            at: the step.
            harm: what the numeric breaker found.
            acted_n: so many of its alerts were acted on.
        """
        if self._pending.due_ms <= self._pending.time.now_ms:
            harm = self._expire(at) or harm
        result = at.result
        if self._reacts and at.source == LABELS and result.label_offset is None:
            act(self, result, harm)  # a record of the events topic, which nobody has seen yet
        elif harm is not None or (self._reacts and len(result.alerts) > acted_n):
            act(self, result, harm, acted_n=acted_n)
        return result

    def _may_be_label(self, record: Record) -> bool:
        """Whether to look, before the record is read as an event, for a label alone."""
        value, key = record.value, record.key
        if self._labels.has_topic or value is None or len(value) > self._bytes_max:
            return False
        if (record.headers or (key is not None and len(key) > self._key_bytes_max)) and oversize(
            record, bytes_max=self._key_bytes_max
        ):
            return False  # it is refused for that
        return self._is_flat or self._features_field(value) is None

    def _decode_new(self, value: bytes | None) -> Event | Rejection:
        """Decode an event, which may not have the id of one that is kept."""
        event = self._decode_event(value)
        if isinstance(event, Event) and event.id is not None and self._pending.holds(event.id):
            detail = f'an event with the id "{event.id}" is kept for its label'
            return Rejection(Reason.DUPLICATE, one_line(detail))
        return event

    def _after_event(self, at: At) -> Harm | None:
        """Give an event the label that came before it, and tell what it pushed out."""
        pending, harm, offset = self._pending, None, at.result.record.offset
        kept = pending.find(offset)
        if self._labels.publish == "all" and (kept is None or kept.is_labelled):
            self._tell_of_its_own(at, kept)
        if kept is not None:
            held = Held(offset, kept)
            for early in pending.take_early(self._id_of(held), offset):
                harm = self._label(at, came_early(early), held) or harm
        if pending.dropped:
            dropped, pending.dropped = pending.dropped, []
            for pushed_out in dropped:
                self._over(at, OutcomeKind.DROPPED, Held(*pushed_out))
        return harm

    def _tell_of_its_own(self, at: At, kept: Kept | None) -> None:
        """Tell of the label that an event brought itself: the fold is the same without that."""
        answer, record = at.result.prediction, at.result.record
        assert answer is not None  # noqa: S101
        if kept is None:  # there was no room for it, or it brought none
            kept = kept_of(at.result, answer.id)
            kept.label = None if answer.label is UNSET else answer.label
        if not kept.is_labelled:
            return
        error = None
        if self._error_of is not None:
            error = self._error_of(self._predicted(kept).value, kept.label)
        came = Came(kept.label, record.offset, record.timestamp_ms, record.key)
        found, held = Found(answer.learned, error), Held(record.offset, kept)
        self._tell(at, OutcomeKind.LABELED, came, found, held=held, is_step=False)

    def _fold_label(self, at: At, record: Record, label: LabelRecord) -> Harm | None:
        """Fold in a label: it is a step, whatever becomes of it."""
        state, harm = self.state, None
        came = Came(label.label, record.offset, record.timestamp_ms, record.key)
        place = self._place_of(label, record)
        offset = None if place is None else self._pending.offset_of(place)
        kept = None if offset is None else self._pending.find(offset)
        if offset is not None and kept is not None:
            harm = self._label(at, came, Held(offset, kept))
        elif place is None or (isinstance(place, int) and place < self._seen_until(at, record)):
            name = label.id or own_id(self.recipe.events_topic, label.partition, label.offset)
            self._tell(at, OutcomeKind.UNKNOWN, came, event_id=name)
        else:
            self._wait_for(at, place, came)
        if self._policy is not None and state.records_n >= self._policy.due_n:
            self._alerts.close(state, at.result, self.serving.learned)
        state.n += 1
        state.commanded.folded_n += 1
        return harm

    def _seen_until(self, at: At, record: Record) -> int:
        """The offset before which each event was folded, when a label came."""
        return self.state.next_offset if at.result.label_offset is not None else record.offset

    def _place_of(self, label: LabelRecord, record: Record) -> Place | None:
        """What a label calls its event; None: it lies in another partition."""
        if label.id is None:
            return label.offset if label.partition == record.partition else None
        name: str = label.id
        digits = name.removeprefix(self._place)
        if digits != name and digits.isdecimal() and not self._pending.holds(name):
            return int(digits[:18])  # as predictions name an event that brought no id
        return name

    def _wait_for(self, at: At, place: Place, came: Came) -> None:
        """Keep a label until its event comes; of two that differ the later one counts."""
        pending, kind, previous = self._pending, OutcomeKind.EARLY, None
        before = pending.early(place)
        if before is not None and _same(before.label, came.label):
            kind = OutcomeKind.REPEATED
        elif before is not None:
            kind, previous = OutcomeKind.CORRECTED, before.label
        if kind is not OutcomeKind.REPEATED:
            assert came.offset is not None and came.time_ms is not None  # noqa: S101, PT018
            now_ms = pending.time.now_ms
            pending.wait_for(place, Early(came.label, came.offset, came.time_ms, came.key, now_ms))
        found = Found(self.serving.learned, previous=previous)
        self._tell(at, kind, came, found, event_id=self._name_of(place))

    def _label(self, at: At, came: Came, held: Held) -> Harm | None:
        """Give an event its label, be it the first, the same again or another one."""
        kept, found, harm = held.kept, None, None
        kind, is_first = OutcomeKind.LABELED, not kept.is_labelled
        if not is_first:
            is_same = _same(kept.label, came.label)
            kind = OutcomeKind.REPEATED if is_same else OutcomeKind.CORRECTED
        if is_first or (kind is OutcomeKind.CORRECTED and self._labels.on_correction == "learn"):
            found, harm = self._learn_late(at.result, kept, came.label, is_scored=is_first)
        found = found or Found(self.serving.learned)
        if found.reason:
            kind = OutcomeKind.REFUSED
        elif kind is OutcomeKind.CORRECTED:
            found.previous = kept.label
        if kind in (OutcomeKind.LABELED, OutcomeKind.CORRECTED):
            self._pending.label(held.offset, kept, came.label)
        self._tell(at, kind, came, found, held=held)
        return harm

    def _expire(self, at: At) -> Harm | None:
        """Let go what has waited too long: events, and labels without one."""
        pending, harm = self._pending, None
        for expired in pending.expired():
            held, found, kind = Held(*expired), Found(self.serving.learned), OutcomeKind.EXPIRED
            if self._labels.on_expiry == "drop":
                self._over(at, kind, held, found)
                continue
            found, worse = self._learn_late(at.result, held.kept, label=False, is_scored=True)
            harm = worse or harm
            if found.reason:
                kind = OutcomeKind.REFUSED
            else:
                pending.keep_expired(held.offset, held.kept, label=False)
            self._over(at, kind, held, found, label=False)
        pending.forget()
        for place, early in pending.given_up():
            self._tell(at, OutcomeKind.UNKNOWN, came_early(early), event_id=self._name_of(place))
        pending.looked()
        return harm

    def _over(
        self, at: At, kind: OutcomeKind, held: Held, found: Found | None = None,
        *, label: bool | None = None,
    ) -> None:  # fmt: skip
        """Tell of an event for which no label came."""
        self._tell(at, kind, Came(label, None, None, held.kept.key), found, held=held)

    def _tell(
        self, at: At, kind: OutcomeKind, came: Came, found: Found | None = None,
        *, held: Held | None = None, event_id: str | None = None, is_step: bool = True,
    ) -> None:  # fmt: skip
        """Add an outcome to the result; and to the digest, if it is a part of the fold."""
        pending, found, told = self._pending, found or Found(self.serving.learned), str(kind)
        name = event_id if held is None else self._id_of(held)
        value = value_of(at, kind, came, found, held, partition=self.partition, event_id=name)
        outcome = written(value, came, pending.time.now_ms)
        if is_step:
            self.state.digest = _hash(outcome.value, self.state.digest)
            pending.totals[told] += 1
        if self._labels.features and held is not None:
            value.features = self._features_of(held.kept.value)
            outcome = written(value, came, pending.time.now_ms)
        if told in self._published:
            at.result.outcomes = (*at.result.outcomes, outcome)

    def _id_of(self, held: Held) -> str:
        return held.kept.id or self._name_of(held.offset)

    def _name_of(self, place: Place) -> str:
        """The id under which an event is published, and its labels are."""
        return place if isinstance(place, str) else f"{self._place}{place}"


def spec_of(extras: Iterable[object]) -> LabelsSpec:
    """The settings of the labels among those of the optional parts."""
    return next(each for each in extras if isinstance(each, LabelsSpec))


def _same(one: Any, other: Any) -> bool:
    """Whether two labels are the same; to Python 1 is True."""
    return bool(one == other) and isinstance(one, bool) == isinstance(other, bool)
