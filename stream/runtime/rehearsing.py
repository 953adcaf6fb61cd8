"""Paused partitions go on by themselves, if their next records would do better than their last."""

from stream.runtime.breaker import Breaker
from stream.runtime.commit_policy import CommitPolicy
from stream.runtime.life import Life, Lives, Move
from stream.runtime.watchdog import Deadlined
from stream.runtime.watched_log import WatchedLog


class Rehearsing:
    """Rehearses the partitions that their last owner paused, one at a time.

    Args:
        lives: the worker's partitions.
        breaker: says what their next records would do.
        log: delivers one that goes on.
        commit_policy: says how long it may take.
        deadlined: puts a deadline on calls that can hang.
    """

    def __init__(
        self,
        lives: Lives,
        breaker: Breaker,
        *,
        log: WatchedLog,
        commit_policy: CommitPolicy,
        deadlined: Deadlined,
    ) -> None:
        self._lives = lives
        self._breaker = breaker
        self._log = log
        self._policy = commit_policy
        self._deadlined = deadlined

    def go_on(self) -> None:
        """Rehearse one; not while any is restored: that reads with the same reader.

        Raises: Retryable: call again.
        """
        policy, undecided = self._policy, self._lives.tasks({Life.UNDECIDED})
        if not undecided:
            return
        with self._deadlined("rehearsing", policy.fold_s_max + policy.call_deadline_s):
            verdict = self._breaker.rehearse(undecided[min(undecided)], budget_s=policy.fold_s_max)
        if verdict is None:
            return
        task = verdict.task
        if verdict.is_over:
            self._lives.move(task.partition, Move.WORSE)
            self._breaker.say_paused(task, str(verdict))
            return
        self._breaker.begin_anew(task)
        self._lives.move(task.partition, Move.RESUME)
        self._log.seek(task)
        self._breaker.say_resumed(task, str(verdict))
