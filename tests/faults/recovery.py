"""kill -9 to the next committed output: its distribution over many kills."""

import random
import statistics
import time
from collections.abc import Callable
from pathlib import Path

from tests.faults.run import Run
from tests.faults.stage import Stage

LONG_N, FOREST_N = 1_000_000, 100_000
RECOVERY_TIME_S = 10.0
FOREST = '[model]\nfactory = "tests.faults.models:adaptive_forest"\n'


def measure(
    folder: Path,
    *,
    kills: int,
    say: Callable[[str], None],
    long_n: int = LONG_N,
    forest_n: int = FOREST_N,
) -> int:
    """Two models with a long log, on a broker with the intervals that it is shipped with.

    Returns: 0, or 1 if one recovery was later than `recovery_time_s`.
    """
    late = 0
    with Stage(folder, say) as stage:
        for name, config, events_n, within_s in (
            ("logistic regression", "", long_n, 1_800.0),
            ("adaptive random forest", FOREST, forest_n, 3_600.0),
        ):
            for instance in ("w-0", None):
                found = _kill(stage, config, events_n, within_s, kills=kills, instance=instance)
                who = "with a stable name" if instance else "without a name"
                say(f"{name}, {events_n:,} events in the log, {who}: {_told(found)}")
                late += sum(s > RECOVERY_TIME_S for s in found)
    say(f"{late} later than recovery_time_s = {RECOVERY_TIME_S:g}")
    return 1 if late else 0


def _kill(
    stage: Stage, config: str, events_n: int, within_s: float, *, kills: int, instance: str | None
) -> list[float]:
    """How long each recovery took."""
    chance = random.Random(9)
    with Run(
        stage,
        config=config,
        bootstrap=stage.shipped.bootstrap_servers,
        partitions_n=1,
        rate=0.0,
        recovery_time_s=RECOVERY_TIME_S,
    ) as run:
        run.verifier.forget_values = True
        for _ in range(events_n // 10_000):
            run.feeder.burst(10_000)
        run.start(instance=instance)
        run.until(
            lambda: run.verifier.committed.get(0, 0) >= events_n - 10, within_s=within_s,
            what="the whole log is learned",
        )  # fmt: skip
        run.feeder.start()
        run.feeder.rate = 100.0
        run.flowing()
        for _ in range(kills):
            time.sleep(chance.uniform(1.0, 4.0))
            run.workers[-1].kill()
            at = time.monotonic()
            run.start(instance=instance)
            run.recovered(at)
        if run.verifier.broken:
            raise AssertionError(run.verifier.broken)
        return run.recoveries


def _told(seconds: list[float]) -> str:
    parts = sorted(seconds)
    quantiles = statistics.quantiles(parts, n=10, method="inclusive") if len(parts) > 1 else parts
    return (
        f"{len(parts)} kills, min {parts[0]:.1f} s, median {statistics.median(parts):.1f} s, "
        f"90 % {quantiles[-1]:.1f} s, max {parts[-1]:.1f} s; all: "
        f"{' '.join(f'{s:.1f}' for s in parts)}"
    )
