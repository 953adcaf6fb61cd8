"""Rows about what a worker may do with the topics for commands, on a broker with an authorizer."""

import time

from tests.instruments.faults import commanding
from tests.instruments.faults.commanding import answered, checked, done_once, send, sent
from tests.instruments.faults.guarded import READ, WRITE
from tests.instruments.faults.run import Run
from tests.instruments.faults.stage import Stage
from tests.instruments.faults.table import Table, Told
from tests.instruments.faults.worker import Broke

STATIC_S = 3.0
GAP_S = 5.0
SEEN_S = 20.0


def permissions(table: Table) -> None:
    """Add rows 47 to 49."""
    table.real(47, "a worker may not READ control any more", "I1 I2 I7 I13; each command once")(
        control_not_read
    )
    table.real(48, "a worker may not WRITE the journal any more, or not READ it at a restore",
               "I1 I2 I7 I13; each command once")(journal_denied)  # fmt: skip
    table.real(49, "no control, journal or ledger, and nobody may make them",
               "I1 I2 I7 I13; each command once")(none_there)  # fmt: skip


def _guarded(stage: Stage) -> Run:
    broker = stage.guarded
    run = Run(
        stage, bootstrap=broker.open_servers, partitions_n=1, recovery_time_s=STATIC_S,
        is_commanded=True, environment=broker.login(stage.client),
    )  # fmt: skip
    broker.permit_worker(run.name)
    return run


def _permit_commands(stage: Stage, run: Run) -> None:
    stage.guarded.permit(run.name, "control", READ)
    stage.guarded.permit(run.name, "journal", READ, WRITE)
    stage.guarded.permit(run.name, "ledger", WRITE)


def control_not_read(stage: Stage) -> Told:
    """It says so and predicts on; who commands is told that nobody answered."""
    with _guarded(stage) as run:
        _permit_commands(stage, run)
        run.start(instance="w-0")
        run.flowing()
        send(run, "freeze", "1")
        stage.guarded.forbid(run.name, "control", READ)
        said = commanding.says(run, "control_unreadable")
        if f"{run.name}.control" not in said:
            raise Broke(f"I13: it does not say which topic: {said}")
        checked(run, 78, "not permitted to READ", environment=run.environment)
        send(run, "reset", "2", within="1s", code=69)
        gap_s = commanding.steady(run, for_s=5.0, gap_s=GAP_S)
        # And from a start on.
        run.workers[-1].kill()
        at = time.monotonic()
        run.start(instance="w-0")
        run.recovered(at)
        commanding.says(run, "control_unreadable")
        stage.guarded.permit(run.name, "control", READ)
        send(run, "unfreeze", "3")
        run.finish()
        done_once(run, ["freeze", "refused", "unfreeze"])
        return Told(f"running and from the start: said, and outcomes within {gap_s:.1f} s of each "
                    "other; a command of that time: 69, and late; the next one: done",
                    run.recoveries)  # fmt: skip


def journal_denied(stage: Stage) -> Told:
    """No command is done that cannot be written down; nothing is made again without it."""
    with _guarded(stage) as run:
        _permit_commands(stage, run)
        run.start(instance="w-0")
        run.flowing()
        send(run, "freeze", "1")
        stage.guarded.forbid(run.name, "journal", WRITE)
        time.sleep(2.0)
        checked(run, 78, "not permitted to WRITE", environment=run.environment)
        with sent(run, "unfreeze", "2", within="170s") as waiting:
            commanding.says(run, "commands_wait")
            gap_s = commanding.steady(run, for_s=8.0, gap_s=GAP_S)
            stage.guarded.permit(run.name, "journal", WRITE)
            answered(waiting, 0, within_s=180)
        commanding.stop(run)
        stage.ask_redis("FLUSHALL")
        stage.guarded.forbid(run.name, "journal", READ)
        time.sleep(2.0)
        checked(run, 78, "not permitted to READ", environment=run.environment)
        run.start(instance="w-0").ends_with(78, within_s=60, says=f"{run.name}.journal")
        stage.guarded.permit(run.name, "journal", READ)
        at = time.monotonic()
        run.start(instance="w-0")
        run.recovered(at)
        run.finish()
        done_once(run, ["freeze", "unfreeze"])
        return Told(f"WRITE: said, outcomes within {gap_s:.1f} s of each other, and the command "
                    "was done once it could be written down; READ, from an empty Redis: 78, then "
                    "proved", run.recoveries)  # fmt: skip


def none_there(stage: Stage) -> Told:
    """A pipeline that may not make them predicts; what is missing is named, and made by hand."""
    with _guarded(stage) as run:
        run.start(instance="w-0")
        run.flowing()
        denied = run.command(
            *commanding.words("freeze", "1", "1s"),
            is_checked=False,
            environment={**commanding.NAMED, **run.environment},
        )
        if denied.returncode != 78 or f"{run.name}.control" not in denied.stderr:
            raise Broke(f"a sender who may not: {denied.returncode}: {denied.stderr}")
        checked(run, 0, f"{run.name}.control", environment=run.environment)
        run.make_topics(("control",))
        stage.guarded.permit(run.name, "control", READ)
        commanding.raw(run, "freeze", "2", within_s=170)
        said = commanding.says(run, "commands_wait")
        if f"{run.name}.journal" not in said:
            raise Broke(f"I13: it does not say what is missing: {said}")
        checked(run, 78, f"not permitted to WRITE {run.name}.journal", environment=run.environment)
        gap_s = commanding.steady(run, for_s=10.0, gap_s=GAP_S)
        run.make_topics(("journal", "ledger"))
        _permit_commands(stage, run)
        run.until(
            lambda: "command_folded" in run.workers[-1].log, within_s=SEEN_S, what="it is done"
        )
        send(run, "unfreeze", "3")
        run.finish()
        done_once(run, ["freeze", "unfreeze"])
        return Told("a sender: 78; a worker: says what is missing, and outcomes come within "
                    f"{gap_s:.1f} s of each other; once they are there the command is "
                    "done")  # fmt: skip
