"""Random schedules: first safety (faults on), then liveness (faults off, lag must reach 0).

One seed decides everything: the events, who has a turn, which faults there are, how often, where.
"""

from collections.abc import Callable
from random import Random

from stream.adapters.memory.broker import no_faults
from stream.core.event import Channel
from stream.errors import CommitLost, Fenced, Misconfigured, Retryable, StreamError
from tests.simulation.auditor import Auditor
from tests.simulation.clock import ManualClock
from tests.simulation.faults import STORE, Crash, Rates, spoil
from tests.simulation.violation import Violation, require
from tests.simulation.workload import Workload
from tests.simulation.world import (
    NAMES,
    PIPELINE,
    Options,
    Parts,
    Process,
    World,
    rejected,
)

COMMAND = "python -m tests.simulation --seed {seed} --trace"
WORKERS_MAX = 3
CALM_ROUNDS_MAX = 300
"""Rounds after the last fault in which all lag must be gone."""


class Failed(AssertionError):  # it names what happened
    """A seed showed something wrong; says how to see it again."""


class Simulation:
    """One seed's run.

    Args:
        note: told every life-cycle move.
    """

    def __init__(
        self, seed: int, *, parts: Parts | None = None, note: Callable[[str], None] | None = None
    ) -> None:
        rng = self._rng = Random(seed)
        self._note = note or (lambda line: None)  # noqa: ARG005  # nobody listens
        self._rates = Rates.drawn(rng)
        self._has_instances = rng.random() < 0.4
        self._options = Options(
            are_jobs_late=rng.random() < 0.5,
            commit_interval_s=rng.choice((0.0, 0.01, 0.05)),
            fold_s_max=rng.choice((0.003, 0.01, 0.1)),
            replay_budget_s=rng.choice((0.001, 0.01, 0.1)),
            keep=rng.choice((1, 2, 3)),
        )
        self.clock = ManualClock(rng=rng)
        self.world = World(
            self.clock,
            partitions_n=rng.choice((1, 2, 2, 3, 4)),
            parts=parts or Parts(),
            jitter=rng.random,
            note=self._note,
        )
        self.workload = Workload(
            self.world.broker,
            topic=NAMES[Channel.EVENTS],
            rng=rng,
            partitions_n=len(self.world.broker.topic(NAMES[Channel.EVENTS]).partitions),
            records_n=rng.choice((20, 60, 150)),
        )
        self.auditor = Auditor(self.world.broker, self.workload, names=NAMES, group=PIPELINE)
        self._alive: list[Process] = []
        self._dead: list[Process] = []
        self._paused: list[Process] = []
        self._rejected: list[dict[str, object]] = []

    def run(self) -> None:
        """Both phases. Raises: Violation, or whatever a worker should not have raised."""
        self._note(f"{self._rates} {self._options} instances={self._has_instances}")
        self.world.faults = self._fault
        while self.workload.left_n or self._rng.random() < 0.97:  # and a while longer
            self._act()
        self.world.faults = no_faults
        self._note("calm")
        self._recover()
        if not self._rates.spoil:
            require(not self._rejected, f"rejected, though nobody spoiled them: {self._rejected}")

    # Liveness

    def _recover(self) -> None:
        world = self.world
        self.workload.finish()
        for process in self._dead:
            world.bury(process)
        # Whatever is open now was left behind by a failed commit: its time-out passes.
        world.broker.time_out()
        if not self._alive:
            self._start()
        for _ in range(CALM_ROUNDS_MAX):
            for process in tuple(self._alive):
                self._turn(process)
                world.run_job(process)
            if not self.auditor.lag():
                break
        lag = self.auditor.lag()
        require(not lag, f"after {CALM_ROUNDS_MAX} calm rounds this lag is left: {lag}")
        for process in tuple(self._alive):
            self._stop(process)
        opened = world.broker.open_transactions()
        require(not opened, f"transactions are left open: {opened}")
        self.auditor.check()

    # Safety

    def _act(self) -> None:
        """One thing happens somewhere, and then perhaps a misfortune."""
        rng = self._rng
        ready = self._ready()
        if not self._alive or (len(self._alive) < WORKERS_MAX and rng.random() < 0.03):
            self._start()
        elif ready and rng.random() < 0.75:
            self._turn(rng.choice(ready))
        elif self.workload.left_n and rng.random() < 0.7:
            self.workload.feed()
        elif ready:
            self._job(rng.choice(ready))
        if self._dead and rng.random() < 0.1:
            self.world.bury(self._dead.pop(rng.randrange(len(self._dead))))
        self._befall(self._ready())

    def _befall(self, ready: list[Process]) -> None:
        """Something happens to a process between two turns, to the store, or to the wall clock."""
        rng, rates = self._rng, self._rates
        if ready and rng.random() < rates.kill:
            self._die(rng.choice(ready), "killed")
        elif ready and rng.random() < rates.drain:
            self._stop(rng.choice(ready))
        elif ready and rng.random() < rates.expire:
            self._silence(rng.choice(ready))
        if rng.random() < rates.spoil:
            self._note(f"store: {spoil(self.world.broker.snapshots, rng)}")
        if rng.random() < rates.jump:
            self.clock.jump(rng.choice((-3600, 3600)))

    def _ready(self) -> list[Process]:
        return [process for process in self._alive if process not in self._paused]

    def _start(self) -> None:
        instance = None
        if self._has_instances:
            taken = {p.instance for p in self._alive}
            # Now and then the name of one that lives: two of one name, of which one must give up.
            free = [f"i{n}" for n in range(WORKERS_MAX) if f"i{n}" not in taken]
            instance = self._rng.choice(free) if free and self._rng.random() < 0.8 else "i0"
        process = self.world.start(self._options, instance=instance)
        self._note(f"{process.name}: starts as {instance}")
        self._alive.append(process)

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
        except StreamError as error:
            raise Violation(f"{process.name} ended: {type(error).__name__}: {error}") from error
        self.auditor.check()

    def _die(self, process: Process, why: str) -> None:
        self._note(f"{process.name}: dies: {why}")
        self._leave(process)
        self._dead.append(process)

    def _leave(self, process: Process) -> None:
        self._rejected += rejected(process)
        self._alive.remove(process)

    def _silence(self, process: Process) -> None:
        """Its heartbeats got lost for a session: it lives, and does not know."""
        self._note(f"{process.name}: session expires")
        if process.log.member is not None:
            self.world.broker.expire(PIPELINE, process.log.member)
        if self._rng.random() < 0.5:
            self.world.broker.time_out(process.log.transactional_id)

    # Faults at the steps of port calls

    def _fault(self, step: str) -> None:
        """At most one of: the process dies here, the call fails here, everything stops here."""
        rates, process, name = self._rates, self.world.acting, step.partition(":")[0]
        if process is None:
            return
        away = rates.store_away if name in STORE else rates.retryable
        # One commit sends many records; a fault in most commits would hide all later steps.
        roll = self._rng.random() / (0.2 if name == "send" else 1.0)
        if roll < rates.crash:
            raise Crash.at(step)
        if roll < rates.crash + away:
            self._note(f"{process.name}: fails at {step}")
            raise self._failure(name)(f"injected at {step}")
        if roll < rates.crash + away + rates.pause and not self._paused:
            self._pause(process, step)

    def _failure(self, name: str) -> type[StreamError]:
        kinds: tuple[type[StreamError], ...] = (Retryable,)
        if name in STORE:
            kinds = Retryable, Misconfigured  # away; full, or not permitted
        elif name == "committed":
            kinds = Retryable, Retryable, CommitLost
        return self._rng.choice(kinds)

    def _pause(self, process: Process, step: str) -> None:
        """SIGSTOP in the middle of a call: the others go on for a while, then SIGCONT."""
        self._note(f"{process.name}: paused at {step}")
        self._paused.append(process)
        watching = process.deadlines.is_on
        if self._rng.random() < 0.8:
            self._silence(process)
        for _ in range(self._rng.choice((1, 5, 20))):
            self._act()
        process.deadlines.is_on = watching
        self._paused.remove(process)
        self._note(f"{process.name}: goes on")


def simulate(
    seed: int, *, parts: Parts | None = None, note: Callable[[str], None] | None = None
) -> Simulation:
    """Run one seed. Raises: Failed: with the command that shows it again."""
    simulation = Simulation(seed, parts=parts, note=note)
    try:
        simulation.run()
    except Exception as error:
        raise Failed(
            f"seed {seed}: {type(error).__name__}: {error}\n"
            f"to see it again: {COMMAND.format(seed=seed)}"
        ) from error
    return simulation
