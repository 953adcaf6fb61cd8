"""Random schedules: first safety (faults on), then liveness (faults off, lag must reach 0).

One seed decides everything: the events, who has a turn, which faults there are, how often, where.
In some, at the end of the first phase, befalls the log what no worker can mend (`troubles.py`).
"""

from dataclasses import replace

from stream.adapters.memory.broker import no_faults
from stream.errors import LogLost, Misconfigured
from stream.runtime.breaker import NEVER
from stream.runtime.folding import GAP_AFTER_S
from tests.instruments.simulation.cache_audit import litter
from tests.instruments.simulation.safety import Safety
from tests.instruments.simulation.troubles import Outlook, Trouble
from tests.instruments.simulation.violation import require
from tests.instruments.simulation.world import Process

CALM_ROUNDS_MAX = 300
"""Rounds after the last fault in which all lag must be gone."""

REFUSAL_ROUNDS_MAX = 100

_HOUR_S = 3600.0


class Simulation(Safety):
    """One seed's run; see `Safety` for what it is given."""

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
        if self._commander is not None:
            self._commander.expire(at_once=True)
        if self._trouble is None or self._outlive(self._trouble):
            self._recover()
        for partition, closed_n, left_out_n in self.auditor.closed():
            self._note(f"partition {partition} is closed to new names from {closed_n} on")
            if left_out_n is not None:
                self._note(f"partition {partition} leaves names out from {left_out_n} on")
        for told in sorted(self.auditor.alerts_told()):
            self._note(f"alerts: {told}")
        for told in sorted(self.auditor.labels_told()):
            self._note(f"labels: {told}")
        if not self._rates.spoil and self._trouble is None:
            require(not self._rejected, f"rejected, though nobody spoiled them: {self._rejected}")

    def forget(self) -> None:
        """Let go of all records: who looks for cycles afterwards has few objects to go through."""
        for topic in self.world.broker.topics.values():
            topic.partitions.clear()
        self.workload.facts.clear()
        self.auditor.forget()

    # Trouble

    def _outlive(self, trouble: Trouble) -> bool:
        """What no worker can mend befalls the log. Returns: whether there is a way on."""
        for process in tuple(self._alive):
            if self._rng.random() < 0.5:
                self._stop(process)
            else:
                self._die(process, "killed")
        self.workload.settle()
        self.world.labels.settle()
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
        if trouble in (Trouble.OFFSETS_LOST, Trouble.OFFSET_SET_BACK, Trouble.OFFSET_SET_AHEAD):
            self._options = replace(self._options, on_change="rebuild")
            if trouble is not Trouble.OFFSETS_LOST:
                why = self._refusal()
            while why is not None and self._misfortune.mend_offset(why):
                why = self._refusal()
            require(why is None, f"{trouble}, and what it says does not help: {why}")
            return True
        if trouble is Trouble.RETENTION:
            recipe = replace(self._options.recipe, hash_seed=1)
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
                if self._has_work(process):
                    continue
                if self._is_worked_off():
                    break
                self.clock.sleep(GAP_AFTER_S)
        except (LogLost, Misconfigured) as error:
            self._die(process, f"refuses: {error}")
            self._bury_all()
            return str(error)
        return None

    # Liveness

    def _recover(self) -> None:
        world = self.world
        self.workload.finish()
        if self._commander is not None:
            self._commander.end(len(self.workload.facts))
        if self._labeller is not None:
            self._labeller.end()
            if self._has_quiet_end:
                self._restart()
                self._options = replace(self._options, patience_s=1e6)
                self.auditor.labels.is_quiet = True
        self._bury_all()
        self.clock.tick_s /= 10  # nor is the machine busy: what is left comes in larger batches
        self._work_off()
        if self.auditor.paused():
            self._mend_paused()
        lag = self.auditor.lag()
        require(not lag, f"after {CALM_ROUNDS_MAX} calm rounds this lag is left: {lag}")
        unread = self.auditor.unread()
        require(not unread, f"after {CALM_ROUNDS_MAX} calm rounds commands wait in {unread}")
        unread_labels = sorted(self.auditor.unread_labels())
        require(not unread_labels, f"after {CALM_ROUNDS_MAX} rounds labels wait: {unread_labels}")
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
            if self._dead:
                self._bury_all()  # overtaken by retention just now: its session ends too
            if not self._alive:
                self._start()
            busy = list(filter(self._has_work, self._alive))
            for process in busy or tuple(self._alive):
                self._turn(process)
                self.world.run_job(process)
            if busy or any(map(self._has_work, self._alive)):
                continue
            if self._is_worked_off():
                break
            self.clock.sleep(GAP_AFTER_S)  # what is left lies behind markers, and only wants quiet

    def _is_worked_off(self) -> bool:
        auditor = self.auditor
        left = auditor.lag().keys() - auditor.paused().keys() - auditor.stopped()
        labels = auditor.unread_labels() - auditor.paused().keys() - auditor.stopped()
        return not left and not auditor.unread() and not labels

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
        """With nothing left to do a worker keeps its tasks, and no outputs."""
        worker = process.worker
        kept = len(worker._results), len(worker._lives.dirty)
        require(not any(kept), f"{process.name} has nothing to do and keeps {kept}")
