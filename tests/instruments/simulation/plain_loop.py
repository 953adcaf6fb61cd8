"""The right answer: a plain river loop over the same records, led through what commands came.

What it knows of commands it is told by their places in the journal.
"""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

from stream.core.event import Channel
from tests.instruments.simulation import plain_acting
from tests.instruments.simulation.control_topic import Command, Sent
from tests.instruments.simulation.labels_source import SentLabel
from tests.instruments.simulation.plain_acting import Harm, PlainReactions
from tests.instruments.simulation.plain_alerts import Place, iso
from tests.instruments.simulation.plain_commands import REFUSED, told
from tests.instruments.simulation.plain_fold import OUTPUTS
from tests.instruments.simulation.plain_labels import Came, LabelRules
from tests.instruments.simulation.plain_late import PlainLate
from tests.instruments.simulation.workload import Fact


@dataclass(slots=True)
class PlainLoop(PlainLate):
    """Predict, learn, detect, obey: one partition's steps in order, and what must come out.

    Attributes:
        history: every offset that it stopped at -> steps, events learned by then.
        begun_at: where the untrained model began; the genesis may be a base since.
        journaled: the steps that no event made, each with the offset of the event behind it.
    """

    begun_at: int = 0
    journaled: list[tuple[int, Sent | SentLabel]] = field(default_factory=list)
    history: dict[int, set[tuple[int, int]]] = field(default_factory=dict)

    def run_to(self, end: int) -> None:
        """Process everything below an offset."""
        facts = self.facts
        for offset in range(self.offset, end):
            fact = facts.get(offset)
            if fact is not None:
                self._step(offset, fact)
        self.offset = max(self.offset, end)
        self.note_stop(end)

    def _step(self, offset: int, fact: Fact) -> None:
        if self.pending is not None:
            self.pending.time.see(fact.timestamp_ms)
        if fact.said is not None and fact.reason is None:
            self._label_among_events(offset, fact)
            return
        n, labelled_n, refused_n = self.records_n, self.labelled_n, len(self.refused)
        self.n += 1
        self.records_n += 1
        self.source = "events"
        self._alerts.begin(Place(offset, fact, self.learned))
        self._harm = self._kept = None
        self._process(offset, fact)
        if len(self.refused) > refused_n:
            self._alerts.watch_flow(n, refused_n, fact.timestamp_ms)
        self._alerts.close(self.records_n, labelled_n=labelled_n, valid_n=n - refused_n)
        self.offset = offset + 1
        if self._reactions is not None:
            self._reactions.see(fact.timestamp_ms)
        self._do(fact, 0)
        if self.pending is not None:
            told_n = len(self._alerts.told)
            if self._kept is not None:
                self._accept(self._kept)
            self._end_waiting()
            self._do(fact, told_n)

    def _label_among_events(self, offset: int, fact: Fact) -> None:
        """A label record in the events topic: a step, and no event."""
        came = Came(fact.said.label, offset, fact.timestamp_ms, fact.key)
        self._begin_label(Place(offset, fact, self.learned))
        self._fold_label(fact.said, came, seen_until=offset)
        self.offset = offset + 1
        if self._reactions is not None:
            self._reactions.see(fact.timestamp_ms, is_event=False)
        self._end_label(fact)

    def label(self, sent: SentLabel) -> None:
        """A record of the labels topic: a step before the event at the present offset."""
        assert sent.said is not None
        self.journaled.append((self.offset, sent))
        came = Came(sent.said.label, sent.offset, sent.timestamp_ms, sent.key)
        fact = Fact(sent.value, timestamp_ms=sent.timestamp_ms, key=sent.key)
        before = max(self.offset - 1, 0)
        self._begin_label(Place(before, fact, self.learned, f"/{sent.offset}"))
        self._fold_label(sent.said, came, seen_until=self.offset)
        self._end_label(fact)
        self.note_stop(self.offset)

    def _begin_label(self, place: Place) -> None:
        self.n += 1
        self.source = "labels"
        self._alerts.begin(place)
        self._harm = None

    def _end_label(self, fact: Fact) -> None:
        self._alerts.close_label(
            self.records_n + 1, labelled_n=self.labelled_n,
            valid_n=self.records_n - len(self.refused), is_timed=not self._has_topic,
        )  # fmt: skip
        self._end_waiting()
        self._do(fact, 0)

    def _do(self, fact: Fact, told_n: int) -> None:
        """What is to be done at the end of a step, of whose alerts so many were looked at."""
        harm, self._harm = self._harm, None
        if harm is not None:
            self._break(fact, harm)
        if self._reactions is not None:
            self._react(fact, self._reactions, self._alerts.told[told_n:])

    def note_stop(self, offset: int) -> None:
        """Note that it stopped here; commands are steps, so there are several at one offset."""
        self.history.setdefault(offset, set()).add((self.n, self.learned))

    def command(self, sent: Sent) -> None:
        """Fold a command in; done before, it is a step that does nothing."""
        commanded, command, n = self.commanded, sent.command, self.before_all_n + self.n
        assert command is not None
        self.n += 1
        commanded.places.append((self.offset, sent))
        self.journaled.append((self.offset, sent))
        if command["id"] not in commanded.done:
            commanded.done.add(command["id"])
            before, reason = commanded.version, None
            if command["what"] in REFUSED:
                reason = "nothing to promote"
            self._obey(command, n)
            self._answer(sent, n, before=before, reason=reason)
        self.note_stop(self.offset)

    def come_late(self, sent: Sent) -> None:
        """Answer a command that is not done any more; no step."""
        n, version = self.before_all_n + self.n, self.commanded.version
        self._answer(sent, n, before=version, reason="late", own_id=f"/{sent.offset}")

    def _answer(
        self, sent: Sent, n: int, *, before: int, reason: str | None, own_id: str = ""
    ) -> None:
        self.outputs[Channel.LEDGER].append(
            told(
                sent, pipeline=self.pipeline, n=n, offset=self.offset,
                event_time=iso(sent.timestamp_ms), before=before, after=self.commanded.version,
                reason=reason, own_id=own_id,
            )
        )  # fmt: skip

    def _obey(self, command: Command, n: int) -> None:
        self.commanded.obey(command, n, reset=self._reset)
        if command["what"] == "unfreeze":
            self._arm()

    def begin_again(self, genesis: int) -> None:
        """From here on with an untrained model."""
        self.genesis = self.begun_at = genesis
        self.offset = max(self.offset, genesis)
        self.n = self.records_n = self.labelled_n = 0
        self.refused.clear()
        self.closed_n = self.left_out_n = None
        self._begin_untrained(set())
        self._begin_watching()
        self.commanded.begin_again()
        self.note_stop(genesis)
        told, self.outputs = self.outputs, {channel: [] for channel in OUTPUTS}
        here, self.journaled = self.journaled, []
        for _, sent in (each for each in here if each[0] == genesis):
            # What was commanded there is commanded again, and told no second time; so are labels.
            if isinstance(sent, SentLabel):
                self.label(sent)
            else:
                assert sent.command is not None
                self.n += 1
                if sent.command["id"] not in self.commanded.done:
                    self.commanded.done.add(sent.command["id"])
                    self._obey(sent.command, 0)
        self.outputs, self.journaled = told, here

    def rebuild(self, rules: LabelRules) -> None:
        """Fold all again, untrained, with other settings; nothing is told a second time."""
        plan = replace(self.plan, labels=rules)
        other = PlainLoop(self.pipeline, self.topic, self.partition, self.facts, plan)
        other.begin_again(self.begun_at)
        other.closed_n = self.closed_n
        for offset, sent in self.journaled:
            other.run_to(offset)
            if isinstance(sent, SentLabel):
                other.label(sent)
            else:
                other.command(sent)
        other.run_to(self.offset)
        other.outputs, other.history, other.journaled = self.outputs, self.history, self.journaled
        other.before_all_n, other.genesis = self.before_all_n, self.genesis
        for each in fields(self):
            setattr(self, each.name, getattr(other, each.name))
        self._alerts.belong_to(self._publish, self._holds_on)
        self.note_stop(self.offset)

    def ahead(self, end: int) -> "PlainLoop":
        """Another that has gone on to an offset; this one stays where it is."""
        own: dict[int, Any] = {id(self.facts): self.facts, id(self.plan): self.plan}
        own[id(self.outputs)] = {channel: [] for channel in OUTPUTS}
        own[id(self.history)], own[id(self.commanded.places)] = {}, []
        other = copy.deepcopy(self, own)
        other.run_to(end)
        return other

    def _break(self, fact: Fact, harm: Harm) -> None:
        """The model learns no more, and goes back to where it was good."""
        model, detector, names = self._state
        breaker, learned, version = self.breaker, self.learned, self.commanded.version
        assert breaker is not None
        model, self.learned = breaker.trip(harm, model, learned)
        self._state = model, detector, names
        self.commanded.is_frozen = True
        evidence = {
            "measure": harm.measure, "value": harm.value, "threshold": harm.threshold,
            "learned_before": learned, "learned": self.learned,
        }  # fmt: skip
        self._act(fact, "freeze", "breaker", evidence, version)

    def _react(
        self, fact: Fact, reactions: PlainReactions, alerts: Sequence[Mapping[str, Any]]
    ) -> None:
        """What is to be done about some of the alerts of this record."""
        for rule, alert in reactions.due(alerts):
            version, is_frozen = self.commanded.version, self.commanded.is_frozen
            if rule.do == "freeze" and is_frozen:
                continue
            if rule.do == "freeze":
                self.commanded.is_frozen = True
            else:
                self.commanded.version += 1
                self._reset()
            reactions.note(rule)
            by, evidence = f"reaction:{rule.when}", {"alert": alert["id"]}
            self._act(fact, rule.do, by, evidence, version)

    def _act(
        self, fact: Fact, what: str, by: str, evidence: Mapping[str, Any], before: int
    ) -> None:
        """It is told in the ledger; `before` is the version that predicted."""
        place = {
            "n": self.before_all_n + self.n - 1, "partition": self.partition,
            "offset": self.offset, "event_time": iso(fact.timestamp_ms),
        }  # fmt: skip
        value = plain_acting.told(
            what, by, evidence=evidence, versions=(before, self.commanded.version), place=place,
            pipeline=self.pipeline, source=self.source if self._has_topic else "events",
        )  # fmt: skip
        where = f"{self.pipeline}/{self.partition}".encode()
        self._expect(Channel.LEDGER, fact, where, value)
