"""How a partition's state comes back: the newest snapshot that verifies, then the log, then proof.

committed offset c, with (n, digest h, fingerprint f, genesis g) beside it
  none                      the untrained model, from `topics.start`; stop if there are outcomes
  f is not our recipe's     settings changed: the learner goes on (keeping.py); else
                            `model.on_change` decides
  c is not where the outcomes end: see resumption.py
  snapshots <= c            newest first; the first that verifies; else the base at g; else the
                            untrained model at g
  replay up to c, muted     the digest must then be h, or the log is not what it was, or the model
                            does not repeat itself: stop, or begin untrained under "fresh"
"""

from stream.core.event import Channel
from stream.core.fold.carrying import kept
from stream.core.fold.task import Task
from stream.core.snapshots.metadata import Metadata, parse_metadata
from stream.errors import LogLost, Misconfigured, Retryable
from stream.ports import Bounds, Committed
from stream.runtime import bases, published
from stream.runtime.copies import CopyPace
from stream.runtime.generations import refuse_older
from stream.runtime.journaled import Journaled
from stream.runtime.keeping import TRIAL_N, Keeping, Trial, is_asked, keeping
from stream.runtime.origins import Origin, Origins, check_reach
from stream.runtime.replay import Replay
from stream.runtime.restore_lines import RestoreLines
from stream.runtime.resumption import (
    SUSPECTS,
    Resumption,
    check_end,
    genesis_of,
    resumption,
    second_look,
)
from stream.runtime.sources import Sources
from stream.runtime.watchdog import Deadlined
from stream.telemetry import Metric

