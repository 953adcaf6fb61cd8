"""An operator who commands at random moments: twice, late, what nobody can read."""

from collections.abc import Callable, Sequence
from random import Random
from typing import TYPE_CHECKING

from stream.core.event import Channel
from tests.instruments.simulation.control_topic import ControlTopic, Sent

if TYPE_CHECKING:
    from stream.adapters.memory.broker import Producer

WHATS = (
    "freeze", "unfreeze", "unfreeze", "pause", "resume", "resume", "reset", "promote",
)  # fmt: skip
_NONE = (None, b"oops", b"{}", b'{"v":1,"id":"x","what":"explode","by":"","why":"","within_ms":9}')

HIDDEN_S_MAX = 20.0
"""So long a transaction of somebody dead is open in a topic: far less than anybody waits for it."""

_HIDDEN = (Channel.JOURNAL, Channel.JOURNAL, Channel.LEDGER, Channel.CONTROL)


class Commander:
    """Sends commands, and holds markers back, as its own seed has it.

    Args:
        topic: of all commands.
        names: of the topics, by their channel.
        seed: of all that it does.
        note: told of each of it.
        whats: what it sends; what is there twice is likelier.
    """

    def __init__(
        self,
        topic: ControlTopic,
        names: Callable[[Channel], str],
        *,
        seed: str,
        note: Callable[[str], None],
        whats: Sequence[str] = WHATS,
    ) -> None:
        self._topic = topic
        self._names = names
        self._rng = Random(seed)
        self._note = note
        self._whats = whats
        self._chance = self._rng.choice((0.05, 0.15, 0.3))
        self._slow = self._rng.choice((0.0, 0.2, 0.7))
        self._made_n = 0
        self._hidden: tuple[Producer, float] | None = None

    def is_looking(self) -> bool:
        """Whether a process looks for commands before this turn of its."""
        return self._rng.random() >= self._slow

    def act(self, partitions_n: int) -> None:
        """Perhaps something comes into the control topic."""
        self.expire()
        rng = self._rng
        if rng.random() >= self._chance:
            return
        partition = rng.randrange(partitions_n)
        roll = rng.random()
        if roll < 0.08:
            self._topic.append(rng.choice(_NONE), partition=partition)
        elif roll < 0.35 and (sent := self._topic.sent.get(partition)):
            self._topic.again(rng.choice(list(sent.values())))
        elif roll < 0.45 and self._hidden is None:
            self._hide(partition)
        elif roll < 0.48:
            self._truncate(partition)
        else:
            self._send(partition)

    def end(self, partitions_n: int) -> None:
        """Whatever stands still goes on, and nothing is hidden any more."""
        self.expire(at_once=True)
        for partition in range(partitions_n):
            self._topic.send("resume", partition=partition)

    def expire(self, *, at_once: bool = False) -> None:
        """The transaction that hides something is aborted once it is too old."""
        if self._hidden is None:
            return
        producer, since_s = self._hidden
        if at_once or self._now_s() - since_s > HIDDEN_S_MAX:
            self._hidden = None
            self._topic.broker.abort(producer)

    def _now_s(self) -> float:
        return self._topic.broker.clock.elapsed_s  # type: ignore[attr-defined, no-any-return]

    def _send(self, partition: int) -> None:
        rng, topic = self._rng, self._topic
        for what in rng.choices(self._whats, k=rng.choice((1, 1, 1, 2, 3))):
            roll = rng.random()
            if roll < 0.1:
                topic.send(what, partition=partition, within_ms=10, age_ms=8 * 3_600_000)
            elif roll < 0.25:
                topic.send(what, partition=partition, within_ms=rng.choice((0, 100, 3_000)))
            else:
                topic.send(what, partition=partition)
            self._note(f"commanded: {self._last(partition).command}, partition {partition}")

    def _last(self, partition: int) -> Sent:
        return next(reversed(self._topic.sent[partition].values()))

    def _hide(self, partition: int) -> None:
        broker, name = self._topic.broker, self._names(self._rng.choice(_HIDDEN))
        producer = broker.producer(f"dead-{broker.serial()}")
        broker.append(name, partition, value=b"never", transaction=broker.begin(producer))
        self._hidden = producer, self._now_s()
        self._note(f"{name}, partition {partition}: what comes now is hidden")

    def _truncate(self, partition: int) -> None:
        self._topic.truncate(partition)
        self._note(f"control topic, partition {partition}: retention")
