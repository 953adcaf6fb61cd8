"""What a supervisor does about its workers."""

import logging
from collections.abc import Iterator

import pytest

from stream.errors import ExitCode, Retryable
from stream.runtime.supervision.lag_watch import Blind
from stream.runtime.supervision.restarts import FIRST_S
from stream.runtime.supervision.supervisor import START_WITHIN_S
from stream.runtime.supervision.worker_link import DRAIN_S, Report
from stream.telemetry import LogEvent
from tests.runtime.workers_on_stage import STUCK_AFTER_S, Stage


@pytest.fixture(autouse=True)
def _root_logger() -> Iterator[None]:
    """The stage listens to it; put back at the end."""
    root = logging.getLogger()
    before = root.handlers[:], root.level
    yield
    root.handlers[:], level = before
    root.setLevel(level)


@pytest.fixture
def stage() -> Stage:
    """All workers run and have a partition each; none of them lags."""
    made = Stage()
    made.turns(1)
    for number, played in enumerate(made.hired):
        played.begins(number)
    made.show(10, 10, 10, lag=0)
    made.turns(1)
    assert made.names_hired() == ["w-0", "w-1", "w-2"]
    return made


def test_a_worker_that_crashes_is_started_again_under_its_name_and_no_other_is_touched(
    stage: Stage,
) -> None:
    """So that it takes its partitions back at once."""
    stage.now("w-1").ended = -9
    stage.turns(FIRST_S + 1)

    assert stage.names_hired() == ["w-0", "w-1", "w-2", "w-1"]
    assert [played.asked for played in stage.hired] == [[], [], [], []]
    assert 'worker=w-1 how="killed by SIGKILL" then="start it again in 0.5 s"' in stage.lines


def test_one_that_crashes_again_and_again_is_started_ever_more_seldom(stage: Stage) -> None:
    """But it is never given up."""
    for _ in range(3_000):
        stage.now("w-1").ended = 70
        stage.turns(0.1)

    starts = stage.names_hired().count("w-1")
    assert 12 <= starts <= 16  # 0.5 + 1 + 2 + 4 + 8 + 16 s, then every 30 s of 300
    assert 'how="exit code 70" then="start it again in 30.0 s"' in stage.lines


@pytest.mark.parametrize("code", [ExitCode.CONFIG, ExitCode.USAGE, ExitCode.BAD_INPUT])
def test_an_end_that_no_restart_can_help_drains_all_and_is_the_supervisors(
    stage: Stage, code: ExitCode
) -> None:
    """Also of one that was about to be started again."""
    stage.now("w-2").ended = -9
    stage.turns(0.1)
    stage.now("w-1").ended = code
    stage.turns(60)

    assert stage.supervisor.is_over
    assert stage.supervisor.run() == code
    assert stage.now("w-0").asked == ["drain"]
    assert stage.names_hired() == ["w-0", "w-1", "w-2"]
    assert f'why="w-1 ended with exit code {code:d}, and no restart can help"' in stage.lines


def test_a_name_is_not_fought_over(stage: Stage) -> None:
    """Fenced now and then a worker comes back; four times in ten minutes somebody has its name."""
    for _ in range(5):
        stage.now("w-1").ended = ExitCode.FENCED
        stage.turns(250)
    assert stage.names_hired().count("w-1") == 6
    assert not stage.supervisor.is_over

    for _ in range(3):
        stage.now("w-1").ended = ExitCode.FENCED
        stage.turns(10)
    assert stage.supervisor.run() == ExitCode.FENCED
    assert stage.now("w-0").asked == ["drain"]


def test_a_stop_signal_drains_all_and_ends_with_0(stage: Stage) -> None:
    """Each is asked once, and left alone until it has stopped."""
    stage.stopping.set()

    assert stage.supervisor.run() == 0
    assert [played.asked for played in stage.hired] == [["drain"]] * 3


def test_a_stop_signal_before_the_first_start_starts_nothing() -> None:
    """Somebody changed his mind while we asked for the partitions."""
    stage = Stage()
    stage.stopping.set()

    assert stage.supervisor.run() == 0
    assert stage.hired == []


def test_one_that_has_not_begun_is_not_waited_for(stage: Stage) -> None:
    """It holds nothing; loading river and its model first would take seconds."""
    stage.now("w-1").ended = -9
    stage.turns(FIRST_S + 1)
    stage.stopping.set()

    assert stage.supervisor.run() == 0
    assert stage.now("w-1").asked == ["kill"]
    assert stage.now("w-0").asked == ["drain"]


