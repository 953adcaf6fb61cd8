"""One run of a small workload for each time that it takes a step, in which something happens there.

Until it does not take the step so often; a workload that never takes it proves nothing.
"""

from collections.abc import Callable
from itertools import count
from typing import NoReturn

from stream.errors import Retryable
from tests.instruments.simulation.faults import Crash
from tests.instruments.simulation.stage import Stage, at_nth
from tests.instruments.simulation.world import Options, Process

ZOMBIE_TURNS_N = 20


def fail_at_each(
    step: str,
    options: Options,
    *,
    half_done: Callable[[], Stage],
    finish: Callable[[Stage, Process], None],
    end_well: Callable[[Stage], None],
) -> None:
    """A step fails, and the same process goes on.

    Args:
        step: of a port's call.
        options: of the process.
        half_done: a world in which there is something to do.
        finish: lets a process do all of it.
        end_well: looks at what has come of it.
    """
    for nth in count(1):
        stage = half_done()
        reached: list[str] = []

        def fail(reached: list[str] = reached) -> NoReturn:
            reached.append(step)
            raise Retryable(f"injected at {step}")

        stage.world.faults = at_nth(step, nth, fail)
        subject = stage.start(options)
        finish(stage, subject)
        stage.world.stop(subject)
        end_well(stage)
        if not reached:
            break

    assert nth > 1, "the workload never takes this step"


def crash_at_each(
    step: str,
    options: Options,
    *,
    half_done: Callable[[], Stage],
    finish: Callable[[Stage, Process], None],
    end_well: Callable[[Stage], None],
    instance: str | None = None,
) -> None:
    """A process dies at a step, and another one takes over.

    The arguments are as those of `fail_at_each`; with `instance` the dead process is restarted as
    the same, and else the next one waits until its session ends.
    """
    for nth in count(1):
        stage = half_done()

        def crash() -> NoReturn:
            raise Crash.at(step)

        stage.world.faults = at_nth(step, nth, crash)
        subject = stage.start(options, instance=instance)
        try:
            finish(stage, subject)
            stage.world.stop(subject)
            is_reached = False
        except Crash:
            is_reached = True
        if instance is not None:
            # Nobody waits for the session to end: the restarted one takes its own place.
            restarted = stage.start(options, instance=instance)
            finish(stage, restarted)
            stage.kill(restarted)
        stage.kill(subject)
        end_well(stage)
        if not is_reached:
            break

    assert nth > 1, "the workload never takes this step"


def overtaken_at_each(
    step: str,
    options: Options,
    *,
    half_done: Callable[[], Stage],
    finish: Callable[[Stage, Process], None],
    end_well: Callable[[Stage], None],
) -> None:
    """A process is stopped at a step, another one takes over and finishes, and the first goes on.

    The arguments are as those of `fail_at_each`.
    """
    for nth in count(1):
        stage = half_done()
        successors: list[Process] = []

        def take_over(stage: Stage = stage, successors: list[Process] = successors) -> None:
            process = stage.world.acting
            assert process is not None
            stage.kill(process)
            successors.append(successor := stage.start(options))
            finish(stage, successor)

        stage.world.faults = at_nth(step, nth, take_over)
        subject = stage.start(options)
        for _ in range(ZOMBIE_TURNS_N):
            stage.world.turn(subject)
            stage.auditor.check()
        stage.world.stop(subject)
        for successor in successors:
            stage.kill(successor)
        end_well(stage)
        if not successors:
            break

    assert nth > 1, "the workload never takes this step"
