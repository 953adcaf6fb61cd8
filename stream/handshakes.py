"""What is said to an address to see who answers there: a TLS greeting, one request, a line of text.

No secret is sent, and nobody's certificate is believed. See `probing`.
"""

import socket
import ssl
import struct
import time
from contextlib import closing, suppress

_SASL_HANDSHAKE = 17
_ILLEGAL_SASL_STATE = 34
_ANSWER_BYTES_MAX = 65_536


def split(server: str, *, port: int = 9092) -> tuple[str, int]:
    """Host and port of a server, as clients write it.

    >>> split("PLAINTEXT://kafka:29092"), split("[::1]:9092"), split("kafka")
    (('kafka', 29092), ('::1', 9092), ('kafka', 9092))
    """
    place = server.strip().rpartition("://")[2]
    host, colon, number = place.rpartition(":")
    if not colon or not number.isdigit():
        host, number = place, str(port)
    return host.removeprefix("[").removesuffix("]"), int(number)


def connected(server: str, deadline_s: float) -> socket.socket:
    """A connection to a server. Raises: OSError: there is none in time."""
    return socket.create_connection(split(server), timeout=_left_s(deadline_s))


def answers_tls(connection: socket.socket, deadline_s: float) -> bool:
    """Whether a TLS greeting is answered in TLS: with a handshake, or an alert."""
    greeting = ssl.MemoryBIO()
    greeter = _trusting().wrap_bio(ssl.MemoryBIO(), greeting)
    with closing(connection):
        with suppress(ssl.SSLWantReadError):  # by then the greeting is written
            greeter.do_handshake()
        try:
            connection.sendall(greeting.read())
            return _received(connection, 2, deadline_s) in (b"\x16\x03", b"\x15\x03")
        except TimeoutError:
            raise
        except OSError:
            return False  # a plain broker hangs up on what it takes for a request of 369 MB


def answers_a_line(server: str, deadline_s: float, *, is_tls: bool | None) -> bool:
    """Whether a line of text is answered as a Redis does, with a sign and a line.

    A Redis waits for a line's end, which a TLS greeting or a request of Kafka's does not have.
    """
    try:
        connection = connected(server, deadline_s)
        with closing(_trusting().wrap_socket(connection) if is_tls else connection) as speaking:
            speaking.sendall(b"PING\r\n")
            return _received(speaking, 1, deadline_s) in b"+-"
    except OSError:
        return False  # a Kafka takes it for a request of 1.3 GB, and hangs up


def logins(
    connection: socket.socket, deadline_s: float, *, is_tls: bool
) -> tuple[bool, tuple[str, ...] | None]:
    """Whether a Kafka answers, and which logins it takes; None: it did not say.

    It lists them to whoever asks for one that there is not.
    """
    request = struct.pack(">hhih5sh1s", _SASL_HANDSHAKE, 1, 7, 5, b"probe", 1, b"?")
    with closing(connection):
        speaking = connection
        try:
            if is_tls:
                speaking = _trusting().wrap_socket(connection)
            speaking.sendall(struct.pack(">i", len(request)) + request)
            (length,) = struct.unpack(">i", _received(speaking, 4, deadline_s))
            if not 10 <= length <= _ANSWER_BYTES_MAX:  # noqa: PLR2004
                return False, None
            answer = _received(speaking, length, deadline_s)
        except ssl.SSLError:
            return True, None  # it wants a certificate of ours, perhaps
        except ConnectionError:
            return is_tls, None
        number, code, n = struct.unpack_from(">ihi", answer)
        if number != 7:  # noqa: PLR2004
            return False, None
        if code == _ILLEGAL_SASL_STATE:
            return True, ()
        mechanisms, at = [], 10
        for _ in range(max(0, n)):
            (size,) = struct.unpack_from(">h", answer, at)
            mechanisms.append(answer[at + 2 : at + 2 + size].decode("ascii", "replace"))
            at += 2 + size
        return True, tuple(mechanisms)


def _left_s(deadline_s: float) -> float:
    left_s = deadline_s - time.monotonic()
    if left_s <= 0:
        raise TimeoutError
    return left_s


def _received(connection: socket.socket, n: int, deadline_s: float) -> bytes:
    """Exactly so many bytes. Raises: OSError."""
    found = b""
    while len(found) < n:
        connection.settimeout(_left_s(deadline_s))
        more = connection.recv(n - len(found))
        if not more:
            raise ConnectionResetError("it hung up")
        found += more
    return found


def _trusting() -> ssl.SSLContext:
    """Believes any certificate: nothing is told over it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
