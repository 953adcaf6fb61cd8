"""The command `control`: commands running workers, and waits until the ledger tells what they did.

A partition's command goes into the same partition of the control topic, and its answer comes into
the same partition of the ledger.
"""

import os
import pwd
from collections.abc import Collection, Sequence
from contextlib import closing
from uuid import uuid4

from stream.config.durations import duration, milliseconds
from stream.core.commands import (
    ID_CHARS_MAX,
    LATE,
    REFUSED,
    TEXT_CHARS_MAX,
    WITHIN_MS_MAX,
    Command,
    LedgerValue,
    What,
)
from stream.core.event import COMMANDED, Channel
from stream.core.formats.commands import answered_by, written
from stream.errors import BadInput, LogLost, Retryable, StreamError, Usage
from stream.ports import Reader
from stream.runtime.commands import screen
from stream.runtime.commands.ledger import chosen_partitions, own_ledger_in
from stream.runtime.commands.shown import text
from stream.runtime.commands.status import events_topic
from stream.runtime.kept_topics import ready_kept_topics
from stream.runtime.pipeline import Pipeline

LOOK_EVERY_S = 0.2

ANSWER_S = 4.0
"""So long, at most, an answer to what was folded at the last moment takes until it can be read: the
worker's commit, and the transaction's end. With the last look it stays below 5 s."""

FLUSH_TIMEOUT_S = 75.0
"""Longer than a client tries to deliver, so that it says itself what failed."""

NAMED_MAX = 10
"""A message names so many partitions."""


def command_of(what: str, *, why: str, by: str | None, within: str, own_id: str | None) -> Command:
    """The command that a command line means. Raises: Usage."""
    try:
        within_ms = milliseconds(duration(within))
    except ValueError as error:
        raise Usage(f"--within: {error}") from error
    if within_ms > WITHIN_MS_MAX:
        raise Usage(f"--within: {within} is too long; write 7d or less")
    return Command(
        id=uuid4().hex if own_id is None else _checked("--id", own_id, ID_CHARS_MAX),
        what=What(what),
        by=_checked("--by", _user() if by is None else by, TEXT_CHARS_MAX),
        why=_checked("--why", why, TEXT_CHARS_MAX),
        within_ms=within_ms,
    )


def _checked(option: str, value: str, chars_max: int) -> str:
    """A text that a record can have. Raises: Usage."""
    if not value.strip():
        raise Usage(f"{option}: is empty; write a text")
    if len(value) > chars_max:
        raise Usage(f"{option}: has {len(value)} characters; write {chars_max} at most")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise Usage(f"{option}: is not UTF-8; write a text that is") from error
    return value


