"""What a golden recording is: one log, and for each model a snapshot, its proof, and the end's."""

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from river.__version__ import __version__ as river_version

from stream.core.event import Kind, Record
from stream.core.fold.task import Task
from stream.core.monitoring.episodes import Severity
from stream.core.monitoring.monitors_spec import MonitorsSpec
from stream.core.monitoring.policy_spec import PolicySpec
from stream.core.parts import PartSpec
from stream.core.recipe import Recipe, versions
from stream.core.snapshots.seal import Keys, seal
from stream.core.spec import DetectorSpec, EventShape, Limits, ModelSpec
from stream.models.fast import quick

ROOT = Path(__file__).parent
FOLDER = ROOT / f"SFS2-river-{river_version}"
KEYS = Keys(b"the key of the golden files, no secret")
PARTITION, GENESIS, EVENTS_N, SNAPSHOT_AT_N = 3, 0, 600, 350

MODELS: dict[str, ModelSpec] = {
    "logistic_regression": ModelSpec(factory="stream.models:logistic_regression"),
    "adaptive_random_forest": ModelSpec(
        factory="stream.models:adaptive_random_forest", params={"n_models": 3, "seed": 5}
    ),
    "half_space_trees": ModelSpec(
        factory="stream.models:half_space_trees",
        params={"n_models": 3, "height": 4, "window_size": 50, "seed": 5},
    ),
    "ecusum": ModelSpec(factory="stream.models:no_change"),
    "alerts": ModelSpec(factory="stream.models:no_change"),
    "monitors": ModelSpec(factory="stream.models:no_change"),
}

DETECTORS = {
    "ecusum": DetectorSpec(
        name="ecusum",
        type="ECUSUM",
        signal="prediction",
        params={"warm_up": 40, "threshold": 10.0},
    ),
    "alerts": DetectorSpec(
        name="ph", type="PageHinkley", params={"min_instances": 5, "threshold": 2.0}
    ),
}
"""Of a recording that has another one; these alert before and after the snapshot."""

POLICY = PolicySpec(min_severity=Severity.INFO, cooldown=20, reminder_ms=0, refill_n=40)

PARTS: dict[str, tuple[PartSpec, ...]] = {
    "alerts": (POLICY,),
    "monitors": (POLICY, MonitorsSpec(block_n=20, reference_n=100, budget_events=100)),
}
"""Of a recording that has optional parts; at this one's snapshot an episode is open."""

ADWIN = DetectorSpec(name="adwin", type="ADWIN", signal="feature:a")


def recipe(name: str, of: dict[str, str]) -> Recipe:
    """The recipe of a recording, under the versions that it was made with."""
    return Recipe(
        pipeline="golden",
        events_topic="golden.events",
        model=MODELS[name],
        detectors=(DETECTORS.get(name, ADWIN),),
        shape=EventShape(),
        limits=Limits(),
        hash_seed=1,
        quicken=quick,
        versions=of,
        extras=PARTS.get(name, ()),
    )


def log(folder: Path) -> Iterator[Record]:
    """The recorded log: good, broken and unlabelled events, and gaps between them."""
    for line in (folder / "log.jsonl").read_text().splitlines():
        offset, timestamp_ms, value = json.loads(line)
        yield Record(PARTITION, offset, timestamp_ms, None, base64.b64decode(value))


def folded(task: Task, records: Iterator[Record]) -> Task:
    """Fold in what the task has not seen yet."""
    for each in records:
        if each.offset >= task.next_offset:
            task.step(each)
    return task


def write_log() -> None:
    """Make the log's file, for `record`."""
    from tests.folds import workload  # noqa: PLC0415  # the recording outlives how it was made

    lines = [
        json.dumps([each.offset, each.timestamp_ms, base64.b64encode(each.value or b"").decode()])
        for each in workload(Kind.BINARY, EVENTS_N, seed=11)
    ]
    (FOLDER / "log.jsonl").write_text("\n".join(lines) + "\n")


def record(name: str) -> None:
    """Fold the log, and write down the snapshot, its proof, and the end's."""
    task = Task(recipe(name, versions()), partition=PARTITION, genesis=GENESIS)
    proof: dict[str, Any] = {"versions": versions(), "fingerprint": task.fingerprint}
    for index, each in enumerate(log(FOLDER)):
        task.step(each)
        if index == SNAPSHOT_AT_N:
            sealed = seal(task.header(topic_id="golden", taken_at_ms=0), task.keep_copy(),
                          KEYS.signing)  # fmt: skip
            (FOLDER / f"{name}.snapshot").write_bytes(sealed)
            proof["snapshot"] = [task.next_offset, task.metadata().encode()]
    proof["end"] = [task.next_offset, task.metadata().encode()]
    (FOLDER / f"{name}.json").write_text(json.dumps(proof, indent=1) + "\n")
