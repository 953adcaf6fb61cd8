"""The worker's loop in named situations; each says what must come of it."""

import statistics
from collections.abc import Callable
from itertools import pairwise
from typing import NoReturn

import pytest

from stream.adapters.memory.broker import no_faults
from stream.core.event import Channel
from stream.errors import CommitLost, Fenced, LogLost, Misconfigured, Retryable, StreamError
from stream.ports import Committed
from stream.runtime import commit_policy, folding
from stream.runtime.backoff import MOST_S, NAP_S
from stream.runtime.worker import IDLE_POLL_S
from stream.telemetry import LogEvent
from tests.instruments.simulation.planted import BUGS
from tests.instruments.simulation.stage import Stage
from tests.instruments.simulation.workload import event, events
from tests.instruments.simulation.world import BREATH_S, Options


def _raising(
    stage: Stage, error: BaseException, *, at: str, first: int = 0, times: int = 10**9
) -> Callable[[], int]:
    """Let calls of a step fail from the `first` on. Returns: a function that says how many did."""
    calls = [0]

    def fail(step: str) -> None:
        if step == at:
            calls[0] += 1
            if first < calls[0] <= first + times:
                raise error

    stage.world.faults = fail
    return lambda: min(max(0, calls[0] - first), times)


def test_until_end_passes_trailing_markers_and_stops_by_itself() -> None:
    """The log's end may be a transaction's marker, which no record tells of."""
    stage = Stage(partitions_n=2)
    stage.send(events(3), is_committed=True)
    stage.send(events(2), partition=1, is_committed=True)
    stage.send(events(4), partition=1, is_committed=False)

    stage.world.run(stage.start(Options(until_end=True)))

    assert stage.is_done()
    assert {p: c.offset for p, c in stage.committed.items()} == {0: 4, 1: 8}


def test_until_end_does_not_wait_for_the_commit_interval() -> None:
    """At the end nothing more can come that would share the commit."""
    stage = Stage(partitions_n=2)
    stage.send(events(5))
    stage.send(events(2), partition=1)

    stage.world.run(stage.start(Options(until_end=True, commit_interval_s=60.0)))

    assert stage.is_done()
    assert stage.clock.elapsed_s < 1.0


def test_until_end_stops_where_the_log_ended_at_its_start() -> None:
    """An upstream that never rests must not keep a job for ever."""
    stage = Stage()
    stage.send(events(5))
    process = stage.start(Options(until_end=True))

    def add(step: str) -> None:
        if step == "end:after":
            stage.send(events(1))

    stage.world.faults = add
    stage.world.run(process)

    assert 5 <= stage.committed[0].offset < stage.log().end


@pytest.mark.parametrize("step", ["bounds", "committed", "read", "stored", "poll", "end:after"])
def test_until_end_survives_failures_while_partitions_come_to_life(step: str) -> None:
    """Whatever call fails meanwhile, each partition gets its goal."""
    for first in range(6):
        stage = Stage(partitions_n=3)
        for partition in range(3):
            stage.send(events(4), partition=partition)
        before = stage.start()
        stage.finish(before)
        stage.kill(before)
        _raising(stage, Retryable("away"), at=step, first=first, times=2)

        stage.world.run(stage.start(Options(until_end=True)))

        assert stage.is_done()


