"""When a worker polls, for how much, and when it commits."""

from dataclasses import dataclass

from stream.ports import Clock

RECORDS_MAX = 10_000
"""Most records in one poll, and most outputs in hand before a commit is due anyway: about 5 MB."""

EARLY_SHARE_MAX = 0.25
"""Of an interval, that a commit may begin early for it to end in time."""

AHEAD_SHARE_MAX, AHEAD_S_MAX = 1 / 150, 2.0
"""Of a busy worker's time, that committing offsets may take where outputs do not wait for it; and
how far apart they are at most for that, if the commit interval is not longer.

A commit takes some milliseconds, and its share of the time is that of the events it holds up."""

FEW_N, REST_SHARE, REST_S_MIN, REST_S_MAX = 100, 1 / 64, 0.001, 0.02
"""After a poll of few records a worker rests for a share of the commit interval.

What comes meanwhile is read with one request instead of one each: at 1,000 events/s this halves
what a worker takes of a core (measured: 0.39 -> 0.19, with kafka-python 0.66 -> 0.40)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CommitPolicy:
    """The worker's timings.

    Attributes:
        commit_interval_s: outputs become visible within this time, as far as it lies with us.
        fold_s_max: how long folding may take between two polls.
        call_deadline_s: a client's call that takes longer counts as hanging.
        min_gap_s: the least time between two commits, if the interval is not shorter.
        until_end: stop once all assigned partitions are committed up to where they ended at start.
        is_ahead: outputs do not wait for the offsets' commit; after a crash some come again.
    """

    commit_interval_s: float
    fold_s_max: float
    call_deadline_s: float
    min_gap_s: float
    until_end: bool = False
    is_ahead: bool = False


class CommitSchedule:
    """Decides when to poll and to commit, from how long records and commits took so far."""

    def __init__(self, commit_policy: CommitPolicy, clock: Clock) -> None:
        self._policy = commit_policy
        self._clock = clock
        self._commit_due = 0.0
        self._busy_due = 0.0
        self._commit_s = 0.0
        self._record_s = 0.0
        self._polled_n = 0

    def is_commit_due(self) -> bool:
        """Whether what was folded is to be committed now."""
        return not self.left_s()

    def commit_now(self) -> None:
        """Make the next commit due now."""
        self._commit_due = self._busy_due = 0.0

    def committed(self, *, began: float) -> None:
        """Plan the next commit, now that one has ended which began at `began`.

        The next one begins so that it ends an interval after this one began, taking as long as
        they do: what came during this one has waited already.
        """
        ended, interval_s = self._clock.monotonic(), self._policy.commit_interval_s
        self._commit_s = _mean(self._commit_s, ended - began)
        early_s = min(self._commit_s, EARLY_SHARE_MAX * interval_s)
        min_gap_s = min(interval_s, self._policy.min_gap_s)
        self._commit_due = max(began + interval_s - early_s, ended + min_gap_s)
        self._busy_due = self._commit_due
        if self._policy.is_ahead:
            apart_s = min(self._commit_s / AHEAD_SHARE_MAX, AHEAD_S_MAX)
            self._busy_due = max(self._commit_due, ended + apart_s)

    def left_s(self) -> float:
        """Seconds until the next commit is due."""
        due = self._busy_due if self._polled_n else self._commit_due
        return max(0.0, due - self._clock.monotonic())

    def rest_s(self) -> float:
        """Seconds to wait before the next poll, while outputs wait for a commit anyway."""
        rest_s = min(REST_SHARE * self._policy.commit_interval_s, REST_S_MAX)
        is_slow = 0 < self._polled_n < FEW_N and rest_s >= REST_S_MIN
        return rest_s if is_slow and not self._policy.is_ahead else 0.0

    def polled(self, n: int) -> None:
        """Take note of how many records a poll gave."""
        self._polled_n = n

    def records_max(self, *, outputs_n: int) -> int:
        """How many records to poll for: those there is room for, and that can be folded in time."""
        most = RECORDS_MAX - min(outputs_n, RECORDS_MAX - 1)
        if not self._record_s:
            return most
        return max(1, min(most, int(self._policy.fold_s_max / self._record_s)))

    def folded(self, n: int, *, took_s: float) -> None:
        """Take note of how long folding took; `n` is at least 1."""
        # It follows a change of the model's cost within a few batches.
        self._record_s = _mean(self._record_s, took_s / n)


def _mean(mean: float, value: float) -> float:
    """A running mean; 0 = nothing is known yet."""
    return value if not mean else 0.7 * mean + 0.3 * value
