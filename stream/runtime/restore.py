"""How a partition's state comes back: the newest snapshot that verifies, then the log, then proof.

committed offset c, with (n, digest h, fingerprint f, genesis g) beside it
  none                      the untrained model, from `topics.start`; stop if there are outcomes
  f is not our recipe's     `model.on_change` decides
  c is not where the outcomes end: see resumption.py
  snapshots <= c, f ours    newest first; the first that verifies, else the untrained model at g
  replay up to c, muted     the digest must then be h, or the log is not what it was, or the model
                            does not repeat itself: stop, or begin untrained under "fresh"
"""

import logging
import pickle
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from stream.core.event import Channel, Record
from stream.core.metadata import Metadata, parse_metadata
from stream.core.recipe import Recipe, changes
from stream.core.snapshot import Header, Keys
from stream.core.task import Task
from stream.errors import LogLost, Misconfigured, Retryable
from stream.ports import Bounds, Clock, Committed, Reader, SnapshotStore
from stream.runtime import published
from stream.runtime.candidates import Candidates, Deadlined
from stream.runtime.copies import CopyPace
from stream.runtime.resumption import SUSPECTS, Resumption, genesis_of, resumption, second_look
from stream.telemetry import LogEvent, Metric, Telemetry

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

OnChange = Literal["refuse", "rebuild", "fresh"]

MAKE_S_MAX = 300.0
"""To make an untrained model: a factory may load one that was trained before."""

