"""Rows about the journal: deleted, or its first records gone; with a snapshot, a base, and none."""

import time

from tests.instruments.faults import commanding
from tests.instruments.faults.commanding import checked, delete, done_once, send
from tests.instruments.faults.run import Run
from tests.instruments.faults.stage import Stage
from tests.instruments.faults.table import Table, Told

STATIC_S = 3.0
UNSEEN_S = 130.0
"""So soon it is said that what cannot be seen is gone: see `stream.runtime.unseen`."""

GONE = "record 1 of the journal is gone"
KEPT = "[limits]\nclasses_max = 9\n"
"""Another setting, that keeps the model: the fold begins anew, with a base."""


def journals(table: Table) -> None:
    """Add rows 45 and 46."""
    table.real(45, "the journal is deleted under a running worker", "I1 I2 I7 I13")(deleted)
    table.real(46, "retention takes the journal's first records", "I1 I2 I13")(cut)


def deleted(stage: Stage) -> Told:
    """The worker goes on and says so; a rebuild stops; once there is a base, it goes on."""
    with Run(stage, recovery_time_s=STATIC_S, partitions_n=1, is_commanded=True) as run:
        run.start(instance="w-0")
        run.flowing()
        send(run, "freeze", "1")
        send(run, "unfreeze", "2")
        delete(run, "journal")
        checked(run, 78, GONE)
        send(run, "reset", "3")
        commanding.says(run, "journal_broken", within_s=UNSEEN_S)
        checked(run, 78, GONE)
        commanding.stop(run)
        # Its snapshot brings it back, and with a base nothing else is needed any more.
        run.configure(run.config + KEPT)
        at = time.monotonic()
        run.start(instance="w-0")
        run.recovered(at)
        send(run, "freeze", "4")
        commanding.stop(run)
        stage.ask_redis("FLUSHALL")
        checked(run, 0, "commands: ")
        at = time.monotonic()
        run.start(instance="w-0")
        run.recovered(at)
        run.finish()
        done_once(run, ["freeze", "unfreeze", "reset", "keep", "freeze"], is_journal_whole=False)
        recoveries = run.recoveries
    return Told(f"a running worker went on, said so, and did the next command; {_gone(stage)}; a "
                "base, made before of a snapshot: it goes on", recoveries)  # fmt: skip


def _gone(stage: Stage) -> str:
    """Neither journal nor snapshot nor base: nothing can be made of that."""
    with Run(stage, rate=0.0, recovery_time_s=STATIC_S, partitions_n=1, is_commanded=True) as run:
        run.feeder.burst(300)
        run.start(instance="w-0")
        run.until(lambda: run.verifier.committed.get(0, 0) >= 300, within_s=80, what="300")
        send(run, "freeze", "1")
        commanding.stop(run)
        delete(run, "journal")
        stage.ask_redis("FLUSHALL")
        run.start(instance="w-0").ends_with(65, within_s=UNSEEN_S, says=GONE)
        return "without a snapshot: 65"


def cut(stage: Stage) -> Told:
    """With the snapshot it goes on; without it there is no honest way on, and it says so."""
    with Run(stage, rate=0.0, recovery_time_s=STATIC_S, partitions_n=1, is_commanded=True) as run:
        run.feeder.burst(300)
        run.start(instance="w-0")
        run.until(lambda: run.verifier.committed.get(0, 0) >= 300, within_s=80, what="300")
        for number, what in enumerate(("freeze", "unfreeze", "freeze")):
            send(run, what, str(number))
        commanding.stop(run)
        # The second record's; a transaction's marker lies behind each.
        commanding.delete_before(run, "journal", {0: 2})
        checked(run, 78, GONE)
        at = time.monotonic()
        run.start(instance="w-0")
        run.feeder.burst(100)
        run.recovered(at)
        send(run, "unfreeze", "3")
        commanding.stop(run)
        done_once(run, ["freeze", "unfreeze", "freeze", "unfreeze"], is_journal_whole=False)
        run.judge()
        stage.ask_redis("FLUSHALL")
        run.start(instance="w-0").ends_with(65, within_s=90, says=GONE)
        return Told("with its snapshot: goes on; without: 65, and what to do", run.recoveries)
