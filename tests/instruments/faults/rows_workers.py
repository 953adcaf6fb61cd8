"""Rows about the worker's own process: killed, stopped, asked to end, slow, doubled, joined."""

import random
import signal
import time

from kafka import KafkaProducer

from tests.instruments.faults.hooks import POLL_VARIABLE, VARIABLE, Hook, variable
from tests.instruments.faults.run import Run
from tests.instruments.faults.stage import Stage
from tests.instruments.faults.table import Table, Told
from tests.instruments.faults.worker import RESTART_CODES, START_S, Broke, Worker

STATIC_S = 3.0
"""`recovery_time_s` of workers with a stable instance name."""

PARTITIONS_N = 2

TRAPS = "tests/broker/test_kafka_traps.py"
SENDS_OFFSETS = "kafka:KafkaProducer.send_offsets_to_transaction"
FLUSHES = "kafka:KafkaProducer.flush"
ENDS = "kafka:KafkaProducer.commit_transaction"


def workers(table: Table) -> None:
    """Add rows 1, 3 to 9, 18 and 19."""
    table.real(1, "kill -9 at random times, and inside a commit", "I1-I9")(killed)
    table.real(3, "SIGTERM: once, twice, while replaying", "I1 I8 I13")(terminated)
    table.real(4, "SIGSTOP longer than the session, another takes over, SIGCONT", "I1 I6 I10")(
        stopped
    )
    table.real(5, "one learning step longer than max.poll.interval", "I1 I6")(slow_step)
    table.real(6, "a second worker joins and leaves, again and again", "I1-I3")(joined_and_left)
    table.real(7, "a rebalance while a state is restored", "I1 I2")(rebalance_in_restore)
    table.real(8, "another process takes the transactional id", "I1 I13")(same_id)
    table.real(9, "two workers with one instance name", "I1 I13")(twins)
    table.real(18, "a transaction longer than its timeout", "I1 I8")(long_transaction)
    table.real(
        19, "a lost member's commit fails; the next transaction has fewer partitions", "I6",
        tests=(
            f"{TRAPS}::test_offsets_of_a_failed_transaction_are_not_committed_by_the_next",
            "tests/contract/test_group.py::test_a_lost_members_commit_is_refused",
        ),
    )(lost_member)  # fmt: skip


def killed(stage: Stage) -> Told:
    """Without a stable name: the dead member's session and its transaction must run out."""
    chance = random.Random(1)
    at_broker = stage.shipped.bootstrap_servers
    with Run(stage, recovery_time_s=10.0, bootstrap=at_broker) as run:
        run.start()
        run.flowing()
        # First the worst moment: everything is in the transaction but its end.
        heirs: list[Worker] = []
        in_commit = Hook(call=SENDS_OFFSETS, when="after", nth=3)
        half_sent = Hook(call=FLUSHES, when="after", nth=3)
        for hook in (in_commit, half_sent, None, None):
            if hook is not None:
                worker = run.workers[-1]
                worker.signal(signal.SIGTERM)
                worker.ends(within_s=60)
                worker = run.start(environment={VARIABLE: variable(hook)})
                worker.ends(within_s=80)
            else:
                time.sleep(chance.uniform(0.2, 1.0))
                run.workers[-1].kill()
            at = time.monotonic()
            heirs.append(run.start())
            run.recovered(at)
        started = [worker.start_s for worker in heirs]
        allowed = [run.recovery_time_s + max(0.0, s - START_S) for s in started]
        late = [f"{s:.1f} s" for s, most in zip(run.recoveries, allowed, strict=True) if s > most]
        run.finish()
        if late:
            raise Broke(f"I9: recovery_time_s is {run.recovery_time_s:g}, but it took {late}")
        return Told(
            f"4 kills of a worker without an instance name, two inside a commit; the new "
            f"process took up to {max(started):.1f} s to start",
            run.recoveries,
        )


