"""Rows about the process and its recipe: crashes at every step, memory, clocks, versions."""

import re
import shutil
import signal
import time
from datetime import datetime
from pathlib import Path

from tests.instruments.faults.clocks import VARIABLE as CLOCK
from tests.instruments.faults.hooks import VARIABLE, Hook, variable
from tests.instruments.faults.run import REPOSITORY, Run
from tests.instruments.faults.stage import Stage
from tests.instruments.faults.table import Table, Told
from tests.instruments.faults.worker import Broke

STATIC_S = 3.0
PRODUCER = "kafka:KafkaProducer."
BACKLOG_N = 40_000
MODEL = '[model]\nfactory = "tests.instruments.faults.models:logistic"\n'

STEPS = {
    "before begin": Hook(call=f"{PRODUCER}begin_transaction", nth=3),
    "before the first send": Hook(call=f"{PRODUCER}send", nth=40),
    "after a send": Hook(call=f"{PRODUCER}send", when="after", nth=77),
    "after the flush": Hook(call=f"{PRODUCER}flush", when="after", nth=3),
    "before the offsets": Hook(call=f"{PRODUCER}send_offsets_to_transaction", nth=3),
    "after the offsets": Hook(call=f"{PRODUCER}send_offsets_to_transaction", when="after", nth=3),
    "before the end": Hook(call=f"{PRODUCER}commit_transaction", nth=3),
    "after the end": Hook(call=f"{PRODUCER}commit_transaction", when="after", nth=3),
    "taking the id": Hook(call=f"{PRODUCER}init_transactions"),
    "committing where a fold begins": Hook(call=f"{PRODUCER}commit_transaction"),
}


def processes(table: Table) -> None:
    """Add rows 2, 23, 35 to 37, 39, 41 and 42."""
    table.real(
        2, "a crash at every step of the commit cycle", "I1-I6 I10",
        tests=("tests/instruments/simulation/test_crash_points.py",),
        why="Exhaustively, and in the steps of a snapshot: in the simulation; see row 34, too.",
    )(crashed)  # fmt: skip
    table.real(23, "MemoryError while learning; no disk for the client", "I1 I13")(no_memory)
    table.real(
        35, "parameters changed between snapshot and start", "I13",
        tests=("tests/core/test_recipe.py",),
        why="Another river or Python is the same fingerprint's business: in the tests.",
    )(recipe_changed)  # fmt: skip
    table.real(36, "another PYTHONHASHSEED, an unseeded model", "I2 I13")(seeds)
    table.real(37, "the wall clock jumps by an hour, forth and back", "I2 I7")(clock)
    table.real(
        39, "an output topic is deleted", "I13",
        tests=(
            "tests/broker/test_kafka_permissions.py::test_a_missing_permission_is_misconfigured",
            "tests/broker/test_kafka_traps.py::test_a_record_that_no_topic_takes_is_misconfigured",
        ),
        why="Permissions taken away, and outputs that are too large: in the tests.",
    )(output_missing)  # fmt: skip
    table.real(41, f"a replay of {2 * BACKLOG_N:,} events", "I9, other partitions go on")(
        far_behind
    )
    table.real(42, "two versions of ourselves in one group, upgraded one by one", "I1")(upgraded)


def crashed(stage: Stage) -> Told:
    """Ten places, each in a new process; the next one takes over by its name."""
    with Run(stage, recovery_time_s=STATIC_S) as run:
        for hook in STEPS.values():
            worker = run.start(instance="w-0", environment={VARIABLE: variable(hook)})
            code = worker.ends(within_s=80)
            if code != -signal.SIGKILL:
                raise Broke(f"{hook}: exit {code}: {worker.log[-400:]}")
        at = time.monotonic()
        run.start(instance="w-0")
        run.recovered(at)
        run.finish()
        return Told(f"{', '.join(STEPS)}.", run.recoveries)


def no_memory(stage: Stage) -> Told:
    """A crash, never poison: the event is learned by the next process."""
    hook = Hook(call="tests.instruments.faults.models:Brittle.learn_one", do="no_memory", nth=200)
    brittle = '[model]\nfactory = "tests.instruments.faults.models:brittle"\n'
    with Run(stage, config=brittle, recovery_time_s=STATIC_S) as run:
        worker = run.start(instance="w-0", environment={VARIABLE: variable(hook)})
        worker.ends_with(70, within_s=80, says="MemoryError")
        at = time.monotonic()
        run.start(instance="w-0")
        run.recovered(at)
        run.finish()
        return Told("exit 70; the next one learns the event. The client spools nothing to disk.",
                    run.recoveries)  # fmt: skip


def recipe_changed(stage: Stage) -> Told:
    """Refused by default; rebuilt from the log, or begun fresh, if that is asked for."""
    with Run(stage, rate=0.0, partitions_n=1, recovery_time_s=STATIC_S) as run:
        run.feeder.burst(300)
        worker = run.start(instance="w-0")
        run.until(lambda: run.verifier.committed.get(0, 0) >= 300, within_s=80, what="300")
        worker.signal(signal.SIGTERM)
        worker.ends_with(0, within_s=60)
        changed = run.config + "params = { rate = 0.05 }\n"
        run.configure(changed)
        run.start(instance="w-0").ends_with(78, within_s=90, says="rate")
        run.feeder.burst(50)
        for policy in ("rebuild", "fresh"):
            run.configure(
                changed.replace("[model]\n", f'[model]\non_change = "{policy}"\n')
                if policy == "rebuild"
                else run.config.replace("[model]\n", f'[model]\non_change = "{policy}"\n')
            )
            at = time.monotonic()
            worker = run.start(instance="w-0")
            run.feeder.burst(50)
            run.recovered(at)
            worker.signal(signal.SIGTERM)
            worker.ends_with(0, within_s=60, says="recipe_changed")
        if run.verifier.broken:
            raise Broke("; ".join(run.verifier.broken))
        return Told("refused with 78 and what changed; rebuild and fresh go on.", run.recoveries)


