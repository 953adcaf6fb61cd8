"""Which labels were folded, refused or lost: each record of the topic once, in its order.

The journal tells what was folded, the quarantine what was refused, the committed metadata how far
the topic was read. Nothing here knows of the worker.
"""

import re
from base64 import b64decode
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from stream.adapters.memory import MemoryBroker
from stream.adapters.memory.topic import Fate, Partition
from stream.core.event import Channel, Record
from stream.telemetry import LogEvent
from tests.instruments.simulation.doubles import Line
from tests.instruments.simulation.labels_source import LabelsSource, SentLabel
from tests.instruments.simulation.plain_loop import PlainLoop
from tests.instruments.simulation.violation import require

if TYPE_CHECKING:
    from tests.instruments.simulation.plain_labels import LabelRules

Step = Mapping[str, Any]

_Found = tuple[int, tuple[int, bytes | None, bytes | None]]
"""Of a record: its offset, its timestamp, key and value."""

_DELETED = re.compile(r"the records (\d+) to (\d+) were deleted")


@dataclass(frozen=True, slots=True, order=True)
class _Place:
    """A record: which topic of the name it lay in, and where."""

    generation: int
    offset: int


@dataclass(slots=True)
class _At:
    """How far one partition has been followed.

    Attributes:
        place: the first record that no commit has told of; None: nobody has looked.
        has_mark: the metadata tell what lies before it.
        refused_n: labels in the quarantine that were taken in.
        fingerprint: of the recipe of the last commit.
    """

    place: _Place | None = None
    has_mark: bool = False
    refused_n: int = 0
    fingerprint: str = ""


