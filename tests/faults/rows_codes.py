"""Row 20: every error code on every transactional call, written into a real broker's answers.

The broker did what it was asked, and the worker is told that it did not, or is told nothing: the
worst of both. Through the port, with the adapter that a worker has.
"""

import struct
import time
from collections import Counter
from typing import Any
from uuid import uuid4

from kafka import KafkaAdminClient

from stream.adapters import confluent, kafka_python
from stream.adapters.kafka_python import KafkaReader
from stream.config.timings import Timings
from stream.core.event import Channel, Output
from stream.errors import CommitLost, Fenced, Misconfigured, Retryable
from stream.ports import Committed
from tests.faults.proxy import (
    ADD_OFFSETS,
    ADD_PARTITIONS,
    END_TXN,
    INIT_PRODUCER_ID,
    PRODUCE,
    TXN_OFFSET_COMMIT,
    Proxy,
    Rule,
    error_code_at,
)
from tests.faults.stage import Stage
from tests.faults.table import Table, Told
from tests.faults.worker import Broke

CODES = (48, 49, 47, 90, 120, 25, 22, 82, 27, 14, 16, 51, 7, 53, 30, 12, -1)
WRITTEN = (INIT_PRODUCER_ID, ADD_OFFSETS, END_TXN, TXN_OFFSET_COMMIT)
CUT = (INIT_PRODUCER_ID, ADD_PARTITIONS, ADD_OFFSETS, END_TXN, TXN_OFFSET_COMMIT, PRODUCE)
TIMINGS = Timings.of(6.0)
SETTLED_WITHIN_S = 40.0


def codes(table: Table) -> None:
    """Add row 20."""
    table.real(
        20, "every broker error code on every transactional call", "never a partial transaction",
        tests=("tests/contract/test_commit.py::test_a_failing_commit_leaves_neither",),
        why="Codes inside AddPartitionsToTxn and Produce: not written here; their answers are cut "
        "off, and the endpoint of the contract tests answers with them.",
    )(matrix)  # fmt: skip


def matrix(stage: Stage) -> Told:
    """Each case begins with a commit that works, and ends with one."""
    outcomes: Counter[str] = Counter()
    cases: list[tuple[int, int | None]] = [
        *((api, code) for api in WRITTEN for code in CODES),
        *((api, None) for api in CUT),
    ]
    world = _World(stage)
    try:
        for api, code in cases:
            outcomes[world.case(api, code)] += 1
    finally:
        stage.proxy.heal()
        world.close()
    told = ", ".join(f"{n} {how}" for how, n in sorted(outcomes.items()))
    return Told(f"{len(cases)} cases: {told}.")