def terminated(stage: Stage) -> Told:
    """Exit 0 within the grace; the last commit and a snapshot are made."""
    with Run(stage, recovery_time_s=STATIC_S) as run:
        first = run.start(instance="w-0")
        run.flowing()
        first.signal(signal.SIGTERM)
        first.ends_with(0, within_s=60, says="snapshot_saved")
        stage.ask_redis("FLUSHALL")
        second = run.start(instance="w-0")
        run.until(lambda: second.has_started, within_s=60, what="a start")
        second.signal(signal.SIGTERM)
        second.ends_with(0, within_s=60)
        third = run.start(instance="w-0")
        run.flowing()
        third.signal(signal.SIGTERM)
        third.signal(signal.SIGTERM)
        code = third.ends(within_s=60)
        if code not in (0, 128 + signal.SIGTERM, -signal.SIGTERM):
            raise Broke(f"after two signals it ends with {code}")
        at = time.monotonic()
        run.start(instance="w-0")
        run.recovered(at)
        run.finish()
        return Told("once: 0 with a snapshot; in a restore: 0; twice: at once", run.recoveries)


def stopped(stage: Stage) -> Told:
    """The zombie wakes up inside its commit, and must not publish anything."""
    inside = Hook(call=SENDS_OFFSETS, do="stop", nth=20)
    with Run(stage) as run:
        zombie = run.start(environment={VARIABLE: variable(inside)})
        run.until(lambda: zombie.is_stopped, within_s=80, what="the worker stops itself")
        at = time.monotonic()
        run.start()
        run.recovered(at, partition=0)
        run.recovered(at, partition=1)
        time.sleep(1.0)
        zombie.signal(signal.SIGCONT)
        run.until(lambda: _noticed(zombie), within_s=60, what="the zombie notices")
        at = time.monotonic()
        for partition in (0, 1):
            run.flowing(after=at, partition=partition)
        run.finish()
        return Told(f"stopped before the offsets of a commit, another took both partitions; then "
                    f"{_ending(zombie)}", run.recoveries)  # fmt: skip


def _noticed(worker: Worker) -> bool:
    """Whether a worker that stood still said that its commit failed, or ended for it."""
    return "commit_lost" in worker.log or not worker.running


def _ending(worker: Worker) -> str:
    """What became of it. Raises: Broke: it ended in a way that nobody restarts."""
    if "commit_lost" in worker.log:
        return "its commit was lost"
    code = worker.ends(within_s=0)
    if code not in RESTART_CODES:
        raise Broke(f"exit {code}: {worker.log[-600:]}")
    return f"it ended with {code}"


def slow_step(stage: Stage) -> Told:
    """The client's limit is five minutes, so the workers' is set to 7 s for this."""
    interval = {POLL_VARIABLE: "7000"}  # librdkafka: not below the session
    step = Hook(
        call="tests.instruments.faults.models:Brittle.learn_one",
        do="sleep",
        seconds=14.0,
        nth=3_000,
    )
    with Run(stage, config='[model]\nfactory = "tests.instruments.faults.models:brittle"\n') as run:
        other = run.start(environment=interval)
        run.flowing()
        slow = run.start(environment={**interval, VARIABLE: variable(step)})
        run.until(lambda: "task_restored" in slow.log, within_s=80, what="its share")
        share = f"task_restored partition={int('task_restored partition=1' in slow.log)}"
        before_n = other.log.count(share)
        run.until(
            lambda: other.log.count(share) > before_n, within_s=120, what="the other one takes over"
        )
        at = time.monotonic()
        run.recovered(at, partition=0)
        run.recovered(at, partition=1)
        run.until(lambda: _noticed(slow), within_s=80, what="the slow one notices")
        ending = _ending(slow)
        run.flowing(partition=0)
        run.flowing(partition=1)
        run.finish()
        return Told(f"a step of 14 s with a limit of 7 s: the other took its partition, {ending}",
                    run.recoveries)  # fmt: skip


def joined_and_left(stage: Stage) -> Told:
    """In the middle of batches, four partitions."""
    chance = random.Random(6)
    with Run(stage, partitions_n=4) as run:
        run.start()
        run.flowing()
        for _ in range(4):
            other = run.start()
            run.until(lambda w=other: _owns(w), within_s=80, what="a share")  # type: ignore[misc]
            time.sleep(chance.uniform(0.0, 0.7))
            other.signal(signal.SIGTERM)
            other.ends_with(0, within_s=60)
            at = time.monotonic()
            for partition in range(4):
                run.recovered(at, partition=partition)
        run.finish()
        return Told("a second worker joined and left 4 times", run.recoveries)