def test_a_batch_cut_by_time_is_delivered_again_from_where_it_was_cut(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A slow model stays below the transaction's timeout, and skips nothing."""
    options = Options(fold_s_max=0.004, commit_interval_s=0.0)
    stage = Stage()
    stage.send(events(30))

    stage.finish(stage.start(options))

    # The same workload does cut: without the rewind it loses events.
    spoilt = Stage(parts=BUGS["no rewind after a cut batch"](monkeypatch))
    spoilt.send(events(30))
    with pytest.raises(AssertionError):
        spoilt.finish(spoilt.start(options))


def test_what_a_cut_batch_left_comes_again_though_the_seek_failed() -> None:
    """The log stands behind the batch then, and would go on from there."""
    stage = Stage()
    failed: list[int] = []

    def fail_once(step: str) -> None:
        is_of_a_cut = step == "seek" and stage.committed
        if is_of_a_cut and not failed:
            failed.append(1)
            raise Retryable("the fetcher is not there")

    stage.world.faults = fail_once
    stage.send(events(30))

    stage.finish(stage.start(Options(fold_s_max=0.004, commit_interval_s=0.0)))

    assert failed
    assert stage.auditor.outcomes_n(0) == 30


@pytest.mark.parametrize(("takes_s", "gap_s"), [(0.03, 0.17), (0.1, 0.15)])
def test_a_commit_ends_an_interval_after_the_last_one_began(takes_s: float, gap_s: float) -> None:
    """What came during a commit has waited already; a slow broker is not asked ever more often."""
    stage = Stage()
    began_s: list[float] = []

    def slow(step: str) -> None:
        if step == "flush:before":
            began_s.append(stage.clock.elapsed_s)
            stage.clock.sleep(takes_s)

    stage.world.faults = slow
    process = stage.start(Options(commit_interval_s=0.2))
    for seed in range(150):
        stage.send(events(1, seed=seed))
        stage.turn(process)

    gaps_s = [later - earlier for earlier, later in pairwise(began_s)]
    assert len(gaps_s) > 5
    assert statistics.median(gaps_s) == pytest.approx(gap_s, abs=0.015), gaps_s


@pytest.mark.parametrize(
    ("interval_s", "n", "rests_s"), [(0.2, 1, {0.2 / 64}), (0.2, 200, set()), (0.005, 1, set())]
)
def test_a_worker_rests_after_a_poll_of_few_records(
    monkeypatch: pytest.MonkeyPatch, interval_s: float, n: int, rests_s: set[float]
) -> None:
    """But not while there is much to do, nor if that would be late; and a commit is as soon."""
    stage = Stage()
    process = stage.start(Options(commit_interval_s=interval_s, fold_s_max=10.0))
    stage.turns(process, until=lambda: 0 in stage.committed)
    slept_s: list[float] = []
    monkeypatch.setattr(stage.clock, "sleep", slept_s.append)
    for seed in range(20):
        stage.send(events(n, seed=seed))
        stage.turn(process)

    assert set(slept_s[:3]) == rests_s


def test_commits_in_a_row_leave_the_broker_time_for_its_marks() -> None:
    """Although each takes longer than the interval."""
    stage = Stage()
    ended_s: list[float] = []
    rests_s: list[float] = []

    def slow(step: str) -> None:
        if step == "flush:before":
            rests_s.extend(stage.clock.elapsed_s - at for at in ended_s[-1:])
            stage.clock.sleep(0.1)
        elif step == "end:after":
            ended_s.append(stage.clock.elapsed_s)

    stage.world.faults = slow
    process = stage.start(Options(commit_interval_s=0.05))
    for seed in range(60):
        stage.send(events(1, seed=seed))
        stage.turn(process)

    assert len(rests_s) > 5
    assert min(rests_s) >= BREATH_S


def test_records_that_come_while_a_commit_is_in_doubt_are_delivered_again() -> None:
    """The position runs on during the doubt; the committed offset decides where to go on."""
    stage = Stage()
    stage.send(events(6))
    process = stage.start()
    _raising(stage, Retryable("away"), at="flush:before", times=1)
    stage.turns(process, until=lambda: LogEvent.COMMIT_LOST in process.telemetry.events())
    stage.send(events(3, seed=1))

    stage.finish(process)

    assert len(stage.published(Channel.PREDICTIONS)) == 9


def test_a_state_is_kept_when_the_lost_commit_took_effect() -> None:
    """Then nothing is replayed: only the answer was lost."""
    stage = Stage()
    stage.send(events(6))
    process = stage.start()
    stage.turns(process, until=lambda: 0 in stage.committed)
    _raising(stage, Retryable("away"), at="end:after", times=1)

    stage.turns(process, until=lambda: LogEvent.TASK_KEPT in process.telemetry.events())

    assert stage.is_done()
    assert LogEvent.COMMIT_LOST in process.telemetry.events()
    assert LogEvent.TASK_RESTORED not in process.telemetry.events()


def test_a_state_at_the_committed_offset_of_another_fold_is_not_kept() -> None:
    """The offset alone proves nothing; its metadata must be the state's too."""
    stage = Stage()
    stage.send(events(6))
    process = stage.start()
    stage.finish(process)
    committed = stage.committed[0]
    stage.committed[0] = Committed(committed.offset, committed.metadata.replace("n=6", "n=5"))
    stage.kill(process)  # its session, that is: it lives, and gets its partition back

    with pytest.raises(LogLost, match="digest"):
        stage.turns(process, until=lambda: LogEvent.TASK_KEPT in process.telemetry.events())


def test_running_out_of_memory_ends_the_process_and_is_nobodys_poison() -> None:
    """Another machine may have enough: quarantined there and learned here would be two truths."""
    stage = Stage()
    stage.send([*events(3), event(label=True, x=0.5, bomb="memory")])
    process = stage.start()

    with pytest.raises(MemoryError):
        stage.world.run(process)

    assert not stage.published(Channel.QUARANTINE)
    assert stage.committed[0].offset <= 3


@pytest.mark.parametrize(
    ("error", "at"),
    [
        (Fenced("another one runs"), "poll"),
        (Fenced("another one runs"), "end:before"),
        (Misconfigured("not permitted"), "begin:before"),
        (Misconfigured("not permitted"), "committed"),
        (LogLost("gone"), "poll"),
        (LogLost("gone"), "bounds"),
    ],
)
def test_what_a_retry_cannot_mend_ends_the_process(error: StreamError, at: str) -> None:
    """It comes out of `run` as it is: it carries the exit code."""
    stage = Stage()
    stage.send(events(3))
    _raising(stage, error, at=at)

    with pytest.raises(type(error)) as raised:
        stage.world.run(stage.start())

    assert raised.value is error


@pytest.mark.parametrize("at", ["flush:before", "end:after"])
def test_a_stop_whose_last_commit_is_lost_ends_well(at: str) -> None:
    """As after a crash, the next owner asks for the committed offset."""
    stage = Stage()
    process = stage.start(Options(commit_interval_s=60.0))
    stage.turns(process, until=lambda: 0 in stage.committed)
    stage.send(events(4))
    stage.world.turn(process)
    failed = _raising(stage, Retryable("away"), at=at, times=1)

    stage.world.stop(process)
    stage.finish(stage.start())

    assert failed() == 1


def test_a_stop_commits_what_is_folded_and_snapshots_it() -> None:
    """The next start replays nothing."""
    stage = Stage()
    process = stage.start(Options(commit_interval_s=60.0))
    stage.turns(process, until=lambda: 0 in stage.committed)
    stage.send(events(4))
    stage.world.turn(process)

    stage.world.stop(process)

    assert stage.is_done()
    assert stage.snapshots == [4]


@pytest.mark.parametrize("error", [CommitLost("unknown"), Retryable("away")])
def test_a_failing_look_up_is_tried_again_ever_more_slowly(error: StreamError) -> None:
    """Polling goes on meanwhile, so that the membership lasts; the wait has a bound."""
    stage = Stage()
    stage.send(events(3))
    process = stage.start()
    failed = _raising(stage, error, at="committed")
    began, longest = stage.clock.monotonic(), 0.0
    while (now := stage.clock.monotonic()) < began + 60.0:
        stage.world.turn(process)
        longest = max(longest, stage.clock.monotonic() - now)

    assert 60 / MOST_S <= failed() <= 30
    assert longest < IDLE_POLL_S + NAP_S + 0.1
    _raising(stage, error, at="committed", times=0)
    stage.finish(process)


def test_commits_that_never_succeed_are_tried_ever_more_slowly() -> None:
    """Each costs a restore, for everybody."""
    stage = Stage()
    stage.send(events(3))
    process = stage.start()
    stage.turns(process, until=lambda: 0 in stage.committed)
    failed = _raising(stage, Retryable("away"), at="begin:before")
    began = stage.clock.monotonic()
    while stage.clock.monotonic() < began + 60.0:
        stage.world.turn(process)

    assert 5 <= failed() <= 40


def test_a_fault_of_ours_in_saving_is_not_swallowed() -> None:
    """Only a store that is away or full is gone past; a bug must be seen."""
    stage = Stage()
    stage.send(events(20))

    def fail(step: str) -> None:
        if step == "save:before":
            _broken()

    stage.world.faults = fail
    process = stage.start(Options(replay_budget_s=0.001))
    with pytest.raises(ZeroDivisionError):
        stage.turns(process, until=lambda: False)


def _broken() -> NoReturn:
    raise ZeroDivisionError("a bug")


@pytest.mark.parametrize("failing", ["none", "end:before"])
def test_what_is_in_hand_is_bounded_however_late_a_commit_is(
    monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    """A commit that is not due, or that fails for long, lets no more than a bound pile up."""
    for module in (commit_policy, folding):
        monkeypatch.setattr(module, "RECORDS_MAX", 50)
    stage = Stage()
    stage.send(events(300))
    process = stage.start(Options(commit_interval_s=60.0, fold_s_max=10.0))
    stage.turns(process, until=lambda: 0 in stage.committed)
    failed = _raising(stage, Retryable("away"), at=failing)
    most = 0
    for _ in range(60):
        stage.turn(process)
        most = max(most, len(process.worker._results))
    most_of_all = 50 + len(stage.published(Channel.ALERTS))

    assert most <= most_of_all
    assert (failed() > 0) == (failing != "none")
    stage.world.faults = no_faults
    stage.finish(process)


def test_a_quiet_worker_passes_markers_so_that_lag_reaches_zero() -> None:
    """Aborted records leave offsets that nothing will ever be delivered of."""
    stage = Stage()
    stage.send(events(2))
    stage.send(events(5), is_committed=False)

    stage.finish(stage.start())

    assert stage.committed[0].offset == stage.log().end == 8
