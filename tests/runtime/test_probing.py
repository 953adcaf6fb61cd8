"""What answers at an address: told by one look, within its time, whoever listens there."""

import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from stream.probing import (
    Finding,
    Seen,
    advertised,
    best,
    probe,
    unreachable,
    useless_file,
    wrong_protocol,
)
from tests.commands.project import closed_port

WITHIN_S = 0.5


@contextmanager
def listening(answer: Callable[[socket.socket], object]) -> Iterator[str]:
    """A server that does this with each connection."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                threading.Thread(target=answer, args=(connection,), daemon=True).start()

        threading.Thread(target=serve, daemon=True).start()
        yield f"127.0.0.1:{server.getsockname()[1]}"


def _says(text: bytes) -> Callable[[socket.socket], None]:
    def answer(connection: socket.socket) -> None:
        connection.recv(4096)
        connection.sendall(text)
        connection.close()

    return answer


def test_a_port_where_nothing_listens_refuses() -> None:
    """Apart from one that is silent, and from a name that nobody knows."""
    assert probe(f"127.0.0.1:{closed_port()}").seen is Seen.REFUSED
    assert probe("no.such.host.invalid:9092").seen is Seen.UNKNOWN_HOST


def test_a_silent_port_is_given_up_in_time() -> None:
    """A firewall, or a broker that hangs."""
    with listening(lambda _: time.sleep(60)) as address:
        began_s = time.monotonic()
        found = probe(address, within_s=WITHIN_S)

    assert found.seen is Seen.SILENT
    assert time.monotonic() - began_s < WITHIN_S + 5.0


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"-ERR unknown command\r\n",
        b"\0" * 64,
        b"\xff" * 9,
    ],
)
def test_what_is_no_kafka_is_told(text: bytes) -> None:
    """A web server, a Redis, a proxy that hangs up, noise."""
    with listening(_says(text)) as address:
        found = probe(address, within_s=WITHIN_S)

    assert found.seen in (Seen.NO_KAFKA, Seen.SILENT)
    if found.seen is Seen.NO_KAFKA:
        told = wrong_protocol(found, protocol="PLAINTEXT", mechanism=None)
        assert told is not None
        assert "check kafka.bootstrap_servers" in told


@pytest.mark.parametrize("greeting", [b"+PONG\r\n", b"-NOAUTH Authentication required.\r\n"])
def test_what_waits_for_a_line_is_no_kafka(greeting: bytes) -> None:
    """As a Redis does: neither a TLS greeting nor a request of Kafka's ends a line."""

    def answer(connection: socket.socket) -> None:
        while connection.recv(4096) != b"PING\r\n":
            pass
        connection.sendall(greeting)

    with listening(answer) as address:
        found = probe(address, within_s=WITHIN_S)

    assert found.seen is Seen.NO_KAFKA
    told = wrong_protocol(found, protocol="SASL_SSL", mechanism="PLAIN")
    assert told == f"{address}: {Seen.NO_KAFKA}; check kafka.bootstrap_servers"


def test_the_first_address_that_answers_tells() -> None:
    """Others may be down."""
    closed = f"127.0.0.1:{closed_port()}"
    with listening(_says(b"nonsense")) as address:
        assert best([closed, address]).address == closed
        assert unreachable([closed, address]) is None
    assert unreachable([closed]) == f"{closed}: {Seen.REFUSED}"


def _found(*, tls: bool, logins: tuple[str, ...] | None) -> Finding:
    return Finding(address="k:1", seen=Seen.KAFKA, is_tls=tls, mechanisms=logins)


@pytest.mark.parametrize(
    ("tls", "logins", "protocol", "mechanism", "told"),
    [
        (True, (), "PLAINTEXT", None, 'speaks TLS, and this client does not.*"SSL"'),
        (True, ("PLAIN",), "PLAINTEXT", None, '"SASL_SSL"'),
        (True, ("PLAIN",), "SASL_PLAINTEXT", "PLAIN", '"SASL_SSL"'),
        (False, (), "SSL", None, 'speaks no TLS.*"PLAINTEXT"'),
        (False, ("PLAIN",), "SASL_SSL", "PLAIN", '"SASL_PLAINTEXT"'),
        (False, ("PLAIN",), "PLAINTEXT", None, r"wants a login \(PLAIN\)"),
        (False, (), "SASL_PLAINTEXT", "PLAIN", "takes no logins"),
        (True, ("SCRAM-SHA-512",), "SASL_SSL", "PLAIN", "SCRAM-SHA-512, and not PLAIN"),
        (False, (), "PLAINTEXT", None, None),
        (True, ("PLAIN",), "SASL_SSL", "PLAIN", None),
        (True, None, "SASL_SSL", "PLAIN", None),
    ],
)
def test_what_does_not_fit_is_told_with_what_does(
    *, tls: bool, logins: tuple[str, ...] | None, protocol: str, mechanism: str | None,
    told: str | None,
) -> None:  # fmt: skip
    """One line that says what to write."""
    wrong = wrong_protocol(_found(tls=tls, logins=logins), protocol=protocol, mechanism=mechanism)

    if told is None:
        assert wrong is None
    else:
        assert wrong is not None
        assert re.search(told, wrong), wrong


def test_a_file_of_no_use_is_named(tmp_path: Path) -> None:
    """Missing, or no PEM; a folder and a key store are left to the client."""
    garbage, good = tmp_path / "garbage.pem", tmp_path / "good.pem"
    garbage.write_text("no certificate")
    good.write_text("-----BEGIN CERTIFICATE-----\n")
    names = ("ca", "keystore")

    assert useless_file({"ca": str(good), "keystore": str(garbage)}, names) is None
    assert useless_file({"ca": str(tmp_path)}, names) is None
    assert useless_file({"ca": None, "keystore": ""}, names) is None
    assert useless_file({"ca": "/no/ca.pem"}, names) == "ca: /no/ca.pem: there is no such file"
    told = useless_file({"ca": str(garbage)}, names)
    assert told is not None
    assert "holds no PEM" in told


def test_brokers_that_are_elsewhere_are_told() -> None:
    """The classic: the bootstrap answers, and names a host that only its own network knows."""
    port = closed_port()

    told = advertised([("127.0.0.1", port)], "127.0.0.1:9092")

    assert told is not None
    assert f"127.0.0.1:{port}: {Seen.REFUSED}" in told
    assert "advertised.listeners" in told
    assert advertised([("127.0.0.1", 9092), ("elsewhere.invalid", 1)], "127.0.0.1:9092") is None
    assert advertised([], "127.0.0.1:9092") is None
