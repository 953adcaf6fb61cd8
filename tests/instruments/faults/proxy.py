"""A TCP proxy before a broker that knows Kafka's frames, and does to them what a row asks.

A request begins with api_key, api_version and correlation id; a response with the correlation id.
So a rule may meet the k-th request or response of one API: drop it, hold it, or cut the connection.
"""

import asyncio
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Literal

HEAD = struct.Struct(">hhi")
CORRELATION = struct.Struct(">i")
RELEASED_S = 1.0
"""So long a request that was held may take until it is answered."""

FRAME_BYTES_MAX = 64 << 20

PRODUCE, FETCH, METADATA = 0, 1, 3
INIT_PRODUCER_ID, ADD_PARTITIONS, ADD_OFFSETS, END_TXN, TXN_OFFSET_COMMIT = 22, 24, 25, 26, 28
WRITE_MARKERS = 27
"""Between brokers: from a transaction's coordinator to the leaders of its partitions."""

FLEXIBLE_FROM = {INIT_PRODUCER_ID: 2, ADD_OFFSETS: 3, END_TXN: 3, TXN_OFFSET_COMMIT: 3}
"""From this version on an answer has a byte of tags before the throttle time."""


def error_code_at(api: int, version: int, body: bytes) -> int:
    """Where an answer (what follows its correlation id) has its first error code."""
    behind_throttle = 4 + (version >= FLEXIBLE_FROM[api])
    if api != TXN_OFFSET_COMMIT:
        return behind_throttle
    # One topic, then one or more partitions: the lengths, in a byte each, are one more.
    assert version >= FLEXIBLE_FROM[api], "only compact arrays are known here"
    name_length = body[behind_throttle + 1] - 1
    return behind_throttle + 2 + name_length + 1 + 4


def error_code(api: int, version: int, body: bytes) -> int:
    """The first error code of an answer."""
    (found,) = struct.unpack_from(">h", body, error_code_at(api, version, body))
    return int(found)


@dataclass(slots=True)
class Rule:
    """What happens to some frames of one API.

    Attributes:
        api: its key.
        do: "drop": it never arrives. "cut": it never arrives, and the connection is closed.
            "hang": it never arrives, nor does anything after it on this connection.
            "delay": it arrives after `delay_s`, even if the client has closed the connection.
            "hold": a request arrives only when `Proxy.release` is called, over the old connection,
            which is closed towards the client. "change": `change` makes another response of it.
            "wait": a request, and those behind it, arrive when `Proxy.let_go` is called.
            "answer": the broker never sees the request; `change` makes a response of it.
            "release": what is held arrives, and is answered, before this request does.
        side: requests or responses.
        first, last: which of them, counted from 1 since the rule was set.
        change: (api_version, frame after its length) -> the response after its length.
        hits, over: how many frames it met, and what of them is over.
    """

    api: int
    do: Literal["drop", "cut", "hang", "delay", "hold", "wait", "change", "answer", "release"]
    side: Literal["request", "response"] = "response"
    first: int = 1
    last: int = 1 << 60
    change: Callable[[int, bytes], bytes] | None = None
    delay_s: float = 0.0
    seen: int = 0
    hits: int = 0
    over: int = 0

    def meets(self, api: int, side: str) -> bool:
        """Whether this frame is meant; counts it."""
        if (api, side) != (self.api, self.side):
            return False
        self.seen += 1
        is_meant = self.first <= self.seen <= self.last
        self.hits += is_meant
        return is_meant


@dataclass(slots=True)
class _Pair:
    """One client's connection and ours to the broker."""

    client: asyncio.StreamWriter
    broker: asyncio.StreamWriter
    asked: dict[int, tuple[int, int]] = field(default_factory=dict)
    passed_bytes: int = 0
    is_held: bool = False
    is_silent: bool = False