class _World:
    """A pipeline of one partition, and the log that is tormented."""

    def __init__(self, stage: Stage) -> None:
        self.proxy: Proxy = stage.proxy
        self.group = f"faults-{uuid4().hex[:8]}"
        self.names = {channel: f"{self.group}.{channel.value}" for channel in Channel}
        own = stage.kafka.bootstrap_servers
        admin = KafkaAdminClient(bootstrap_servers=own)
        # The outputs' timestamps are those of 1970: no retention may take them.
        settings = {
            "num_partitions": 1, "replication_factor": 1, "configs": {"retention.ms": "-1"},
        }  # fmt: skip
        admin.create_topics(dict.fromkeys(self.names.values(), settings), wait_for_metadata=True)
        admin.close()
        self.client: Any = confluent if stage.client == "confluent" else kafka_python
        self.reader = KafkaReader(
            kafka_python.Connection(bootstrap_servers=own, names=self.names, group=self.group)
        )
        self.offset = 0
        self.published: list[bytes] = []
        self.log = self._log()

    def _log(self) -> Any:
        connection = self.client.Connection(
            bootstrap_servers=f"127.0.0.1:{self.proxy.port}", names=self.names, group=self.group
        )
        log = self.client.KafkaLog(connection, timings=TIMINGS)
        deadline = time.monotonic() + SETTLED_WITHIN_S
        while 0 not in log.poll(timeout_s=0.1, records_max=1).assigned:
            assert time.monotonic() < deadline, "no assignment"
        return log

    def close(self) -> None:
        """Give all back."""
        self.log.close()
        self.reader.close()

    def case(self, api: int, code: int | None) -> str:
        """One commit whose answer is spoiled. Returns: how it ended. Raises: Broke."""
        what = f"api {api}, {'cut' if code is None else f'code {code}'}"
        if api == INIT_PRODUCER_ID:
            self.log._discard_producer()
        rule = (
            Rule(api=api, do="cut", last=1)
            if code is None
            else Rule(api=api, do="change", last=1, change=_Answering(api, code))
        )
        self.proxy.rules = [rule]
        value = what.encode()
        output = Output(Channel.PREDICTIONS, 0, 1, b"k", value)
        how = "committed"
        try:
            self.log.commit([output], {0: Committed(self.offset + 1, "")})
        except CommitLost:
            how = "rebuilt"
        except (Fenced, Misconfigured) as error:
            how = f"ended with {error.exit_code.name.lower()}"
        except Retryable:
            how = "tried again"
        self.proxy.heal()
        if rule.hits == 0:
            raise Broke(f"{what}: the call was never made")
        if how.startswith("ended"):
            self.log.close()
            self.log = self._log()
        self._agree(what, value, how)
        self._goes_on(what)
        return how

    def _agree(self, what: str, value: bytes, how: str) -> None:
        """Offset and output took effect together, or neither did; a success is one."""
        committed = self._committed(what)
        deadline = time.monotonic() + SETTLED_WITHIN_S
        is_moved = committed == self.offset + 1
        wanted = [*self.published, value] if is_moved else self.published
        while (seen := self._seen()) != wanted:
            if time.monotonic() > deadline:
                raise Broke(f"I4: {what}: {how}, offset {committed}, published {seen[-2:]}")
            time.sleep(0.05)
        if how == "committed" and not is_moved:
            raise Broke(f"I1: {what}: said to be committed, and the offset is {committed}")
        if committed not in (self.offset, self.offset + 1):
            raise Broke(f"I6: {what}: the offset went from {self.offset} to {committed}")
        self.offset, self.published = committed, wanted

    def _goes_on(self, what: str) -> None:
        deadline = time.monotonic() + SETTLED_WITHIN_S
        value = f"after {what}".encode()
        while True:
            try:
                self.log.poll(timeout_s=0.0, records_max=1)
                self.log.commit(
                    [Output(Channel.PREDICTIONS, 0, 1, b"k", value)],
                    {0: Committed(self.offset + 1, "")},
                )
            except Retryable as error:
                if time.monotonic() > deadline:
                    raise Broke(f"I7: {what}: no commit any more: {error}") from error
                continue
            self.offset += 1
            self.published = [*self.published, value]
            return

    def _committed(self, what: str) -> int:
        deadline = time.monotonic() + SETTLED_WITHIN_S
        while True:
            try:
                self.log.poll(timeout_s=0.05, records_max=1)
                found = self.log.committed([0])
            except Retryable as error:
                if time.monotonic() > deadline:
                    raise Broke(f"I8: {what}: no stable offset: {error}") from error
                continue
            return found[0].offset if found else 0

    def _seen(self) -> list[bytes]:
        bounds = self.reader.bounds(Channel.PREDICTIONS, 0)
        return [
            record.value or b""
            for batch in self.reader.read(Channel.PREDICTIONS, 0, bounds.start, bounds.end)
            for record in batch
        ]


class _Answering:
    """Writes an error code where these answers have theirs."""

    def __init__(self, api: int, code: int) -> None:
        self._api, self._code = api, code

    def __call__(self, version: int, body: bytes) -> bytes:
        at = error_code_at(self._api, version, body)
        return body[:at] + struct.pack(">h", self._code) + body[at + 2 :]
