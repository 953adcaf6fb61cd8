"""Rows about the control topic: deleted and made again, cut by retention, never there."""

import time

from tests.instruments.faults import commanding
from tests.instruments.faults.commanding import answered, checked, delete, done_once, send, sent
from tests.instruments.faults.run import Run
from tests.instruments.faults.stage import Stage
from tests.instruments.faults.table import Table, Told

STATIC_S = 3.0
GAP_S = 5.0
"""So long no outcome may come where nothing but commands is in trouble."""


def control_topics(table: Table) -> None:
    """Add rows 43 and 44."""
    table.real(43, "the control topic is deleted under a running worker, and made again",
               "I1 I2 I7; each command once")(made_again)  # fmt: skip
    table.real(44, "control's retention passes over commands that nobody has read",
               "I1 I2 I13; each command once, or never")(passed_over)  # fmt: skip


def made_again(stage: Stage) -> Told:
    """By the next command; its first records lie where those of the old topic lay."""
    with Run(stage, recovery_time_s=STATIC_S, is_commanded=True) as run:
        worker = run.start(instance="w-0")
        run.flowing()
        send(run, "freeze", "1")
        delete(run, "control")
        send(run, "unfreeze", "2")
        delete(run, "control")
        gap_s = commanding.steady(run, for_s=8.0, gap_s=GAP_S)
        send(run, "reset", "3")
        send(run, "freeze", "4")
        # And while nobody is there: as many as there were before, and more.
        commanding.stop(run)
        delete(run, "control")
        with sent(run, "unfreeze", "5") as fifth, sent(run, "reset", "6") as sixth:
            at = time.monotonic()
            run.start(instance="w-0")
            run.recovered(at)
            answered(fifth, 0)
            answered(sixth, 0)
        run.workers[-1].kill()
        at = time.monotonic()
        run.start(instance="w-0")
        run.recovered(at)
        run.finish()
        done_once(run, ["freeze", "unfreeze", "reset", "freeze", "unfreeze", "reset"])
        assert not worker.running
        return Told(f"three times: 6 commands, each done once; without it outcomes within "
                    f"{gap_s:.1f} s of each other", run.recoveries)  # fmt: skip


def passed_over(stage: Stage) -> Told:
    """Whoever sent it is told that nobody answered; what comes later is done."""
    with Run(stage, recovery_time_s=STATIC_S, partitions_n=1, is_commanded=True) as run:
        run.start(instance="w-0")
        run.flowing()
        send(run, "freeze", "1")
        commanding.stop(run)
        with sent(run, "reset", "2", within="12s") as unread:
            commanding.delete_before(run, "control", dict.fromkeys(range(run.partitions_n), 2))
            checked(run, 0, "were deleted before")
            at = time.monotonic()
            run.start(instance="w-0")
            run.recovered(at)
            commanding.says(run, "command_refused")
            answered(unread, 69)
        send(run, "unfreeze", "3")
        run.finish()
        done_once(run, ["freeze", "unfreeze"])
        return Told("a command that nobody had read: 69 for its sender, a line of the worker; "
                    "the ones before and behind it: done once", run.recoveries)  # fmt: skip
