"""A fold learns a label that comes later, with the features of its event's own time."""

from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

import msgspec

from stream.core.event import Event, Feature, Kind, Record
from stream.core.fold.deduplicating import DeduplicatingTask
from stream.core.fold.state import State
from stream.core.labels.kept import Kept
from stream.core.labels.telling import Found
from stream.core.learning.failures import CRASHES
from stream.core.learning.learner import At as Place
from stream.core.learning.lesson import Lesson
from stream.core.monitoring.detected import Alert, DetectorRaised
from stream.core.monitoring.numeric import Harm
from stream.core.monitoring.rows import LabelRow
from stream.core.parts import PENDING
from stream.core.result import NoAnswer, Prediction, StepResult

if TYPE_CHECKING:
    from stream.core.labels.pending import Pending

TYPE: Final = "type"
CLASSES: Final = "classes"
MODEL_ERROR: Final = "model_error"
"""Why a label is refused of which its bytes alone say nothing."""

_BOOLS: Final = {"true": True, "false": False}

_FALSE_FIRST: Final = b'{"false":'


class _Two(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """The probabilities of false and of true, as they are written nearly always."""

    false: float
    true: float


_read = msgspec.json.Decoder().decode
_read_two = msgspec.json.Decoder(_Two).decode
_read_chances = msgspec.json.Decoder(dict[str, float]).decode


class LateLearningTask(DeduplicatingTask):
    """One partition's fold, which can be taught what it was asked before: see `Task`."""

    def _hold(self, state: State, payload: bytes) -> None:
        super()._hold(state, payload)
        self._pending: Pending = state.extras[PENDING]
        self._pending.index()
        self._is_of_numbers = self.kind is Kind.REGRESSION
        self._has_bools = not self._names_classes

    def _learn_late(
        self, result: StepResult, kept: Kept, label: Any, *, is_scored: bool
    ) -> tuple[Found, Harm | None]:
        """Teach the model an event's label, and score what was predicted of it.

        Returns: what was found, where it has a reason nothing has changed; and what the numeric
            breaker found.
        """
        learner, features = self.serving, self._own_features_of(kept)
        learned, harm = learner.learned, None
        if misfit := self._misfit_of(label):
            return Found(learned, reason=misfit), None
        prediction = self._predicted(kept)
        fault = NoAnswer("") if prediction.value is None and self._is_of_numbers else None
        if not (learner.is_frozen or (harm := self._look(prediction, label, features, fault))):
            try:
                learner.learn(features, label)
            except BaseException as raised:  # noqa: BLE001
                return Found(learned, reason=self._undo(result, raised, "teaching")), None
            learner.learned += 1
        error: float | None = None
        alerts: tuple[Alert, ...] = ()
        if is_scored and self._error_of is not None:
            error = self._error_of(prediction.value, label)
            learner.window.add((prediction.value, label, kept.known))
            try:
                alerts = self._detect(error, None, label, {})
            except DetectorRaised as raised:
                return Found(learned, reason=self._undo(result, raised.error, "detecting")), None
            if self._monitors is not None:
                row = features, label, self._signal_of(prediction), error, kept.known
                self._watch_label(row)
        if alerts or harm is not None:
            self._alerts.alerts(
                self.state, result, alerts, learner.learned, is_full=False, harm=harm
            )
        # Of what the model learned the detectors have seen all but corrections.
        unlearned_n = is_scored - (learner.learned - learned)
        if unlearned_n:
            self.state.commanded.unlearned_n += unlearned_n
        if self._remember(Lesson(kept.value, label, prediction.value, kept.known, is_scored)):
            self.keep_copy()
        return Found(learned, error), harm

    def _misfit_of(self, label: Any) -> str:
        """Why a label is no class of this partition, nor may become one; "" if it is."""
        state, known = self.state, self.admission.class_type
        if not self._names_classes or (label.__class__ is known and label in state.classes):
            return ""
        if self.admission.misfit_of_class(label, {}) is None:
            return ""
        return CLASSES if label.__class__ is known else TYPE

    def _watch_label(self, row: LabelRow) -> None:
        """Show the monitors a label, a block of them at a time."""
        rows = self._pending.rows
        rows.append(row)
        if self._alerts.watch_labels(rows):
            self._pending.rows = []

    def _undo(self, result: StepResult, raised: BaseException, at: Place) -> str:
        """Leave no trace of a label on which the model or a detector raised. Returns: a reason."""
        if isinstance(raised, CRASHES):
            raise raised
        self.admission.take_back()
        self._go_back(at)
        self._alerts.failure(self.state, result, self.serving.learned, is_refused=False)
        return MODEL_ERROR

    def _learn_again(self, record: Record | Lesson, *, is_detected: bool) -> None:
        """Let the learner repeat what a late label taught, too: see `Task`."""
        if not isinstance(record, Lesson):
            super()._learn_again(record, is_detected=is_detected)
            return
        learner = self.serving
        if not learner.is_frozen:
            learner.learn(self._features_of(record.value), record.label)
            learner.learned += 1
        if record.is_scored and self._error_of is not None:
            error = self._error_of(record.predicted, record.label)
            learner.window.add((record.predicted, record.label, record.known))
            if is_detected:
                self._detect(error, None, record.label, {})

    def _own_features_of(self, kept: Kept) -> dict[str, Feature]:
        """The features of an event that is kept, in a dict of the caller's own.

        So they are no features that were asked for: for these a model may learn what asking left.
        """
        if kept.features is None or self.serving.weight is not None:  # it is read with the event
            return self._features_of(kept.value)
        return {**kept.features}

    def _features_of(self, value: bytes) -> dict[str, Feature]:
        """The features of an event that was folded, as its model saw them."""
        event, names = self._reread(value), self.state.names
        assert isinstance(event, Event)  # noqa: S101
        if names.issuperset(event.features):
            return event.features
        # A name that was left out of it is none of the names.
        return {name: each for name, each in event.features.items() if name in names}

    def _predicted(self, kept: Kept) -> Prediction:
        """What was predicted of an event, from what was published."""
        value, probabilities = _read(kept.prediction), kept.probabilities
        if probabilities is None:
            return Prediction(value)
        if self._has_bools and probabilities.startswith(_FALSE_FIRST):
            with suppress(msgspec.DecodeError):  # classes that are texts, and one is "false"
                two = _read_two(probabilities)
                return Prediction(value, {False: two.false, True: two.true})
        chances: dict[Any, float] = _read_chances(probabilities)
        if self._has_bools:
            chances = {_BOOLS.get(name, name): each for name, each in chances.items()}
        return Prediction(value, chances)
