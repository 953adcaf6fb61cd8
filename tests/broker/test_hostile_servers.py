"""A server at redis.url that is none: whatever it answers, a call comes to an end."""

import random
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from stream.errors import BadInput, Misconfigured, Retryable, StreamError
from tests.broker.redis_hands import MIB, SEALED, opened, peak_below
from tests.patience import HELD_UP_S

pytestmark = pytest.mark.broker


@contextmanager
def answering(say: Callable[[socket.socket], None]) -> Iterator[str]:
    """A server that answers each connection by `say`; its URL."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=talk, args=(connection,), daemon=True).start()

    def talk(connection: socket.socket) -> None:
        try:
            with connection:
                say(connection)
        except OSError:
            return

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield f"redis://127.0.0.1:{listener.getsockname()[1]}/0"
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()


def trickle(connection: socket.socket) -> None:
    """Says all day long the length of what it never gives."""
    while True:
        connection.sendall(b"*")
        for _ in range(10_000):
            connection.sendall(b"1")
            time.sleep(0.05)


def flood(connection: socket.socket) -> None:
    """Sends without end what nobody asked for."""
    while True:
        connection.sendall(b"$1000000000\r\n" + b"x" * MIB)


def nest(connection: socket.socket) -> None:
    """Answers within answers."""
    while True:
        connection.sendall(b"*1\r\n" * 10_000)


def silence(connection: socket.socket) -> None:
    """Takes what is said, and says nothing."""
    while connection.recv(1024):
        pass


@pytest.mark.parametrize("say", [trickle, flood, nest, silence])
def test_a_server_that_never_comes_to_an_end_is_left_in_time(
    say: Callable[[socket.socket], None],
) -> None:
    """However slowly or much it sends: one of the port's errors, within the call's time."""
    with answering(say) as url, peak_below(80):
        store = opened(url, call_timeout_s=0.5)
        calls: list[Callable[[], object]] = [
            lambda: store.stored(0),
            lambda: store.load(0, 1, len),
            lambda: store.save(0, 1, SEALED, next_offset=1),
            lambda: store.remove(0, 1),
            store.ping,
        ]
        for call in calls:
            began_s = time.monotonic()
            with pytest.raises((Retryable, BadInput)):
                call()
            assert time.monotonic() - began_s < 8.0 + HELD_UP_S


def test_a_server_that_answers_anything_is_survived() -> None:
    """Answers of any form, true to the protocol and not: errors or values of the port."""
    words = [
        b"+OK", b"$-1", b"$3\r\nabc", b":7", b"*0", b"*-1", b"_", b",nan", b"-ERR no", b"", b"#t",
        b"-WRONGTYPE x", b"-NOAUTH x", b"(12345678901234567890", b"%1\r\n+a\r\n*0", b"$-7",
        b"~1\r\n+a", b">1\r\n+x", b":" + b"9" * 5_000, b"*2\r\n$1\r\n1\r\n$1\r\n2", b"?\xff",
        b"=7\r\ntxt:abc", b"%1\r\n*0\r\n+a",
    ]  # fmt: skip

    def babble(connection: socket.socket) -> None:
        rng = random.Random(next(seeds))  # no secret
        while connection.recv(65_536):
            connection.sendall(
                b"".join(b"%b\r\n" % w for w in rng.choices(words, k=rng.randint(1, 6)))
            )

    seeds = iter(range(10**9))
    with answering(babble) as url:
        for _ in range(150):
            store = opened(url, call_timeout_s=0.3)
            calls: list[Callable[[], object]] = [
                lambda store=store: store.stored(0),  # type: ignore[misc]
                lambda store=store: store.load(0, 1, len),  # type: ignore[misc]
                lambda store=store: store.save(0, 1, SEALED, next_offset=1),  # type: ignore[misc]
                lambda store=store: store.remove(0, 1),  # type: ignore[misc]
            ]
            for call in calls:
                try:
                    call()
                except StreamError as error:
                    assert isinstance(error, Retryable | BadInput | Misconfigured)  # noqa: PT017
