"""A socket that gives no more bytes, and no later, than the call in hand may take.

A client believes the lengths that a server tells it, and waits anew for each piece of an answer:
one of a gigabyte is read whole, and one that comes a byte at a time never times out.
"""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from stream.ports import Clock


class TooMuchError(Exception):
    """An answer is longer than anything that was asked for."""


class Allowance:
    """What the calls of one thread may still take; each thread has its own.

    Args:
        clock: its monotonic seconds bound a call.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._own = threading.local()

    @contextmanager
    def of(self, bytes_n: int, seconds: float) -> Iterator[None]:
        """Allow the block so many bytes of answers, within so many seconds."""
        self._own.bytes_n, self._own.deadline_s = bytes_n, self._clock.monotonic() + seconds
        try:
            yield
        finally:
            del self._own.bytes_n, self._own.deadline_s

    def left_s(self) -> float:
        """How many seconds are left. Raises: TimeoutError: none."""
        left_s = float(self._own.deadline_s - self._clock.monotonic())
        if left_s <= 0:
            raise TimeoutError("it answers too slowly")
        return left_s

    def took(self, bytes_n: int) -> None:
        """Count bytes that have come. Raises: TooMuchError: more than was allowed."""
        self._own.bytes_n -= bytes_n
        if self._own.bytes_n < 0:
            raise TooMuchError("its answer is longer than anything that was asked for")


class MeteredSocket:
    """A connected socket, as a client's parser of answers uses it.

    Args:
        inner: plain or TLS.
        allowance: what the caller may still take.
    """

    def __init__(self, inner: socket.socket, allowance: Allowance) -> None:
        self._inner = inner
        self._allowance = allowance

    def recv(self, size: int) -> bytes:
        """See `socket.recv`. Raises: TimeoutError, TooMuchError, too."""
        with self._in_time():
            data = self._inner.recv(size)
        self._allowance.took(len(data))
        return data

    def recv_into(self, buffer: bytearray) -> int:
        """See `socket.recv_into`, which hiredis' parser calls. Raises: as `recv`."""
        with self._in_time():
            size = self._inner.recv_into(buffer)
        self._allowance.took(size)
        return size

    @contextmanager
    def _in_time(self) -> Iterator[None]:
        """Shorten the socket's timeout inside the block to the time that the call has left."""
        timeout_s, left_s = self._inner.gettimeout(), self._allowance.left_s()
        if timeout_s is not None and timeout_s <= left_s:
            yield
            return
        self._inner.settimeout(left_s)
        try:
            yield
        finally:
            self._inner.settimeout(timeout_s)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)
