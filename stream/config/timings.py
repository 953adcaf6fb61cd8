"""The timeouts that follow from one number: how long a recovery may take."""

from dataclasses import dataclass
from typing import Self

# group.min.session.timeout.ms of a broker as it is shipped; it refuses a member that asks for less.
SESSION_MS_MIN = 6_000
# KIP-735's default. Longer only makes a dead worker's partitions wait longer.
SESSION_MS_MAX = 45_000
# A commit is a few round trips and a flush; below 3 s a garbage collection of the broker aborts it.
TRANSACTION_MS_MIN = 3_000
# The clients' default. An open transaction blocks every read_committed reader, ours included.
TRANSACTION_MS_MAX = 60_000
# Ten heartbeats a session: nine may get lost. 3 s is the clients' default and often enough.
HEARTBEAT_MS_MIN, HEARTBEAT_MS_MAX = 300, 3_000
# From a partition's assignment to its first commit, beside the replay: measured 0.5 s when idle,
# and 1 to 2 with a forest to unpickle and a backlog to fold.
START_S = 2.0
# A call past the transaction's timeout has failed; 10 s more let the client say so itself first.
CALL_GRACE_S = 10.0
# A restore asks a store that hangs once for each partition, and goes on without: measured 15 s for
# two of them at 5 s each. A chunk of 8 MiB takes less than a second of 100 Mbit/s.
STORE_S_MIN, STORE_S_MAX = 1.0, 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Timings:
    """Derived timeouts, in the units of their names.

    Attributes:
        session_timeout_ms: silence after which the broker gives a worker's partitions away.
        heartbeat_interval_ms: how often a worker says that it lives.
        transaction_timeout_ms: age at which the broker aborts an open transaction.
        delivery_timeout_ms: how long an output may take; ends before its transaction does.
        request_timeout_ms: one request to the broker, for the producer; two fit into a delivery,
            so that one lost request is repeated in time.
        replay_budget_s: how much replay a recovery may cost; sets the snapshots' cadence.
        store_timeout_s: longest wait for one answer of the snapshots' store.
        call_deadline_s: a client call still running after this hangs; the process ends (70).
    """

    session_timeout_ms: int
    heartbeat_interval_ms: int
    transaction_timeout_ms: int
    delivery_timeout_ms: int
    request_timeout_ms: int
    replay_budget_s: float
    store_timeout_s: float
    call_deadline_s: float

    @classmethod
    def of(cls, recovery_time_s: float, *, is_named: bool = True) -> Self:
        """Split the recovery time: half to notice the crash, half to replay.

        The session and the open transaction of the dead run out side by side, so each gets the
        whole first half.

        Args:
            recovery_time_s: from a crash to the next commit.
            is_named: a worker with a stable instance name waits for no session. Without one it
                does, and a broker's least session may be longer than half: what is left is less.
        """
        half_ms = round(recovery_time_s * 500)
        session_ms = min(max(half_ms, SESSION_MS_MIN), SESSION_MS_MAX)
        transaction_ms = min(max(half_ms, TRANSACTION_MS_MIN), TRANSACTION_MS_MAX)
        # The transaction must outlive the last delivery in it by the round trips of its commit.
        delivery_ms = transaction_ms * 8 // 10
        replay_s = recovery_time_s / 2
        if not is_named:
            left_s = recovery_time_s - session_ms / 1000 - START_S
            replay_s = min(replay_s, max(left_s, recovery_time_s / 10))
        return cls(
            session_timeout_ms=session_ms,
            heartbeat_interval_ms=min(max(session_ms // 10, HEARTBEAT_MS_MIN), HEARTBEAT_MS_MAX),
            transaction_timeout_ms=transaction_ms,
            delivery_timeout_ms=delivery_ms,
            # kafka-python wants delivery_timeout >= linger + request_timeout.
            request_timeout_ms=delivery_ms // 2,
            replay_budget_s=replay_s,
            store_timeout_s=min(max(recovery_time_s / 5, STORE_S_MIN), STORE_S_MAX),
            call_deadline_s=transaction_ms / 1000 + CALL_GRACE_S,
        )
