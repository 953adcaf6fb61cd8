"""Random schedules: first safety (faults on), then liveness (faults off, lag must reach 0).

One seed decides everything: the events, who has a turn, which faults there are, how often, where.
In some, at the end of the first phase, befalls the log what no worker can mend (`troubles.py`).
"""

from collections.abc import Callable
from dataclasses import replace
from random import Random

from stream.adapters.memory.broker import no_faults
from stream.core.event import Channel
from stream.errors import Fenced, LogLost, Misconfigured
from stream.runtime.breaker import NEVER, Limit
from tests.simulation.auditor import Auditor
from tests.simulation.breaker_audit import BreakerAudit
from tests.simulation.cache_audit import litter, usable
from tests.simulation.clock import ManualClock
from tests.simulation.faults import Crash, Rates, failure
from tests.simulation.spoiling import spoil
from tests.simulation.troubles import Misfortune, Outlook, Trouble
from tests.simulation.violation import Violation, require
from tests.simulation.workload import Workload
from tests.simulation.world import (
    KEY,
    NAMES,
    PIPELINE,
    RECIPE,
    Options,
    Parts,
    Process,
    World,
    rejected,
)

LIMIT = Limit(window=10, share=0.5)
WORKERS_MAX = 3
PARTITIONS_MAX = 5

CALM_ROUNDS_MAX = 300
"""Rounds after the last fault in which all lag must be gone."""

REFUSAL_ROUNDS_MAX = 100

_HOUR_S = 3600.0

Note = Callable[[str], None]


