"""The first phase of a seed's run: who has a turn, and what befalls whom in the middle of it."""

import re
from collections.abc import Callable
from dataclasses import replace
from random import Random

from stream.core.event import Channel
from stream.core.recipe import Recipe
from stream.errors import Fenced, LogLost, Misconfigured
from stream.runtime.breaker import NEVER, Limit
from stream.runtime.life import Life
from tests.instruments.simulation.auditor import Auditor
from tests.instruments.simulation.breaker_audit import BreakerAudit
from tests.instruments.simulation.cache_audit import usable
from tests.instruments.simulation.clock import ManualClock
from tests.instruments.simulation.drawn import (
    drawn_changes,
    drawn_recipe,
    drawn_wildness,
    drawn_workload,
    rules_by_fingerprint,
)
from tests.instruments.simulation.faults import Crash, Rates, failure
from tests.instruments.simulation.model import is_of_bomb
from tests.instruments.simulation.plain_fold import Plan
from tests.instruments.simulation.senders import drawn_commander, drawn_labeller
from tests.instruments.simulation.spoiling import spoil
from tests.instruments.simulation.troubles import Misfortune, Trouble
from tests.instruments.simulation.violation import Violation, require
from tests.instruments.simulation.workload import LIMITS
from tests.instruments.simulation.world import (
    KEY,
    NAMES,
    PIPELINE,
    Options,
    Parts,
    Process,
    World,
    rejected,
)

_NOT_KEPT = re.compile(r"the state of .* cannot be kept \(fingerprint (\w+) -> ")

LIMIT = Limit(window=10, share=0.5)

WORKERS_MAX = 3
PARTITIONS_MAX = 5

Note = Callable[[str], None]


