"""Rows about the network between a worker and its broker: a proxy drops, holds, cuts and slows."""

import time

from tests.instruments.faults.proxy import (
    ADD_OFFSETS,
    END_TXN,
    PRODUCE,
    TXN_OFFSET_COMMIT,
    Proxy,
    Rule,
    error_code,
)
from tests.instruments.faults.rows_broker import Supervisor
from tests.instruments.faults.run import Run
from tests.instruments.faults.stage import Stage
from tests.instruments.faults.table import Table, Told
from tests.instruments.faults.worker import Broke

LOST_N = 3
LATE = (
    (END_TXN, ADD_OFFSETS, False),
    (TXN_OFFSET_COMMIT, END_TXN, False),
    (END_TXN, ADD_OFFSETS, True),
    (TXN_OFFSET_COMMIT, END_TXN, True),
)
"""What is late, what of the next transaction waits for it, and whether the worker is killed."""

CUTS = 12


def network(table: Table) -> None:
    """Add rows 15 to 17."""
    table.real(15, "the answer to EndTxn is lost after the broker applied it", "I1 I6")(
        end_answer_lost
    )
    table.real(16, "EndTxn or TxnOffsetCommit arrives late, over its old connection, while the "
               "next transaction runs", "I1 I4 I6")(end_late)  # fmt: skip
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
    """The old request arrives in the next transaction, and must not take effect there.

    Had an EndTxn ended the half transaction, its outputs would stay when the worker is killed just
    then; had a TxnOffsetCommit been taken, the offset would go back with the next commit.
    """
    proxy = stage.proxy
    with Run(stage) as run:
        codes = []
        worker = run.start(behind_proxy=True)
        try:
            for held, waits, is_killed in LATE:
                run.flowing()
                codes.append(_late(proxy, held, waits))
                if is_killed:
                    worker.kill()
                at = time.monotonic()
                proxy.heal()
                if is_killed:
                    worker = run.start(behind_proxy=True)
                run.recovered(at)
                if not worker.running:
                    raise Broke(f"the worker ended: {worker.log[-600:]}")
        finally:
            proxy.heal()
        run.finish()
        if 0 in codes:
            raise Broke(f"I4: a late request took effect in the next transaction: {codes}")
        return Told(f"EndTxn when half of the next one is sent, TxnOffsetCommit before its end, "
                    f"each with and without a kill just then: refused with "
                    f"{', '.join(map(str, codes))}", run.recoveries)  # fmt: skip


def _late(proxy: Proxy, held: int, waits: int) -> int:
    """Hold a request back until the next transaction comes to the one that waits.

    Returns: the error code with which the broker answers it.
    """
    late = Rule(api=held, do="hold", side="request", first=2, last=2)
    proxy.rules = [late]
    proxy.met(late)
    # TxnOffsetCommit comes before the end of its own transaction, EndTxn is the end.
    turn = 2 if held == TXN_OFFSET_COMMIT else 1
    next_one = Rule(api=waits, do="wait", side="request", first=turn)
    proxy.rules = [next_one]
    proxy.met(next_one)
    answered_n = len(proxy.late)
    if proxy.release() != 1 or len(proxy.late) != answered_n + 1:
        raise Broke(f"what was held (api {held}) was not answered")
    return error_code(*proxy.late[-1])


def troubled(stage: Stage) -> Told:
    """One trouble after another, on every connection of the worker."""
    proxy = stage.proxy
    with Run(stage) as run:
        keeper = Supervisor(run, behind_proxy=True)
        run.flowing()
        try:
            proxy.cut_after_bytes, before = 60_000, proxy.cuts_n
            keeper.for_(4.0)
            proxy.heal()
            cut_n = proxy.cuts_n - before
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
            dropped = Rule(api=PRODUCE, do="drop", first=1, last=2)
            proxy.rules = [dropped]
            keeper.for_(5.0)
        finally:
            proxy.heal()
        if not (cut_n and dropped.hits):
            raise Broke(f"no trouble was made: {cut_n} cuts, {dropped.hits} answers dropped")
        keeper.flowing(time.monotonic())
        keeper.finish(within_s=90)
        return Told(f"4 s of each ({cut_n} connections cut in a frame, {CUTS} others); "
                    f"{keeper.told}", run.recoveries)  # fmt: skip