class Simulation:
    """One seed's run.

    Args:
        steps: the first phase ends after so many actions; None = when the events are sent.
        records_n: how many events; None = the seed decides.
        note: told every life-cycle move.

    Attributes:
        steps_n: actions so far.
    """

    def __init__(
        self,
        seed: int,
        *,
        parts: Parts | None = None,
        steps: int | None = None,
        records_n: int | None = None,
        note: Note | None = None,
    ) -> None:
        rng = self._rng = Random(seed)
        self._note = note or (lambda line: None)  # noqa: ARG005  # nobody listens
        self._steps = steps
        self.steps_n = 0
        self._patience = 0.97
        self._rates = Rates.drawn(rng)
        self._chances = self._rates.by_step()
        trouble = rng.choice(tuple(Trouble)) if rng.random() < 0.3 else None
        # Without the log's start no refusal has a way on that leads to the same outcomes.
        self._trouble = None if self._rates.retain else trouble
        self._has_instances = rng.random() < 0.4
        self._options = Options(
            are_jobs_late=rng.random() < 0.5,
            commit_interval_s=rng.choice((0.0, 0.01, 0.05)),
            fold_s_max=rng.choice((0.003, 0.01, 0.1)),
            replay_budget_s=rng.choice((0.001, 0.01, 0.03, 0.1)),
            keep=rng.choice((1, 2, 3)),
            retention_s=rng.choice((None, None, 600.0)),
            limit=rng.choice((NEVER, NEVER, LIMIT)),
        )
        self.clock = ManualClock(rng=rng)
        self.world = World(
            self.clock,
            partitions_n=rng.choice((1, 2, 2, 3, 4)),
            parts=parts or Parts(),
            jitter=rng.random,
            note=note,
        )
        drawn_n = rng.choice((20, 60, 150))
        self.workload = Workload(
            self.world.broker,
            topic=NAMES[Channel.EVENTS],
            rng=rng,
            partitions_n=len(self.world.broker.topic(NAMES[Channel.EVENTS]).partitions),
            records_n=records_n or drawn_n,
        )
        self.auditor = Auditor(
            self.world.broker, self.world.cache, self.workload, names=NAMES, group=PIPELINE
        )
        self.world.watcher = self.auditor.check
        if self._options.limit is LIMIT:
            self.workload.flood = rng.choice((0.1, 0.3))
            self.auditor.breaker = BreakerAudit(LIMIT, lambda: self.world.acting)
        self._misfortune = Misfortune(self.world, self.workload, self.auditor, rng)
        self._alive: list[Process] = []
        self._dead: list[Process] = []
        self._paused: list[Process] = []
        self._rejected: list[dict[str, object]] = []

    def run(self) -> None:
        """Both phases. Raises: Violation, or whatever a worker should not have raised."""
        self._note(f"{self._rates} {self._options} {self._trouble} {self._has_instances=}")
        self.world.faults = self._fault
        while self._goes_on() and (self.workload.left_n or self._rng.random() < self._patience):
            self._act()
        if not self._goes_on():
            self.workload.left_n = 0
        self.world.faults = no_faults
        self._note("calm")
        if self._trouble is None or self._outlive(self._trouble):
            self._recover()
        if not self._rates.spoil and self._trouble is None:
            require(not self._rejected, f"rejected, though nobody spoiled them: {self._rejected}")

    def _goes_on(self) -> bool:
        return self._steps is None or self.steps_n < self._steps

    # Trouble

    def _outlive(self, trouble: Trouble) -> bool:
        """What no worker can mend befalls the log. Returns: whether there is a way on."""
        for process in tuple(self._alive):
            if self._rng.random() < 0.5:
                self._stop(process)
            else:
                self._die(process, "killed")
        self.workload.settle()
        self._bury_all()
        self.auditor.check()
        outlook = self._misfortune.strike(trouble)
        if self.auditor.breaker is not None:
            self.auditor.breaker.expect_other_records()
        self._note(f"trouble: {trouble}; whoever starts must {outlook}")
        why = self._refusal()
        if why is None:
            require(outlook is not Outlook.REFUSED, f"{trouble}, and nobody says a word")
            return True
        require(outlook is not Outlook.AS_EVER, f"{trouble}, which it could outlive: {why}")
        self.auditor.check()
        if trouble is Trouble.OFFSETS_LOST:
            self._options = replace(self._options, on_change="rebuild")
            while why is not None and self._misfortune.mend_offset(why):
                why = self._refusal()
            require(why is None, f"{trouble}, and what it says does not help: {why}")
            return True
        if trouble is Trouble.RETENTION:
            recipe = replace(RECIPE, hash_seed=1)
            self._options = replace(self._options, on_change="fresh", recipe=recipe)
            self.auditor.is_cache_spoiled = True  # there are snapshots of two folds now
            self.auditor.begin_again()
            return True
        return False

    def _refusal(self) -> str | None:
        """Start a worker and let it come to life. Returns: why it refused to, if it did."""
        process = self._start()
        try:
            for _ in range(REFUSAL_ROUNDS_MAX):
                self.world.turn(process)
                self.world.run_job(process)
                if not self._has_work(process) and not self.auditor.lag():
                    break
        except LogLost as error:
            self._die(process, f"refuses: {error}")
            self._bury_all()
            return str(error)
        return None

    # Liveness

    def _recover(self) -> None:
        world = self.world
        self.workload.finish()
        self._bury_all()
        self._work_off()
        if self.auditor.paused():
            self._mend_paused()
        lag = self.auditor.lag()
        require(not lag, f"after {CALM_ROUNDS_MAX} calm rounds this lag is left: {lag}")
        for process in tuple(self._alive):
            self._check_memory(process)
            self._stop(process)
        opened = world.broker.open_transactions()
        require(not opened, f"transactions are left open: {opened}")
        self.auditor.check()
        if not self.auditor.is_cache_spoiled:
            self.clock.sleep(_HOUR_S)
            left = litter(world.cache)
            require(not left, f"left in Redis for ever: {left}")

    def _work_off(self) -> None:
        """Rounds until nothing is left but what is paused."""
        for _ in range(CALM_ROUNDS_MAX):
            if not self._alive:
                self._start()
            for process in tuple(self._alive):
                self._turn(process)
                self.world.run_job(process)
            is_busy = any(map(self._has_work, self._alive))
            if not is_busy and not self.auditor.lag().keys() - self.auditor.paused().keys():
                break

    def _mend_paused(self) -> None:
        """What an operator does: start again, and if that is no help, with the breaker off."""
        paused = self.auditor.paused()
        self._restart()
        self._work_off()
        self.auditor.check_tried(paused)
        self._options = replace(self._options, limit=NEVER)
        self.auditor.breaker = None
        self._restart()
        self._work_off()

    def _restart(self) -> None:
        for process in tuple(self._alive):
            self._stop(process)
        self._bury_all()

    def _bury_all(self) -> None:
        for process in self._dead:
            self.world.bury(process)
        self._dead.clear()
        # Whatever is open now was left behind by a failed commit: its time-out passes.
        self.world.broker.time_out()

    @staticmethod
    def _check_memory(process: Process) -> None:
        """With nothing left to do a worker keeps its tasks, and no outputs or second states."""
        worker = process.worker
        kept = (
            len(worker._outputs),
            len(worker._dirty),
            worker._live.keys() & worker._settling._held,
        )
        require(not any(kept), f"{process.name} has nothing to do and keeps {kept}")

    # Safety

    def _act(self) -> None:
        """One thing happens somewhere, and then perhaps a misfortune."""
        self.steps_n += 1
        rng = self._rng
        ready = self._ready()
        # A turn of somebody who has nothing to do shows little: there are few of them.
        busy = ready if rng.random() < 0.15 else list(filter(self._has_work, ready))
        self._patience = 0.97 if busy else 0.8
        if not self._alive or (len(self._alive) < WORKERS_MAX and rng.random() < 0.03):
            self._start()
        elif busy and rng.random() < 0.75:
            self._turn(rng.choice(busy))
        elif self.workload.left_n and rng.random() < 0.7:
            self.workload.feed()
        elif ready:
            self._job(rng.choice(ready))
        if self._dead and rng.random() < 0.1:
            self.world.bury(self._dead.pop(rng.randrange(len(self._dead))))
        self._befall(self._ready())

    def _has_work(self, process: Process) -> bool:
        worker, log = process.worker, process.log
        if log.member is None or worker._dirty or worker._settling or worker._breaker.is_undecided:
            return True
        partitions = self.world.broker.topics[NAMES[Channel.EVENTS]].partitions
        return any(at < partitions[n].stable_end for n, at in log._positions.items())

    def _befall(self, ready: list[Process]) -> None:
        """Something happens to a process between two turns, to the store, or to the wall clock."""
        rng, rates = self._rng, self._rates
        chance = rates.spoil
        if ready and rng.random() < rates.kill:
            self._die(rng.choice(ready), "killed")
            chance *= 3  # somebody will read what is stored
        elif ready and rng.random() < rates.drain:
            self._stop(rng.choice(ready))
        elif ready and rng.random() < rates.expire:
            self._silence(rng.choice(ready))
        if rng.random() < chance:
            self.auditor.is_cache_spoiled = True
            self._note(f"store: {spoil(self.world.cache, rng, key=KEY)}")
        if rng.random() < rates.jump:
            self.clock.jump(rng.choice((-3600, 3600)))
        if rng.random() < rates.retain:
            self._retain(rng.randrange(len(self.workload.facts)))
        if len(self.workload.facts) < PARTITIONS_MAX and rng.random() < rates.grow:
            self._note("one more partition")
            self.world.grow()
            self.workload.grow()
            self.auditor.grow()

    def _retain(self, partition: int) -> None:
        """Retention deletes events up to a snapshot, which from then on is all there is."""
        found = usable(self.world.cache, partition)
        if found:
            log = self.world.broker.partition(NAMES[Channel.EVENTS], partition)
            log.truncate(found[-1])
            self._note(f"partition {partition} begins at {log.start}")

    def _ready(self) -> list[Process]:
        if not self._paused:
            return self._alive
        return [process for process in self._alive if process not in self._paused]

    def _start(self) -> Process:
        instance = None
        if self._has_instances:
            taken = {p.instance for p in self._alive}
            # Now and then the name of one that lives: two of one name, of which one must give up.
            free = [f"i{n}" for n in range(WORKERS_MAX) if f"i{n}" not in taken]
            instance = self._rng.choice(free) if free and self._rng.random() < 0.8 else "i0"
        process = self.world.start(self._options, instance=instance)
        self._note(f"{process.name}: starts as {instance}")
        self._alive.append(process)
        return process

    def _turn(self, process: Process) -> None:
        self._guarded(process, self.world.turn)

    def _job(self, process: Process) -> None:
        self._guarded(process, self.world.run_job)

    def _stop(self, process: Process) -> None:
        self._note(f"{process.name}: SIGTERM")
        self._guarded(process, self.world.stop)
        if process in self._alive:
            self._leave(process)
            self._dead.append(process)  # a static member's session outlives it

    def _guarded(self, process: Process, act: Callable[[Process], None]) -> None:
        """Let a process do something; what it raises may end it, but only as it should."""
        try:
            act(process)
        except Crash as crash:
            self._die(process, str(crash))
        except Fenced as error:
            require(process.instance is not None, f"{process.name} was fenced: {error}")
            self._die(process, f"fenced: {error}")
        except LogLost as error:
            # While it read, retention overtook it; there is a younger snapshot to begin from.
            require(self._rates.retain > 0, f"{process.name} ended: {error}")
            self._die(process, f"overtaken: {error}")
        except Misconfigured as error:
            # Only a snapshot could help, and Redis does not let us in.
            is_redis = self._rates.retain > 0 and "redis.url" in str(error)
            require(is_redis, f"{process.name} ended: {error}")
            self._die(process, f"refuses: {error}")
        except (AttributeError, NameError, TypeError, Violation):
            raise  # of the simulation's own
        except Exception as error:
            raise Violation(f"{process.name} ended: {type(error).__name__}: {error}") from error
        self.auditor.check()

    def _die(self, process: Process, how: str) -> None:
        if process in self._alive:
            self._note(f"{process.name}: {how}")
            self._leave(process)
            self._dead.append(process)

    def _leave(self, process: Process) -> None:
        self._alive.remove(process)
        self._rejected += rejected(process)

    def _silence(self, process: Process) -> None:
        """Its heartbeats got lost for a session: it lives, and does not know."""
        self._note(f"{process.name}: session expires")
        if process.log.member is not None:
            self.world.broker.expire(PIPELINE, process.log.member)
        if self._rng.random() < 0.5:
            self.world.broker.time_out(process.log.transactional_id)

    # Faults at the steps of port calls

    def _fault(self, step: str) -> None:
        """At most one of: the process dies here, the call fails here, hangs, everything stops."""
        rates, process = self._rates, self.world.acting
        if process is None:
            return
        share, away = self._chances[step]
        roll = self._rng.random() / share
        if roll < rates.crash:
            raise Crash.at(step)
        roll -= rates.crash
        if roll < away:
            self._note(f"{process.name}: fails at {step}")
            raise failure(step, self._rng)
        roll -= away
        if roll < rates.slow:
            self._dawdle(process, step)
        elif roll - rates.slow < rates.pause and not self._paused:
            self._pause(process, step)

    def _dawdle(self, process: Process, step: str) -> None:
        """The other side takes its time; past the deadline somebody ends the process."""
        seconds = self._rng.choice((0.5, 5.0, 60.0))
        self._note(f"{process.name}: waits {seconds} s at {step}")
        self.clock.sleep(seconds)
        if seconds > 5.0 and self._rng.random() < 0.5:
            self._silence(process)
        if process.deadlines.is_over:
            raise Crash(f"ended by its watchdog at {step}")

    def _pause(self, process: Process, step: str) -> None:
        """SIGSTOP in the middle of a call: the others go on for a while, then SIGCONT."""
        self._note(f"{process.name}: paused at {step}")
        self._paused.append(process)
        if self._rng.random() < 0.8:
            self._silence(process)
        for _ in range(self._rng.choice((1, 5, 20))):
            if self._goes_on():
                self._act()
        self._paused.remove(process)
        self._note(f"{process.name}: goes on")
        if process.deadlines.is_over:
            raise Crash(f"ended by its watchdog at {step}")
