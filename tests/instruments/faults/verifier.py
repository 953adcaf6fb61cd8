"""Reads what everybody may read, while the fault goes on, and remembers what broke.

A consumer of its own with `read_committed`, and an administrator's look at the group's offsets;
nothing of `stream` is asked. Watched without end, of each partition:

I1  no input offset has two outcomes; one below the committed offset has one (after a moment)
I3  outcomes come in the order of the input
I4  no outcome stays visible while its input offset does not become committed (after a moment)
I6  the committed offset never goes back

I2 and I5 need the end: see `settled.py`.
"""

import bisect
import json
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from kafka import KafkaAdminClient, KafkaConsumer, TopicPartition, errors

CHANNELS = ("predictions", "quarantine", "alerts")
LOOK_EVERY_S = 0.2
CALL_MS = 3_000

MARKERS_S = 60.0
"""The patience it takes where replicas are away: the markers of one transaction become visible one
by one. The group's may be written, and those of its outputs wait for a broker that hangs or is
gone: the offset is committed then, and its outcome lies in the log, before the end that is stable.
"""


@dataclass(frozen=True, slots=True)
class Seen:
    """An output record, byte for byte."""

    offset: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...]


def input_offset(channel: str, record: Any) -> int:
    """Which input offset an output record is the outcome of."""
    if channel == "quarantine":
        return int(dict(record.headers)["stream.offset"])
    return int(json.loads(record.value)["offset"])


