"""Random faults without end on three brokers, a Redis and three workers; see `scripts/soak`."""

import argparse
import json
import secrets
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from kafka import errors

from tests.instruments.faults import settled, soak_report
from tests.instruments.faults.cluster import Cluster
from tests.instruments.faults.keeper import Keeper
from tests.instruments.faults.run import Run
from tests.instruments.faults.soak_faults import Field, Kinds, Plan
from tests.instruments.faults.soak_watch import Growth, Moment, Sample, Watch
from tests.instruments.faults.stage import Client, Stage
from tests.instruments.faults.verifier import MARKERS_S
from tests.instruments.faults.worker import Broke

REPOSITORY = Path(__file__).resolve().parents[3]
PAGE = REPOSITORY / "docs" / "SOAK.md"

PARTITIONS_N = 4
WORKERS = ("w-0", None, "w-2")
"""Instance names; None: a worker without one, which waits for its predecessor's session."""

RATE = 50.0
RECOVERY_TIME_S = 6.0
ROUND_S = 45.0
CAUGHT_UP_WITHIN_S = 180.0


@dataclass(slots=True, kw_only=True)
class Found:
    """What came of a soak.

    Attributes:
        faults: when which one began, in seconds.
        caught_up_s: how long after each round's faults everything of before was committed.
        ended: how often workers ended, by exit code or (negative) signal.
        broken: what did not hold; empty: all held.
    """

    seed: int
    minutes: float
    client: Client
    faults: list[tuple[float, str]] = field(default_factory=list)
    caught_up_s: list[float] = field(default_factory=list)
    ended: Counter[int] = field(default_factory=Counter)
    broken: list[str] = field(default_factory=list)
    took_s: float = 0.0
    outcomes_n: int = 0
    commits_lost_n: int = 0
    moments: list[Moment] = field(default_factory=list)
    samples: dict[str, list[Sample]] = field(default_factory=dict)
    growths: list[Growth] = field(default_factory=list)


def main() -> int:
    """Returns: 0, or 1 if something did not hold."""
    parser = argparse.ArgumentParser(
        prog="scripts/soak",
        description="Random faults without end on three real brokers, a Redis and three workers.",
        epilog="example: scripts/soak --minutes 30 --seed 7",
    )
    parser.add_argument("--minutes", type=float, default=30.0, help="how long (default 30)")
    parser.add_argument("--seed", type=int, help="of the plan of faults; without: a random one")
    parser.add_argument("--client", choices=("kafka-python", "confluent"), default="kafka-python")
    parser.add_argument(
        "--report", type=Path, default=Path("soak-report.html"), metavar="FILE",
        help="the report with plots (default soak-report.html)",
    )  # fmt: skip
    parser.add_argument(
        "--page",
        type=Path,
        metavar="FILE",
        help="the summary in Markdown, as docs/SOAK.md",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="all that was measured")
    arguments = parser.parse_args()
    seed = secrets.randbelow(1 << 31) if arguments.seed is None else arguments.seed
    found = Found(seed=seed, minutes=arguments.minutes, client=arguments.client)
    _say(f"seed {seed}, {arguments.minutes:g} minutes, {arguments.client}")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # workers end too
    folder = Path(tempfile.mkdtemp(prefix="streamfold-soak-"))
    found.broken.append("it did not come to its end")
    try:
        soak(found, folder, _say)
        found.broken.clear()
        shutil.rmtree(folder, ignore_errors=True)
    except Broke as error:
        found.broken[:] = [str(error)]
    except (AssertionError, errors.KafkaError, OSError) as error:
        found.broken[:] = [repr(error)]
    finally:
        _write(found, arguments)
    if found.broken:
        _say(f"the workers' logs are in {folder}")
    return 1 if found.broken else 0


def _write(found: Found, arguments: argparse.Namespace) -> None:
    arguments.report.write_text(soak_report.html(found))
    if arguments.json is not None:
        told = {**asdict(replace(found, ended=Counter())), "ended": dict(found.ended)}
        arguments.json.write_text(json.dumps(told) + "\n")
    summary = soak_report.markdown(found)
    if arguments.page is not None:
        arguments.page.write_text(summary)
    _say(summary)


