"""Where commands were folded, and whether each was folded as it had to be.

Journal and ledger tell the order; that they are right is compared with what was sent. Nothing here
knows of the worker.
"""

from base64 import b64decode
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from stream.adapters.memory import MemoryBroker
from stream.adapters.memory.topic import Partition
from stream.core.event import Channel
from tests.instruments.simulation.control_topic import ControlTopic, Sent
from tests.instruments.simulation.label_audit import LabelAudit, committed
from tests.instruments.simulation.plain_loop import PlainLoop
from tests.instruments.simulation.violation import Violation, require

_read = msgspec.json.Decoder().decode


@dataclass(slots=True)
class _At:
    """How far one partition has been followed.

    Attributes:
        k: what the last commit said of the control topic; None: there was none.
        journal_n, ledger_n: records of these that were taken in; lost_n: of the former are gone.
        is_moved: somebody else set its offset since.
    """

    k: int | None = None
    journal_n: int = 0
    lost_n: int = 0
    ledger_n: int = 0
    is_moved: bool = False


class CommandAudit:
    """Leads the plain loops through commands, and through labels that come in a topic.

    Attributes:
        labels: accounts for these.
    """

    def __init__(
        self,
        broker: MemoryBroker,
        topic: ControlTopic,
        names: Mapping[Channel, str],
        labels: LabelAudit,
    ) -> None:
        self._broker = broker
        self.labels = labels
        self._topic = topic
        self._names = names
        self._every: dict[int, _At] = {}

    def expect_moved(self, partition: int) -> None:
        """Somebody set its offset: what was beside it is lost, or older."""
        self._of(partition).is_moved = True

    def expect_truncated(self, partition: int, journal_n: int) -> None:
        """So many records of its journal are gone."""
        self._of(partition).lost_n = journal_n

    def unread(self, partition: int) -> bool:
        """Whether commands wait that no commit has told of."""
        k = self._of(partition).k or 0
        if k > self._topic.log(partition).end:
            k = 0  # it was made again
        return any(
            at >= k and not sent.may_be_missed
            for at, sent in self._topic.sent.get(partition, {}).items()
        )

    def check(self, partition: int) -> None:
        """Nothing is written down that is not committed. Raises: Violation."""
        self.labels.check(partition)
        log = self._log(Channel.JOURNAL, partition)
        if log.end:
            numbers = [_read(record.value or b"")["j"] for record in committed(log)]
            at = self._of(partition)
            require(
                numbers == list(range(at.lost_n + 1, at.journal_n + 1)),
                f"journal partition {partition}: {numbers}, and {at.journal_n} are committed",
            )

    def follow(self, loop: PlainLoop, offset: int, told: Mapping[str, Any]) -> None:
        """Lead a loop up to a committed offset, through what the journal has on the way.

        Beside the offset is told `j`, the journal's last record, `k` and `x`, where reading the
        control topic and the labels' goes on; and `d`, a mark of the last label.

        Raises: Violation: a command or label is missing, or was folded as none must be.
        """
        at, j, k = self._of(loop.partition), told["j"], told["k"]
        has_labels = told["x"] is not None
        if not (j or k or at.k or has_labels):
            at.k = k
            self._go(loop, offset)
            return
        steps, lates = self._steps(loop.partition, at, j), self._lates(loop.partition, at)
        if at.is_moved:
            begun = [each["next_offset"] for each in steps]
            begun += [each["offset"] for each in lates.values()]
            self._go_back(loop, min(begun, default=offset))
        labels = iter(
            self.labels.take(
                loop, [each for each in steps if each["input"] == "labels"], x=told["x"],
                has_mark=told["d"] is not None, is_moved=at.is_moved,
            )
        )  # fmt: skip
        sent = list(self._told_of(loop.partition, at, k))
        for step in steps:
            if step["input"] == "labels":
                while sent and sent[0].offset in lates and lates[sent[0].offset]["n"] <= step["n"]:
                    self._pass_over(loop, sent.pop(0), lates, at)
                self.labels.check_order(loop, step["next_offset"])
                self._go(loop, step["next_offset"])
                self.labels.fold(loop, next(labels), step)
                continue
            while sent and sent[0].offset < step["offset"]:
                self._pass_over(loop, sent.pop(0), lates, at)
            where = f"partition {loop.partition}, of the control topic to {k}"
            require(
                bool(sent) and sent[0].offset == step["offset"], f"{where}: {step}: no such command"
            )
            self._fold(loop, sent.pop(0), step)
        for each in sent:
            self._pass_over(loop, each, lates, at)
        require(not lates, f"partition {loop.partition}: {lates}: no such command")
        at.is_moved = False
        at.k = k
        if has_labels:
            self.labels.check_order(loop, offset)
        self._go(loop, offset)

    def _pass_over(
        self, loop: PlainLoop, sent: Sent, lates: dict[int, Mapping[str, Any]], at: _At
    ) -> None:
        """A record of the control topic is no step: it came late, or says nothing."""
        if sent.offset in lates:
            require(sent.may_be_late or sent.must_be_late, f"late too early: {sent}")
            self._go(loop, lates.pop(sent.offset)["offset"])
            loop.come_late(sent)
        elif sent.command is not None and not sent.may_be_missed and not at.is_moved:
            raise Violation(f"partition {loop.partition}: passed over: {sent}")

    def _fold(self, loop: PlainLoop, sent: Sent, step: Mapping[str, Any]) -> None:
        where = f"partition {loop.partition}: journal: {step}"
        self._go(loop, step["next_offset"])
        right = {
            "n": loop.before_all_n + loop.n,
            "next_offset": loop.offset,
            "input": "control",
            "offset": sent.offset,
            "timestamp_ms": sent.timestamp_ms,
        }
        told = {name: step[name] for name in right}
        require(told == right, f"{where}, not {right}")
        kept = [None if step[name] is None else b64decode(step[name]) for name in ("key", "value")]
        require(kept == [sent.key, sent.value], f"{where}: key and value are not {sent}")
        require(sent.command is not None, f"{where}: it is no command")
        is_done = sent.command is not None and sent.command["id"] in loop.commanded.done
        require(is_done or not sent.must_be_late, f"{where}: it was late, and is done")
        loop.command(sent)

    @staticmethod
    def _go_back(loop: PlainLoop, offset: int) -> None:
        """Where somebody set an offset back, gaps that were passed are passed again."""
        if not any(at in loop.facts for at in range(offset, loop.offset)):
            loop.offset = min(loop.offset, offset)

    @staticmethod
    def _go(loop: PlainLoop, offset: int) -> None:
        is_stopped = loop.commanded.is_stopped and offset > loop.offset
        where = f"partition {loop.partition}"
        require(
            not is_stopped, f"{where}: paused by a command at {loop.offset}, goes on to {offset}"
        )
        loop.run_to(offset)

    def _steps(self, partition: int, at: _At, j: int) -> list[Mapping[str, Any]]:
        """The journal's steps since the last commit, in its order."""
        records = list(committed(self._log(Channel.JOURNAL, partition)))
        numbers, wanted = (
            [_read(r.value or b"")["j"] for r in records],
            list(range(at.lost_n + 1, j + 1)),
        )
        where = f"partition {partition}"
        require(numbers == wanted, f"{where}: {j} is told of the journal, which has {numbers}")
        steps: list[Mapping[str, Any]] = []
        for record in records[at.journal_n - at.lost_n :]:
            steps += _read(record.value or b"")["steps"]
        at.journal_n = j
        return steps

    def _lates(self, partition: int, at: _At) -> dict[int, Mapping[str, Any]]:
        """What the ledger says since the last commit of commands that came late."""
        records = list(committed(self._log(Channel.LEDGER, partition)))
        new, at.ledger_n = records[at.ledger_n :], len(records)
        told = [_read(record.value or b"") for record in new]
        return {
            int(each["id"].rsplit("/", 1)[1]): each
            for each in told
            if each["evidence"].get("reason") == "late"
        }

    def _told_of(self, partition: int, at: _At, k: int) -> Iterator[Sent]:
        """What was sent up to `k`, as far as no commit has told of it yet."""
        sent = self._topic.sent.get(partition, {})
        since = at.k
        if since is None:
            since = k  # a new group begins at its end
        elif k < since:
            is_again = self._topic.log(partition).end < since
            require(at.is_moved or is_again, f"partition {partition}: k went back, {since} to {k}")
            since = 0 if is_again else k
        yield from (sent[offset] for offset in sorted(sent) if since <= offset < k)

    def _of(self, partition: int) -> _At:
        return self._every.setdefault(partition, _At())

    def _log(self, channel: Channel, partition: int) -> Partition:
        return self._broker.partition(self._names[channel], partition)
