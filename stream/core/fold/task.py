"""The fold of one partition: `step(record)` gives the outcome and moves the state on by one record.

Pure and deterministic: the same records in the same order give the same outputs, bit for bit,
however they were batched and wherever the state was pickled in between.
"""

from contextlib import suppress
from functools import partial

import xxhash

from stream.core.event import Channel, Event, Feature, Kind, Reason, Record, Rejection
from stream.core.fold.acting import act, begin_anew, breaker_of, reacts
from stream.core.fold.admission import Admission
from stream.core.fold.alerts import Alerts
from stream.core.fold.folded import Folded
from stream.core.fold.guard import guard
from stream.core.fold.state import State, beginning, dumps, revived
from stream.core.formats.canonical import results, text_of
from stream.core.formats.checks import one_line
from stream.core.formats.codec import Codec
from stream.core.formats.sizes import oversize
from stream.core.learning.failures import CRASHES
from stream.core.learning.learner import At
from stream.core.learning.lesson import Lesson
from stream.core.monitoring.detected import DetectorRaised
from stream.core.monitoring.detectors import Detectors
from stream.core.monitoring.numeric import Harm
from stream.core.problems import PROBLEMS
from stream.core.recipe import Recipe, itself
from stream.core.result import NoAnswer, Prediction, StepResult
from stream.core.snapshots.metadata import FIRST, Reached

_hash = xxhash.xxh3_64_intdigest
_NO_PREDICTION = Prediction()
_OF_THE_MODEL = ("error", "prediction")


