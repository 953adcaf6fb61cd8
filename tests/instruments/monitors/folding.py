"""Folds over real streams, with the policy, the default detectors and the monitors."""

import json
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

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

_CHEAP = "stream.models:no_change"
"""So that a model's own time hides nothing."""

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


def timed(name: str, events: Sequence[Event], watched: str) -> tuple[float, State]:
    """Microseconds of CPU an event, and the state at the end."""
    task, records = task_of(name, watched=watched, factory=_CHEAP), records_of(events)
    begin = time.process_time()
    for record in records:
        task.step(record)
    return (time.process_time() - begin) / len(records) * 1e6, task.state
