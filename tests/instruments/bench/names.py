"""What an upstream that invents names costs: memory and time, with the ready bound and without.

`python -m tests.instruments.bench.names` runs each model in a process of its own: 195 events of 51
new names.
"""

import random
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

from stream.core.event import Record
from stream.core.fold.task import Task
from stream.core.spec import ModelSpec
from tests.folds import PARTITION, event, recipe

MODELS = (
    "leveraging_bagging", "adaptive_random_forest", "hoeffding_adaptive_tree", "hoeffding_tree",
)  # fmt: skip
BOUNDS = (1000, 1_000_000)
"""The default of the ready models, and none in effect."""

EVENTS_N = 195
NEW_NAMES_N = 51


def main() -> None:
    """One line for each model and bound."""
    if len(sys.argv) == 1:
        for model in MODELS:
            for bound in BOUNDS:
                command = [sys.executable, "-m", "tests.instruments.bench.names", model, str(bound)]
                subprocess.run(command, check=True)
        return
    model, bound = sys.argv[1], int(sys.argv[2])
    spec = ModelSpec(factory=f"stream.models:{model}", params={"names_max": bound})
    task = Task(replace(recipe(spec.factory, detectors=()), model=spec), partition=PARTITION)
    log, before_mb, began = _log(), _resident_mb(), time.perf_counter()
    for record in log:
        task.step(record)
    each_ms = 1000 * (time.perf_counter() - began) / len(log)
    after_mb, kib = _resident_mb(), len(task.pickled()) >> 10
    sys.stdout.write(
        f"{model:<24} names_max {bound:>7}: {before_mb} -> {after_mb} MB, {each_ms:.2f} ms an "
        f"event, state {kib} KiB\n"
    )


def _log() -> list[Record]:
    chance = random.Random(1)
    return [
        event(n, {f"n{n}-{i}": chance.random() for i in range(NEW_NAMES_N)}, n % 2 == 0)
        for n in range(EVENTS_N)
    ]


def _resident_mb() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 >> 20


if __name__ == "__main__":
    main()
