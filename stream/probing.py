"""What answers at a Kafka's address, asked with one connection: for messages, when a client fails.

A client that speaks plainly to a TLS port, or knows no login where one is wanted, hears nothing but
a hang-up. A TLS greeting and one request that every broker answers before a login tell more; no
secret is sent, and nobody's certificate is believed.
"""

import socket
import ssl
import struct
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

PROBE_S = 1.5
"""For one address, all of it but one more question to what is silent."""

TEXT_S = 0.5
"""For that question: a line, which a Redis answers and no Kafka does."""

ADDRESSES_MAX = 3

_SASL_HANDSHAKE = 17
_ILLEGAL_SASL_STATE = 34
_ANSWER_BYTES_MAX = 65_536


class Seen(StrEnum):
    """What a connection found."""

    UNKNOWN_HOST = "its name is not known here (DNS)"
    REFUSED = "the connection was refused: nothing listens there"
    UNREACHABLE = "there is no way to it from here"
    SILENT = "nothing answers (a firewall, or a wrong address?)"
    NO_KAFKA = "what answers there is no Kafka"
    KAFKA = "a Kafka answers"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What one address is.

    Attributes:
        is_tls: whether it speaks TLS; None: nobody answered.
        mechanisms: the logins it takes; () where it takes none; None: it did not say.
    """

    address: str
    seen: Seen
    is_tls: bool | None = None
    mechanisms: tuple[str, ...] | None = None


class Connecting:
    """What is told while a client waits for a Kafka that may be about to start.

    Attributes:
        is_waiting: a client is being made.
    """

    def __init__(self) -> None:
        self.is_waiting = False

    def say(self, why: str, *, left_s: float) -> None:
        """So long it goes on waiting; said once for each client that waits."""

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """While this lasts, nothing is under way but the wait."""
        before, self.is_waiting = self.is_waiting, True
        try:
            yield
        finally:
            self.is_waiting = before


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


def probe(server: str, *, within_s: float = PROBE_S) -> Finding:
    """Look at one address."""
    deadline_s = time.monotonic() + within_s
    is_tls = None
    try:
        is_tls = _answers_tls(_connected(server, deadline_s), deadline_s)
        seen, mechanisms = _asked(_connected(server, deadline_s), deadline_s, is_tls=is_tls)
    except OSError as error:
        seen = _meaning(error)
        if seen is Seen.SILENT and _answers_a_line(
            server, time.monotonic() + TEXT_S, is_tls=is_tls
        ):
            return Finding(address=server, seen=Seen.NO_KAFKA, is_tls=bool(is_tls))
        return Finding(address=server, seen=seen)
    return Finding(address=server, seen=seen, is_tls=is_tls, mechanisms=mechanisms)


def best(servers: Sequence[str], *, within_s: float = PROBE_S) -> Finding:
    """The first of these addresses where a Kafka answers; the first one, if none does."""
    looked_at = servers[:ADDRESSES_MAX]
    found = []
    for server in looked_at:
        found.append(probe(server, within_s=within_s / len(looked_at)))
        if found[-1].seen is Seen.KAFKA:
            return found[-1]
    return found[0]


def unreachable(servers: Iterable[str], *, within_s: float = PROBE_S) -> str | None:
    """Why none of these addresses takes a connection, the first's reason; None: one does."""
    why = None
    for server in [*servers][:ADDRESSES_MAX]:
        try:
            _connected(server, time.monotonic() + within_s).close()
        except OSError as error:
            why = why or f"{server}: {_meaning(error)}"
        else:
            return None
    return why


def wrong_protocol(finding: Finding, *, protocol: str, mechanism: str | None) -> str | None:
    """What of a client's settings does not fit a broker, and what does; None: nothing is known to.

    Args:
        finding: of the broker.
        protocol: the client's `security_protocol`.
        mechanism: of its login, if it has one.
    """
    is_tls, has_login = protocol.endswith("SSL"), protocol.startswith("SASL")
    offered, wrong = finding.mechanisms, None
    fitting = ("SASL_" if offered else "") + ("SSL" if finding.is_tls else "PLAINTEXT")
    if finding.seen is Seen.NO_KAFKA:
        return f"{finding.address}: {finding.seen.value}; check kafka.bootstrap_servers"
    if finding.is_tls and not is_tls:
        wrong = "it speaks TLS, and this client does not"
    elif finding.is_tls is False and is_tls:
        wrong = "it speaks no TLS, and this client does"
    elif offered and not has_login:
        wrong = f"it wants a login ({', '.join(offered)}), and this client has none"
    elif offered == () and has_login:
        wrong = "it takes no logins, and this client has one"
    elif offered and mechanism is not None and mechanism.upper() not in offered:
        return (
            f"{finding.address}: its logins are {', '.join(offered)}, and not {mechanism}; set "
            "sasl_mechanism to one of them"
        )
    if wrong is None:
        return None
    return f'{finding.address}: {wrong}; set security_protocol = "{fitting}", or name another port'