PICKLED_BYTES_S = 8 << 20
"""At which a forest is unpickled; to pickle it takes about as long."""


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
        self._sources, self.partition = sources, partition
        self._deadlined = deadlined
        self._committed = committed
        self._replay: Replay | None = None
        self._expected: Metadata | None = None
        self._keeping: Keeping | None = None
        self._trial: Trial | None = None
        self._resumption = Resumption(offset=0)
        self._closing: int | None = None
        self._origins = Origins(sources, partition, deadlined)
        self._journaled = Journaled(sources, partition)
        self._copies = CopyPace(sources.clock)
        self.lines = RestoreLines(sources, partition)
        self._origin, self._is_anew = "", False
        self.changed = committed is None
        """What is committed is not the task's own line: commit before anything else."""
        self.base: bases.Base | None = None
        """What to publish before that: the state that the fold begins anew with."""
        self.end: int | None = None
        """The partition's stable end when the restore began."""
        self.stored_n = 0
        """Of the newest snapshot, or where the fold began: later steps are replayed again."""
        self.replayed_s = 0.0

    def advance(self, budget_s: float) -> Task | None:
        """Work for about `budget_s`; the task once it is there.

        Raises:
            Retryable: log or store failed; call again.
            LogLost: the log does not hold or not reproduce what was committed.
            Misconfigured: the recipe changed and `model.on_change` is "refuse".
            Fenced: a newer recipe than ours has folded the partition.
        """
        if self._replay is None:
            self._replay = self._replaying(self._begin())
        replay, clock = self._replay, self._sources.clock
        began, replayed_n = clock.monotonic(), replay.task.state.n
        until_s = began + budget_s
        try:
            # It is proved where it was committed, and may have to go on from there.
            if self._expected is not None and self._committed is not None:
                if not self._reaches(self._committed.offset, until_s):
                    return None
                task = self._proved(replay.task, self._expected)
                self._expected = self._trial = None
                self._replay = self._replaying(task)
            if not self._closed(until_s) or not self._reaches(self._resumption.offset, until_s):
                return None
        finally:
            self.replayed_s += clock.monotonic() - began
            self._sources.telemetry.count(Metric.REPLAYED, replay.task.state.n - replayed_n)
        task = self._replay.task
        if self._keeping is not None:
            task = self._kept(task, self._keeping)
        self._journaled.place(task, self._committed)
        task.generation = self._sources.generation
        self.lines.restored(task, self._origin, is_fresh=self._committed is None)
        return task

    def _replaying(self, task: Task) -> Replay:
        return self._journaled.replay(task, self._shorten_way_back, is_proved=not self._expected)

    def _reaches(self, target: int, until_s: float) -> bool:
        """Replay until the target (True) or a moment of the clock (False)."""
        assert self._replay is not None  # noqa: S101
        look = None if self._trial is None else self._trial.look
        return self._replay.advance(target, until_s=until_s, look=look)

    def _begin(self) -> Task:
        """Decide what to go on from: an untrained model, or a stored state, and then a replay."""
        sources, committed = self._sources, self._committed
        if committed is None:
            committed = self._committed = second_look(sources, self.partition)
            self.changed = committed is None
        bounds = sources.reader.bounds(Channel.EVENTS, self.partition)
        self.end = bounds.end
        if committed is None:
            genesis = bounds.start if sources.start == "earliest" else bounds.end
            at = self._resumption = Resumption(offset=genesis)
            self._journaled.begin(None, at, committed_offset=None)
            return self._untrained(genesis)
        check_end(f"partition {self.partition}", committed, bounds)
        known = parse_metadata(committed.metadata)
        is_ours = known is not None and known.fingerprint == sources.recipe.fingerprint()
        if known is not None:
            refuse_older(known, sources, self.partition)
        at = self._resumption = self._resumed(committed, known, bounds, is_ours=is_ours)
        at.check_start(f"partition {self.partition}", bounds)
        if known is not None and (is_ours or is_asked(known, sources.recipe, sources.on_change)):
            task = self._from_stored(committed, known, bounds.start, is_ours=is_ours)
        else:
            task = self._anew(committed, known, bounds.start)
        check_reach(task, committed, bounds)
        return task

    def _anew(self, committed: Committed, known: Metadata | None, log_start: int) -> Task:
        """Begin with the untrained model, as `model.on_change` says."""
        genesis = self._on_change(committed, known, log_start)
        before_n = self._origins.steps_before(committed, known)
        task = self._untrained(genesis, max(before_n, self._journaled.steps_n(committed.offset)))
        if self._sources.on_change == "rebuild":
            self._is_anew = known is not None  # another recipe has another size
            if known is None:
                self._find_closing(genesis)
        return task

    def _from_stored(
        self, committed: Committed, known: Metadata, log_start: int, *, is_ours: bool
    ) -> Task:
        """Begin with what is stored of the committed fold, or where that began."""
        sources, at, recipe = self._sources, self._resumption, self._sources.recipe
        if not is_ours:
            where = f"partition {self.partition}"
            self._keeping = keeping(
                where, self._origins.header_of(committed.offset, known), known, recipe
            )
            recipe = self._keeping.before
            self.changed = True
            if self._keeping.is_tried:
                self._trial = Trial(sources.reader, self.partition, recipe, stop=committed.offset)
        self._expected = known
        task = self._begun(
            self._origins.newest(
                committed.offset, known, log_start, recipe,
                tried_n=0 if self._trial is None else TRIAL_N,
            )
        )  # fmt: skip
        task.state.closed_n = known.closed_n
        task.is_paused = known.is_paused and at.offset == committed.offset
        self.lines.moved(self._resumption, committed)
        if known.closed_n is None and at.offset > committed.offset:
            self._find_closing(committed.offset)
        return task

    def _resumed(
        self, committed: Committed, known: Metadata | None, events: Bounds, *, is_ours: bool
    ) -> Resumption:
        """Decide where the outcomes go on."""
        sources, partition = self._sources, self.partition
        at = Resumption(offset=committed.offset)  # at least once what comes again is the same
        if not (is_ours and sources.may_repeat):
            at = resumption(sources, partition, committed, events, is_own=known is not None)
        at = self._journaled.begin(known, at, committed_offset=committed.offset)
        if self._journaled.is_further or at.offset > committed.offset:
            # Whoever was stopped for a while after the look may have been overtaken by another.
            self._committed = sources.reader.committed().get(partition)
            if self._committed != committed:
                raise Retryable(f"the committed offset of partition {partition} has just moved")
            self.changed = True
        return at

    def _find_closing(self, since: int) -> None:
        """Find where names were left out of published outcomes, if the newest metadata is lost."""
        sources, stop = self._sources, self._resumption.offset
        self._closing = published.first_left_out(
            sources.reader, self.partition, since, stop, topic=sources.recipe.events_topic
        )

    def _closed(self, until_s: float) -> bool:
        """Replay up to where names are left out, if they are; False: the moment came first."""
        if self._closing is None:
            return True
        if not self._reaches(self._closing, until_s):
            return False
        assert self._replay is not None  # noqa: S101
        state = self._replay.task.state
        state.closed_n = state.n
        self._closing = None
        return True

    def _on_change(self, committed: Committed, known: Metadata | None, log_start: int) -> int:
        """What to do about another recipe. Returns: the genesis of the new fold."""
        sources, at, where = self._sources, self._resumption, f"partition {self.partition}"
        what = self._origins.what_changed(committed, known)
        if sources.on_change == "refuse":
            raise Misconfigured(at.refused(where, committed, None if known is None else what))
        self.changed = True
        genesis = at.offset
        if sources.on_change == "rebuild":
            at.check_whole(where, committed)
            genesis = genesis_of(known, sources, self.partition, log_start)
        self.lines.moved(self._resumption, committed)
        self.lines.changed(sources.on_change, genesis, what)
        return genesis

    def _begun(self, origin: Origin) -> Task:
        self._origin, self.stored_n = origin.what, origin.task.state.n
        if origin.payload_bytes:
            self._copies.took(origin.payload_bytes / PICKLED_BYTES_S)
        return origin.task

    def _untrained(self, genesis: int, genesis_n: int = 0) -> Task:
        task = self._begun(self._origins.untrained(genesis, genesis_n, self._sources.recipe))
        task.state.commanded.begin_at(self._journaled.genesis_n(genesis))
        return task

    def _shorten_way_back(self, task: Task) -> None:
        """Take a new copy now and then, or the replay would keep all its records for undoing."""
        if self._copies.is_due(task):
            began = self._sources.clock.monotonic()
            task.admission.weigh(len(task.keep_copy()))
            if self._is_anew:
                task.admission.close_if_heavy()  # the first commit tells
            self._copies.took(self._sources.clock.monotonic() - began)

    def _proved(self, task: Task, expected: Metadata) -> Task:
        """The task, if it is what was committed; else, with "fresh", an untrained one."""
        reached, how = task.metadata(), self._keeping
        is_untried = self._trial is not None and not self._trial.looked_n
        if how is not None and is_untried and task.state.records_n:
            raise how.untried(self._origin)
        if (expected.n, expected.digest) == (reached.n, reached.digest):
            return task
        if self._keeping is not None and not self._keeping.is_proved:
            self._keeping.check(task, expected, self._trial, origin=self._origin)
            return task
        what = (
            f"from {self._origin} the replay up to {task.next_offset} gives digest "
            f"{reached.digest} after {reached.n} records, committed was {expected.digest} "
            f"after {expected.n}"
        )
        if self._sources.on_change != "fresh":
            raise LogLost(f"partition {self.partition}: {what}: {SUSPECTS}")
        self.changed, self._keeping = True, None
        self.lines.changed("fresh", self._resumption.offset, what)
        return self._untrained(self._resumption.offset, expected.n)

    def _kept(self, task: Task, how: Keeping) -> Task:
        """Let the state go on with our recipe, from here; what it begins with is to be kept."""
        sources = self._sources
        going_on, payload = kept(task, sources.recipe)
        self.base = bases.Base(
            going_on.header(topic_id=sources.topic_id, taken_at_ms=sources.clock.now_ms()), payload
        )
        self.lines.changed("keep", going_on.next_offset, how.what)
        return going_on
