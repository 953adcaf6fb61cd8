"""The fold of one partition: `step(record)` gives the outcome and moves the state on by one record.

Pure and deterministic: the same records in the same order give the same outputs, bit for bit, however
they were batched and wherever the state was pickled in between.
"""

import pickle
from typing import Any

import xxhash

from stream.core import outputs
from stream.core.codec import Codec, one_line
from stream.core.detectors import Detectors, describe
from stream.core.event import Channel, Event, Kind, Output, Reason, Record, Rejection
from stream.core.learner import Prediction, build, kind_of, learner, predictor
from stream.core.recipe import Recipe
from stream.core.scores import Score, Window
from stream.core.snapshot import Header, Metadata

SINCE_RECORDS_MAX = 20_000
SINCE_BYTES_MAX = 16 << 20
"""How much a task keeps for undoing: beyond either it takes a new copy of its state."""

_CRASHES = (MemoryError, RecursionError, OSError)
"""Failures of the process, not of an event: they must crash, or a replay would decide otherwise."""

_hash = xxhash.xxh3_64_intdigest


class State:
    """All that a fold carries from one record to the next; this is what a snapshot holds."""

    __slots__ = (
        "detectors", "digest", "error_sum", "genesis", "labelled_n", "learned",
        "model", "n", "names", "next_offset", "rejected_n", "window",
    )  # fmt: skip

    def __init__(self, *, model: Any, detectors: Detectors, genesis: int) -> None:
        self.model = model
        self.detectors = detectors
        self.genesis = genesis
        self.next_offset = genesis
        self.digest = 0
        self.n = self.learned = self.rejected_n = self.labelled_n = 0
        self.error_sum = 0.0
        self.names: set[str] = set()
        self.window = Window()


