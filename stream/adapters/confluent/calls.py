"""Calls that do not heed their timeouts, each on a thread that can be left behind.

`send_offsets_to_transaction` waits for the group's coordinator however long that takes: nobody
looks at its timeout (librdkafka's issue 5456), and of a coordinator that left the cluster it hears
nothing more (5511). A rolling restart of the brokers is enough: fault 11 hung there in two runs of
three, until the watchdog ended the process.
"""

import threading
from collections.abc import Callable
from concurrent.futures import Future

from stream.errors import CommitLost, Internal

LATE_S = 1.0
"""Past its timeout, in which a call may yet say itself what went wrong."""

LEFT_MAX = 3
"""Each call that is left behind keeps a client's memory, threads and sockets until it returns."""


class Calls:
    """Knows which calls were left behind and have not returned yet."""

    def __init__(self) -> None:
        self._left: list[threading.Thread] = []

    def check(self) -> None:
        """Look how many calls hang. Raises: Internal: too many, so the process must begin anew."""
        self._left = [thread for thread in self._left if thread.is_alive()]
        if len(self._left) >= LEFT_MAX:
            raise Internal(f"{len(self._left)} of librdkafka's calls hang; this process restarts")

    def within(self, seconds: float, call: Callable[[], object], doing: str) -> None:
        """Wait for a call.

        Args:
            seconds: the timeout that the call itself was given.
            call: what it does must not matter any more once it is left behind.
            doing: what is tried, for the message: "sending the offsets".

        Raises: CommitLost: it has not returned; whatever it raises.
        """
        outcome: Future[object] = Future()
        thread = threading.Thread(target=_run, args=(call, outcome), name=doing, daemon=True)
        thread.start()
        try:
            outcome.result(seconds + LATE_S)
        except TimeoutError as error:
            self._left.append(thread)
            raise CommitLost(f"{doing}: librdkafka hangs; it is left behind") from error


def _run(call: Callable[[], object], outcome: Future[object]) -> None:
    try:
        outcome.set_result(call())
    except BaseException as error:  # noqa: BLE001  # whoever waits gets it
        outcome.set_exception(error)
