"""The fold of one partition: `step(record)` gives the outcome and moves the state on by one record.

Pure and deterministic: the same records in the same order give the same outputs, bit for bit,
however they were batched and wherever the state was pickled in between.
"""

from typing import Any, Literal

import xxhash

from stream.core.admission import Admission
from stream.core.alerts import Alerts
from stream.core.detectors import DetectorRaised
from stream.core.event import Feature, Kind, Reason, Record, Rejection
from stream.core.failures import CRASHES
from stream.core.formats.canonical import results, text_of
from stream.core.formats.checks import one_line
from stream.core.formats.codec import Codec
from stream.core.formats.sizes import oversize
from stream.core.learner import kind_of, methods_of
from stream.core.metadata import FIRST, Metadata
from stream.core.problems import PROBLEMS
from stream.core.recipe import Recipe
from stream.core.result import NoAnswer, Prediction, StepResult
from stream.core.scores import Score
from stream.core.snapshot import Header
from stream.core.state import State, beginning, carried, dumps, revived
from stream.core.undo import CopyPoint, Counts, Undo
from stream.core.untouched import WATCHED_N, Watch

At = Literal["asking", "teaching", "detecting"]

_hash = xxhash.xxh3_64_intdigest
_NO_PREDICTION = Prediction()


class Task:
    """One partition's fold.

    Args:
        recipe: what to fold with.
        partition: whose records come.
        genesis: without a payload: the offset at which the fold begins.
        genesis_n: without a payload: how many steps there were before it.
        payload: a state to go on from, as `keep_copy` gave it; None = the untrained model.

    Attributes:
        is_paused: the worker does not go on with it; travels beside the committed offset, and is
            no part of the state: a replay passes over it.
        generation: the recipe's place among those of the pipeline; travels in the same way.

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
        self.recipe = recipe
        self.fingerprint, self.learner = recipe.fingerprint(), recipe.learner_fingerprint()
        self.generation = FIRST
        self.partition = partition
        self.is_paused = False
        self._alerts = Alerts(recipe.pipeline)
        self._is_heavy = False
        self._signals = any(detector.signal == "prediction" for detector in recipe.detectors)
        # Even an untrained model goes through pickle once: "fresh" and "restored" cannot differ,
        # and two partitions cannot share an object that the factory keeps.
        begin = beginning(recipe, self.fingerprint)
        if payload is None:
            payload, state = begin.pickled, revived(begin.pickled)
            state.begin_at(genesis, genesis_n)
        else:
            state = begin.load(payload)
        self._bind(state)
        self._way_back = Undo()
        self._remember = self._way_back.remember
        self._way_back.keep(payload, self._counts())
        self._key_bytes_max = recipe.limits.key_and_headers_bytes_max  # with its headers
        self._decode = Codec(recipe.shape, recipe.limits, self.kind).decode
        self._answered, self._unanswered = results(recipe.events_topic, partition, self.kind)

    def _bind(self, state: State) -> None:
        """Go on with a state: look up once what each event will need of its model."""
        self.state = state
        state.model = self.recipe.quicken(state.model)
        self.kind: Kind = kind_of(state.model)
        problem = self._problem = PROBLEMS[self.kind]
        self._unsupervised, self._error_of = not problem.is_supervised, problem.error
        self._signal_of = problem.signal
        # With `positive` all labels are true or false by now, as they are for models of no more.
        self._names_classes = problem.names_classes and self.recipe.shape.positive is None
        self._admission = Admission(state, self.recipe.limits)
        self._detect = state.detectors.update
        self._extras = tuple(state.extras.values())
        self._answer, self._read, self._learn = methods_of(state.model, self.kind)
        self._predict = self._answer if state.is_ready else self._ask
        self._watch: Watch | None = None
        self._watched_n = 0
        self._teach = self._learn

    @property
    def next_offset(self) -> int:
        """First offset not yet folded in."""
        return self.state.next_offset

    def step(self, record: Record) -> StepResult:  # noqa: C901, PLR0911, PLR0912, PLR0915
        """Fold one record in; its outcome (a prediction or a refusal) and its alerts.

        An event on which the model raises is refused, and the state is as if it had never been.
        """
        state = self.state
        assert record.offset >= state.next_offset, "records come in order, each once"  # noqa: S101
        key = record.key
        if record.headers or (key is not None and len(key) > self._key_bytes_max):
            event = oversize(record, bytes_max=self._key_bytes_max) or self._decode(record.value)
        else:
            event = self._decode(record.value)
        if type(event) is Rejection:  # a third of what isinstance costs, for each event
            return self._refuse(record, event)
        features, label, learned = event.features, event.label, state.learned
        if (
            self._names_classes
            and label is not None
            # To Python 1 is in {True}: only of one type it was there if it is in there.
            and (label.__class__ is not self._admission.class_type or label not in state.classes)
            and (misfit := self._admission.misfit_of_class(label, features))
        ):
            return self._refuse(record, misfit)
        if not state.names.issuperset(features) and (misfit := self._admission.misfit(features)):
            return self._refuse(record, misfit)
        prediction, fault = _NO_PREDICTION, None
        # Only calls into the model are guarded: our own mistakes end the process. Whatever a model
        # raises is about the event: river's parts in Rust panic with what is no Exception.
        try:
            answer = self._predict(features)
        except NoAnswer as gap:
            fault = one_line(str(gap))
        except BaseException as raised:  # noqa: BLE001
            return self._fail(record, features, raised, at="asking")
        # Written before learning: a model may have given out an object that it goes on using.
        if fault is None:
            try:
                prediction = self._read(answer)
                result = self._answered(record, event, prediction, learned)
            except NoAnswer as gap:
                prediction, fault = _NO_PREDICTION, one_line(str(gap))
        if fault is not None:
            result = self._unanswered(record, event, fault, learned)
        signal = self._signal_of(prediction) if self._signals else None
        error: float | None = None
        if label is not None or self._unsupervised:
            try:
                self._learn(features, label)
            except BaseException as raised:  # noqa: BLE001
                return self._fail(record, features, raised, at="teaching")
            state.learned = learned + 1
            if self._error_of is not None:
                predicted = prediction.value
                error = self._error_of(predicted, label)
                state.window.add((predicted, label))
        try:
            alerts = self._detect(error, signal, label, features)
        except DetectorRaised as raised:
            return self._fail(record, features, raised.error, at="detecting")
        if fault is None:
            state.digest = _hash(result.canonical, state.digest)
        else:  # its text is somebody else's, and may be another one in a replay
            state.digest = _hash(f"{record.offset}:fault".encode(), state.digest)
            self._alerts.failure(state, result, learned, is_refused=False)
        is_full = state.closed_n is not None and self._admission.told_n == state.n
        if alerts or is_full:
            self._alerts.alerts(state, result, alerts, learned, is_full=is_full)
        state.n += 1
        state.next_offset = record.offset + 1
        for part in self._extras:
            part.on_event(event, result)
        if self._remember(record):
            self.keep_copy()
        return result

    def _ask(self, features: dict[str, Feature]) -> Any:
        """Ask a model that may not be able to answer yet; once it has, nobody asks this way."""
        try:
            answer = self._answer(features)
        except CRASHES:
            raise
        except BaseException as raised:
            raise NoAnswer(text_of(raised)) from raised
        self._read(answer)
        if self.state.learned:
            self.state.is_ready = True
            self._predict = self._answer
        return answer

    def _watch_and_ask(self, features: dict[str, Feature]) -> Any:
        """Ask the model while events fail: first keep what asking may change."""
        self._watched_n -= 1
        if not self._watched_n or not self._watched().look():
            self._watched_n, self._learn = 0, self._teach
            self._predict = self._answer
        return self._answer(features)

    def _watch_and_learn(self, features: dict[str, Feature], label: Any) -> None:
        """Teach the model while events fail: first keep its small parts as asking left them."""
        self._watched().look_again(features, label)
        self._teach(features, label)

    def _fail(
        self, record: Record, features: dict[str, Feature], raised: BaseException, *, at: At
    ) -> StepResult:
        """Refuse an event on which the model or a detector raised, and leave no trace of it."""
        if isinstance(raised, CRASHES):
            raise raised
        if at == "asking" and self._watched().is_unchanged(features):
            self._admission.take_back()
        else:
            self._go_back(at)
        return self._refuse(record, Rejection(Reason.MODEL_ERROR, text_of(raised)))

    def _go_back(self, at: At) -> None:
        """Take an event out of the model: out of its small parts if that does, or by a copy."""
        watch, model = self._watched(), None
        is_taught = at == "teaching" or self._learn != self._teach
        if self._watched_n and at != "detecting":
            model = watch.without_event(is_asked=at == "asking")
        if model is None:
            self._undo()
        else:
            self._admission.take_back()
            self.state.model = model
            self._bind(self.state)
            self._watch = watch.following(self.state.model)
        if at != "detecting" and self.state.is_ready and watch.pays(self._way_back.payload):
            self._watched_n, self._predict = WATCHED_N, self._watch_and_ask
            if is_taught:
                self._learn = self._watch_and_learn

    def _watched(self) -> Watch:
        if self._watch is None:
            self._watch = Watch(self.state.model)
        return self._watch

    def weigh(self, payload_bytes: int) -> None:
        """Note how large a copy of the state is: see `close_if_heavy`."""
        self._is_heavy = payload_bytes > self.recipe.limits.state_bytes_max

    def close_if_heavy(self) -> None:
        """Take in no new name any more if the state is too large; the caller commits that next.

        A state that knows no name yet stays open, for it would refuse every event from then on.
        """
        if self._is_heavy and self.state.closed_n is None and self.state.names:
            self.state.closed_n = self.state.n

    def _refuse(self, record: Record, refusal: Rejection) -> StepResult:
        """Refuse a record and count it; the digest moves on by the reason alone."""
        state, result = self.state, StepResult(record, refusal=refusal)
        state.digest = _hash(f"{record.offset}:{refusal.reason.value}".encode(), state.digest)
        if refusal.reason is Reason.MODEL_ERROR:
            self._alerts.failure(state, result, state.learned, is_refused=True)
        state.refused_n += 1
        state.n += 1
        state.next_offset = record.offset + 1
        if not self._way_back.since:  # nothing was learned since the copy: only the counts moved on
            self._way_back.counts = self._counts()
        elif self._remember(record):
            self.keep_copy()
        return result

    def pickled(self) -> bytes:
        """The state, pickled: the payload of a snapshot; no step sees it, so a fork may do it.

        Raises: Misconfigured: the model holds something that cannot be pickled.
        """
        return dumps(self.state)

    def problem_with(self, payload: bytes) -> str:
        """Why a state that `pickled` gave would not come back; "" if it does. Takes its time."""
        return beginning(self.recipe, self.fingerprint).problem_with(payload)

    def keep_copy(self) -> bytes:
        """The state, pickled; it is also what undoing goes back to. Raises: as `pickled`."""
        payload = self.pickled()
        self._way_back.keep(payload, self._counts())
        return payload

    @property
    def undo_length(self) -> float:
        """How long undoing would take, from 0 to 1; at 1 `step` takes a new copy by itself."""
        return self._way_back.length

    def copy_point(self) -> CopyPoint:
        """Mark the present state, which somebody else is about to pickle: see `rebase`."""
        return self._way_back.copy_point(self._counts())

    def rebase(self, copy_point: CopyPoint, payload: bytes) -> bool:
        """Let undoing go back to `payload`, the state at `copy_point`, from now on.

        Returns: False if there is a later copy already.
        """
        return self._way_back.rebase(copy_point, payload)

    def _counts(self) -> Counts:
        state = self.state
        return Counts(state.n, state.refused_n, state.next_offset, state.digest, state.failures)

    def _undo(self) -> None:
        """A model that raised may be half changed: go back to the copy, and fold again up to here.

        Then take a new copy, so that of many such events each costs only the events before it.
        """
        back = self._way_back
        since, state = back.since, revived(back.payload)
        # The copy of an untrained model knows none of these.
        state.genesis, state.genesis_n = self.state.genesis, self.state.genesis_n
        state.has_base = self.state.has_base
        state.closed_n = self.state.closed_n  # whatever comes before it is folded as it was
        (
            state.n, state.refused_n, state.next_offset, state.digest, state.failures
        ) = back.counts  # fmt: skip
        self._bind(state)
        if since:
            back.keep(back.payload, back.counts)
            for record in since:
                self.step(record)
            self.keep_copy()

    def advance(self, next_offset: int) -> None:
        """Move over offsets that hold no record (markers, aborted or compacted records)."""
        assert next_offset >= self.state.next_offset, "a fold never goes back"  # noqa: S101
        self.state.next_offset = next_offset

    def kept(self, recipe: Recipe) -> tuple["Task", bytes]:
        """The fold that goes on here with another recipe: a new genesis, with this learner.

        Returns: its task, in which this one's state went over, and that state as bytes.
        """
        state = carried(self.state, recipe, self.recipe)
        state.genesis, state.genesis_n, state.has_base = state.next_offset, state.n, True
        state.digest = _hash(f"kept:{recipe.fingerprint()}".encode(), state.digest)
        payload = dumps(state)
        task = Task(recipe, partition=self.partition, payload=payload)
        task.is_paused = self.is_paused
        task.weigh(len(payload))
        return task, payload

    def score(self) -> Score | None:
        """The windowed score beside the no-change baseline."""
        return self._problem.score(self.state.window.pairs)

    def metadata(self) -> Metadata:
        """The metadata to commit beside `next_offset`."""
        return self.state.metadata(
            self.fingerprint,
            learner=self.learner,
            generation=self.generation,
            is_paused=self.is_paused,
        )

    def header(self, *, topic_id: str, taken_at_ms: int) -> Header:
        """The header of a snapshot of this state."""
        state, recipe = self.state, self.recipe
        return state.header(recipe, self.partition, topic_id=topic_id, taken_at_ms=taken_at_ms)
