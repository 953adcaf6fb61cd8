"""What a row does with commands: sends them as an operator does, and looks at what was done."""

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager

from kafka import KafkaProducer, TopicPartition

from tests.instruments.faults import settled
from tests.instruments.faults.run import NO_ENVIRONMENT, Run
from tests.instruments.faults.worker import Broke

WITHIN = "40s"
SAYS_S = 30.0
TOPICS = ("control", "journal", "ledger")
NAMED = {"STREAM__WORKER__INSTANCE": "hands"}
"""Without a name nobody may ask for a recovery time below six seconds."""

CONTROL = ("control", "-c", "stream.toml")


def words(what: str, own_id: str, within: str) -> list[str]:
    """The command line of a command."""
    return [*CONTROL, what, "--why", "a row", "--by", "ada", "--id", own_id, "--within", within]


def send(
    run: Run, what: str, own_id: str, *, within: str = WITHIN, code: int = 0, says: str = ""
) -> str:
    """Command all partitions, and wait for the answer. Raises: Broke: another one."""
    done = run.command(*words(what, own_id, within), is_checked=False, environment=NAMED)
    said = f"{done.stdout} {done.stderr}"
    if done.returncode != code or says not in said:
        raise Broke(f"{what} ended with {done.returncode} instead of {code}: {said}; {run.said()}")
    return said


def raw(run: Run, what: str, own_id: str, *, within_s: float, partition: int = 0) -> None:
    """Append a command, as a program of somebody else's would; it is there then."""
    value = {
        "v": 1, "id": own_id, "what": what, "by": "ada", "why": "a row",
        "within_ms": round(1000 * within_s),
    }  # fmt: skip
    producer = KafkaProducer(bootstrap_servers=run.bootstrap)
    try:
        sent_ = producer.send(
            f"{run.name}.control", json.dumps(value).encode(), partition=partition
        )
        sent_.get(timeout=20)
    finally:
        producer.close(timeout=5)


@contextmanager
def sent(
    run: Run, what: str, own_id: str, *, within: str = WITHIN
) -> "Iterator[subprocess.Popen[str]]":
    """A command that waits for its answer while the block runs; it is there when that begins."""
    before = ends(run, "control")
    process = subprocess.Popen(
        [sys.executable, "-m", "stream", *words(what, own_id, within)], cwd=run.folder,
        env={**os.environ, **run.variables, **NAMED}, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    try:
        run.until(
            lambda: all(end > before.get(p, 0) for p, end in ends(run, "control").items()),
            within_s=30, what=f"{what} is sent",
        )  # fmt: skip
        yield process
    finally:
        process.kill()
        process.communicate()


def answered(process: "subprocess.Popen[str]", code: int, *, within_s: float = 60.0) -> None:
    """Wait for the answer of a command that was `sent`. Raises: Broke: another one."""
    said, _ = process.communicate(timeout=within_s)
    if process.returncode != code:
        raise Broke(f"a command ended with {process.returncode} instead of {code}: {said}")


def checked(
    run: Run, code: int, says: str, *, environment: Mapping[str, str] = NO_ENVIRONMENT
) -> None:
    """`stream check` says it in one line. Raises: Broke."""
    done = run.command(
        "check", "-c", "stream.toml", is_checked=False, environment={**NAMED, **environment}
    )
    lines = f"{done.stdout}{done.stderr}".splitlines()
    found = [line for line in lines if says in line]
    if done.returncode != code or len(found) != 1:
        odd = [line for line in lines if not line.startswith("ok")]
        raise Broke(
            f"check ended with {done.returncode} instead of {code}, and says "
            f"{says!r} {len(found)} times: {odd}"
        )


def says(run: Run, what: str, *, within_s: float = SAYS_S) -> str:
    """Wait until the last worker says something. Returns: its line."""
    worker = run.workers[-1]
    run.until(lambda: what in worker.log, within_s=within_s, what=f"I13: it says {what!r}")
    return next(line for line in worker.log.splitlines() if what in line)


def stop(run: Run) -> None:
    """The last worker ends well, with a snapshot."""
    run.workers[-1].signal(signal.SIGTERM)
    run.workers[-1].ends_with(0, within_s=60, says="snapshot_saved")


def ends(run: Run, channel: str) -> dict[int, int]:
    """Where the partitions of a topic end; {}: there is none."""
    with closing(run.admin()) as admin:
        if f"{run.name}.{channel}" not in admin.list_topics():
            return {}
    tps = [TopicPartition(f"{run.name}.{channel}", p) for p in range(run.partitions_n)]
    found = settled.ends(run.bootstrap, tps, "read_uncommitted")
    return {tp.partition: end for tp, end in found.items()}


def delete(run: Run, channel: str) -> None:
    """A topic is deleted; returns when it is gone."""
    name = f"{run.name}.{channel}"
    with closing(run.admin()) as admin:
        admin.delete_topics([name])
        run.until(lambda: name not in admin.list_topics(), within_s=30, what=f"{name} is gone")


def delete_before(run: Run, channel: str, offsets: Mapping[int, int]) -> None:
    """Retention takes what lies before these offsets."""
    name = f"{run.name}.{channel}"
    with closing(run.admin()) as admin:
        admin.delete_records({TopicPartition(name, p): o for p, o in offsets.items()})


def done_once(run: Run, whats: Sequence[str], *, is_journal_whole: bool = True) -> None:
    """What the ledger says was done, and that nothing was done twice. Raises: Broke."""
    for partition in range(run.partitions_n):
        told = settled.told(run.verifier, partition)
        found = [each["what"] for each in told]
        if found != list(whats):
            raise Broke(f"I1: partition {partition}: the ledger tells of {found}, not of {whats}")
        twice = [n for n, times in Counter(each["n"] for each in told).items() if times > 1]
        if twice:
            raise Broke(f"I1: partition {partition}: steps {twice} are told twice")
        if is_journal_whole:
            _journal_tells(run, partition, [each for each in told if each["what"] != "refused"])


def _journal_tells(run: Run, partition: int, told: Collection[dict[str, object]]) -> None:
    """Raises: Broke: the journal does not have each of these steps, or has more."""
    records = settled.told(run.verifier, partition, "journal")
    if [each["j"] for each in records] != list(range(1, len(records) + 1)):
        raise Broke(f"partition {partition}: the journal's numbers: {records}")
    steps = [(step["n"], step["next_offset"]) for each in records for step in each["steps"]]
    if steps != [(each["n"], each["offset"]) for each in told]:
        raise Broke(f"partition {partition}: the journal has {steps}, the ledger {told}")


def steady(run: Run, *, for_s: float, gap_s: float) -> float:
    """Outcomes come all the while. Returns: the longest gap. Raises: Broke: a longer one."""
    began = time.monotonic()
    time.sleep(for_s)
    until = time.monotonic()
    times = [at for at, _ in run.verifier.arrivals if began <= at <= until]
    longest = max(b - a for a, b in zip([began, *times], [*times, until], strict=True))
    if longest > gap_s:
        raise Broke(f"I7: no outcome for {longest:.1f} s: {run.said()}")
    return longest
