"""Folds over real streams, with the policy, the default detectors and the monitors."""

import json
import math
import random
import time
from collections.abc import Sequence
from itertools import chain
from statistics import fmean, median
from typing import Any, NamedTuple

from river import base

from stream.config.settings import from_mapping
from stream.core.event import Record
from stream.core.fold.state import State
from stream.core.fold.task import Task
from stream.core.result import Since
from stream.runtime.preparation import make_recipe
from tests.data import Row
from tests.instruments.detectors.streams import REAL, SINES, labelled

STREAMS = (*REAL, *SINES)
_FACTORIES = {"bike_sharing_hour": "stream.models:linear_regression"}
_EVERY_MS = 60_000

POOR = "stream.models:no_change"
"""It costs nearly nothing, so that its own time hides nothing; it is worse than the usual label and
over-confident, and both are found in each block."""

SOUND = f"{__name__}:TrueChance"
"""So is this one, of whose answers nothing is found: the usual case."""

CHUNK_N = 1_000
"""Four blocks: each chunk has the same work."""

WARM_N = 11_000
"""By then the predictions have a reference, too."""

Event = tuple[Row, Any]


class Alerted(NamedTuple):
    """One alert, as people see it."""

    offset: int
    state: str
    severity: str
    episode: str
    what: str
    since: int
    features: tuple[str, ...]
    message: str


def events_of(name: str, shuffle_seed: int | None = None) -> list[Event]:
    """A stream's events: features and label."""
    return labelled(name, shuffle_seed)


def records_of(events: Sequence[Event]) -> list[Record]:
    """The same as records, a minute apart."""
    return [
        Record(
            partition=0, offset=offset, timestamp_ms=1_300_000_000_000 + _EVERY_MS * offset,
            key=None, value=json.dumps({"features": features, "label": label}).encode(),
        )
        for offset, (features, label) in enumerate(events)
    ]  # fmt: skip


def task_of(
    name: str,
    *,
    min_severity: str = "warning",
    watched: str = "detectors, monitors",
    factory: str | None = None,
) -> Task:
    """A fold of a stream from the untrained model."""
    factory = factory or _FACTORIES.get(name, "stream.models:hoeffding_tree")
    tree: dict[str, Any] = {
        "pipeline": "watched",
        "kafka": {"client": "embedded", "path": "unused.sqlite"},
        "model": {"factory": factory},
        "alerts": {"policy": "quiet", "min_severity": min_severity},
    }
    if "monitors" not in watched:
        tree["monitors"] = False
    if "detectors" not in watched:
        tree["detectors"] = []
    if not watched:
        tree["alerts"] = {"policy": "raw"}
    return Task(make_recipe(from_mapping(tree)), partition=0)


def alerts_of(
    name: str, events: Sequence[Event], *, min_severity: str = "warning"
) -> list[Alerted]:
    """Every alert on these events."""
    task, found = task_of(name, min_severity=min_severity), []
    for record in records_of(events):
        for alert in task.step(record).alerts:
            seen = alert.evidence.detectors
            features = tuple(
                each.feature for each in (seen if isinstance(seen, list) else ())
                if isinstance(each.feature, str)
            )  # fmt: skip
            assert isinstance(alert.since, Since)
            _, _, what = str(alert.episode).split("/", 2)
            found.append(
                Alerted(
                    alert.offset,
                    str(alert.state),
                    str(alert.severity),
                    str(alert.episode),
                    what.rpartition("/")[0],
                    alert.since.offset,
                    features,
                    alert.message,
                )
            )
    return found


class Cost(NamedTuple):
    """Microseconds of CPU an event.

    Attributes:
        least: the mean of the least that each chunk ever took.
        usual: the median of all chunks.
    """

    least: float
    usual: float


class TrueChance(base.Classifier):
    """Knows of each of `ten_numbers` how likely its label is, and learns nothing."""

    def predict_proba_one(self, x: dict[Any, Any], **_: Any) -> dict[Any, float]:
        """See river."""
        chance = 0.5 + 0.4 * math.tanh(x["input_0"])
        return {False: 1.0 - chance, True: chance}

    def learn_one(self, x: dict[Any, Any], y: Any) -> None:
        """See river."""


def ten_numbers(n: int) -> list[Event]:
    """Events of ten numbers, of which the first says the chance of the label."""
    drawn = random.Random(7)
    found: list[Event] = []
    for _ in range(n):
        features: Row = {f"input_{at}": round(drawn.gauss(0.0, 1.0), 6) for at in range(10)}
        found.append((features, drawn.random() < 0.5 + 0.4 * math.tanh(float(features["input_0"]))))
    return found


def costs(
    events: Sequence[Event], kinds: Sequence[str], rounds_n: int, *, factory: str
) -> tuple[dict[str, Cost], State]:
    """What an event costs with each of these, and the state of the last one's fold.

    All fold a chunk in turn before anybody folds the next, so that a machine that becomes slower is
    so for all; and of the rounds the least counts, since nothing makes a chunk faster than it is.
    What comes before the references are whole is folded, and not counted.
    """
    records = records_of(events)
    took: dict[str, list[list[float]]] = {kind: [] for kind in kinds}
    for turn in range(rounds_n):
        tasks = {kind: task_of("", watched=kind, factory=factory) for kind in kinds}
        for each in took.values():
            each.append([])
        for at in range(0, len(records), CHUNK_N):
            chunk = records[at : at + CHUNK_N]
            for kind in kinds if (turn + at // CHUNK_N) % 2 else reversed(kinds):
                begin, step = time.process_time(), tasks[kind].step
                for record in chunk:
                    step(record)
                us = (time.process_time() - begin) / len(chunk) * 1e6
                if at >= WARM_N:
                    took[kind][-1].append(us)
    found = {
        kind: Cost(
            fmean(min(of) for of in zip(*all_us, strict=True)), median(chain.from_iterable(all_us))
        )
        for kind, all_us in took.items()
    }
    return found, tasks[kinds[-1]].state
