"""The command `quarantine redrive`: sends refused records back once the cause is mended.

It is a worker's commit the other way round (`Pipeline.backwards`): its input is the quarantine, its
outputs are the topics that the records came from, and its own offsets on the quarantine move in the
same transaction. So each record is sent at most once, whenever the process dies; the next run goes
on after the last commit.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from typing import Self

from stream.core.event import Channel, Output, own_id
from stream.core.formats.quarantine import Redriven, Refused
from stream.errors import BadInput, CommitLost, Retryable
from stream.ports import Committed, Log
from stream.runtime.commands import screen
from stream.runtime.commands.quarantine import Quarantine, redriven
from stream.runtime.fitting import fitted
from stream.runtime.pipeline import Pipeline
from stream.runtime.watchdog import Watchdog

JOIN_S = 30.0
"""To become the only member of the redrive's group; a dead one's session is over before that."""

POLL_S = 0.25


@dataclass(slots=True)
class Tally:
    """What was sent, and what could not be sent.

    Attributes:
        sent: topic -> reason -> how many.
        lost: the topic and the place of each.
    """

    sent: dict[str, Counter[str]] = field(default_factory=dict)
    lost: list[tuple[str, str]] = field(default_factory=list)

    def add(self, topic: str, reasons: Mapping[str, int]) -> None:
        """Count records that were sent to a topic."""
        self.sent.setdefault(topic, Counter()).update(reasons)

    def said(self, done: str, *, otherwise: str) -> str:
        """Say what was done with how many; `otherwise` names the topic where none was sent."""
        sent = self.sent or {otherwise: Counter[str]()}
        return ", ".join(f"{_counted(reasons)} {done} {topic}" for topic, reasons in sent.items())


def _counted(reasons: Counter[str]) -> str:
    said = ", ".join(f"{n} {reason}" for reason, n in reasons.most_common())
    return f"{reasons.total()} records" + (f" ({said})" if said else "")


@dataclass(frozen=True, slots=True)
class Done:
    """Which of a partition's records were sent again: by redriven, or by the topics they are in."""

    redriven: Redriven
    resent: frozenset[tuple[Channel, bytes]] = frozenset()

    @classmethod
    def of(cls, quarantine: Quarantine, partition: int) -> Self:
        """Look what was sent again until now. Raises: Retryable, Misconfigured, LogLost."""
        known = quarantine.redriven.get(partition)
        return cls(Redriven(), quarantine.resent(partition)) if known is None else cls(known)

    def has(self, refused: Refused, target: Channel) -> bool:
        """Whether a record was sent again, to the topic that it came from."""
        return self.redriven.has(refused) or (target, refused.origin) in self.resent


def redrive(pipeline: Pipeline, *, reason: str | None, dry_run: bool) -> None:
    """Send what was refused back to the topic it came from: of one reason, or all of it.

    Raises:
        Retryable: run it again, it goes on where it was; Fenced: another redrive took over.
        BadInput: some were cut, and their whole value is gone; all others were sent.
        Misconfigured, LogLost.
    """
    tally, events = Tally(), pipeline.settings.topics.events
    with ExitStack() as stack:
        quarantine = Quarantine.open(pipeline, stack)
        if dry_run:
            for partition in quarantine.bounds:
                done = Done.of(quarantine, partition)
                for batch, _ in quarantine.records(partition, done.redriven.start(reason)):
                    _outputs(quarantine, done, batch, reason=reason, tally=tally)
            screen.say(tally.said("would be sent to", otherwise=events))
        else:
            log = stack.enter_context(closing(pipeline.backend.backwards().log()))
            log = fitted(log, quarantine.targets, clock=pipeline.clock(), cuttable=())
            try:
                Redrive(quarantine, log, reason=reason, tally=tally).run()
            except CommitLost as error:
                sent = tally.said("are for certain in", otherwise=events)
                raise Retryable(
                    f"{error}; {sent}; run it again, it goes on after the last commit"
                ) from error
            stopped = "; stopped by a signal, run it again" if pipeline.stopping.is_set() else ""
            screen.say(tally.said("sent to", otherwise=events) + stopped)
    if tally.lost:
        names = " and ".join(dict.fromkeys(topic for topic, _ in tally.lost))
        raise BadInput(
            f"{len(tally.lost)} cannot be sent, for they were cut and {names} does not hold "
            f"them any more; ask their sender: {', '.join(place for _, place in tally.lost[:10])}"
        )


