"""The fold of one partition: `step(record)` gives the outcome and moves the state on by one record.

Pure and deterministic: the same records in the same order give the same outputs, bit for bit,
however they were batched and wherever the state was pickled in between.
"""

import pickle
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import xxhash

from stream.core import outputs, pickling, unpickling
from stream.core.checks import one_line
from stream.core.codec import Codec
from stream.core.detectors import Alarm, Detectors
from stream.core.event import Channel, Feature, Kind, Output, Reason, Record, Rejection
from stream.core.learner import Prediction, build, kind_of, methods_of
from stream.core.recipe import Recipe
from stream.core.scores import Score, Window
from stream.core.snapshot import Header, Metadata
from stream.core.undo import Counts, Mark, Undo
from stream.errors import Misconfigured

_CRASHES = (MemoryError, RecursionError, OSError, KeyboardInterrupt)
"""Failures of the process, not of an event: they must crash, or a replay would decide otherwise."""

_begun: dict[str, "_Beginning"] = {}
"""Of the last recipe, by fingerprint: to make it takes longer than to unpickle a small state."""

_hash = xxhash.xxh3_64_intdigest
_PREDICTIONS = Channel.PREDICTIONS  # an enum's member costs ten times a name, for each event


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
        partition: whose records come.
        genesis: without a payload: the offset at which the fold begins.
        payload: a state to go on from, as `freeze` gave it; None = the untrained model.

    Attributes:
        is_paused: the worker does not go on with it; travels beside the committed offset, and is
            no part of the state: a replay passes over it.

    Raises:
        Misconfigured: the recipe makes no model that can be folded.
        pickle.UnpicklingError: the payload holds what no state of this recipe does.
    """

    def __init__(
        self, recipe: Recipe, *, partition: int, genesis: int = 0, payload: bytes | None = None
    ) -> None:
        self.recipe = recipe
        self.fingerprint = recipe.fingerprint()
        self.partition = partition
        self.is_paused = False
        self._signals = any(detector.signal == "prediction" for detector in recipe.detectors)
        # Even an untrained model goes through pickle once: "fresh" and "restored" cannot differ,
        # and two partitions cannot share an object that the factory keeps.
        begin = _beginning(recipe, self.fingerprint)
        if payload is None:
            payload, state = begin.pickled, pickle.loads(begin.pickled)
            state.genesis = state.next_offset = genesis
        else:
            state = begin.thaw(payload)
        self._bind(state)
        self._way_back = Undo()
        self._way_back.keep(payload, self._counts())
        self._decode = Codec(recipe.shape, recipe.limits, self.kind).decode
        self._write = outputs.prediction_writer(recipe.events_topic, partition)

    def _bind(self, state: State) -> None:
        self.state = state
        self.kind: Kind = kind_of(state.model)
        self._unsupervised = self.kind is Kind.ANOMALY
        self._numeric = self.kind is Kind.REGRESSION
        self._predict, self._learn, self._settle = methods_of(state.model, self.kind)

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
        event = self._decode(record.value)
        if type(event) is Rejection:  # a third of what isinstance costs, for each event
            return self._refuse(record, event)
        features, label, learned = event.features, event.label, state.learned
        if not state.names.issuperset(features):
            excess = self._admit(features)
            if excess is not None:
                return self._refuse(record, excess)
        error: float | None = None
        try:
            prediction = self._predict(features)
            # Written before learning: a model may have given out an object that it goes on using.
            value = self._write(record, event, prediction, learned)
            signal = _signal(prediction, self.kind) if self._signals else None
            if self._unsupervised:
                self._learn(features, None)
                state.learned = learned + 1
            elif label is not None:
                self._learn(features, label)
                state.learned = learned + 1
                error = self._score(prediction.value, label)
            alarms = state.detectors.update(error, signal, label, features)
        except _CRASHES:
            raise
        # Whatever else a model raises on an event is about it: river's parts in Rust (ADWIN and
        # others) panic with what is no Exception.
        except BaseException as raised:  # noqa: BLE001
            self._undo()
            detail = one_line(f"{type(raised).__name__}: {raised}")
            return self._refuse(record, Rejection(Reason.MODEL_ERROR, detail))
        state.digest = _hash(value, state.digest)
        state.n += 1
        state.next_offset = record.offset + 1
        if self._way_back.remember(record):
            self.freeze()
        published = [Output(_PREDICTIONS, record.partition, record.timestamp_ms, record.key, value)]
        return published if not alarms else self._with_alerts(published, record, alarms, learned)

    def _with_alerts(
        self, published: list[Output], record: Record, alarms: Sequence[Alarm], learned: int
    ) -> list[Output]:
        state = self.state
        for alarm in alarms:
            alert = outputs.alert(record, alarm, pipeline=self.recipe.pipeline, learned=learned)
            state.digest = _hash(alert.value or b"", state.digest)
            published.append(alert)
        return published

    def _score(self, prediction: Any, label: Any) -> float:
        state = self.state
        error: float
        if self._numeric:
            error = abs((prediction or 0.0) - label)
        else:
            error = 0.0 if prediction == label else 1.0
        state.window.add((prediction, label))
        state.labelled_n += 1
        state.error_sum += error
        return error

    def _admit(self, features: dict[str, Feature]) -> Rejection | None:
        """Take new feature names in, up to the cap of a partition's life."""
        names, most = self.state.names, self.recipe.limits.distinct_features_max
        new = [name for name in features if name not in names]
        if len(names) + len(new) > most:
            return Rejection(
                Reason.TOO_MANY_FEATURES,
                one_line(f'over {most} distinct names in this partition; new: "{new[0]}"'),
            )
        names.update(new)
        return None

    def _refuse(self, record: Record, rejection: Rejection) -> list[Output]:
        state = self.state
        state.rejected_n += 1
        state.n += 1
        state.next_offset = record.offset + 1
        state.digest = _hash(f"{record.offset}:{rejection.reason.value}".encode(), state.digest)
        if not self._way_back.since:  # nothing was learned since the copy: only the counts moved on
            self._way_back.counts = self._counts()
        elif self._way_back.remember(record):
            self.freeze()
        return [
            outputs.quarantined(
                record,
                rejection,
                pipeline=self.recipe.pipeline,
                topic=self.recipe.events_topic,
                value_bytes_max=self.recipe.limits.value_bytes_max,
            )
        ]

    def pickled(self) -> bytes:
        """The state, pickled: the payload of a snapshot; no step sees it, so a fork may do it.

        Raises: Misconfigured: the model holds something that cannot be pickled.
        """
        self._settle()
        return _dumps(self.state)

    def freeze(self) -> bytes:
        """The state, pickled; it is also what undoing goes back to. Raises: as `pickled`."""
        payload = self.pickled()
        self._way_back.keep(payload, self._counts())
        return payload

    @property
    def undo_length(self) -> float:
        """From 0 to 1, where `step` takes a new copy; `freeze`, or `rebase`, before that."""
        return self._way_back.length

    def mark(self) -> Mark:
        """The state of now, which somebody else is about to pickle: see `rebase`."""
        return self._way_back.mark(self._counts())

    def rebase(self, mark: Mark, payload: bytes) -> bool:
        """`payload` is the state at `mark`: undoing goes back to it from now on.

        Returns: False if there is a later copy already.
        """
        return self._way_back.rebase(mark, payload)

    def _counts(self) -> Counts:
        state = self.state
        return Counts(state.n, state.rejected_n, state.next_offset, state.digest)

    def _undo(self) -> None:
        """A model that raised may be half changed: go back to the copy, and fold again up to here.

        Then take a new copy, so that of many such events each costs only the events before it.
        """
        back = self._way_back
        since, state = back.since, pickle.loads(back.payload)
        state.genesis = self.state.genesis  # the copy of an untrained model knows none
        state.n, state.rejected_n, state.next_offset, state.digest = back.counts
        self._bind(state)
        if since:
            back.keep(back.payload, back.counts)
            for record in since:
                self.step(record)
            self.freeze()

    def advance(self, next_offset: int) -> None:
        """Move over offsets that hold no record (markers, aborted or compacted records)."""
        assert next_offset >= self.state.next_offset, "a fold never goes back"  # noqa: S101
        self.state.next_offset = next_offset

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
            is_paused=self.is_paused,
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