def soak(found: Found, folder: Path, say: Callable[[str], None]) -> None:
    """Fill in what is found. Raises: Broke, and what the servers' clients raise."""
    cluster = Cluster(folder / "cluster", with_proxies="clients")
    try:
        with Stage(folder, say, found.client) as stage:
            cluster.start()
            began = time.monotonic()
            with Run(
                stage, bootstrap=cluster.bootstrap_servers, partitions_n=PARTITIONS_N, rate=RATE,
                recovery_time_s=RECOVERY_TIME_S, replicas=3, patience_s=MARKERS_S,
            ) as run:  # fmt: skip
                try:
                    _Soak(found, stage, cluster, run, say).go(until=began + found.minutes * 60)
                finally:
                    found.took_s = time.monotonic() - began
    finally:
        cluster.kill()


class _Soak:
    def __init__(
        self, found: Found, stage: Stage, cluster: Cluster, run: Run, say: Callable[[str], None]
    ) -> None:
        self._found, self._run, self._say = found, run, say
        variables = {
            "STREAM__KAFKA__BOOTSTRAP_SERVERS": cluster.bootstrap_via,
        }
        self._keepers = [Keeper(run, instance=name, environment=variables) for name in WORKERS]
        self._over = threading.Event()
        self._kinds = Kinds(
            Field(cluster=cluster, redis=stage.redis, keepers=self._keepers, over=self._over)
        )
        self._watch = Watch(run, self._keepers)

    def go(self, *, until: float) -> None:
        """Rounds of faults, each followed by a calm in which everything has to be caught up."""
        plan = Plan(self._found.seed)
        self._run.flowing(within_s=90)
        self._watch.start()
        try:
            while time.monotonic() < until:
                self._round(plan, until=min(until, time.monotonic() + ROUND_S))
                self._caught_up()
            self._found.outcomes_n = self._run.verifier.outcomes_n()
            self._say("the faults are over: comparing everything with the plain loop")
        finally:
            self._kinds.end()
            self._watch.stop()
            self._keep_what_was_found()
        for keeper in self._keepers:
            # One that was started just now does not know SIGTERM yet.
            self._run.until(
                lambda k=keeper: k.worker.has_started,  # type: ignore[misc]
                within_s=CAUGHT_UP_WITHIN_S, what="all workers run",
            )  # fmt: skip
        self._run.finish(within_s=CAUGHT_UP_WITHIN_S)
        for keeper in self._keepers:
            keeper.worker.ends_with(0, within_s=1)
        grown = [growth.problem for growth in self._found.growths if growth.problem]
        if grown + self._watch.too_large():
            raise Broke("; ".join(grown + self._watch.too_large()))

    def _round(self, plan: Plan, *, until: float) -> None:
        while time.monotonic() < until:
            planned = plan.next()
            self._look_for(planned.pause_s)
            while not self._kinds.begin(planned):
                self._look_for(0.2)
            self._found.faults.append((self._watch.now_s, planned.fault.name))
        while self._kinds.any_busy:
            self._look_for(0.2)

    def _look_for(self, seconds: float) -> None:
        """Look after the workers for a while. Raises: Broke."""
        deadline = time.monotonic() + seconds
        while True:
            for keeper in self._keepers:
                keeper.look()
            broken = self._kinds.failed + self._run.verifier.broken
            if broken:
                raise Broke("; ".join(broken[:4]))
            if time.monotonic() >= deadline:
                return
            time.sleep(0.1)

    def _caught_up(self) -> None:
        """I7: with all faults mended, all that was there is soon committed and seen."""
        began = time.monotonic()
        ends = settled.end_offsets(self._run.verifier)
        verifier = self._run.verifier
        while any(verifier.committed.get(p, 0) < end for p, end in ends.items()):
            if time.monotonic() > began + CAUGHT_UP_WITHIN_S:
                last = [k.worker.log[-400:] for k in self._keepers]
                raise Broke(f"I7: {verifier.committed} of {ends} are committed: {last}")
            self._look_for(0.2)
        self._found.caught_up_s.append(time.monotonic() - began)
        names = [name for _, name in self._found.faults]
        self._say(
            f"{self._watch.now_s:6.0f} s: {len(names)} faults, {verifier.outcomes_n():,} outcomes, "
            f"caught up in {self._found.caught_up_s[-1]:.1f} s; last: {', '.join(names[-3:])}"
        )

    def _keep_what_was_found(self) -> None:
        found = self._found
        found.moments, found.samples = self._watch.moments, self._watch.samples
        found.growths = self._watch.growths()
        for keeper in self._keepers:
            found.ended += keeper.ended
        found.commits_lost_n = self._run.every_log().count("commit_lost")


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