class Proxy:
    """Runs in a thread of its own; every method may be called from any thread.

    Attributes:
        rules: asked in order, for every frame.
        latency_s: added to every frame, each way.
        is_half_open: accepts and keeps connections, and passes nothing on.
        cut_after_bytes: a connection is closed after so many; None: never.
        frames: requests that came, by API.
        versions: those, by API and version.
        late: answers to what was held: (api, version, response after the correlation id).
        cuts_n: connections that were closed on purpose.
    """

    def __init__(self, *, port: int, to_port: int) -> None:
        self.port = port
        self.to_port = to_port
        self.rules: list[Rule] = []
        self.latency_s = 0.0
        self.is_half_open = False
        self.cut_after_bytes: int | None = None
        self.frames: Counter[int] = Counter()
        self.versions: Counter[tuple[int, int]] = Counter()
        self.late: list[tuple[int, int, bytes]] = []
        self.cuts_n = 0
        self._pairs: list[_Pair] = []
        self._held: list[tuple[_Pair, bytes]] = []
        self._gate = asyncio.Event()
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, name="proxy", daemon=True)

    def start(self) -> None:
        """Listen; returns when it does."""
        self._thread.start()
        assert self._ready.wait(10), f"the proxy could not listen on port {self.port}"

    def stop(self) -> None:
        """Close everything."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    def heal(self) -> None:
        """Pass everything on from now on."""
        self.rules, self.latency_s, self.is_half_open = [], 0.0, False
        self.cut_after_bytes = None
        self.let_go()

    def cut(self, share: float = 1.0) -> int:
        """Close this share of the connections, oldest first. Returns: how many."""
        return self._ask(self._cut(share))

    def release(self) -> int:
        """Let the held requests arrive; returns when they are answered. Returns: how many."""
        return self._ask(self._release())

    def let_go(self) -> None:
        """Let the waiting requests arrive."""
        self._loop.call_soon_threadsafe(self._open_gate)

    def met(self, rule: Rule, *, within_s: float = 30.0) -> None:
        """Wait until a rule had something to do."""
        deadline = time.monotonic() + within_s
        while not rule.hits:
            assert time.monotonic() < deadline, f"no frame for {rule} within {within_s:g} s"
            time.sleep(0.02)

    def _ask(self, coroutine: Coroutine[Any, Any, int]) -> int:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(10)

    def _open_gate(self) -> None:
        gate, self._gate = self._gate, asyncio.Event()
        gate.set()

    async def _cut(self, share: float) -> int:
        open_ = [p for p in self._pairs if not p.client.is_closing()]
        chosen = open_[: max(1, round(len(open_) * share))] if open_ else []
        for pair in chosen:
            _close(pair)
        self.cuts_n += len(chosen)
        return len(chosen)

    async def _release(self) -> int:
        held, self._held = self._held, []
        for pair, frame in held:
            pair.broker.write(frame)
            with suppress(OSError):
                await pair.broker.drain()
        # The answers come to nobody; until then the broker must not see the connection close.
        deadline = self._loop.time() + RELEASED_S
        while any(p.asked for p, _ in held) and self._loop.time() < deadline:  # noqa: ASYNC110
            await asyncio.sleep(0.005)
        for pair, _ in held:
            pair.broker.close()
        return len(held)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(
            asyncio.start_server(self._accept, "127.0.0.1", self.port, backlog=256)
        )
        self._ready.set()
        self._loop.run_forever()
        for task in asyncio.all_tasks(self._loop):
            task.cancel()
        for pair in self._pairs:
            _close(pair)
        self._loop.run_until_complete(asyncio.sleep(0))

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            up_reader, up_writer = await asyncio.open_connection("127.0.0.1", self.to_port)
        except OSError:
            writer.close()
            return
        pair = _Pair(writer, up_writer)
        self._pairs.append(pair)
        try:
            with suppress(asyncio.CancelledError):  # the proxy is stopped
                await asyncio.gather(self._requests(pair, reader), self._responses(pair, up_reader))
        finally:
            _close(pair)
            self._pairs.remove(pair)

    async def _requests(self, pair: _Pair, reader: asyncio.StreamReader) -> None:
        while (frame := await self._frame(reader)) is not None:
            api, version, correlation = HEAD.unpack_from(frame, 4)
            pair.asked[correlation] = (api, version)
            self.frames[api] += 1
            self.versions[api, version] += 1
            rule = self._rule(api, "request")
            if rule is not None and rule.do == "hold":
                self._held.append((pair, frame))
                pair.is_held = True
                pair.client.close()
                return
            if rule is not None and rule.do == "wait":
                await self._gate.wait()
            if rule is None or rule.do == "wait":
                await self._pass(pair, pair.broker, frame)
            elif rule.do == "cut":
                break
            else:
                await self._met(pair, rule, frame)
        if not pair.is_held:
            _close(pair)

    async def _responses(self, pair: _Pair, reader: asyncio.StreamReader) -> None:
        while (frame := await self._frame(reader)) is not None:
            (correlation,) = CORRELATION.unpack_from(frame, 4)
            api, version = pair.asked.pop(correlation, (-1, 0))
            if pair.is_held:
                self.late.append((api, version, frame[8:]))
            rule = self._rule(api, "response")
            if rule is not None:
                if rule.do == "cut":
                    break
                if rule.do not in ("change", "delay"):
                    pair.is_silent = pair.is_silent or rule.do == "hang"
                    continue
                if rule.do == "change":
                    frame = _changed(rule, version, frame)
                await asyncio.sleep(rule.delay_s)
            await self._pass(pair, pair.client, frame)
        _close(pair)

    async def _met(self, pair: _Pair, rule: Rule, frame: bytes) -> None:
        """A request that does not just pass."""
        _, version, correlation = HEAD.unpack_from(frame, 4)
        if rule.do in ("delay", "release"):
            await asyncio.sleep(rule.delay_s)
            if rule.do == "release":
                await self._release()
            await self._pass(pair, pair.broker, frame)
            rule.over += 1
            return
        pair.asked.pop(correlation, None)
        if rule.do == "hang":
            pair.is_silent = True
        elif rule.do == "answer":
            while pair.asked and not pair.client.is_closing():  # noqa: ASYNC110  # a client expects its answers in their order
                await asyncio.sleep(0.001)
            await self._pass(pair, pair.client, _changed(rule, version, frame))

    async def _frame(self, reader: asyncio.StreamReader) -> bytes | None:
        try:
            size = await reader.readexactly(4)
            (length,) = CORRELATION.unpack(size)
            if not 0 <= length <= FRAME_BYTES_MAX:
                return None
            return size + await reader.readexactly(length)
        except (OSError, asyncio.IncompleteReadError):
            return None

    def _rule(self, api: int, side: str) -> Rule | None:
        return next((rule for rule in self.rules if rule.meets(api, side)), None)

    async def _pass(self, pair: _Pair, to: asyncio.StreamWriter, frame: bytes) -> None:
        if pair.is_silent:
            return
        if self.latency_s:
            await asyncio.sleep(self.latency_s)
        while self.is_half_open:  # noqa: ASYNC110  # set from another thread
            await asyncio.sleep(0.05)
        pair.passed_bytes += len(frame)
        limit = self.cut_after_bytes
        with suppress(OSError):
            if limit is not None and pair.passed_bytes > limit:
                # In the middle of a frame: the worst place.
                to.write(frame[: len(frame) // 2])
                await to.drain()
                _close(pair)
                self.cuts_n += 1
                return
            to.write(frame)
            await to.drain()


def _changed(rule: Rule, version: int, frame: bytes) -> bytes:
    assert rule.change is not None
    body = rule.change(version, frame[4:])
    return CORRELATION.pack(len(body)) + body


def _close(pair: _Pair) -> None:
    pair.client.close()
    if not pair.is_held:
        pair.broker.close()