class Task(Folded):
    """One partition's fold.

    Args:
        recipe: what to fold with.
        partition: whose records come.
        genesis: without a payload: the offset at which the fold begins.
        genesis_n: without a payload: how many steps there were before it.
        payload: a state to go on from, as `keep_copy` gave it; None = the untrained model.

    Attributes:
        serving: the learner whose predictions are given out.
        admission: decides which new names and classes are taken in.
        is_paused: the worker does not go on with it; travels beside the committed offset, and is
            no part of the state: a replay passes over it.
        generation: the recipe's place among those of the pipeline; travels in the same way.
        reached: how far the topics beside the events were looked at; travels so, too.

    Raises:
        Misconfigured: the recipe makes no model that can be folded.
        pickle.UnpicklingError: the payload holds what no state of this recipe does.
    """

    def __init__(
        self,
        recipe: Recipe,
        *,
        partition: int,
        genesis: int = 0,
        genesis_n: int = 0,
        payload: bytes | None = None,
    ) -> None:
        self.recipe, self.partition = recipe, partition
        self.fingerprint = recipe.fingerprint()
        self.learner_fingerprint = recipe.learner_fingerprint()
        self.generation, self.is_paused = FIRST, False
        self.reached: dict[Channel, Reached] = {}
        # Even an untrained model goes through pickle once: "fresh" and "restored" cannot differ,
        # and two partitions cannot share an object that the factory keeps.
        begin = beginning(recipe, self.fingerprint)
        if payload is None:
            payload, state = begin.pickled, revived(begin.pickled)
            state.begin_at(genesis, genesis_n)
        else:
            state = begin.load(payload)
        self._hold(state, payload)

    def _hold(self, state: State, payload: bytes) -> None:
        """Go on with a state, and look up once what each event needs of it.

        Args:
            state: its parts are taken over.
            payload: the same, as bytes.
        """
        recipe = self.recipe
        self.state = state
        self.serving = state.line_up.serving
        self.serving.is_frozen = state.commanded.is_frozen
        self.serving.weight = 1.0 if recipe.shape.weight else None
        self.serving.bind(itself if recipe.shape.weight else recipe.quicken)
        self.kind: Kind = self.serving.kind
        problem = self._problem = PROBLEMS[self.kind]
        self._unsupervised, self._error_of = not problem.is_supervised, problem.error
        self._signal_of = problem.signal
        # With `positive` all labels are true or false by now, as they are for models of no more.
        self._names_classes = problem.names_classes and recipe.shape.positive is None
        self.admission = Admission(state, recipe.limits)
        self._detect = state.detectors.update
        self._policy, monitors, self._extras = state.watchers_and_others()
        self._has_parts = bool(self._policy or monitors or self._extras)
        self._reacts = reacts(self)
        self._look = guard(self.serving, breaker_of(self), problem)
        self._alerts = Alerts(recipe.pipeline, self._policy, monitors, problem)
        self._monitors = monitors
        is_told = "prediction" in {d.signal for d in recipe.detectors}
        self._signals = is_told or monitors is not None
        self.serving.begin_way_back(payload)
        self._remember = self.serving.way_back.remember
        self._key_bytes_max = recipe.limits.key_and_headers_bytes_max  # with its headers
        decode = Codec(recipe.shape, recipe.limits, self.kind).decode
        self._decode = self._reread = self.serving.weighing(decode)
        self._answered, self._unanswered = results(recipe.events_topic, self.partition, self.kind)

    def begin_untrained(self) -> None:
        """Let an untrained model go on from here; what watches other things than it goes on, too.

        Names and classes that there were stay known.
        """
        state, specs = self.state, self.recipe.detectors
        others = [d for d in state.detectors.detectors if d.spec.signal not in _OF_THE_MODEL]
        state.detectors = Detectors(specs, kept=others)
        state.commanded.unlearned_n += self.serving.learned
        state.line_up = revived(beginning(self.recipe, self.fingerprint).pickled).line_up
        begin_anew(self)
        self._hold(state, dumps(state))

    def step(self, record: Record) -> StepResult:  # noqa: C901, PLR0911, PLR0912, PLR0915
        """Fold one record in; its outcome (a prediction or a refusal) and its alerts.

        An event on which the model raises is refused, and the state is as if it had never been.
        """
        state, learner, key = self.state, self.serving, record.key
        assert record.offset >= state.next_offset, "records come in order, each once"  # noqa: S101
        may_be_large = record.headers or (key is not None and len(key) > self._key_bytes_max)
        event = self._decode_large(record) if may_be_large else self._decode(record.value)
        if type(event) is Rejection:  # a third of what isinstance costs, for each event
            return self._refuse(record, event)
        features, label, learned = event.features, event.label, learner.learned
        is_new = self._names_classes and self.admission.is_new_class(label)
        if is_new and (misfit := self.admission.misfit_of_class(label, features)):
            return self._refuse(record, misfit)
        if not state.names.issuperset(features) and (misfit := self.admission.misfit(features)):
            return self._refuse(record, misfit)
        prediction, fault, harm = _NO_PREDICTION, None, None
        try:
            answer = learner.ask(features)
        except NoAnswer as gap:
            fault = gap
        except BaseException as raised:  # noqa: BLE001  # river's parts in Rust panic
            return self._fail(record, features, raised, at="asking")
        # Written before learning: a model may have given out an object that it goes on using.
        if fault is None:
            try:
                prediction = learner.read(answer)
                result = self._answered(record, event, prediction, learned)
            except NoAnswer as gap:
                prediction, fault = _NO_PREDICTION, gap
        if fault is not None:
            result = self._unanswered(record, event, one_line(str(fault)), learned)
        signal, error = self._signal_of(prediction) if self._signals else None, None
        if label is not None or self._unsupervised:
            if not (learner.is_frozen or (harm := self._look(prediction, label, features, fault))):
                try:
                    learner.learn(features, label)
                except BaseException as raised:  # noqa: BLE001
                    return self._fail(record, features, raised, at="teaching")
                learner.learned = learned + 1
            if self._error_of is not None:
                error = self._error_of(prediction.value, label)
                learner.window.add((prediction.value, label))
        try:
            alerts = self._detect(error, signal, label, features)
        except DetectorRaised as raised:
            return self._fail(record, features, raised.error, at="detecting")
        if fault is None:
            state.digest = _hash(result.canonical, state.digest)
        else:
            self._note_fault(result, learned)
        if (is_full := self.admission.left_out_n == state.n) or alerts or harm is not None:
            self._alerts.alerts(state, result, alerts, learned, is_full=is_full, harm=harm)
        if self._has_parts:
            if (monitors := self._monitors) is not None:  # here: a call takes half as long again
                monitors.rows.append((features, label, prediction.value, signal, error))
                if len(monitors.rows) == monitors.block_n:
                    self._alerts.close_block(state, record)
            if self._policy is not None and state.n >= self._policy.due_n:
                self._alerts.close(state, result, learned)
            for part in self._extras:
                part.on_event(event, result)
        state.n, state.next_offset = state.n + 1, record.offset + 1
        if self._remember(record):
            self.keep_copy()
        if learner.is_frozen or harm is not None or self._reacts:
            self._end(result, harm, has_label=label is not None)
        return result

    def _note_fault(self, result: StepResult, learned: int) -> None:
        """Count an event without an answer; why may be another text in a replay."""
        state = self.state
        state.digest = _hash(f"{result.record.offset}:fault".encode(), state.digest)
        self._alerts.failure(state, result, learned, is_refused=False)

    def _end(self, result: StepResult, harm: Harm | None, *, has_label: bool) -> None:
        """Count an event that may not have been learned, and do what the step calls for."""
        if self.serving.is_frozen or harm is not None:
            self.state.commanded.unlearned_n += has_label or self._unsupervised
        if harm is not None or self._reacts:
            act(self, result, harm)

    def _decode_large(self, record: Record) -> Event | Rejection:
        found = oversize(record, bytes_max=self._key_bytes_max)
        return found or self._decode(record.value)

    def _fail(
        self, record: Record, features: dict[str, Feature], raised: BaseException, *, at: At
    ) -> StepResult:
        """Refuse an event on which the model or a detector raised, and leave no trace of it."""
        if isinstance(raised, CRASHES):
            raise raised
        self.admission.take_back()
        self.serving.take_out(features, at=at, go_back=partial(self._go_back, at))
        return self._refuse(record, Rejection(Reason.MODEL_ERROR, text_of(raised)))

    def _go_back(self, at: At) -> None:
        """Put the learner back to its copy, and let it learn again what it had learned since.

        A detector that raised may be half changed, too. Then take a new copy, so that of many such
        events each costs only the events before it.
        """
        copy = revived(self.serving.way_back.payload, has_extras=False)
        since = self.serving.become(copy.line_up.serving)
        if at == "detecting":
            self.state.detectors = copy.detectors
            self._detect = copy.detectors.update
        for each in since:
            self._learn_again(each, is_detected=at == "detecting")
        if since:
            self.keep_copy()

    def _learn_again(self, record: Record | Lesson, *, is_detected: bool) -> None:
        """Let the learner repeat an event that `step` folded; nobody else sees it a second time.

        Args:
            record: the event's; it was no refused one. Lessons are of labels that come later.
            is_detected: the detectors went back to the copy, too.
        """
        assert isinstance(record, Record)  # noqa: S101
        state, learner, event = self.state, self.serving, self._reread(record.value)
        assert type(event) is not Rejection  # noqa: S101
        # A name that was left out of it is none of the names.
        features = {name: event.features[name] for name in event.features if name in state.names}
        label, prediction = event.label, _NO_PREDICTION
        with suppress(NoAnswer):
            asked = learner.read(learner.ask(features))
            self._answered(record, event, asked, learner.learned)
            prediction = asked
        signal = self._signal_of(prediction) if self._signals else None
        error: float | None = None
        if label is not None or self._unsupervised:
            if not learner.is_frozen:
                learner.learn(features, label)
                learner.learned += 1
            if self._error_of is not None:
                error = self._error_of(prediction.value, label)
                learner.window.add((prediction.value, label))
        if is_detected:
            self._detect(error, signal, label, features)

    def _refuse(self, record: Record, refusal: Rejection) -> StepResult:
        """Refuse a record and count it; the digest moves on by the reason alone."""
        state, result = self.state, StepResult(record, refusal=refusal)
        state.digest = _hash(f"{record.offset}:{refusal.reason.value}".encode(), state.digest)
        if refusal.reason is Reason.MODEL_ERROR:
            self._alerts.failure(state, result, self.serving.learned, is_refused=True)
        self._alerts.refused(state, result, self.serving.learned)
        state.refused_n += 1
        state.n += 1
        state.next_offset = record.offset + 1
        if self._reacts:
            act(self, result, None)
        return result
