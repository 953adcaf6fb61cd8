"""A row about three brokers of which one is slow: the marker of the journal's partition comes late.

Each partition's leader writes the end of a transaction into it by itself. The group's has written
it, so the offset is committed; the journal's has not, so its record cannot be seen yet.
"""

import shutil
import signal
import time
from contextlib import ExitStack
from uuid import uuid4

from tests.instruments.faults import commanding
from tests.instruments.faults.cluster import NODES, Cluster
from tests.instruments.faults.commanding import done_once
from tests.instruments.faults.proxy import WRITE_MARKERS, Rule
from tests.instruments.faults.run import Run
from tests.instruments.faults.stage import Stage
from tests.instruments.faults.table import Table, Told
from tests.instruments.faults.verifier import MARKERS_S
from tests.instruments.faults.worker import Broke, Worker

LATE_BY_S = 3.0
BURST_N = 20
WITHIN_S = 170.0
OFFSETS = "__consumer_offsets"
OFFSETS_PARTITIONS_N = 4
UNSEEN = "cannot be seen yet"


def markers(table: Table) -> None:
    """Add row 50."""
    table.real(50, "of three brokers the journal's leader gets its markers 3 s late, and the owner "
               "changes meanwhile", "I1 I2 I7; no false 65")(late_markers)  # fmt: skip


def late_markers(stage: Stage) -> Told:
    """The next owner knows of a record that it cannot see, and waits for it."""
    stage.end_cluster()
    with ExitStack() as stack:
        cluster = Cluster(stage.folder / f"slow-{uuid4().hex[:6]}", with_proxies="brokers")
        stack.callback(shutil.rmtree, cluster.folder, ignore_errors=True)
        stack.callback(cluster.kill)
        cluster.start()
        run = stack.enter_context(
            Run(
                stage, bootstrap=cluster.bootstrap_servers, replicas=3, partitions_n=1, rate=0.0,
                patience_s=MARKERS_S, is_commanded=True,
            )
        )  # fmt: skip
        # No snapshot: it would have what the journal has.
        stage.ask_redis("CONFIG", "SET", "maxmemory", "1")
        stack.callback(stage.ask_redis, "CONFIG", "SET", "maxmemory", "0")
        slow = _placed(run, cluster)
        whats, waited_n = [], 0
        for _ in range(2):
            run.start()
        for number in range(stage.take_overs_n):
            whats.append(("freeze", "unfreeze")[number % 2])
            waited_n += _taken_over(run, cluster, slow, whats[-1], number)
        run.finish(within_s=120)
        done_once(run, whats)
        if 2 * waited_n < len(whats):
            raise Broke(f"only {waited_n} of {len(whats)} owners had to wait")
        return Told(f"{len(whats)} take-overs right behind a command, markers {LATE_BY_S:g} s "
                    f"late: {waited_n} owners had to wait for the journal's record, all went on; "
                    "no exit 65", run.recoveries)  # fmt: skip


def _placed(run: Run, cluster: Cluster) -> int:
    """Make the topics for commands, the journal on a node that does not lead the group.

    Returns: the node that leads it.
    """
    run.start()
    run.feeder.burst(BURST_N)
    run.flowing(after=0.0, within_s=120)
    run.workers[-1].kill()
    group = cluster.leader(OFFSETS, _java_hash(run.name) % OFFSETS_PARTITIONS_N)
    others = [node for node in NODES if node != group]
    run.nodes |= {"journal": (*others, group), "ledger": (group, *others)}
    run.make_topics(commanding.TOPICS)
    if cluster.leader(f"{run.name}.journal") != others[0]:
        raise Broke(f"the journal is not led by node {others[0]}")
    return others[0]


def _java_hash(text: str) -> int:
    """Which of the partitions of the groups' offsets is a group's: Kafka's own rule."""
    found = 0
    for letter in text:
        found = (31 * found + ord(letter)) & 0xFFFFFFFF
    return found & 0x7FFFFFFF


def _taken_over(run: Run, cluster: Cluster, slow: int, what: str, number: int) -> bool:
    """One command, and another owner at once. Returns: whether that one had to wait."""
    before_n = run.verifier.outcomes_n()
    run.feeder.burst(BURST_N)
    run.until(
        lambda: run.verifier.outcomes_n() >= before_n + BURST_N, within_s=120, what="all is done"
    )
    run.until(lambda: all(map(_is_member, _running(run))), within_s=60, what="a standby")
    owner = _owner(run)
    (standby,) = (worker for worker in _running(run) if worker is not owner)
    late = Rule(api=WRITE_MARKERS, do="delay", side="request", delay_s=LATE_BY_S, last=1)
    cluster.proxies[slow].rules = [late]
    commanding.raw(run, what, f"{number}", within_s=WITHIN_S)
    cluster.proxies[slow].met(late)
    at = time.monotonic()
    owner.signal(signal.SIGTERM)
    owner.ends_with(0, within_s=60)
    # Not before: a next transaction of the same owner would wait for these markers.
    run.feeder.burst(BURST_N)
    run.recovered(at, within_s=120)
    if not standby.running:
        raise Broke(f"the next owner ended with {standby.ends(within_s=1)}: {standby.log[-800:]}")
    run.start()
    return UNSEEN in standby.log


def _running(run: Run) -> list[Worker]:
    return [worker for worker in run.workers if worker.running]


def _is_member(worker: Worker) -> bool:
    """Whether it is in the group: it has the partition, or none."""
    return _owns(worker) or "no_partitions_yet" in worker.log


def _owner(run: Run) -> Worker:
    """The worker that has the partition."""
    run.until(lambda: sum(map(_owns, _running(run))) == 1, within_s=60, what="one owner")
    return next(filter(_owns, _running(run)))


def _owns(worker: Worker) -> bool:
    log = worker.log
    return log.rfind("partitions_assigned") > log.rfind("partitions_revoked")
