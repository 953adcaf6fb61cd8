"""Recipes, workloads and the auditor for the tests of the fold."""

import json
import random
from collections.abc import Iterable, Sequence
from typing import Any

from river import compose, linear_model, preprocessing

from stream.core.event import Channel, Kind, Output, Record
from stream.core.fold.task import Task
from stream.core.formats.records import Writer
from stream.core.learning.estimator import build, kind_of
from stream.core.recipe import Recipe
from stream.core.spec import DetectorSpec, EventShape, Limits, ModelSpec
from stream.models import half_space_trees
from stream.models.fast import quick

PARTITION = 3
ADWIN = DetectorSpec(name="adwin", type="ADWIN", params={"delta": 0.05, "clock": 1})
DDM = DetectorSpec(name="ddm", type="DDM")
ON_PREDICTION = DetectorSpec(name="scores", type="ADWIN", signal="prediction")


def plain_pipeline() -> compose.Pipeline:
    """What every tutorial of river begins with."""
    return preprocessing.StandardScaler() | linear_model.LogisticRegression()


def small_trees() -> compose.Pipeline:
    """Half-space trees whose state is small and whose windows turn over."""
    return half_space_trees(n_models=3, height=4, window_size=20)


def recipe(
    factory: str,
    *,
    detectors: Sequence[DetectorSpec] = (ADWIN,),
    limits: Limits | None = None,
) -> Recipe:
    """A recipe of this model."""
    return Recipe(
        pipeline="power",
        events_topic="power.events",
        model=ModelSpec(factory=factory),
        detectors=tuple(detectors),
        shape=EventShape(),
        limits=limits or Limits(),
        hash_seed=1,
        quicken=quick,
    )


def task(factory: str, **others: Any) -> Task:
    """A fold from the untrained model."""
    return Task(recipe(factory, **others), partition=PARTITION)


def record(offset: int, value: bytes | None, **others: Any) -> Record:
    """A record with this value."""
    parts: dict[str, Any] = {"key": b"key %d" % offset, "headers": ()}
    return Record(
        partition=PARTITION,
        offset=offset,
        timestamp_ms=1_700_000_000_000 + offset,
        value=value,
        **parts | others,
    )


def event(offset: int, features: dict[str, Any], label: Any = None) -> Record:
    """A record with this event."""
    return record(offset, json.dumps({"features": features, "label": label}).encode())


def workload(kind: Kind, count: int, *, seed: int = 7) -> list[Record]:
    """Valid and broken, labelled and unlabelled events of a world that changes in the middle."""
    rng = random.Random(seed)
    records, offset = [], 0
    for index in range(count):
        offset += 1 if rng.random() < 0.9 else rng.randrange(2, 5)
        features: dict[str, Any] = {
            "a": rng.gauss(0, 1),
            "b": rng.randrange(5),
            "c": index % 2 == 0,
        }
        if rng.random() < 0.1:
            features[f"rare {rng.randrange(20)}"] = rng.random()
        amount = features["a"] + 2 * (features["b"] - 2) * (1 if index < count // 2 else -1)
        document: dict[str, Any] = {"features": features, "label": _label(kind, amount)}
        if rng.random() < 0.15:
            del document["label"]
        if rng.random() < 0.5:
            document["id"] = f"order-{index}"
        value = json.dumps(document).encode()
        if rng.random() < 0.05:
            value = rng.choice([b"oops", b"{}", b'{"features": {"a": null}}', value[:-1]])
        records.append(record(offset, value))
    return records


def _label(kind: Kind, amount: float) -> Any:
    if kind is Kind.BINARY:
        return amount > 0
    if kind is Kind.MULTICLASS:
        return ["low", "mid", "high"][min(2, abs(int(amount)))]
    return round(amount, 2) if int(10 * amount) % 3 else int(amount)


def outputs_of(folded: Task, record: Record) -> list[Output]:
    """Fold one record in; what is published of it."""
    return Writer(folded.recipe).outputs([folded.step(record)])


def errors_of(folded: Task) -> list[float | None]:
    """What its detectors are told from now on: the error of each event, None without a label."""
    errors: list[float | None] = []
    detect = folded._detect

    def listening(error: float | None, *others: Any) -> Any:
        errors.append(error)
        return detect(error, *others)

    folded._detect = listening  # type: ignore[assignment]  # it is looked up there
    return errors


def fold(folded: Task, records: Iterable[Record]) -> list[list[Output]]:
    """All outputs, record by record."""
    return [outputs_of(folded, each) for each in records]


def document_of(output: Output) -> Any:
    """An output's JSON."""
    assert output.value is not None
    return json.loads(output.value)


def prediction_of(outputs: Sequence[Output]) -> Any:
    """The prediction among one record's outputs; None if it was quarantined."""
    first = outputs[0]
    assert all(each.channel is Channel.ALERTS for each in outputs[1:])
    assert first.channel in (Channel.PREDICTIONS, Channel.QUARANTINE)
    return document_of(first) if first.channel is Channel.PREDICTIONS else None


def plain_loop(model: Any, records: Iterable[Record]) -> list[dict[str, Any] | None]:
    """The auditor: what a loop over the records publishes; None for a broken one."""
    kind = kind_of(model)
    learned = 0
    published: list[dict[str, Any] | None] = []
    for each in records:
        try:
            document = json.loads(each.value or b"")
            features, label = document["features"], document.get("label")
        except (ValueError, KeyError):
            features = {"broken": None}
        if None in features.values():
            published.append(None)
            continue
        answer = _answer(model, kind, features)
        shown = {} if label is None else {"label": label}
        head = {"v": 1, "id": document.get("id", f"power.events-{PARTITION}-{each.offset}")}
        head |= {"partition": PARTITION, "offset": each.offset}
        published.append(head | answer | shown | {"learned": learned})
        if kind is Kind.ANOMALY:
            model.learn_one(features)
        elif label is not None:
            model.learn_one(features, label)
        learned += kind is Kind.ANOMALY or label is not None
    return published


def _answer(model: Any, kind: Kind, features: dict[str, Any]) -> dict[str, Any]:
    if kind is Kind.ANOMALY:
        return {"score": model.score_one(features)}
    answer = {"prediction": model.predict_one(features)}
    if kind is Kind.REGRESSION:
        return answer
    try:
        given = model.predict_proba_one(features)
    except NotImplementedError:
        return answer
    names = {name: name if isinstance(name, str) else json.dumps(name) for name in given}
    return answer | {"probabilities": {names[each]: share for each, share in given.items()}}


def untrained(factory: str) -> Any:
    """The model as its factory gives it, never pickled."""
    return build(ModelSpec(factory=factory))