class Verifier:
    """Watches one pipeline from a thread of its own, from `start` to `stop`.

    Args:
        bootstrap: of a listener that no fault touches.
        pipeline: its topics and its group.
        partitions_n: of the events topic; `widen` tells of more.
        patience_s: how long what is visible and what is committed may differ. The markers of one
            transaction are written one after another, also after a broker died in between.
        is_dense: whether each input offset holds a record.
    """

    def __init__(
        self,
        *,
        bootstrap: str,
        pipeline: str,
        partitions_n: int,
        patience_s: float = 10.0,
        is_dense: bool = True,
    ) -> None:
        self.bootstrap = bootstrap
        self.pipeline = pipeline
        self.partitions_n = partitions_n
        self.broken: list[str] = []
        self.forget_values = False
        self.live: dict[TopicPartition, list[Seen]] = defaultdict(list)
        self.committed: dict[int, int] = {}
        self.arrivals: list[tuple[float, int]] = []
        self._outcomes: dict[int, set[int]] = defaultdict(set)
        self._frontier: dict[int, int] = defaultdict(int)
        self._furthest: dict[int, int] = defaultdict(lambda: -1)
        self._last: dict[TopicPartition, int] = {}
        self._odd_since: dict[tuple[str, int], tuple[int, float]] = {}
        self._patience_s = patience_s
        self._is_dense = is_dense
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="verifier", daemon=True)

    def start(self) -> None:
        """Begin to watch."""
        self._thread.start()

    def stop(self) -> None:
        """Watch no more."""
        self._over.set()
        self._thread.join(30)

    def widen(self, partitions_n: int) -> None:
        """Watch partitions that were added."""
        self.partitions_n = partitions_n

    def outcomes_n(self) -> int:
        """How many outcomes were seen."""
        return sum(len(offsets) for offsets in self._outcomes.values())

    def next_arrival(self, after: float, partition: int | None = None) -> float | None:
        """When the first outcome came after a moment (of one partition, or of any)."""
        for at, where in self.arrivals[bisect.bisect_right(self.arrivals, (after, 1 << 30)) :]:
            if partition in (None, where):
                return at
        return None

    def topic_partitions(self) -> list[TopicPartition]:
        """Of the outputs."""
        return [
            TopicPartition(f"{self.pipeline}.{channel}", partition)
            for channel in CHANNELS
            for partition in range(self.partitions_n)
        ]

    def _watch(self) -> None:
        while not self._over.is_set():
            # A server that is away, hangs or elects: what was seen stays, the clients are new.
            with suppress(errors.KafkaError, OSError, ValueError, KeyError):
                self._watch_with_clients()
            self._odd_since.clear()
            self._over.wait(LOOK_EVERY_S)

    def _watch_with_clients(self) -> None:
        consumer = self._consumer(auto_offset_reset="none", fetch_max_wait_ms=50)
        admin = None
        try:
            admin = KafkaAdminClient(
                bootstrap_servers=self.bootstrap,
                bootstrap_timeout_ms=CALL_MS,
                request_timeout_ms=CALL_MS,
            )
            while not self._over.is_set():
                self._assign(consumer)
                looked_at = time.monotonic()
                while time.monotonic() - looked_at < LOOK_EVERY_S:
                    for tp, records in consumer.poll(timeout_ms=50, max_records=5_000).items():
                        self._take(tp, records)
                self._look_at_offsets(admin, lambda: self._is_behind(consumer))
        finally:
            consumer.close(autocommit=False, timeout_ms=1_000)
            if admin is not None:
                admin.close()

    def _consumer(self, **more: Any) -> Any:
        return KafkaConsumer(
            bootstrap_servers=self.bootstrap,
            isolation_level="read_committed",
            enable_auto_commit=False,
            bootstrap_timeout_ms=CALL_MS,
            request_timeout_ms=CALL_MS,
            **more,
        )

    def _assign(self, consumer: Any) -> None:
        wanted = self.topic_partitions()
        if set(wanted) == consumer.assignment():
            return
        consumer.assign(wanted)
        for tp in wanted:
            seen = self.live[tp]
            consumer.seek(tp, seen[-1].offset + 1 if seen else 0)

    def _take(self, tp: TopicPartition, records: list[Any]) -> None:
        channel, partition, now = tp.topic.rpartition(".")[2], tp.partition, time.monotonic()
        for record in records:
            of = input_offset(channel, record)
            self.live[tp].append(
                Seen(record.offset, record.key, record.value, tuple(record.headers))
            )
            if self.forget_values:  # a million of them: only the last one's place is needed
                del self.live[tp][:-1]
            if of < self._last.get(tp, -1) or (
                channel != "alerts" and of == self._last.get(tp, -1)
            ):
                self.broken.append(f"I3: {tp} goes from input offset {self._last[tp]} to {of}")
            self._last[tp] = of
            if channel == "alerts":
                continue
            if of in self._outcomes[partition]:
                self.broken.append(f"I1: input offset {partition}:{of} has two outcomes")
            self._outcomes[partition].add(of)
            self._furthest[partition] = max(self._furthest[partition], of)
            self.arrivals.append((now, partition))

    def _is_behind(self, consumer: Any) -> bool:
        """Whether there is something stable that this reader was not given yet."""
        stable = consumer.end_offsets(self.topic_partitions())
        return any(consumer.position(tp, timeout_ms=CALL_MS) < end for tp, end in stable.items())

    def _look_at_offsets(self, admin: Any, is_behind: Callable[[], bool]) -> None:
        try:
            found = admin.list_group_offsets(self.pipeline).get(self.pipeline, {})
        except errors.GroupIdNotFoundError:
            found = {}
        for tp, known in found.items():
            if tp.topic != f"{self.pipeline}.events":
                continue  # how far commands were read is there for tools only
            before, offset = self.committed.get(tp.partition, -1), known.offset
            if offset < before:
                offset = self._stable_offset(tp)
            if offset < before:
                self.broken.append(
                    f"I6: the committed offset of {tp.partition} went from {before} to {offset}"
                )
            self.committed[tp.partition] = offset
        if self._is_dense:
            for partition, committed in list(self.committed.items()):
                self._compare(partition, committed, is_behind)

    def _stable_offset(self, tp: TopicPartition) -> int:
        """The committed offset as a worker asks for it. Raises: errors.KafkaError.

        Just after a failover a coordinator tells an administrator what was replicated when it took
        over, which may be older; whoever asks for stable offsets waits until all of it is
        (KAFKA-14499).
        """
        consumer = self._consumer(group_id=self.pipeline)
        try:
            found = consumer.committed(tp, timeout_ms=CALL_MS)
        finally:
            consumer.close(autocommit=False, timeout_ms=1_000)
        return -1 if found is None else int(found)

    def _compare(self, partition: int, committed: int, is_behind: Callable[[], bool]) -> None:
        """What is visible against what is committed; they may differ for a moment."""
        outcomes, frontier = self._outcomes[partition], self._frontier[partition]
        while frontier in outcomes:
            frontier += 1
        self._frontier[partition] = frontier
        beyond = self._furthest[partition] if committed <= frontier else -1
        self._odd(
            "missing", partition, frontier if frontier < committed else None,
            f"I1: {committed} is committed in partition {partition}, and offset {frontier} has no "
            "outcome",
            is_behind,
        )  # fmt: skip
        self._odd(
            "beyond", partition, committed if beyond >= committed else None,
            f"I4: the outcome of {partition}:{beyond} is visible, and only {committed} is "
            "committed",
            is_behind,
        )  # fmt: skip

    def _odd(
        self,
        kind: str,
        partition: int,
        what: int | None,
        text: str,
        is_behind: Callable[[], bool],
    ) -> None:
        key, now = (kind, partition), time.monotonic()
        since = self._odd_since.get(key)
        if what is None:
            self._odd_since.pop(key, None)
        elif since is None or since[0] != what:
            self._odd_since[key] = (what, now)
        elif now - since[1] > self._patience_s:
            if is_behind():
                # Ours is the fault: a client that does not notice a new leader. Take another.
                raise errors.KafkaTimeoutError("the verifier's consumer is behind")
            self.broken.append(f"{text}, for {self._patience_s:g} s")
            self._odd_since[key] = (what, now)