PICKLED_BYTES_S = 8 << 20
"""At which a forest is unpickled; to pickle it takes about as long."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """What a restore reads from, and the identity that a snapshot must have.

    Attributes:
        keys: verify snapshots.
        may_repeat: at least once: after a crash outcomes may come again.
        topic_id: the id of the events topic; a topic made again under its name has another.
        start: where a partition without a committed offset begins.
    """

    recipe: Recipe
    reader: Reader
    store: SnapshotStore
    keys: Keys
    topic_id: str
    start: Literal["earliest", "latest"]
    on_change: OnChange
    clock: Clock
    telemetry: Telemetry
    may_repeat: bool = False


class Restore:
    """Brings one partition's task to the committed offset, slice by slice.

    So that a worker with much to replay still polls, and its other partitions go on.
    """

    def __init__(
        self,
        sources: Sources,
        partition: int,
        committed: Committed | None,
        *,
        deadlined: Deadlined,
    ) -> None:
        self._sources = sources
        self._deadlined = deadlined
        self.partition = partition
        self._committed = committed
        self._task: Task | None = None
        self._expected: Metadata | None = None
        self._resumption = Resumption(offset=0)
        self._replay: Iterator[Sequence[Record]] | None = None
        self._pending: Iterator[Record] = iter(())
        self._closing: int | None = None
        self._is_anew = False
        self._candidates = Candidates(sources, partition, deadlined)
        self._copies = CopyPace(sources.clock)
        self._started = sources.clock.monotonic()
        self._origin = ""
        self.changed = committed is None
        """Whether the committed metadata is not that of the task: commit before anything else."""
        self.end: int | None = None
        """The partition's stable end when the restore began."""
        self.stored_offset = 0
        """Of the newest snapshot, or where the fold began: later records are replayed again."""
        self.replayed_s = 0.0

    def advance(self, budget_s: float) -> Task | None:
        """Work for about `budget_s`; the task once it is there.

        Raises:
            Retryable: log or store failed; call again.
            LogLost: the log does not hold or not reproduce what was committed.
            Misconfigured: the recipe changed and `model.on_change` is "refuse".
        """
        if self._task is None:
            self._begin()
        task = self._task
        assert task is not None  # noqa: S101
        began, replayed_n = self._sources.clock.monotonic(), task.state.n
        try:
            # It is proved where it was committed, and may have to go on from there.
            if self._expected is not None:
                if not self._slice(task, self._committed_offset(), began + budget_s):
                    return None
                task = self._task = self._proved(task, self._expected)
                self._expected = self._replay = None
            if not self._closed(task, began + budget_s):
                return None
            if not self._slice(task, self._resumption.offset, began + budget_s):
                return None
        finally:
            self.replayed_s += self._sources.clock.monotonic() - began
            self._sources.telemetry.count(Metric.REPLAYED, task.state.n - replayed_n)
        self._say_restored(task)
        return task

    def _begin(self) -> None:
        """Decide what to go on from: an untrained model, or a snapshot, and then a replay."""
        sources, committed = self._sources, self._committed
        if committed is None:
            committed = self._committed = second_look(
                sources.reader, self.partition, sources.recipe.events_topic,
                may_repeat=sources.may_repeat,
            )  # fmt: skip
            self.changed = committed is None
        bounds = sources.reader.bounds(Channel.EVENTS, self.partition)
        self.end = bounds.end
        if committed is None:
            genesis = bounds.start if sources.start == "earliest" else bounds.end
            self._resumption = Resumption(offset=genesis)
            self._task = self._untrained(genesis)
            return
        if committed.offset > bounds.end:
            raise LogLost(
                f"partition {self.partition}: offset {committed.offset} was committed, the log "
                f"ends at {bounds.end}: it was truncated or made again; reset the group's offsets"
            )
        known = parse_metadata(committed.metadata)
        is_ours = known is not None and known.fingerprint == sources.recipe.fingerprint()
        at = self._resumption = self._resumed(committed, known, bounds, is_ours=is_ours)
        if at.offset < bounds.start:
            raise LogLost(
                f"partition {self.partition}: offset {at.offset} is next, the log starts "
                f"at {bounds.start}: records were deleted before they were processed; to go on "
                f"without them set the group's offset to {bounds.start} and, for one start, "
                'model.on_change = "fresh"'
            )
        if known is None or not is_ours:
            self._task = self._untrained(self._on_change(committed, known, bounds.start))
            if sources.on_change == "rebuild":
                self._is_anew = known is not None  # another recipe has another size
                if known is None:
                    self._find_closing(self._task.next_offset)
        else:
            self._expected = known
            self._task = self._from_store(committed, known, bounds.start)
            self._task.state.closed_n = known.closed_n
            self._task.is_paused = known.is_paused and at.offset == committed.offset
            self._say_moved(committed)
            if known.closed_n is None and at.offset > committed.offset:
                self._find_closing(committed.offset)
        if self._task.next_offset < bounds.start:
            raise LogLost(
                f"partition {self.partition}: the log starts at {bounds.start}, and no snapshot "
                f"from there to the committed offset {committed.offset} can be used (the best "
                f"state begins at {self._task.next_offset}); bring the snapshots back, or change "
                'model.hash_seed and set model.on_change = "fresh" to go on untrained'
            )

    def _resumed(
        self, committed: Committed, known: Metadata | None, events: Bounds, *, is_ours: bool
    ) -> Resumption:
        """Decide where the outcomes go on."""
        sources, partition = self._sources, self.partition
        if is_ours and sources.may_repeat:
            return Resumption(offset=committed.offset)  # what comes again is the same
        at = resumption(
            sources.reader, partition, committed, events,
            is_own=known is not None, may_repeat=sources.may_repeat,
        )  # fmt: skip
        if at.offset > committed.offset:
            # Whoever was stopped for a while after the look may have been overtaken by another.
            newer = sources.reader.committed().get(partition)
            if newer != committed:
                self._committed = newer
                raise Retryable(f"the committed offset of partition {partition} has just moved")
            self.changed = True
        return at

    def _find_closing(self, since: int) -> None:
        """Find where names were left out of published outcomes, if the newest metadata is lost."""
        self._closing = published.first_left_out(
            self._sources.reader, self.partition, since, self._resumption.offset
        )

    def _closed(self, task: Task, deadline: float) -> bool:
        """Replay up to where names are left out, if they are; False: the deadline came first."""
        if self._closing is None:
            return True
        if not self._slice(task, self._closing, deadline):
            return False
        task.state.closed_n = task.state.n
        self._closing = self._replay = None
        return True

    def _say_moved(self, committed: Committed) -> None:
        """Report that somebody moved the committed offset."""
        told = self._resumption.told(committed)
        if told:
            self._sources.telemetry.say(
                LogEvent.OFFSET_MOVED,
                level=logging.WARNING,
                partition=self.partition,
                committed=committed.offset,
                next_offset=self._resumption.offset,
                why=told,
            )

    def _on_change(self, committed: Committed, known: Metadata | None, log_start: int) -> int:
        """What to do about another recipe. Returns: the genesis of the new fold."""
        sources, at, where = self._sources, self._resumption, f"partition {self.partition}"
        what = self._what_changed(known)
        if sources.on_change == "refuse":
            raise Misconfigured(at.refused(where, committed, None if known is None else what))
        self.changed = True
        genesis = at.offset
        if sources.on_change == "rebuild":
            at.check_whole(where, committed)
            genesis = genesis_of(
                known, sources.reader, self.partition, log_start, start=sources.start
            )
        self._say_moved(committed)
        self._say_changed(genesis, what)
        return genesis

    def _say_changed(self, genesis: int, what: str) -> None:
        self._sources.telemetry.say(
            LogEvent.RECIPE_CHANGED,
            partition=self.partition,
            on_change=self._sources.on_change,
            genesis=genesis,
            what=what,
        )

    def _what_changed(self, known: Metadata | None) -> str:
        """Say which parts of the recipe changed; only a snapshot knows the earlier ones."""
        if known is None:
            return "the committed offset carries no metadata of ours; another tool set it"
        ours = self._sources.recipe
        try:
            for header, _ in self._candidates.up_to(self._committed_offset(), known.n):
                if header.fingerprint == known.fingerprint:
                    return "; ".join(changes(header.recipe, ours.parts()))
        except (Retryable, Misconfigured) as error:
            # What differs is only said better with the store's help.
            self._candidates.say_store_away(error)
        return f"fingerprint {known.fingerprint} -> {ours.fingerprint()}"

    def _committed_offset(self) -> int:
        assert self._committed is not None  # noqa: S101
        return self._committed.offset

    def _untrained(self, genesis: int) -> Task:
        self._origin, self.stored_offset = f"untrained model at {genesis}", genesis
        with self._deadlined("making the model", MAKE_S_MAX):
            return Task(self._sources.recipe, partition=self.partition, genesis=genesis)

    def _from_store(self, committed: Committed, known: Metadata, log_start: int) -> Task:
        """Load the newest usable snapshot; without one, replay from the untrained model."""
        try:
            for header, payload in self._candidates.up_to(committed.offset, known.n):
                if header.fingerprint != known.fingerprint or header.genesis != known.genesis:
                    continue  # of an earlier recipe, or of an earlier "fresh" start
                task = self._unpickled(header, payload)
                if task is not None:
                    self._origin = f"snapshot at {header.next_offset}"
                    self.stored_offset = header.next_offset
                    return task
        except (Retryable, Misconfigured) as error:
            if known.genesis < log_start:
                raise  # only a snapshot can help: wait for the store
            self._candidates.say_store_away(error)
        return self._untrained(known.genesis)

    def _unpickled(self, header: Header, payload: bytes) -> Task | None:
        """Load the state of a verified snapshot; None: it does not unpickle."""
        try:
            # The first task of a recipe makes the untrained model too.
            with self._candidates.taking_in(
                "unpickling a snapshot", len(payload), more_s=MAKE_S_MAX
            ):
                task = Task(self._sources.recipe, partition=self.partition, payload=payload)
        except pickle.UnpicklingError as error:
            self._candidates.reject(header, f"it does not unpickle: {error}")
            return None
        task.weigh(len(payload))
        self._copies.took(len(payload) / PICKLED_BYTES_S)
        return task

    def _slice(self, task: Task, target: int, deadline: float) -> bool:
        """Replay until the target (True) or the deadline (False)."""
        sources = self._sources
        if task.next_offset >= target:
            return True
        if self._replay is None:
            self._replay = sources.reader.read(
                Channel.EVENTS, self.partition, task.next_offset, target
            )
        while True:
            for record in self._pending:
                task.step(record)
                if sources.clock.monotonic() > deadline:
                    return False
            self._shorten_way_back(task)
            try:
                batch = next(self._replay, None)
            except Retryable:
                # A generator that raised is over, which would look like the end of the records:
                # the next call reads on from `task.next_offset`.
                self._replay = None
                raise
            if batch is None:
                task.advance(target)  # what is left up to the target are gaps
                return True
            self._pending = iter(batch)
            if sources.clock.monotonic() > deadline:
                return False

    def _shorten_way_back(self, task: Task) -> None:
        """Take a new copy now and then, or the replay would keep all its records for undoing."""
        if self._copies.is_due(task):
            began = self._sources.clock.monotonic()
            task.weigh(len(task.keep_copy()))
            if self._is_anew:
                task.close_if_heavy()  # the first commit tells
            self._copies.took(self._sources.clock.monotonic() - began)

    def _proved(self, task: Task, expected: Metadata) -> Task:
        """The task, if it is what was committed; else, with "fresh", an untrained one."""
        reached = task.metadata()
        if (expected.n, expected.digest) == (reached.n, reached.digest):
            return task
        what = (
            f"from {self._origin} the replay up to {task.next_offset} gives digest "
            f"{reached.digest} after {reached.n} records, committed was {expected.digest} "
            f"after {expected.n}"
        )
        if self._sources.on_change != "fresh":
            raise LogLost(f"partition {self.partition}: {what}: {SUSPECTS}")
        self.changed = True
        self._say_changed(self._resumption.offset, what)
        return self._untrained(self._resumption.offset)

    def _say_restored(self, task: Task) -> None:
        """Report and count that the partition's state is back, and where it came from."""
        sources = self._sources
        sources.telemetry.count(Metric.RESTORES)
        sources.telemetry.say(
            LogEvent.TASK_FRESH if self._committed is None else LogEvent.TASK_RESTORED,
            partition=self.partition,
            origin=self._origin,
            next_offset=task.next_offset,
            learned=task.state.learned,
            took_s=sources.clock.monotonic() - self._started,
        )