def useless_file(options: Mapping[str, object], names: Iterable[str]) -> str | None:
    """Which file that an option names is of no use, and why; None: all are.

    Args:
        options: a client's.
        names: of those that are paths of PEM files; a folder of them will do, and so will a
            key store, which is no PEM.
    """
    for name in names:
        path = options.get(name)
        if not isinstance(path, str) or not path:
            continue
        try:
            place = Path(path)
            is_pem = place.is_dir() or b"-----BEGIN" in place.read_bytes()
        except OSError as error:
            is_absent = isinstance(error, FileNotFoundError)
            return f"{name}: {path}: {'there is no such file' if is_absent else error.strerror}"
        if not is_pem and "keystore" not in name:
            return f"{name}: {path}: it holds no PEM (-----BEGIN …-----)"
    return None


def advertised(brokers: Iterable[tuple[str, int]], servers: str) -> str | None:
    """Why none of the addresses that a cluster gives for itself can be reached; None: one can.

    Args:
        brokers: host and port of each, as a client was told.
        servers: `kafka.bootstrap_servers`, one of which has just answered.
    """
    told = {f"{host}:{port}" for host, port in brokers}
    if not told or told & {server.strip() for server in servers.split(",")}:
        return None  # it did answer
    why = unreachable(sorted(told))
    if why is None:
        return None
    return (
        f"Kafka answers at {servers} and says that its brokers are elsewhere, where nothing can be "
        f"reached from here: {why}; set the broker's advertised.listeners to an address that "
        "this machine can reach, or run where that one is known"
    )


def _meaning(error: OSError) -> Seen:
    if isinstance(error, socket.gaierror):
        return Seen.UNKNOWN_HOST
    if isinstance(error, ConnectionRefusedError):
        return Seen.REFUSED
    return Seen.SILENT if isinstance(error, TimeoutError) else Seen.UNREACHABLE


def _connected(server: str, deadline_s: float) -> socket.socket:
    return socket.create_connection(split(server), timeout=_left_s(deadline_s))


def _left_s(deadline_s: float) -> float:
    left_s = deadline_s - time.monotonic()
    if left_s <= 0:
        raise TimeoutError
    return left_s


def _answers_tls(connection: socket.socket, deadline_s: float) -> bool:
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


def _answers_a_line(server: str, deadline_s: float, *, is_tls: bool | None) -> bool:
    """Whether a line of text is answered as a Redis does, with a sign and a line.

    A Redis waits for a line's end, which a TLS greeting or a request of Kafka's does not have.
    """
    try:
        connection = _connected(server, deadline_s)
        with closing(_trusting().wrap_socket(connection) if is_tls else connection) as speaking:
            speaking.sendall(b"PING\r\n")
            return _received(speaking, 1, deadline_s) in b"+-"
    except OSError:
        return False  # a Kafka takes it for a request of 1.3 GB, and hangs up


def _asked(
    connection: socket.socket, deadline_s: float, *, is_tls: bool
) -> tuple[Seen, tuple[str, ...] | None]:
    """Which logins a broker takes: it lists them to whoever asks for one that there is not."""
    request = struct.pack(">hhih5sh1s", _SASL_HANDSHAKE, 1, 7, 5, b"probe", 1, b"?")
    with closing(connection):
        speaking = connection
        try:
            if is_tls:
                speaking = _trusting().wrap_socket(connection)
            speaking.sendall(struct.pack(">i", len(request)) + request)
            (length,) = struct.unpack(">i", _received(speaking, 4, deadline_s))
            if not 10 <= length <= _ANSWER_BYTES_MAX:  # noqa: PLR2004
                return Seen.NO_KAFKA, None
            answer = _received(speaking, length, deadline_s)
        except ssl.SSLError:
            return Seen.KAFKA, None  # it wants a certificate of ours, perhaps
        except ConnectionError:
            return Seen.NO_KAFKA if not is_tls else Seen.KAFKA, None
        number, code, n = struct.unpack_from(">ihi", answer)
        if number != 7:  # noqa: PLR2004
            return Seen.NO_KAFKA, None
        if code == _ILLEGAL_SASL_STATE:
            return Seen.KAFKA, ()
        mechanisms, at = [], 10
        for _ in range(max(0, n)):
            (size,) = struct.unpack_from(">h", answer, at)
            mechanisms.append(answer[at + 2 : at + 2 + size].decode("ascii", "replace"))
            at += 2 + size
        return Seen.KAFKA, tuple(mechanisms)


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