class Safety:
    """A world, its processes, and all faults that one seed draws.

    Args:
        steps: the phase ends after so many actions; None = when the events are sent.
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
            limit=rng.choice((NEVER, NEVER, NEVER, LIMIT)),
        )
        self._options, plan = drawn_recipe(seed, self._options)
        if plan.labels is not None and not plan.labels.has_topic:
            self._trouble = None  # an older offset repeats outcomes: a label has none of an event's
        self._operator = Random(f"settings {seed}")
        # None decides what is published: that is one fold. Not where retention leaves no more than
        # a snapshot, perhaps of other settings, nor beside another trouble.
        is_else = self._trouble or self._rates.retain or self._options.limit is LIMIT
        is_stored = not (self._rates.store_away or self._rates.spoil)
        recipe = self._options.recipe
        changes = drawn_changes(self._operator, recipe, is_stored=is_stored)
        self._changes = {} if is_else else changes
        self._has_changed = False
        self.clock = ManualClock(rng=rng)
        self.world = World(
            self.clock, partitions_n=rng.choice((1, 2, 2, 3, 4)), parts=parts or Parts(),
            jitter=rng.random, note=note,
        )  # fmt: skip
        self.workload = drawn_workload(self.world, rng, records_n)
        self.workload.wild = drawn_wildness(seed, plan)
        self._has_quiet_end = Random(f"quiet end {seed}").random() < 0.5
        every = (self._options.recipe, *self._changes.values())
        self._recipes = {each.fingerprint(): each for each in every}
        self.auditor = self._audited(plan)
        beside = self.world, self.workload, self._note
        is_commanded, has_labels = self._options.is_commanded, plan.labels is not None
        self._labeller = drawn_labeller(seed, self._options, *beside) if has_labels else None
        self._commander = drawn_commander(seed, plan, *beside) if is_commanded else None
        self._misfortune = Misfortune(self.world, self.workload, self.auditor, rng)
        self.world.watcher = self._misfortune.watch
        self._alive: list[Process] = []
        self._dead: list[Process] = []
        self._paused: list[Process] = []
        self._rejected: list[dict[str, object]] = []

    def _audited(self, plan: Plan) -> Auditor:
        """Who knows the right answer, under each of the settings that there will be."""
        world, recipes = self.world, self._recipes.values()
        auditor = Auditor(
            world.broker, world.cache, self.workload, names=NAMES, group=PIPELINE, plan=plan,
            commands=world.commands, labels=world.labels, told=lambda: world.told,
        )  # fmt: skip
        for each in recipes:
            auditor.labels.rules |= rules_by_fingerprint(each)
        ceiling = self._options.recipe.limits.state_bytes_max
        auditor.closing.has_ceiling = ceiling != LIMITS.state_bytes_max
        if self._options.limit is LIMIT:
            self.workload.flood = self._rng.choice((0.1, 0.3))
            auditor.breaker = BreakerAudit(LIMIT, lambda: world.acting)
        return auditor

    def _goes_on(self) -> bool:
        return self._steps is None or self.steps_n < self._steps

    def _act(self) -> None:
        """One thing happens somewhere, and then perhaps a misfortune."""
        self.steps_n += 1
        rng = self._rng
        if self.steps_n in self._changes:
            self._change(self._changes[self.steps_n])
        if self._commander is not None:
            self._commander.act(len(self.workload.facts))
        if self._labeller is not None:
            self._labeller.act()
        ready = self._ready()
        # A turn of somebody who has nothing to do shows little: there are few of them.
        busy = ready if rng.random() < 0.05 else list(filter(self._has_work, ready))
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

    def _change(self, recipe: Recipe) -> None:
        """Whoever starts from now on has other settings; a rolling deploy begins, or somebody did.

        What runs with the former ones may be fenced from now on.
        """
        if recipe.hash_seed != self._options.recipe.hash_seed:
            self._options = replace(self._options, on_change="rebuild")
        self._options = replace(self._options, recipe=recipe)
        self._has_changed = True
        self._note(f"settings changed: {recipe.fingerprint()}")
        ready = self._ready()
        if ready and self._operator.random() < 0.7:
            self._die(self._operator.choice(ready), "killed")

    def _has_work(self, process: Process) -> bool:
        worker, log = process.worker, process.log
        if log.member is None or worker._lives.dirty or worker._settling:
            return True
        if worker._lives.within({Life.UNDECIDED}) or self._has_commands(process):
            return True
        if self._has_labels(process):
            return True
        partitions = self.world.broker.topics[NAMES[Channel.EVENTS]].partitions
        return any(at < partitions[n].stable_end for n, at in log._positions.items())

    def _has_commands(self, process: Process) -> bool:
        """Whether it holds partitions for which commands wait, read or unread."""
        control = process.control
        return control is not None and any(
            watched.waiting or watched.position < self.world.commands.log(partition).stable_end
            for partition, watched in control._watched.items()
        )

    def _has_labels(self, process: Process) -> bool:
        """Whether it folds partitions for which labels wait, read or unread."""
        labels, folding = process.labels, process.worker._lives.tasks({Life.FOLDING})
        return labels is not None and any(
            partition in folding
            and (watched.waiting or (watched.at.offset or 0) < self._labels_end(partition))
            for partition, watched in labels._watched.items()
        )

    def _labels_end(self, partition: int) -> int:
        return self.world.labels.log(partition).stable_end

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
            is_told = "newer recipe" in str(error)
            may_be = self._has_changed if is_told else process.instance is not None
            require(may_be, f"{process.name} was fenced: {error}")
            self._die(process, f"fenced: {error}")
        except LogLost as error:
            # While it read, retention overtook it; there is a younger snapshot to begin from.
            require(self._rates.retain > 0, f"{process.name} ended: {error}")
            self._die(process, f"overtaken: {error}")
        except Misconfigured as error:
            # Only a snapshot could help, and Redis does not let us in.
            if self._set_back(str(error)):
                self._die(process, f"refuses: {error}")
                return
            is_redis = self._rates.retain > 0 and "redis.url" in str(error)
            require(is_redis, f"{process.name} ended: {error}")
            self._die(process, f"refuses: {error}")
        except (AttributeError, NameError, TypeError, Violation) as error:
            require(not is_of_bomb(error), f"{process.name} ended: {error}")
            raise  # of the simulation's own
        except Exception as error:
            raise Violation(f"{process.name} ended: {type(error).__name__}: {error}") from error
        self.auditor.check()

    def _set_back(self, why: str) -> bool:
        """Do what a refusal of other settings says, if it is one: nothing knows those of before."""
        found = _NOT_KEPT.search(why)
        before = self._recipes.get(found[1]) if found is not None else None
        if before is None:
            return False
        self._options = replace(self._options, recipe=before)
        return True

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
        process = self.world.acting
        if process is None:
            return
        if self._commander is not None:
            self._commander.expire()
        chances = self._chances[step]
        roll = self._rng.random()
        if roll >= chances.pause:
            return
        if roll < chances.crash:
            raise Crash.at(step)
        if roll < chances.away:
            self._note(f"{process.name}: fails at {step}")
            raise failure(step, self._rng)
        if roll < chances.slow:
            self._dawdle(process, step)
        elif not self._paused:
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
