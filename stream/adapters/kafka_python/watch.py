"""What the client lacks in a transaction, added to a producer from outside."""

import math
import threading
import time
import weakref
from collections.abc import Callable
from typing import Any

from kafka import KafkaProducer, errors


class Watch:
    """Adds what the client lacks in a transaction: an end to waiting, and news of broken lines.

    It repeats the requests that end a transaction for as long as a broker is away or says that it
    is loading, and its calls take no timeout. A lost connection it mends and keeps to itself.

    Args:
        producer: it is watched from now on.

    Attributes:
        deadline_s: on the monotonic clock; the calls that end a transaction then raise
            `errors.KafkaTimeoutError`, and nobody knows how it ended.
        lost_n: how many connections it has lost.
    """

    def __init__(self, producer: KafkaProducer) -> None:
        self.deadline_s = math.inf
        self.lost_n = 0
        transactions: Any = producer._transaction_manager  # noqa: SLF001  # nothing public for either
        if transactions is not None:
            for call in ("begin_commit", "send_offsets_to_transaction"):
                setattr(transactions, call, self._in_time(getattr(transactions, call)))
        connections: Any = producer._sender._client._manager  # noqa: SLF001
        self._connect = connections.get_connection
        self._watched: weakref.WeakSet[Any] = weakref.WeakSet()
        connections.get_connection = self._get_connection
        for connection in list(connections._conns.values()):  # noqa: SLF001
            self._watch(connection)

    def _in_time(self, call: Callable[..., Any]) -> Callable[..., "_InTime"]:
        return lambda *arguments: _InTime(call(*arguments), self.deadline_s)

    def _get_connection(self, *arguments: Any, **settings: Any) -> Any:
        connection = self._connect(*arguments, **settings)
        self._watch(connection)
        return connection

    def _watch(self, connection: Any) -> None:
        if connection not in self._watched:
            self._watched.add(connection)
            connection.close_future.add_both(self._lost)

    def _lost(self, _result: object) -> None:
        self.lost_n += 1


class _InTime:
    """Puts a deadline on a call to the coordinator, for the client waits without a timeout."""

    def __init__(self, outcome: Any, deadline_s: float) -> None:
        self._outcome = outcome
        self._deadline_s = deadline_s

    def wait(self) -> None:
        """Wait for the outcome, up to the deadline. Raises: errors.KafkaError."""
        remaining_s = max(0.0, self._deadline_s - time.monotonic())
        if not self._outcome.wait(timeout_ms=min(remaining_s, threading.TIMEOUT_MAX) * 1000):
            raise errors.KafkaTimeoutError("the transaction was not ended in time")