class LabelAudit:
    """Accounts for the labels topic.

    Args:
        source: all that was sent.
        told: gives what workers said of labels that are lost, and of recipes that changed.

    Attributes:
        rules: settings by the fingerprint of the recipe that has them; others are as ever.
        is_quiet: nothing goes wrong any more, and all is there that will be: the older record goes
            first, and of two of one time the event.
    """

    def __init__(
        self,
        broker: MemoryBroker,
        source: LabelsSource,
        names: Mapping[Channel, str],
        told: Callable[[], Iterable[Line]],
    ) -> None:
        self._broker = broker
        self._source = source
        self._names = names
        self._told = told
        self._every: dict[int, _At] = {}
        self._ahead: list[int] = []
        self.rules: dict[str, LabelRules] = {}
        self.is_quiet = False

    def change(self, loop: PlainLoop, fingerprint: str, *, is_kept: bool) -> None:
        """A commit is another recipe's: the fold goes on with its settings, or was rebuilt.

        To be called before what the commit tells is followed, and again behind it: a state that is
        kept has come there with the settings of before. Where nothing is stored that knows these,
        those of now must do from the beginning on; a line says so.
        """
        at = self._of(loop.partition)
        if loop.pending is None or fingerprint == at.fingerprint:
            return
        rules, is_first = self.rules.get(fingerprint, loop.pending.rules), not at.fingerprint
        if is_first or is_kept:
            loop.pending.rules = rules
            what = self._lines(LogEvent.RECIPE_CHANGED, loop.partition)[-1:]
            if not is_first and any(each.startswith("fingerprint ") for each in what):
                loop.rebuild(rules)
        else:
            loop.rebuild(rules)
        at.fingerprint = fingerprint

    def begin_again(self, partition: int) -> None:
        """Its fold begins untrained, with whatever settings."""
        self._of(partition).fingerprint = ""

    def is_first(self, partition: int) -> bool:
        """Whether no commit has told of a recipe."""
        return not self._of(partition).fingerprint

    def unread(self, partition: int) -> bool:
        """Whether labels wait that no commit has told of."""
        at, source = self._of(partition), self._source
        if at.place is None:
            return source.unread(partition, 0)
        is_same = at.place.generation == len(source.generations) - 1
        # That it is another topic the record before tells, if there is one in both; or its end.
        offset, end = at.place.offset, source.log(partition).end
        is_told = offset > end or (at.has_mark and offset - 1 in source.sent(partition))
        return source.unread(partition, offset if is_same or not is_told else 0)

    def check(self, partition: int) -> None:
        """No label is refused that no commit has told of. Raises: Violation."""
        at, refused = self._of(partition), self._refused(partition)
        require(
            len(refused) == at.refused_n,
            f"partition {partition}: labels are refused that no commit has told of: "
            f"{refused[at.refused_n :]}",
        )

    def take(
        self,
        loop: PlainLoop,
        steps: Sequence[Step],
        *,
        x: int | None,
        has_mark: bool,
        is_moved: bool,
    ) -> list[SentLabel]:
        """Account for what a commit tells of the topic.

        Args:
            loop: the partition's; what was refused is expected of it.
            steps: the journal's of labels, in its order.
            x: how far the metadata say that it was read; None: they do not.
            has_mark: they tell what lies before that.
            is_moved: somebody set the group's offset, and the metadata are lost: reading goes on
                behind the last label of the journal, and what was refused since is refused again.

        Returns: the labels of the steps. Raises: Violation.
        """
        partition, where = loop.partition, f"partition {loop.partition}, labels to {x}"
        at = self._of(partition)
        self._ahead = list(self._look_ahead(partition, at.place, x)) if self.is_quiet else []
        folded = self._places_of(partition, at, map(_of_step, steps))
        refused = self._refused(partition)[at.refused_n :]
        at.refused_n += len(refused)
        turned_away = self._places_of(partition, at, map(_of_record, refused))
        for places in (folded, turned_away):
            require(places == sorted(set(places)), f"{where}: out of order, or twice: {places}")
        each_once = sorted((*folded, *turned_away))
        if is_moved:
            self._go_back(partition, at, each_once, x)
        require(len(each_once) == len(set(each_once)), f"{where}: folded and refused: {each_once}")
        for place in each_once:
            self._pass_over(partition, at, place)
            at.place = _Place(place.generation, place.offset + 1)
        self._stand(partition, at, x, is_moved=bool(each_once))
        at.has_mark = has_mark
        for place in turned_away:
            loop.refuse_label(self._sent(partition, place), self._source.name)
        labels = [self._sent(partition, place) for place in folded]
        for sent in labels:
            require(sent.said is not None, f"{where}: it is to be refused, and folded: {sent}")
        return labels

    def _go_back(self, partition: int, at: _At, places: Sequence[_Place], x: int | None) -> None:
        """Where reading went back, over labels that were refused and no others.

        Or, where the journal has no label, on to the beginning of what retention has left, or of
        the topic that was made since.
        """
        if at.place is None:
            return
        generation = at.place.generation
        sent = self._source.generations[generation].get(partition, {})
        if x is None:
            before = (each for o, each in sent.items() if o < at.place.offset)
            if all(each.said is None or each.may_be_missed for each in before):
                at.place = None
            return
        first = min([*places, _Place(generation, x)])
        between = range(first.offset, at.place.offset)
        if first < at.place and all(sent[o].said is None for o in between if o in sent):
            at.place = first
        between = range(at.place.offset, first.offset)
        if first > at.place and all(sent[o].may_be_missed for o in between if o in sent):
            at.place = first
        newest = len(self._source.generations) - 1
        if not places and x < at.place.offset and generation < newest:
            at.place = _Place(newest, x)

    def _stand(self, partition: int, at: _At, x: int | None, *, is_moved: bool) -> None:
        """Compare what was accounted for with how far the metadata say that it was read."""
        if at.place is not None:
            stands = at.place.offset
            require(x == stands, f"partition {partition}: labels were read to {stands}, not {x}")
        elif x is not None:
            require(not is_moved, f"partition {partition}: where did reading labels begin?")
            newest = _Place(len(self._source.generations) - 1, x)
            self._pass_over(partition, at, newest)
            at.place = newest

    def _pass_over(self, partition: int, at: _At, place: _Place) -> None:
        """What lies before a record, and behind the last, is nothing, or was lost."""
        since, where, is_noticed = at.place, f"partition {partition}", False
        if since is not None and since.generation < place.generation:
            is_noticed = place.offset < since.offset
            lines = self._lines(LogEvent.LABELS_LOST, partition)
            require(not is_noticed or bool(lines), f"{where}: another labels topic, and no word")
            # Of a topic that was made again behind a worker's back it reads on where it was.
            since = _Place(place.generation, 0 if is_noticed else since.offset)
        start = _Place(place.generation, 0) if since is None else since
        require(start <= place, f"{where}: label {place} is folded or refused again, after {since}")
        for offset, sent in self._source.generations[place.generation].get(partition, {}).items():
            if start.offset <= offset < place.offset:
                require(sent.may_be_missed, f"{where}: passed over before {place}: {sent}")
                is_told = since is None or is_noticed or self._is_told(partition, offset)
                require(is_told, f"{where}: lost without a word: {sent}")

    def _is_told(self, partition: int, offset: int) -> bool:
        return any(
            int(found[1]) <= offset <= int(found[2])
            for why in self._lines(LogEvent.LABELS_LOST, partition)
            if (found := _DELETED.search(why))
        )

    def _lines(self, event: LogEvent, partition: int) -> list[str]:
        """What workers said of a partition."""
        return [text for each, at, text in self._told() if each is event and at == partition]

    def fold(self, loop: PlainLoop, sent: SentLabel, step: Step) -> None:
        """Let a loop that stands before a step fold its label. Raises: Violation."""
        where = f"partition {loop.partition}: journal: {step}"
        right = {
            "n": loop.before_all_n + loop.n, "next_offset": loop.offset, "input": "labels",
            "offset": sent.offset, "timestamp_ms": sent.timestamp_ms,
        }  # fmt: skip
        told = {name: step[name] for name in right}
        require(told == right, f"{where}, not {right}")
        require(not loop.commanded.is_stopped, f"{where}: a command has paused it")
        if self.is_quiet:
            behind = min((at for at in loop.facts if at >= loop.offset), default=None)
            if behind is not None:
                event = loop.facts[behind]
                is_first = sent.timestamp_ms < event.timestamp_ms
                require(is_first, f"{where}: it is not older than the event at {behind}")
            del self._ahead[:1]
        loop.label(sent)

    def check_order(self, loop: PlainLoop, offset: int) -> None:
        """In quiet times no label is there that is older than an event that is folded before it.

        Args:
            loop: stands before the events up to `offset`.
            offset: where it goes, before the next label.
        """
        for at in range(loop.offset, offset) if self._ahead else ():
            fact = loop.facts.get(at)
            if fact is not None:
                is_right = fact.timestamp_ms <= self._ahead[0]
                where = f"partition {loop.partition}: event {at} of {fact.timestamp_ms}"
                require(is_right, f"{where} was folded before a label of {self._ahead[0]}")

    def _look_ahead(self, partition: int, place: _Place | None, x: int | None) -> Iterator[int]:
        """Up to which time events may go before each label that lies behind a place.

        A record that is refused holds back those behind it, as any does; of those behind the last
        label, which the topic was read through to `x`, nobody knows when they were passed.
        """
        if place is None or place.generation < len(self._source.generations) - 1:
            return
        sent = self._source.generations[place.generation].get(partition, {})
        start, most_ms = max(place.offset, self._source.log(partition).start), 0
        for offset in sorted(offset for offset in sent if offset >= start):
            most_ms = max(most_ms, sent[offset].timestamp_ms)
            if sent[offset].said is not None:
                yield most_ms
                most_ms = 0
        if most_ms and x is not None and offset >= x:
            yield most_ms

    def _places_of(self, partition: int, at: _At, found: Iterable[_Found]) -> list[_Place]:
        """Where records lay that were folded or refused, one after the other.

        One that lay in a topic that was made again may lie in the next one, too.
        """
        places: list[_Place] = []
        first = 0 if at.place is None else at.place.generation
        for offset, told in found:
            fitting = [
                _Place(generation, offset)
                for generation, sent in enumerate(self._source.generations)
                if generation >= first
                and (each := sent.get(partition, {}).get(offset)) is not None
                and each.bytes == told
            ]
            require(bool(fitting), f"partition {partition}: nobody sent it: {offset}, {told}")
            behind = [place for place in fitting if not places or place > places[-1]]
            places.append((behind or fitting)[0])
        return places

    def _sent(self, partition: int, place: _Place) -> SentLabel:
        return self._source.generations[place.generation][partition][place.offset]

    def _refused(self, partition: int) -> list[Record]:
        """The labels in the quarantine, as far as they are committed."""
        log = self._broker.partition(self._names[Channel.QUARANTINE], partition)
        name = self._source.name.encode()
        return [each for each in committed(log) if dict(each.headers)["stream.topic"] == name]

    def _of(self, partition: int) -> _At:
        return self._every.setdefault(partition, _At())


def told_of(loop: PlainLoop) -> str | None:
    """What metadata must say of the labels; None: nothing."""
    counts = () if loop.pending is None else loop.pending.counts()
    return ".".join(map(str, counts)) or None


def _of_step(step: Step) -> _Found:
    kept = [None if step[name] is None else b64decode(step[name]) for name in ("key", "value")]
    return step["offset"], (step["timestamp_ms"], kept[0], kept[1])


def _of_record(record: Record) -> _Found:
    offset = int(dict(record.headers)["stream.offset"] or b"")
    return offset, (record.timestamp_ms, record.key, record.value)


def committed(log: Partition) -> Iterator[Record]:
    """What is committed of a partition, also what an open transaction hides."""
    for record, transaction in log._entries[log.start :]:
        if record is not None and (transaction is None or transaction.fate is Fate.COMMITTED):
            yield record