def _user() -> str:
    """The name of who types; where containers run under any number, that number."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return f"uid {os.getuid()}"


def control(
    pipeline: Pipeline, command: Command, *, partitions: Collection[int], may_be_known: bool
) -> None:
    """Command partitions, and say what became of it in each, as soon as it is known.

    Args:
        pipeline: whose workers are commanded.
        command: what they shall do.
        partitions: only these; all of the events', if there are none.
        may_be_known: it may have been sent before: what was answered then is the answer.

    Raises:
        Usage: there is no such partition, or the id was another command's; nothing was sent.
        BadInput: it was refused somewhere. Retryable: it was not answered everywhere.
        Misconfigured: the topics; nothing was sent.
    """
    with closing(pipeline.backend.topics()) as topics:
        # Only this one: who commands need not see what comes out.
        events = events_topic(topics.describe((Channel.EVENTS,)), pipeline)
        addressed = chosen_partitions(partitions, events.partitions, events.name)
        settings, there = pipeline.settings, events.partitions
        ready_kept_topics(
            topics, settings, pipeline.telemetry, partitions=there, channels=COMMANDED
        )
    with closing(pipeline.backend.reader()) as reader:
        answers = _Answers(pipeline, reader, command, addressed)
        if may_be_known:
            answers.look_back()
        if answers.awaited:
            try:
                _send(pipeline, command, answers.awaited)
                answers.wait()
            except KeyboardInterrupt:
                screen.say(
                    f"stream: {command.what} may have been sent, and may still be done (its id "
                    f"is {command.id}); `stream ledger` tells",
                    error=True,
                )
                raise
    answers.judge()


def _send(pipeline: Pipeline, command: Command, partitions: Sequence[int]) -> None:
    """Send a command to partitions; on return all are acknowledged."""
    now_ms, value = pipeline.clock().now_ms(), written(command)
    with closing(pipeline.backend.feed(channel=Channel.CONTROL)) as feed:
        try:
            for partition in partitions:
                feed.send(value, key=None, timestamp_ms=now_ms, partition=partition)
            feed.flush(timeout_s=FLUSH_TIMEOUT_S)
        except Retryable as error:
            raise Retryable(
                f"{error}; whether {command.what} was sent is not known: once Kafka is there, send "
                f"it again with --id {command.id}, and it is done once"
            ) from error


class _Answers:
    """What the ledger answers to one command.

    Args:
        partitions: those whose answers count.
    """

    def __init__(
        self, pipeline: Pipeline, reader: Reader, command: Command, partitions: Sequence[int]
    ) -> None:
        self._pipeline = pipeline
        self._reader = reader
        self._command = command
        self._bounds = {p: reader.bounds(Channel.LEDGER, p) for p in partitions}
        # Before it is sent: whatever is answered lies behind.
        self._positions = {p: each.end for p, each in self._bounds.items()}
        self._found: dict[int, LedgerValue] = {}
        self._trouble: StreamError | None = None

    @property
    def awaited(self) -> list[int]:
        """The partitions that have not answered."""
        return [partition for partition in self._bounds if partition not in self._found]

    def look_back(self) -> None:
        """Look for answers of an earlier time. Raises: Usage: the id was another command's."""
        total = sum(each.end - each.start for each in self._bounds.values())
        clock = self._pipeline.clock()
        with screen.Progress("ledger records searched", total=total, clock=clock) as progress:
            for partition, bounds in self._bounds.items():
                found = self._search(partition, bounds.start, bounds.end)
                progress.advance(bounds.end - bounds.start)
                if found is None:
                    continue
                done = found.evidence.get("command") if found.what == REFUSED else found.what
                if done != self._command.what:
                    raise Usage(
                        f"--id: {self._command.id} was a command to {text(done)} partition "
                        f"{partition}; write another one"
                    )
                self._take(partition, found, " (answered before)")

    def wait(self) -> None:
        """Wait until all have answered, or none can do so any more."""
        pipeline, clock = self._pipeline, self._pipeline.clock()
        pipeline.backend.end_patience()  # it would wait for longer than an answer is waited for
        within_s = self._command.within_ms / 1000
        deadline_s = clock.monotonic() + within_s + ANSWER_S
        waiting_n = len(self.awaited)
        screen.say(
            f"{self._command.what} sent to {_named(self.awaited)} as {self._command.id}; waiting "
            f"up to {screen.age(within_s + ANSWER_S)} for the answer",
            error=True,
        )
        what = "partitions answered"
        failed_s = 0.0
        with screen.Progress(what, total=waiting_n, clock=clock, has_rate=False) as progress:
            while True:
                before, began_s = len(self._found), clock.monotonic()
                self._look()
                progress.advance(len(self._found) - before)
                now_s = clock.monotonic()
                # A client may look long for a Kafka that is away: not beyond the end of the wait.
                failed_s = 0.0 if self._trouble is None else max(failed_s, now_s - began_s)
                if not self.awaited or now_s + failed_s > deadline_s:
                    return
                clock.sleep(LOOK_EVERY_S)

    def _look(self) -> None:
        """Look once for new answers. A server that is away is asked again at the next look."""
        self._trouble = None
        try:
            for partition in self.awaited:
                bounds = self._reader.bounds(Channel.LEDGER, partition)
                start = max(self._positions[partition], bounds.start)
                found = self._search(partition, start, bounds.end)
                self._positions[partition] = max(start, bounds.end)
                if found is not None:
                    self._take(partition, found)
        except (Retryable, LogLost) as error:  # retention, too, is another matter at the next one
            self._trouble = error

    def _search(self, partition: int, start: int, end: int) -> LedgerValue | None:
        """The first answer in a range of a partition of the ledger; None: there is none."""
        name = self._pipeline.settings.pipeline
        for batch in self._reader.read(Channel.LEDGER, partition, start, end):
            for record in batch:
                if answered_by(record) == self._command.id:
                    value = own_ledger_in(record, name)
                    if value is not None:
                        return value
        return None

    def _take(self, partition: int, value: LedgerValue, more: str = "") -> None:
        self._found[partition] = value
        became = f"{text(value.what)} at offset {value.offset} (step {value.n})"
        if value.what == REFUSED:
            became = f"refused: {text(_reason(value))}"
        screen.say(f"partition {partition}: {became}{more}")

    def judge(self) -> None:
        """Raises: BadInput: it was refused somewhere; Retryable: it was not answered everywhere."""
        refused = {p: v for p, v in self._found.items() if v.what == REFUSED}
        unanswered, within = self.awaited, screen.age(self._command.within_ms / 1000)
        problems = []
        if refused:
            problems.append(f"{self._command.what} was refused by {_named(refused)}")
        if LATE in map(_reason, refused.values()):
            problems.append(
                f"late: no worker found it within {within}; let one run, or compare its clock "
                "with this one's"
            )
        if unanswered:
            problems.append(
                f"{_named(unanswered)} did not answer {self._command.what} within {within}"
            )
            problems.append(
                "is a worker running (`stream status`)? One that finds it now refuses it as late; "
                "`stream ledger` tells"
                if self._trouble is None
                else f"{self._trouble}; `stream ledger` tells what became of it"
            )
        if problems:
            raise (BadInput if refused else Retryable)("; ".join(problems))


def _reason(refused: LedgerValue) -> object:
    return refused.evidence.get("reason")


def _named(partitions: Collection[int]) -> str:
    """Partitions in words.

    >>> _named([3]), _named([0, 1]), _named(range(12))
    ('partition 3', 'partitions 0, 1', 'partitions 0, 1, 2, 3, 4, 5, 6, 7, 8, 9 and 2 more')
    """
    first = ", ".join(map(str, list(partitions)[:NAMED_MAX]))
    more = len(partitions) - NAMED_MAX
    plural = "s" if len(partitions) > 1 else ""
    return f"partition{plural} {first}" + (f" and {more} more" if more > 0 else "")
