"""Row 20: every error on every call of a commit; what our adapters make of each.

A case is one commit whose calls are spoiled. It must end in time, in one of three ways: committed,
rebuilt (CommitLost; the committed offsets decide, and the next commit works), or exit (Fenced,
Misconfigured; a worker that is started again goes on). In none of them may a part of the commit
take effect without the rest, then or later.
"""

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from types import ModuleType
from typing import Any, Self
from uuid import uuid4

from stream.adapters import confluent, kafka_python
from stream.config.timings import Timings
from stream.core.event import Channel, Output
from stream.errors import CommitLost, Fenced, Misconfigured, Retryable, StreamError
from stream.ports import Committed, Log
from tests.instruments.endpoint.spoilings import Spoiling
from tests.instruments.endpoint.stands import Stand
from tests.instruments.faults.proxy import Rule

CLIENTS: dict[str, ModuleType] = {"kafka-python": kafka_python, "confluent": confluent}
TIMINGS = replace(
    Timings.of(6.0),
    transaction_timeout_ms=2_000,
    delivery_timeout_ms=1_600,
    request_timeout_ms=700,
    call_deadline_s=8.0,
)
"""As a worker's, only shorter: many cases wait for them."""

LATE_S = 1.2
"""Longer than a request is waited for, so that it arrives when nobody waits any more."""

SETTLED_WITHIN_S = 60.0
PARTITIONS_N = 2
PLACES = ((Channel.PREDICTIONS, 0), (Channel.PREDICTIONS, 1), (Channel.ALERTS, 0))
"""Where each commit publishes one record."""


class Broke(AssertionError):
    """What must hold did not."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a case ended.

    Attributes:
        how: "committed", "rebuilt", "exit fenced" or "exit config".
        took_effect: whether the commit is there, whatever its caller was told.
        took_s: how long the call took.
    """

    how: str
    took_effect: bool
    took_s: float = field(compare=False)
    said: str = field(default="", compare=False)