def test_one_that_does_not_stop_in_time_is_killed_and_that_is_told(stage: Stage) -> None:
    """Not before its time; and the exit code says that not all ended well."""
    stage.now("w-1").obeys = False
    stage.stopping.set()
    stage.turns(DRAIN_S - 1)
    assert stage.now("w-1").asked == ["drain"]

    assert stage.supervisor.run() == ExitCode.INTERNAL
    assert stage.now("w-1").asked == ["drain", "kill"]
    assert 'worker=w-1 how="killed by SIGKILL"' in stage.lines


def test_one_whose_partition_stands_still_under_lag_says_where_it_is_and_is_replaced(
    stage: Stage,
) -> None:
    """Alive and busy is not enough: the committed offset must move."""
    for n in range(round(STUCK_AFTER_S) - 1):
        stage.show(10 + n, 10, 10 + n, lag=5)
        stage.turns(1)
    assert stage.now("w-1").asked == []

    stage.show(50, 10, 50, lag=5)
    stage.turns(FIRST_S + 3)
    assert stage.hired[1].asked == ["show stacks", "kill"]
    assert stage.names_hired() == ["w-0", "w-1", "w-2", "w-1"]
    assert [stage.hired[0].asked, stage.hired[2].asked] == [[], []]
    said = 'worker_stuck worker=w-1 pid=101 why="the committed offset of partition 1 stands still"'
    assert f"{said} offset=10 lag=5 for_s=30" in stage.lines


def test_a_replay_that_gets_on_is_left_alone() -> None:
    """It commits nothing, maybe for hours."""
    stage = Stage()
    stage.turns(0.1)
    stage.show(0, 0, 0, lag=9)
    for played in stage.hired:
        played.said.append(Report(event=LogEvent.WORKER_STARTED))
        played.said.append(
            Report(event=LogEvent.PARTITIONS_ASSIGNED, partitions=(played.pid - 100,))
        )
    for n in range(1, 60):
        for played in stage.hired:
            played.said.append(Report(event=LogEvent.PROGRESS, replayed=n * 1_000))
        stage.turns(10)

    assert stage.names_hired() == ["w-0", "w-1", "w-2"]
    assert [played.asked for played in stage.hired] == [[], [], []]


def test_nobody_is_ended_while_the_log_cannot_be_seen(stage: Stage) -> None:
    """They stand still because it is away; that is said now and then."""
    stage.shown = Blind(Retryable("no broker"))
    stage.turns(150)

    assert stage.names_hired() == ["w-0", "w-1", "w-2"]
    assert 2 <= stage.lines.count('supervisor_blind error="no broker"') <= 4


def test_one_that_never_begins_is_replaced(stage: Stage) -> None:
    """It hangs in an import, or in a model's factory."""
    stage.now("w-0").ended = 70
    stage.turns(START_WITHIN_S - 5)
    assert stage.names_hired().count("w-0") == 2
    stage.turns(10)

    assert stage.names_hired().count("w-0") == 3
    assert 'why="it has not begun to poll"' in stage.lines


def test_one_that_cannot_be_started_is_tried_again_later(stage: Stage) -> None:
    """No memory for a process is no reason to end the other workers."""
    stage.hiring_fails = True
    stage.now("w-1").ended = -9
    stage.turns(5)
    assert "no process to be had" in stage.lines
    stage.hiring_fails = False
    stage.turns(10)

    assert stage.names_hired() == ["w-0", "w-1", "w-2", "w-1"]


def test_at_the_end_of_all_partitions_all_stop() -> None:
    """One that did its own part early waits for the others': theirs may come to it."""
    stage = Stage(ends={0: 10, 1: 10, 2: 10})
    stage.turns(1)
    for number, played in enumerate(stage.hired):
        played.begins(number)
    stage.show(10, 10, 9, lag=0)
    stage.turns(5)
    assert [played.asked for played in stage.hired] == [[], [], []]

    stage.show(10, 10, 10, lag=0)
    assert stage.supervisor.run() == 0
    assert [played.asked for played in stage.hired] == [["drain"]] * 3


def test_a_failure_of_its_own_leaves_nobody_behind(stage: Stage) -> None:
    """No worker may run on without a supervisor."""
    stage.shown = ZeroDivisionError()

    with pytest.raises(ZeroDivisionError):
        stage.supervisor.run()

    assert [played.asked for played in stage.hired] == [["kill"]] * 3
