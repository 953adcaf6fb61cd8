"""What answers at a Kafka's address, asked with one connection: for messages, when a client fails.

A client that speaks plainly to a TLS port, or knows no login where one is wanted, hears nothing but
a hang-up. A TLS greeting and one request that every broker answers before a login tell more; no
secret is sent, and nobody's certificate is believed.
"""

import socket
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from stream.handshakes import answers_a_line, answers_tls, connected, logins

PROBE_S = 1.5
"""For one address, all of it but one more question to what is silent."""

TEXT_S = 0.5
"""For that question: a line, which a Redis answers and no Kafka does."""

ADDRESSES_MAX = 3


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


def probe(server: str, *, within_s: float = PROBE_S) -> Finding:
    """Look at one address."""
    deadline_s = time.monotonic() + within_s
    is_tls = None
    try:
        is_tls = answers_tls(connected(server, deadline_s), deadline_s)
        is_kafka, mechanisms = logins(connected(server, deadline_s), deadline_s, is_tls=is_tls)
    except OSError as error:
        seen = _meaning(error)
        if seen is Seen.SILENT and answers_a_line(server, time.monotonic() + TEXT_S, is_tls=is_tls):
            return Finding(address=server, seen=Seen.NO_KAFKA, is_tls=bool(is_tls))
        return Finding(address=server, seen=seen)
    seen = Seen.KAFKA if is_kafka else Seen.NO_KAFKA
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
            connected(server, time.monotonic() + within_s).close()
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
    addresses = {f"{host}:{port}" for host, port in brokers}
    if not addresses or addresses & {server.strip() for server in servers.split(",")}:
        return None  # it did answer
    why = unreachable(sorted(addresses))
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
