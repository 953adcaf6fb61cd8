"""kill -9 to the next committed output: its distribution over many kills."""

import json
import random
import signal
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tests.instruments.faults.run import Run
from tests.instruments.faults.stage import Client, Stage
from tests.instruments.faults.worker import START_S, Broke

RECOVERY_TIME_S = 10.0
BURST_N = 10_000
LEARNED_WITHIN_S = 3_600.0
RECOVERED_WITHIN_S = 300.0
"""Later than allowed is told as it is; this only ends what would never come."""

RATE = 100.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A model, and how many events lie in its log."""

    model: str
    config: str
    events_n: int


CASES = {
    "logistic": Case(model="logistic regression", config="", events_n=1_000_000),
    "forest": Case(
        model="adaptive random forest",
        config='[model]\nfactory = "tests.instruments.faults.models:adaptive_forest"\n',
        events_n=100_000,
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Recoveries:
    """One series of kills.

    Attributes:
        who: whether the worker has a stable name.
        model_bytes: what the newest snapshot holds, once decompressed.
        allowed_s: `recovery_time_s`.
        seconds: from each kill to the next committed output, in the order of the kills.
        started_s: how much of it the start of the new process took: Python, imports, connections.
    """

    model: str
    events_n: int
    who: str
    model_bytes: int
    allowed_s: float
    seconds: tuple[float, ...]
    started_s: tuple[float, ...]

    @property
    def late_n(self) -> int:
        """How many took longer than allowed, a slow start of the process taken off."""
        starts = [max(0.0, s - START_S) for s in self.started_s]
        both = zip(self.seconds, starts, strict=True)
        return sum(took_s - start_s > self.allowed_s for took_s, start_s in both)

    @property
    def told(self) -> str:
        """Its distribution, in a line."""
        parts = sorted(self.seconds)
        most = statistics.quantiles(parts, n=10, method="inclusive")[-1] if parts[1:] else parts[0]
        return (
            f"{self.model}, {self.events_n:,} events, state of "
            f"{self.model_bytes / 1e6:.2f} MB, {self.who}: {len(parts)} kills, min "
            f"{parts[0]:.1f} s, median {statistics.median(parts):.1f} s, 90 % {most:.1f} s, max "
            f"{parts[-1]:.1f} s, {self.late_n} late; start of the process: median "
            f"{statistics.median(self.started_s):.1f} s; all: {' '.join(f'{s:.1f}' for s in parts)}"
        )


def measure(
    folder: Path,
    cases: Sequence[Case],
    *,
    kills: int,
    client: Client,
    say: Callable[[str], None],
) -> Iterator[Recoveries]:
    """On a broker with the intervals that it is shipped with; the start of a process counts.

    Gives each series anew after each of its kills, so that nothing is lost when it is stopped.
    Raises: Broke.
    """
    with Stage(folder, say, client) as stage:
        for case in cases:
            yield from _measure(stage, case, kills=kills, say=say)


def _measure(
    stage: Stage, case: Case, *, kills: int, say: Callable[[str], None]
) -> Iterator[Recoveries]:
    """Kills, first with a stable name, then without."""
    with Run(
        stage,
        config=case.config,
        bootstrap=stage.shipped.bootstrap_servers,
        partitions_n=1,
        rate=0.0,
        recovery_time_s=RECOVERY_TIME_S,
    ) as run:
        run.verifier.forget_values = True
        began = time.monotonic()
        run.start(instance="w-0")
        for _ in range(case.events_n // BURST_N):
            run.feeder.burst(BURST_N)
        run.until(
            lambda: run.verifier.committed.get(0, 0) >= case.events_n,
            within_s=LEARNED_WITHIN_S,
            what="the whole log is learned",
        )
        say(f"{case.model}: {case.events_n:,} events in {time.monotonic() - began:.0f} s")
        run.feeder.rate = RATE
        run.feeder.start()
        run.flowing()
        for instance in ("w-0", None):
            run.workers[-1].signal(signal.SIGTERM)
            run.workers[-1].ends(within_s=60)
            run.start(instance=instance)
            run.flowing(within_s=60)
            found = Recoveries(
                model=case.model,
                events_n=case.events_n,
                who="with a stable name" if instance else "without a name",
                model_bytes=_model_bytes(run),
                allowed_s=RECOVERY_TIME_S,
                seconds=(),
                started_s=(),
            )
            for took_s, start_s in _kill(run, instance, kills=kills):
                found = replace(
                    found,
                    seconds=(*found.seconds, took_s),
                    started_s=(*found.started_s, start_s),
                )
                yield found
        if run.verifier.broken:
            raise Broke("; ".join(run.verifier.broken[:3]))


def _kill(run: Run, instance: str | None, *, kills: int) -> Iterator[tuple[float, float]]:
    """How long each recovery took, and the start of a process in it, in seconds."""
    chance = random.Random(9)
    for _ in range(kills):
        time.sleep(chance.uniform(0.5, 3.0))
        run.workers[-1].kill()
        at = time.monotonic()
        heir = run.start(instance=instance)
        yield run.recovered(at, within_s=RECOVERED_WITHIN_S), heir.start_s


def _model_bytes(run: Run) -> int:
    """The size of the state in the newest snapshot, once decompressed."""
    done = run.command("snapshots", "-c", "stream.toml", "inspect", "--json")
    found = json.loads(done.stdout)["snapshots"]
    newest = max(found, key=lambda each: each["next_offset"])
    return int(newest["header"]["raw_bytes"])
