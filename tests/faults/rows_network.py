"""Rows about the network between a worker and its broker: a proxy drops, holds, cuts and slows."""

import time

from tests.faults.proxy import END_TXN, PRODUCE, Rule
from tests.faults.rows_broker import Supervisor
from tests.faults.run import Broke, Run
from tests.faults.stage import Stage
from tests.faults.table import Table, Told

LOST_N = 3
CUTS = 12


def network(table: Table) -> None:
    """Add rows 15 to 17."""
    table.real(15, "the answer to EndTxn is lost after the broker applied it", "I1 I6")(
        end_answer_lost
    )
    table.real(16, "EndTxn arrives late, over the old connection, while the next transaction runs",
               "I1 I4")(end_late)  # fmt: skip
    table.real(17, "connections cut in the middle of a frame, half-open, 500 ms slow, 10 % cut",
               "I1 I7")(troubled)  # fmt: skip


def end_answer_lost(stage: Stage) -> Told:
    """The worker cannot know; the committed offset decides."""
    proxy = stage.proxy
    with Run(stage) as run:
        worker = run.start(behind_proxy=True)
        run.flowing()
        try:
            for _ in range(LOST_N):
                rule = Rule(api=END_TXN, do="cut", first=2, last=2)
                proxy.rules = [rule]
                proxy.met(rule)
                at = time.monotonic()
                run.recovered(at)
            lost = Rule(api=END_TXN, do="drop", first=2, last=2)
            proxy.rules = [lost]
            proxy.met(lost)
            at = time.monotonic()
            run.recovered(at)
        finally:
            proxy.heal()
        if not worker.running:
            raise Broke(f"the worker ended: {worker.log[-600:]}")
        run.finish()
        lost_n = worker.log.count("commit_lost")
        return Told(f"{LOST_N} answers cut off, 1 dropped; {lost_n} commits in doubt, the worker "
                    "lived through", run.recoveries)  # fmt: skip


def end_late(stage: Stage) -> Told:
    """The old EndTxn must not end the next transaction: the producer's epoch is another one."""
    proxy = stage.proxy
    with Run(stage) as run:
        worker = run.start(behind_proxy=True)
        run.flowing()
        try:
            for _ in range(LOST_N):
                rule = Rule(api=END_TXN, do="hold", side="request", first=2, last=2)
                proxy.rules = [rule]
                proxy.met(rule)
                at = time.monotonic()
                # Half way through: the next transactions run, or the client tries again.
                time.sleep(0.3)
                proxy.release()
                run.recovered(at)
        finally:
            proxy.heal()
        if not worker.running:
            raise Broke(f"the worker ended: {worker.log[-600:]}")
        run.finish()
        return Told(f"held {LOST_N} times, released 0.3 s later", run.recoveries)


def troubled(stage: Stage) -> Told:
    """One trouble after another, on every connection of the worker."""
    proxy = stage.proxy
    with Run(stage) as run:
        keeper = Supervisor(run, behind_proxy=True)
        run.flowing()
        try:
            proxy.cut_after_bytes = 60_000
            keeper.for_(4.0)
            proxy.heal()
            keeper.flowing(time.monotonic())
            for _ in range(CUTS):
                proxy.cut(0.1)
                keeper.for_(0.3)
            keeper.flowing(time.monotonic())
            proxy.latency_s = 0.25  # each way
            keeper.for_(4.0)
            proxy.heal()
            keeper.flowing(time.monotonic())
            proxy.is_half_open = True
            keeper.for_(4.0)
            proxy.heal()
            keeper.flowing(time.monotonic())
            # And what is never acknowledged is not committed.
            proxy.rules = [Rule(api=PRODUCE, do="drop", first=1, last=2)]
            keeper.for_(5.0)
        finally:
            proxy.heal()
        keeper.flowing(time.monotonic())
        run.finish(within_s=90)
        return Told(f"4 s of each; {keeper.told}", run.recoveries)