def _owns(worker: Worker) -> bool:
    return "partitions_assigned" in worker.log


def rebalance_in_restore(stage: Stage) -> Told:
    """A model of 5 ms a step needs 10 s to replay; a second worker joins half way."""
    slow = (
        '[model]\nfactory = "tests.instruments.faults.models:brittle"\nparams = { step_ms = 4.0 }\n'
    )
    with Run(stage, config=slow, rate=0.0, recovery_time_s=60.0, commit_interval_ms=500) as run:
        run.feeder.burst(1_500)
        first = run.start(instance="w-0")
        run.until(lambda: run.verifier.outcomes_n() > 2_000, within_s=120, what="2,000 outcomes")
        first.kill()
        stage.ask_redis("FLUSHALL")
        at = time.monotonic()
        run.start(instance="w-0")
        run.until(lambda: "partitions_assigned" in run.workers[-1].log, within_s=80, what="a share")
        time.sleep(1.0)
        other = run.start(instance="w-1")
        run.until(lambda: _owns(other), within_s=120, what="a share of the second one")
        replayed_n = run.workers[1].log.count("task_restored")
        if replayed_n == PARTITIONS_N:
            raise Broke("the replay was over before the second worker joined")
        run.feeder.burst(100)
        run.recovered(at)
        run.finish(within_s=90)
        return Told("a second worker joined in the middle of a replay", run.recoveries)


def same_id(stage: Stage) -> Told:
    """A foreign producer fences ours: one of the two ends, there is no ping-pong."""
    with Run(stage, recovery_time_s=STATIC_S) as run:
        worker = run.start(instance="w-0")
        run.flowing()
        thief = KafkaProducer(bootstrap_servers=run.bootstrap, transactional_id=f"{run.name}-w-0")
        thief.init_transactions()
        at = time.monotonic()
        worker.ends_with(75, within_s=60, says="took over")
        thief.close(timeout=2)
        run.start(instance="w-0")
        run.recovered(at)
        run.finish()
        return Told("the worker ends with 75 and says why; the next one goes on", run.recoveries)


def twins(stage: Stage) -> Told:
    """The older one ends with 75, the younger goes on."""
    with Run(stage, recovery_time_s=STATIC_S) as run:
        older = run.start(instance="w-0")
        run.flowing()
        at = time.monotonic()
        younger = run.start(instance="w-0")
        older.ends_with(75, within_s=90, says="w-0")
        run.recovered(at)
        if not younger.running:
            raise Broke(f"the younger twin ended too: {younger.log}")
        run.finish()
        return Told("the older ends with 75, the younger goes on", run.recoveries)


def long_transaction(stage: Stage) -> Told:
    """5 s between the last send and the end of a transaction that may take 3 s."""
    late = Hook(call=ENDS, do="sleep", seconds=5.0, nth=4)
    with Run(stage) as run:
        first = run.start(environment={VARIABLE: variable(late)})
        run.flowing()
        run.until(lambda: "commit_lost" in first.log, within_s=80, what="commit_lost")
        at = time.monotonic()
        run.recovered(at)
        run.finish()
        return Told("the broker aborted it; the worker made a new producer", run.recoveries)


def lost_member(stage: Stage) -> Told:
    """A worker stands still past its session in the middle of a commit of both partitions."""
    stop = Hook(call=SENDS_OFFSETS, do="sleep", seconds=9.0, nth=4)
    with Run(stage) as run:
        frozen = run.start(environment={VARIABLE: variable(stop)})
        run.flowing()
        at = time.monotonic()
        run.start()
        run.recovered(at, partition=0)
        run.recovered(at, partition=1)
        run.until(lambda: _noticed(frozen), within_s=60, what="the frozen worker notices")
        ending = _ending(frozen)
        at = time.monotonic()
        for partition in (0, 1):
            run.flowing(after=at, partition=partition)
        run.finish()
        return Told(f"two workers, a commit of both partitions held over a rebalance: {ending}",
                    run.recoveries)  # fmt: skip