def seeds(stage: Stage) -> Told:
    """The process goes on under the pipeline's own hash seed; without a seed nothing begins."""
    with Run(stage, recovery_time_s=STATIC_S) as run:
        for seed in ("0", "1", "random"):
            worker = run.start(instance="w-0", environment={"PYTHONHASHSEED": seed})
            run.flowing()
            worker.kill()
        run.configure(run.config.replace("models:logistic", "models:unseeded"))
        run.start(instance="w-0").ends_with(78, within_s=90, says="seed")
        run.configure(run.config)
        at = time.monotonic()
        run.start(instance="w-0")
        run.recovered(at)
        run.finish()
        return Told("3 seeds; an unseeded model ends with 78", run.recoveries)


def clock(stage: Stage) -> Told:
    """In the worker's process `time.time` jumps every half second."""
    with Run(stage, recovery_time_s=STATIC_S) as run:
        worker = run.start(instance="w-0", environment={CLOCK: "1"})
        run.flowing()
        time.sleep(5.0)
        run.flowing()
        worker.kill()
        jumped_s = _clock_range_s(worker.log)
        if jumped_s < 3_600.0:
            raise Broke(f"the clock did not jump: the lines are at most {jumped_s:g} s apart")
        at = time.monotonic()
        run.start(instance="w-0", environment={CLOCK: "1"})
        run.recovered(at)
        run.finish()
        return Told(f"the process's own clock, not the machine's: its lines are {jumped_s:.0f} s "
                    "apart", run.recoveries)  # fmt: skip


def _clock_range_s(log: str) -> float:
    """Between the earliest and the latest time that lines of a log begin with."""
    said = [
        datetime.strptime(found, "%Y-%m-%d %H:%M:%S").astimezone().timestamp()
        for found in re.findall(r"^(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d),", log, re.MULTILINE)
    ]
    return max(said, default=0.0) - min(said, default=0.0)


def output_missing(stage: Stage) -> Told:
    """Nobody makes it by the way, while a worker runs; a new worker does, as configured."""
    with Run(stage, recovery_time_s=STATIC_S) as run:
        worker = run.start(instance="w-0")
        run.flowing()
        admin = run.admin()
        try:
            admin.delete_topics([f"{run.name}.quarantine"])
        finally:
            admin.close()
        worker.ends_with(78, within_s=120, says="quarantine")
        return Told("exit 78, and the key of the topic.")


def far_behind(stage: Stage) -> Told:
    """Partition 0 has much to replay; partition 1 nothing, and gets its outcomes meanwhile."""
    with Run(stage, rate=0.0, recovery_time_s=60.0) as run:
        for _ in range(4):
            run.feeder.burst(BACKLOG_N // 4)
        worker = run.start(instance="w-0")
        run.until(
            lambda: run.verifier.outcomes_n() >= 2 * BACKLOG_N, within_s=180, what="all of it"
        )
        worker.kill()
        stage.ask_redis("FLUSHALL")
        at = time.monotonic()
        heir = run.start(instance="w-0")
        run.until(lambda: "task_restored partition=0" in heir.log, within_s=120, what="partition 0")
        run.feeder.burst(200, [0])
        run.recovered(at, partition=0)
        run.until(lambda: "task_restored partition=1" in heir.log, within_s=120, what="partition 1")
        if heir.log.count("partitions_assigned") != 1:
            raise Broke(f"it lost its membership while it replayed: {heir.log[-600:]}")
        run.finish(within_s=120)
        return Told("no rebalance in a replay from an empty Redis", run.recoveries)


def upgraded(stage: Stage) -> Told:
    """The next version is this one with another number; they share a group for a while."""
    with Run(stage) as run:
        newer = run.folder / "newer"
        shutil.copytree(REPOSITORY / "stream", newer / "stream")
        for name in ("instruments/faults", "end_to_end"):
            shutil.copytree(REPOSITORY / "tests" / name, newer / "tests" / name)
        _renumber(newer / "stream" / "__init__.py")
        old = [run.start(), run.start()]
        run.until(
            lambda: all("partitions_assigned" in w.log for w in old), within_s=120, what="shares"
        )
        for worker in old:
            worker.signal(signal.SIGTERM)
            worker.ends_with(0, within_s=60)
            at = time.monotonic()
            run.start(environment={"PYTHONPATH": str(newer)})
            run.recovered(at, partition=0)
            run.recovered(at, partition=1)
        run.finish()
        return Told("two workers replaced one by one", run.recoveries)


def _renumber(path: Path) -> None:
    text = re.sub(r'__version__ = "[^"]+"', '__version__ = "99.0.0"', path.read_text())
    assert "99.0.0" in text
    path.write_text(text)
