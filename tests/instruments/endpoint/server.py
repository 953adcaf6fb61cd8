"""A Kafka broker of one node, as far as our clients' transactions and groups need one.

It is honest: it never fails on request. Faults are made by the proxy before it, the same one that
stands before a real broker (tests/instruments/faults/proxy.py), so that both can be asked the same
questions.

What it leaves out: records are never fetched from it (a fetch is answered, with nothing), a session
ends only by `Group.expel`, and a transaction's markers are written at once, so that nobody is told
CONCURRENT_TRANSACTIONS but by InitProducerId.
"""

import socket
import socketserver
import threading
import time
from collections.abc import Callable
from typing import Any, Self

from tests.instruments.endpoint import calls_cluster, calls_group, calls_transaction, wire
from tests.instruments.endpoint.state import HOST, State

EXPIRE_EVERY_S = 0.05

ANSWERS: dict[int, Callable[[State, wire.Asked], Any]] = {
    wire.API_VERSIONS: calls_cluster.api_versions,
    wire.METADATA: calls_cluster.metadata_of,
    wire.FIND_COORDINATOR: calls_cluster.find_coordinator,
    wire.LIST_TRANSACTIONS: calls_cluster.list_transactions,
    wire.FETCH: calls_cluster.fetch,
    wire.INIT_PRODUCER_ID: calls_transaction.init_producer_id,
    wire.ADD_PARTITIONS: calls_transaction.add_partitions,
    wire.ADD_OFFSETS: calls_transaction.add_offsets,
    wire.PRODUCE: calls_transaction.produce,
    wire.TXN_OFFSET_COMMIT: calls_transaction.txn_offset_commit,
    wire.END_TXN: calls_transaction.end_txn,
    wire.OFFSET_FETCH: calls_group.offset_fetch,
    wire.JOIN_GROUP: calls_group.join_group,
    wire.SYNC_GROUP: calls_group.sync_group,
    wire.HEARTBEAT: calls_group.heartbeat,
    wire.LEAVE_GROUP: calls_group.leave_group,
}


class Endpoint:
    """A context manager: listens while it is entered.

    Args:
        topics: name -> how many partitions.
        advertised_port: where clients are told to go; None: here.
    """

    def __init__(self, topics: dict[str, int], *, advertised_port: int | None = None) -> None:
        self.state = State(topics)
        self._server = _Server(self.state)
        self.port: int = self._server.server_address[1]
        self.state.advertised_port = advertised_port or self.port
        self._over = threading.Event()
        self._threads = [
            threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True),
            threading.Thread(target=self._expire, daemon=True),
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._server.shutdown()
        self._server.server_close()

    def _expire(self) -> None:
        while not self._over.wait(EXPIRE_EVERY_S):
            with self.state.lock:
                self.state.ledger.expire(time.monotonic())


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, state: State) -> None:
        self.state = state
        super().__init__((HOST, 0), _Connection)


class _Connection(socketserver.BaseRequestHandler):
    """One client's connection: one request after another, as a broker serves them."""

    server: _Server
    request: socket.socket

    def handle(self) -> None:
        self.request.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        state = self.server.state
        with self.request.makefile("rb") as stream:
            try:
                while len(size := stream.read(wire.LENGTH.size)) == wire.LENGTH.size:
                    (length,) = wire.LENGTH.unpack(size)
                    request = wire.asked(stream.read(length))
                    response = ANSWERS[request.api](state, request)
                    self.request.sendall(wire.answer(request, response))
            except OSError:
                return  # the client went away
