"""A plain loop for labels that come later: it is told the order by the outcomes, and knows river.

It shares no code with the program. Of the outcomes it reads the step, the kind and the label; all
numbers are its own.
"""

import json
import random
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from stream.core.event import Channel, Output, Record
from stream.core.fold.task import Task
from stream.core.fold.tasks import task_of
from stream.core.formats.records import Writer
from stream.core.labels.labels_spec import LabelsSpec
from stream.core.recipe import Recipe
from tests import folds

TAUGHT = ("labeled", "expired", "corrected")
WAIT_MS = 100_000


def recipe(factory: str, **spec: Any) -> Recipe:
    """A recipe with labels that come later."""
    plain = folds.recipe(factory)
    return Recipe(
        **{name: getattr(plain, name) for name in plain.__dataclass_fields__ if name != "extras"},
        extras=(LabelsSpec(**{"wait_ms": WAIT_MS} | spec),),
    )


def task(factory: str, **spec: Any) -> Task:
    """A fold from the untrained model."""
    return task_of(recipe(factory, **spec), partition=folds.PARTITION)


def at(offset: int, timestamp_ms: int, document: Any) -> Record:
    """A record of this time."""
    value = document if isinstance(document, bytes) else json.dumps(document).encode()
    return Record(folds.PARTITION, offset, timestamp_ms, b"key %d" % offset, value)


def event(offset: int, timestamp_ms: int, event_id: str | None = None, **features: Any) -> Record:
    """A record of an event."""
    features = features or {"x": 1.0, "y": 2.0}
    return at(offset, timestamp_ms, {"id": event_id, "features": features})


def label(offset: int, timestamp_ms: int, event_id: str, value: Any) -> Record:
    """A record of a label."""
    return at(offset, timestamp_ms, {"id": event_id, "label": value})


def outputs(task: Task, records: Iterable[Record]) -> list[Output]:
    """All that is published of some records."""
    writer = Writer(task.recipe)
    return [output for each in records for output in writer.outputs([task.step(each)])]


def of(channel: Channel, published: Iterable[Output]) -> list[dict[str, Any]]:
    """The documents of one topic."""
    return [json.loads(each.value or b"") for each in published if each.channel is channel]


def workload(count: int, *, seed: int, truth: Callable[[float], Any]) -> list[Record]:
    """Events and their labels: early, late, too late, twice, changed, of nobody, in any order."""
    rng = random.Random(seed)
    said: list[tuple[int, dict[str, Any]]] = []
    for n in range(count):
        time_ms = 1_700_000_000_000 + 1_000 * n
        x, y = rng.gauss(0.0, 1.0), rng.gauss(0.0, 1.0)
        one = {"id": f"e{n}", "features": {"x": x, "y": y, "word": rng.choice("ab")}}
        told = truth(x + 0.2 * y)
        kind = rng.random()
        if kind < 0.05:
            one["label"] = told
        said.append((time_ms, one))
        delay_ms = rng.choice((0, 500, 3_000, 40_000, 90_000, 150_000, -20_000))
        if kind > 0.15:
            said.append((time_ms + delay_ms, {"id": f"e{n}", "label": told}))
        if kind > 0.95:
            again = told if kind > 0.97 else truth(-x)
            said.append((time_ms + delay_ms + 5_000, {"id": f"e{n}", "label": again}))
        if 0.1 < kind < 0.12:
            said.append((time_ms, {"id": f"nobody{n}", "label": told}))
    said.sort(key=lambda each: each[0])
    return [at(offset, time_ms, document) for offset, (time_ms, document) in enumerate(said)]


def plainly(
    model: Any, records: Sequence[Record], told: Iterable[dict[str, Any]], *, has_classes: bool
) -> list[Any]:
    """What a plain loop predicts: (offset, prediction, probabilities, learned).

    Args:
        model: river's, untrained.
        records: events and labels.
        told: the outcomes.
        has_classes: it is a classifier.
    """
    by_n: dict[int, list[dict[str, Any]]] = {}
    for outcome in told:
        by_n.setdefault(outcome["n"], []).append(outcome)
    features: dict[int, dict[str, Any]] = {}
    found: list[tuple[Any, ...]] = []
    learned = 0
    for n, record in enumerate(records):
        document = json.loads(record.value or b"")
        if "features" in document:
            features[record.offset] = document["features"]
            x = dict(document["features"])
            if has_classes:
                chances = model.predict_proba_one(x)
                best = max(chances, key=lambda each: chances[each]) if chances else None
                written = {str(c).lower() if isinstance(c, bool) else str(c): p
                           for c, p in chances.items()}  # fmt: skip
                found.append((record.offset, best, written, learned))
            else:
                found.append((record.offset, model.predict_one(x), None, learned))
            if document.get("label") is not None:
                model.learn_one(dict(document["features"]), document["label"])
                learned += 1
        for outcome in by_n.get(n, ()):
            is_of_event = outcome["offset"] is not None and outcome["label"] is not None
            if outcome["kind"] not in TAUGHT or not is_of_event:
                continue
            assert outcome["learned"] == learned
            model.learn_one(dict(features[outcome["offset"]]), outcome["label"])
            learned += 1
    return found