class Task:
    """One partition's fold.

    Args:
        recipe: what to fold with.
        state: where to go on; None = the untrained model.
        genesis: without a state: the offset at which the fold begins.

    Raises: Misconfigured: the recipe makes no model that can be folded.
    """

    def __init__(
        self, recipe: Recipe, *, partition: int, genesis: int = 0, payload: bytes | None = None
    ) -> None:
        self.recipe = recipe
        self.fingerprint = recipe.fingerprint()
        self.partition = partition
        if payload is None:
            detectors = Detectors(recipe.detectors)
            state = State(model=build(recipe.model), detectors=detectors, genesis=genesis)
            payload = pickle.dumps(state, pickle.HIGHEST_PROTOCOL)
        self._copy = payload
        self._since: list[Record] = []
        self._since_bytes = 0
        # Even an untrained model goes through pickle once, so that "fresh" and "restored" cannot differ.
        self._bind(pickle.loads(payload))
        self._codec = Codec(recipe.shape, recipe.limits, self.kind)

    def _bind(self, state: State) -> None:
        self.state = state
        self.kind: Kind = kind_of(state.model)
        self._predict = predictor(state.model, self.kind)
        self._learn = learner(state.model, self.kind)

    @property
    def next_offset(self) -> int:
        """First offset not yet folded in."""
        return self.state.next_offset

    def step(self, record: Record) -> list[Output]:
        """Fold one record in; its outcome (one prediction or quarantined record) and its alerts.

        An event on which the model raises is quarantined, and the state is as if it had never been.
        """
        state = self.state
        assert record.offset >= state.next_offset, "records come in order, each once"  # noqa: S101
        event = self._codec.decode(record.value)
        if event.__class__ is not Rejection and not event.features.keys() <= state.names:
            event = self._admit(event)
        if event.__class__ is Rejection:
            return self._refuse(record, event)
        try:
            published = self._fold(record, event)
        except Exception as error:  # whatever a model raises on an event is about that event ...
            if isinstance(error, _CRASHES):  # ... but for these
                raise
            self._undo()
            detail = one_line(f"{type(error).__name__}: {error}")
            published = self._refuse(record, Rejection(Reason.MODEL_ERROR, detail))
            self.freeze()  # so that a flood of such events is undone one by one, not all each time
            return published
        self._remember(record)
        return published

    def _fold(self, record: Record, event: Event) -> list[Output]:
        state = self.state
        features, label = event.features, event.label
        prediction = self._predict(features)
        value = outputs.prediction_value(
            record, event, prediction, self.recipe.events_topic, state.learned
        )
        learned_before = state.learned
        unsupervised = self.kind is Kind.ANOMALY
        if label is not None or unsupervised:
            self._learn(features, label)
            state.learned += 1
        error = None
        if label is not None and not unsupervised:
            error = self._score(prediction.value, label)
        alarms = state.detectors.update(error, self._signal(prediction), label, features)
        state.digest = _hash(value, state.digest)
        state.n += 1
        state.next_offset = record.offset + 1
        published = [
            Output(Channel.PREDICTIONS, record.partition, record.timestamp_ms, record.key, value)
        ]
        for alarm in alarms:
            published.append(self._alert(record, alarm, learned_before))
            state.digest = _hash(published[-1].value, state.digest)
        return published

    def _score(self, prediction: Any, label: Any) -> float:
        state = self.state
        if self.kind is Kind.REGRESSION:
            error = abs((prediction or 0.0) - label)
        else:
            error = 0 if prediction == label else 1
        state.window.add(prediction, label)
        state.labelled_n += 1
        state.error_sum += error
        return error

    def _signal(self, prediction: Prediction) -> float | None:
        """The signal "prediction": P(true), the value, or the score; None where there is none."""
        if prediction.score is not None:
            return prediction.score
        if self.kind is Kind.REGRESSION:
            return prediction.value  # type: ignore[no-any-return]
        probabilities = prediction.probabilities
        if not probabilities:
            return None
        if True in probabilities:
            return probabilities[True]
        return 0.0 if False in probabilities else None

    def _alert(self, record: Record, alarm: Any, learned: int) -> Output:
        return outputs.alert(
            record=record,
            pipeline=self.recipe.pipeline,
            kind=alarm.kind,
            spec=alarm.spec,
            learned=learned,
            before=alarm.before,
            after=alarm.after,
            message=describe(alarm, record.partition, record.offset),
        )

    def _admit(self, event: Event) -> Event | Rejection:
        """New feature names, up to the cap of a partition's life."""
        names, most = self.state.names, self.recipe.limits.distinct_features_max
        new = [name for name in event.features if name not in names]
        if len(names) + len(new) > most:
            return Rejection(
                Reason.TOO_MANY_FEATURES,
                one_line(f'over {most} distinct names in this partition; new: "{new[0]}"'),
            )
        names.update(new)
        return event

    def _refuse(self, record: Record, rejection: Rejection) -> list[Output]:
        state = self.state
        state.rejected_n += 1
        state.n += 1
        state.next_offset = record.offset + 1
        state.digest = _hash(f"{record.offset}:{rejection.reason.value}".encode(), state.digest)
        if rejection.reason is not Reason.MODEL_ERROR:
            self._remember(record)
        return [
            outputs.quarantined(
                record,
                rejection,
                pipeline=self.recipe.pipeline,
                topic=self.recipe.events_topic,
                value_bytes_max=self.recipe.limits.value_bytes_max,
            )
        ]

    def freeze(self) -> bytes:
        """The state, pickled: the payload of a snapshot, and the copy that undoing goes back to."""
        self._copy = pickle.dumps(self.state, pickle.HIGHEST_PROTOCOL)
        self._since.clear()
        self._since_bytes = 0
        return self._copy

    def advance(self, next_offset: int) -> None:
        """Move over offsets that hold no record (markers, aborted or compacted records)."""
        assert next_offset >= self.state.next_offset, "a fold never goes back"  # noqa: S101
        self.state.next_offset = next_offset

    def _remember(self, record: Record) -> None:
        self._since.append(record)
        self._since_bytes += len(record.value or b"")
        if len(self._since) >= SINCE_RECORDS_MAX or self._since_bytes >= SINCE_BYTES_MAX:
            self.freeze()

    def _undo(self) -> None:
        """A model that raised may be half changed: go back to the copy and fold again up to here."""
        since, self._since, self._since_bytes = self._since, [], 0
        self._bind(pickle.loads(self._copy))
        for record in since:
            self.step(record)

    def score(self) -> Score | None:
        """The windowed score beside the no-change baseline."""
        return self.state.window.score(self.kind)

    def metadata(self) -> Metadata:
        """What is committed beside `next_offset`."""
        state = self.state
        return Metadata(
            n=state.n,
            digest=f"{state.digest:016x}",
            fingerprint=self.fingerprint,
            genesis=state.genesis,
            learned=state.learned,
        )

    def header(self, *, topic_id: str, taken_at_ms: int) -> Header:
        """The header of a snapshot of this state."""
        state = self.state
        return Header(
            pipeline=self.recipe.pipeline,
            topic=self.recipe.events_topic,
            topic_id=topic_id,
            partition=self.partition,
            next_offset=state.next_offset,
            n=state.n,
            learned=state.learned,
            digest=f"{state.digest:016x}",
            genesis=state.genesis,
            fingerprint=self.fingerprint,
            recipe=self.recipe.parts(),
            raw_bytes=0,
            taken_at_ms=taken_at_ms,
        )
