"""The verifier itself: it must see what it is there for, and the proxy must do what it says."""

import json
import socket
import struct
import threading
from types import SimpleNamespace
from typing import Any

import pytest
from kafka import TopicPartition

from stream.sandbox.ready import free_port
from tests.instruments.faults import expected, models
from tests.instruments.faults.events import stream
from tests.instruments.faults.proxy import END_TXN, HEAD, Proxy, Rule
from tests.instruments.faults.settled import _unlike_the_loop
from tests.instruments.faults.verifier import Verifier

PREDICTIONS = TopicPartition("p.predictions", 0)


def _verifier() -> Verifier:
    return Verifier(bootstrap="127.0.0.1:1", pipeline="p", partitions_n=1, patience_s=0.0)


def _prediction(offset: int, **more: object) -> Any:
    value = json.dumps({"partition": 0, "offset": offset, **more}).encode()
    return SimpleNamespace(offset=offset, key=b"k", value=value, headers=[])


class _Admin:
    """Says what is committed."""

    def __init__(self, *offsets: int) -> None:
        self._offsets = iter(offsets)

    def list_group_offsets(self, group: str) -> Any:
        """The client's."""
        offset = SimpleNamespace(offset=next(self._offsets))
        return {group: {TopicPartition("p.events", 0): offset}}


def _look(verifier: Verifier, admin: _Admin, times: int) -> None:
    for _ in range(times):
        verifier._look_at_offsets(admin, lambda: False)


@pytest.mark.parametrize(
    ("offsets", "committed", "stable", "broken"),
    [
        ([0, 1, 2], [3, 3, 3], 3, ""),
        ([0, 1, 1], [2, 2, 2], 2, "I1: input offset 0:1 has two outcomes"),
        ([0, 2, 1], [3, 3, 3], 3, "I3"),
        ([0, 1, 2], [3, 2, 3], 2, "I6"),
        ([0, 1, 2], [3, 2, 3], 3, ""),  # a coordinator that just took over
        ([0, 2], [3, 3, 3], 3, "I1: 3 is committed in partition 0, and offset 1"),
        ([0, 1, 2], [2, 2, 2], 2, "I4"),
    ],
)
def test_what_breaks_an_invariant_is_seen(
    offsets: list[int],
    committed: list[int],
    stable: int,
    broken: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """And what does not, is not."""
    monkeypatch.setattr(Verifier, "_stable_offset", lambda *_: stable)
    verifier = _verifier()
    verifier._take(PREDICTIONS, [_prediction(o) for o in offsets])

    _look(verifier, _Admin(*committed), len(committed))

    if broken:
        assert any(broken in found for found in verifier.broken), verifier.broken
    else:
        assert verifier.broken == []


def _answers(spoil: bool) -> tuple[dict[str, list[Any]], expected.Expected]:
    values = stream(1)
    records = [(n, next(values)) for n in range(300)]
    answer = expected.of(records, models.logistic, expected.event_of)
    told = {o: dict(a) for o, a in answer.predictions.items()}
    if spoil:
        probabilities = told[200]["probabilities"]
        told[200]["probabilities"] = {k: v + 2e-16 for k, v in probabilities.items()}
    outputs = {
        "predictions": [_prediction(o, v=1, id="x", **a) for o, a in told.items()],
        "quarantine": [
            SimpleNamespace(value=v, headers=[("stream.offset", b"%d" % o)])
            for o, v in answer.quarantined.items()
        ],
        "alerts": [
            SimpleNamespace(value=json.dumps({"name": n, "offset": o, "kind": "drift"}).encode())
            for n, o in answer.drifts
        ],
    }
    return outputs, answer


@pytest.mark.parametrize("spoil", [False, True])
def test_one_wrong_bit_is_seen(spoil: bool) -> None:
    """A probability that is off by its last bit is not the plain loop's."""
    outputs, answer = _answers(spoil)

    found = _unlike_the_loop(0, outputs, answer)

    assert [f[:2] for f in found] == (["I2"] if spoil else [])


def test_a_missing_quarantined_record_is_seen() -> None:
    """Neither dropped nor repeated."""
    outputs, answer = _answers(spoil=False)
    del outputs["quarantine"][0]

    assert [f[:2] for f in _unlike_the_loop(0, outputs, answer)] == ["I1"]


def _echo(listener: socket.socket, got: list[bytes]) -> None:
    """A broker that answers each request with its correlation id."""
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        with connection, connection.makefile("rb") as file:
            while size := file.read(4):
                frame = file.read(struct.unpack(">i", size)[0])
                got.append(frame)
                connection.sendall(struct.pack(">i", 4) + frame[4:8])


def _request(api: int, correlation: int) -> bytes:
    body = HEAD.pack(api, 3, correlation)
    return struct.pack(">i", len(body)) + body


def test_the_proxy_meets_the_kth_frame_of_an_api() -> None:
    """The second answer to EndTxn is dropped, other frames pass; a cut closes the connection."""
    got: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=_echo, args=(listener, got), daemon=True).start()
        proxy = Proxy(port=free_port(), to_port=listener.getsockname()[1])
        proxy.start()
        proxy.rules = [Rule(api=END_TXN, do="drop", first=2, last=2)]
        with socket.create_connection(("127.0.0.1", proxy.port), 5) as client:
            for correlation, api in enumerate((END_TXN, 0, END_TXN, END_TXN)):
                client.sendall(_request(api, correlation))
            answers = b""
            while len(answers) < 24:
                answers += client.recv(64)
            proxy.met(proxy.rules[0])
            proxy.cut()
            assert client.recv(64) == b""
        proxy.stop()

    assert [struct.unpack(">i", answers[n + 4 : n + 8])[0] for n in (0, 8, 16)] == [0, 1, 3]
    assert len(got) == 4
