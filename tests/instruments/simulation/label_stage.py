"""A small world whose labels come in a topic of their own, told step by step."""

import json
from typing import Any

import msgspec

from stream.core.event import Channel
from stream.core.labels.labels_spec import LabelsSpec
from tests.instruments.simulation.drawn import label_rules, labelled
from tests.instruments.simulation.labels_source import Said
from tests.instruments.simulation.plain_fold import Plan
from tests.instruments.simulation.stage import Stage
from tests.instruments.simulation.workload import FIRST_MS, Fact
from tests.instruments.simulation.world import RECIPE, Options

WAIT_MS = 10**9


def spec(**settings: Any) -> LabelsSpec:
    """Settings, of which those that are told are not as ever."""
    return LabelsSpec(**{"wait_ms": WAIT_MS, "has_topic": True} | settings)


def options(of: LabelsSpec, **settings: Any) -> Options:
    """How processes are configured."""
    return Options(
        recipe=labelled(RECIPE, of), has_labels_topic=of.has_topic,
        **{"commit_interval_s": 0.0, "fold_s_max": 0.5} | settings,
    )  # fmt: skip


def stage(of: LabelsSpec, *, partitions_n: int = 1) -> Stage:
    """A world, and an auditor who knows the settings."""
    made = Stage(partitions_n=partitions_n, plan=Plan(labels=label_rules(of)))
    made.auditor.labels.is_quiet = True
    return made


def seen(name: str | None, second: int, *, label: bool | None = None, x: float = 0.5) -> Fact:
    """An event of a second."""
    document: dict[str, Any] = {"features": {"x": x, "y": second % 7 / 7}}
    if name is not None:
        document["id"] = name
    if label is not None:
        document["label"] = label
    return Fact(
        msgspec.json.encode(document), timestamp_ms=FIRST_MS + 1_000 * second, document=document
    )


def tell(on: Stage, name: str, label: bool, second: int, *, partition: int = 0) -> None:
    """A label of a second."""
    value = msgspec.json.encode({"id": name, "label": label})
    at_ms = FIRST_MS + 1_000 * second
    on.world.labels.send(Said(label, name), value, timestamp_ms=at_ms, partition=partition)


def written(on: Stage, partition: int = 0) -> list[tuple[int, int]]:
    """The journal: of each step of a label its offset, and that of the event behind it."""
    values = [json.loads(each.value or b"") for each in on.published(Channel.JOURNAL, partition)]
    return [(step["offset"], step["next_offset"]) for each in values for step in each["steps"]]


def kinds(on: Stage, partition: int = 0) -> list[tuple[str, str]]:
    """What became of which event, or label."""
    told = [json.loads(each.value or b"") for each in on.published(Channel.OUTCOMES, partition)]
    return [(each["id"], each["kind"]) for each in told]