class Player:
    """Plays cases with one client on one stand, one after another; a context manager.

    Args:
        client: a key of `CLIENTS`.
        instance: the worker's name; None: it has none.
        settled_within_s: after a case, until all is as it must be.
    """

    def __init__(
        self,
        stand: Stand,
        client: str,
        *,
        instance: str | None = None,
        settled_within_s: float = SETTLED_WITHIN_S,
    ) -> None:
        self.stand = stand
        self._settled_within_s = settled_within_s
        self.client = client
        self.instance = instance
        self.group = f"cases-{uuid4().hex[:8]}"
        self._names = {channel: f"{self.group}.{channel.value}" for channel in Channel}
        stand.make_topics(self._names, partitions=PARTITIONS_N)
        self._offset = 0
        self._published: list[bytes] = []
        self.log: Log = self._started()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Heal the network and give the worker back."""
        self.stand.proxy.heal()
        self.log.close()

    def _started(self) -> Log:
        """A worker, until it has all partitions."""
        module = CLIENTS[self.client]
        connection = self._connection(module)
        deadline_s = time.monotonic() + self._settled_within_s
        log: Log = module.KafkaLog(
            connection, timings=TIMINGS, instance=self.instance, end_abandoned=self._end_abandoned
        )
        owned: set[int] = set()
        while owned != set(range(PARTITIONS_N)):
            if time.monotonic() > deadline_s:
                raise Broke("I7: no assignment")
            polled = log.poll(timeout_s=0.05, records_max=1)
            owned = (owned - polled.revoked) | polled.assigned
        return log

    def _end_abandoned(self, own_id: str) -> None:
        kafka_python.end_abandoned(self._connection(kafka_python), TIMINGS, own_id=own_id)

    def _connection(self, module: ModuleType) -> Any:
        return module.Connection(
            bootstrap_servers=f"127.0.0.1:{self.stand.proxy.port}",
            names=self._names,
            group=self.group,
        )

    @property
    def transactional_id(self) -> str:
        """Of the worker's producer."""
        taken: str = self.log._transactional_id  # type: ignore[attr-defined]  # both adapters have it
        return taken

    def meet(self, situation: Callable[["Player"], None]) -> Outcome:
        """A commit in a situation. Raises: Broke."""
        self._goes_on(b"before")
        situation(self)
        began_s = time.monotonic()
        how, said = self._commit(b"commit")
        took_s = time.monotonic() - began_s
        self.stand.proxy.rules = []
        if how.startswith("exit"):
            self.log.close()
            self.log = self._restarted()
        took_effect = self._judged(b"commit", how)
        self._goes_on(b"after")
        return Outcome(how, took_effect, took_s, said)

    def play(self, spoiling: Spoiling) -> Outcome:
        """One case. Raises: Broke."""
        if spoiling.api in OF_A_NEW_PRODUCER:
            self.log._discard_producer()  # type: ignore[attr-defined]  # the next one takes the id
        rule = spoiling.rule(late_s=LATE_S)
        self.stand.proxy.rules = [rule]
        value = str(spoiling).encode()
        began_s = time.monotonic()
        how, said = self._commit(value)
        took_s = time.monotonic() - began_s
        if took_s > TIMINGS.call_deadline_s:
            raise Broke(f"I7: the commit took {took_s:.1f} s")
        if rule.hits == 0 and (spoiling.first == 1 or how != "committed"):
            raise Broke(f"the call was never made, and the commit ended as {how}: {said}")
        if spoiling.is_endless and how == "rebuilt":
            self._asked_under_fault()
        self.stand.proxy.rules = []
        if how.startswith("exit"):
            self.log.close()
            self.log = self._restarted()
        took_effect = self._judged(value, how)
        if spoiling.how == "overtaken":
            self._met_by(spoiling.arrival(), b"during " + value)
        self._goes_on(b"after " + value, late_n=int(spoiling.how == "late"))
        if spoiling.how == "late":
            self._wait_for_late(rule)
            self._goes_on(b"long after " + value, late_n=1)
        return Outcome(how, took_effect, took_s, said)

    def _met_by(self, arrival: Rule, value: bytes) -> None:
        """The next commit, in the middle of which an earlier call arrives."""
        self.stand.proxy.rules = [arrival]
        how, _ = self._commit(value)
        self.stand.proxy.rules = []
        if not arrival.hits:
            raise Broke("what was held never arrived")
        if how.startswith("exit"):
            self.log.close()
            self.log = self._restarted()
        self._judged(value, how)

    def _commit(self, value: bytes) -> tuple[str, str]:
        outputs = [Output(channel, partition, 1, b"k", value) for channel, partition in PLACES]
        offsets = {p: Committed(self._offset + 1, f"n={self._offset}") for p in range(PARTITIONS_N)}
        try:
            self.log.commit(outputs, offsets)
        except CommitLost as error:
            return "rebuilt", str(error)
        except Fenced as error:
            if self.instance is not None and f'"{self.instance}"' not in str(error):
                raise Broke(f"I13: it does not say whose name was taken: {error}") from error
            return "exit fenced", str(error)
        except Misconfigured as error:
            return "exit config", str(error)
        return "committed", ""

    def _asked_under_fault(self) -> None:
        """While the fault lasts the offsets may stay unknown; the question must end."""
        began_s = time.monotonic()
        with suppress(StreamError):
            self.log.committed(range(PARTITIONS_N))
        took_s = time.monotonic() - began_s
        if took_s > TIMINGS.call_deadline_s:
            raise Broke(f"I7: the committed offsets took {took_s:.1f} s")

    def _restarted(self) -> Log:
        deadline_s = time.monotonic() + self._settled_within_s
        while True:
            try:
                return self._started()
            except Retryable as error:
                if time.monotonic() > deadline_s:
                    raise Broke(f"I7: no start any more: {error}") from error

    def _judged(self, value: bytes, how: str) -> bool:
        """Whether the commit took effect, all of it; from now on that must not change."""
        offset = self._committed()
        if offset not in (self._offset, self._offset + 1):
            raise Broke(f"I6: the offset went from {self._offset} to {offset}")
        took_effect = offset == self._offset + 1
        if how == "committed" and not took_effect:
            raise Broke(f"I1: said to be committed, and the offset is {offset}")
        self._offset = offset
        if took_effect:
            self._published.append(value)
        self._agree(how)
        return took_effect

    def _agree(self, how: str) -> None:
        """Each place shows what was published, and nothing else."""
        deadline_s = time.monotonic() + self._settled_within_s
        for channel, partition in PLACES:
            while True:
                seen = self.stand.visible(self._names, channel, partition)
                if seen == self._published:
                    break
                if time.monotonic() > deadline_s or seen[: len(self._published)] != seen:
                    raise Broke(
                        f"I4: {how}, offset {self._offset}; {channel}-{partition} ends with "
                        f"{seen[-2:]} and not {self._published[-2:]}"
                    )
                time.sleep(0.02)

    def _committed(self) -> int:
        """The offset of all partitions: they move together."""
        deadline_s = time.monotonic() + self._settled_within_s
        while True:
            try:
                self.log.poll(timeout_s=0.0, records_max=1)
                found = self.log.committed(range(PARTITIONS_N))
            except Retryable as error:
                if time.monotonic() > deadline_s:
                    raise Broke(f"I8: no stable offset: {error}") from error
                continue
            offsets = {found[p].offset if p in found else 0 for p in range(PARTITIONS_N)}
            if len(offsets) > 1:
                raise Broke(f"I4: the partitions' offsets went apart: {found}")
            return offsets.pop()

    def _goes_on(self, value: bytes, *, late_n: int = 0) -> None:
        """Commits work again; `late_n`: so many calls may still come and fence this worker."""
        deadline_s = time.monotonic() + self._settled_within_s
        while True:
            self.log.poll(timeout_s=0.0, records_max=1)
            how, said = self._commit(value)
            if how.startswith("exit"):
                if how != "exit fenced" or not late_n:
                    raise Broke(f"I7: after the fault: {how}: {said}")
                late_n -= 1
                self.log.close()
                self.log = self._restarted()
            took_effect = self._judged(value, how)
            if took_effect:
                return
            if time.monotonic() > deadline_s:
                raise Broke(f"I7: no commit any more: {said}")

    def _wait_for_late(self, rule: Rule) -> None:
        deadline_s = time.monotonic() + self._settled_within_s
        while rule.over < rule.hits:
            if time.monotonic() > deadline_s:
                raise Broke("the late call never arrived")
            time.sleep(0.02)


OF_A_NEW_PRODUCER = ("InitProducerId", "FindCoordinator")
"""Calls that only a new producer makes."""