def _dumps(state: State) -> bytes:
    try:
        return pickling.dumps(state)
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise Misconfigured(
            f"model.factory: {type(state.model).__name__} cannot be pickled ({error}), and so not "
            "snapshotted; use named functions and classes of a module in it"
        ) from error


class _Beginning:
    """Where every fold of a recipe begins.

    Attributes:
        pickled: the untrained state at offset 0.
    """

    def __init__(self, recipe: Recipe) -> None:
        model, detectors = build(recipe.model), Detectors(recipe.detectors)
        self.pickled = _dumps(State(model=model, detectors=detectors, genesis=0))
        self._factory = recipe.model.factory.partition(":")[0]

    def thaw(self, payload: bytes) -> State:
        """A state that `freeze` gave. Raises: pickle.UnpicklingError: it is no such state."""
        state = unpickling.loads(payload, self._allowed)
        if type(state) is not State:
            raise pickle.UnpicklingError(f"it is a {type(state).__name__}, not a state")
        return state

    @cached_property
    def _allowed(self) -> unpickling.Allowed:
        return unpickling.Allowed(self.pickled, factory=self._factory)


def _beginning(recipe: Recipe, fingerprint: str) -> _Beginning:
    begin = _begun.get(fingerprint)
    if begin is None:
        begin = _Beginning(recipe)
        _begun.clear()
        _begun[fingerprint] = begin
    return begin


def _signal(prediction: Prediction, kind: Kind) -> float | None:
    """The signal "prediction": P(true), the value, or the score; None where there is none."""
    if kind is Kind.ANOMALY:
        return prediction.score
    if kind is Kind.REGRESSION:
        return prediction.value  # type: ignore[no-any-return]  # `learner` made it a number or None
    probabilities = prediction.probabilities
    if not probabilities:
        return None
    if True in probabilities:
        return float(probabilities[True])  # numpy's are no floats to the detectors
    return 0.0 if False in probabilities else None