def _outputs(
    quarantine: Quarantine,
    done: Done,
    batch: Sequence[Refused],
    *,
    reason: str | None,
    tally: Tally,
) -> list[Output]:
    """The records of a batch that are to be sent, each as it came in."""
    outputs = []
    for refused in batch:
        record, target = refused.record, quarantine.target_of(refused)
        if done.has(refused, target) or reason not in (None, refused.reason):
            continue
        whole = quarantine.whole(refused)
        if whole is None:
            place = own_id(refused.topic, refused.partition, refused.offset)
            tally.lost.append((refused.topic, place))
            continue
        tally.add(quarantine.targets[target].name, {refused.reason: 1})
        outputs.append(
            Output(
                target, record.partition, whole.timestamp_ms, whole.key, whole.value,
                refused.resent_headers(whole),
            )
        )  # fmt: skip
    return outputs


class Redrive:
    """One run of the command.

    Args:
        log: whose events are the quarantine.
        tally: gets what was committed.
    """

    def __init__(
        self, quarantine: Quarantine, log: Log, *, reason: str | None, tally: Tally
    ) -> None:
        self._quarantine = quarantine
        self._pipeline = quarantine.pipeline
        self._log = log
        self._reason = reason
        self._tally = tally
        self._owned: set[int] = set()
        telemetry = self._pipeline.telemetry
        self._watchdog = Watchdog.saying(telemetry)
        self._deadline_s = self._pipeline.settings.timings.call_deadline_s

    def run(self) -> None:
        """Send everything up to the end there was at the start, or until a stop signal."""
        bounds = self._quarantine.bounds
        try:
            # Before the membership: this may take longer than a member may be silent.
            before = {partition: Done.of(self._quarantine, partition) for partition in bounds}
            self._join()
            if self._pipeline.stopping.is_set():
                return
            deadline_s = self._deadline_s * (1 + len(self._owned))  # looked up one by one
            # Of the group, and only now: whoever was before is fenced, and commits no more.
            with self._watchdog.watch("reading the committed offsets", deadline_s):
                known = redriven(self._log.committed(sorted(self._owned)))
            total = sum(b.end - b.start for b in bounds.values())
            clock = self._pipeline.clock()
            with screen.Progress("records looked at", total=total, clock=clock) as progress:
                for partition, done in before.items():
                    if partition in known:
                        done = Done(known[partition])  # noqa: PLW2901  # the younger truth
                    elif partition in self._quarantine.redriven:
                        raise Retryable("the redriven were forgotten just now; run it again")
                    self._send(partition, done, progress)
        finally:
            self._watchdog.close()

    def _join(self) -> None:
        """Become the member that has all partitions. Raises: Retryable."""
        clock = self._pipeline.clock()
        deadline_s = clock.monotonic() + JOIN_S
        while not self._has_all() and not self._pipeline.stopping.is_set():
            self._poll(POLL_S)
            if clock.monotonic() > deadline_s:
                raise Retryable(
                    f"not all partitions of the quarantine came within {JOIN_S:g} s; does another "
                    "redrive run?"
                )

    def _poll(self, timeout_s: float) -> None:
        """Keep the membership. No partition is ever sought, so no record comes this way."""
        with self._watchdog.watch("polling Kafka", timeout_s + self._deadline_s):
            polled = self._log.poll(timeout_s=timeout_s, records_max=1)
        self._owned -= polled.revoked
        self._owned |= polled.assigned

    def _has_all(self) -> bool:
        return self._owned >= self._quarantine.bounds.keys()

    def _send(self, partition: int, done: Done, progress: screen.Progress) -> None:
        """Send one partition's refused records; each batch is committed with its mark."""
        reason, quarantine = self._reason, self._quarantine
        known = done.redriven
        for batch, next_offset in quarantine.records(partition, known.start(reason)):
            if self._pipeline.stopping.is_set():
                return
            self._poll(0.0)  # each time, sent or not: a member that never polls is thrown out
            if not self._has_all():
                raise Retryable("the membership in the redrive's group was lost; run it again")
            tally = Tally()
            outputs = _outputs(quarantine, done, batch, reason=reason, tally=tally)
            at = known.moved(max(next_offset, known.start(reason)), reason)
            if outputs or (at != known and not batch):
                with self._watchdog.watch("committing", self._deadline_s):
                    committed = Committed(at.next_offset, at.metadata())
                    self._log.commit(outputs, {partition: committed})
                known = at
            for topic, reasons in tally.sent.items():
                self._tally.add(topic, reasons)
            self._tally.lost += tally.lost
            progress.advance(len(batch))
