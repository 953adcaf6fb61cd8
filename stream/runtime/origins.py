"""What a fold can go on from: a stored snapshot, the base it began with, or the untrained model."""

import pickle
from typing import NamedTuple

from stream.core.fold.task import Task
from stream.core.fold.tasks import task_of
from stream.core.recipe import Recipe, changes
from stream.core.snapshots.metadata import Metadata
from stream.core.snapshots.seal import Header
from stream.errors import LogLost, Misconfigured, Retryable
from stream.ports import Bounds, Committed
from stream.runtime import bases
from stream.runtime.candidates import Candidates
from stream.runtime.identity import Identity
from stream.runtime.sources import Sources
from stream.runtime.unseen import Unseen
from stream.runtime.watchdog import Deadlined
from stream.topic_settings import NO_LIMIT

MAKE_S_MAX = 300.0
"""To make an untrained model: a factory may load one that was trained before."""


class Origin(NamedTuple):
    """A task to replay from.

    Attributes:
        what: what it is, for people.
        payload_bytes: of the state that was loaded; 0: none was.
    """

    task: Task
    what: str
    payload_bytes: int = 0


def is_of(header: Header, known: Metadata) -> bool:
    """Whether a snapshot is of the committed fold: of no earlier recipe, nor earlier start.

    One of its very beginning says nothing that its genesis does not; and two folds may have begun
    at one step, with the same recipe: where it was changed there and back, and back again.
    """
    own = header.fingerprint, header.genesis_n, header.has_base
    return (
        own == (known.fingerprint, known.genesis_n, known.has_base) and header.n != header.genesis_n
    )


def check_reach(task: Task, committed: Committed, events: Bounds) -> None:
    """Raises: LogLost: the log does not reach back to where a task begins."""
    if task.next_offset < events.start:
        raise LogLost(
            f"partition {task.partition}: the log starts at {events.start}, and no snapshot from "
            f"there to the committed offset {committed.offset} can be used (the best state begins "
            f"at {task.next_offset}); bring the snapshots back, or change model.hash_seed and set "
            'model.on_change = "fresh" to go on untrained'
        )


class Origins:
    """Looks for what one partition's fold can go on from."""

    def __init__(self, sources: Sources, partition: int, deadlined: Deadlined) -> None:
        self._sources = sources
        self._partition = partition
        self._deadlined = deadlined
        self._candidates = Candidates(sources, partition, deadlined)
        self._unseen = Unseen(sources.clock)

    def newest(
        self, offset: int, known: Metadata, log_start: int, recipe: Recipe, *, tried_n: int = 0
    ) -> Origin:
        """The newest usable snapshot; without one, where the committed fold began.

        Args:
            offset: the committed one.
            known: what was committed beside it.
            log_start: the first offset that the log holds.
            recipe: folds with it.
            tried_n: so many steps should follow it; where none is so old, the oldest is taken.

        Raises: LogLost: the fold began with a base, which is gone; Retryable: wait for the store.
        """
        found: Origin | None = None
        needs_log = known.began_before(log_start)
        try:
            for header, payload in self._candidates.up_to(offset, known.n):
                if not is_of(header, known):
                    continue
                what = f"snapshot at {header.next_offset}"
                loaded = self._loaded(header, payload, recipe, what)
                found = loaded or found
                if loaded is not None and known.n - header.n >= tried_n:
                    return loaded
        except (Retryable, Misconfigured) as error:
            if needs_log and found is None:
                raise  # only a snapshot can help: wait for the store
            self._candidates.say_store_away(error)
        is_behind = found is not None and found.task.state.n < known.n
        if found is not None and tried_n:  # commands are nothing that it could be tried on
            is_behind = is_behind and found.task.next_offset < offset
        if found is not None and (is_behind or needs_log):
            return found
        origin = self._genesis(known, recipe)
        if known.n == known.genesis_n:  # up to here there were markers, and no record to fold
            origin.task.advance(max(offset, origin.task.next_offset))
        return origin

    def _genesis(self, known: Metadata, recipe: Recipe) -> Origin:
        """What the committed fold began with.

        Raises: Retryable: its base cannot be seen yet; LogLost: it is gone.
        """
        if not known.has_base:
            untrained = self.untrained(known.genesis, known.genesis_n, recipe)
            untrained.task.state.commanded.begin_at(known.genesis_journal_n)
            return untrained
        base, what = self._base(known), f"base at {known.genesis}"
        origin = None if base is None else self._loaded(*base, recipe, what)
        if origin is None:
            if not self._unseen.is_gone():
                raise Retryable(
                    f"partition {self._partition}: the base of step {known.genesis_n} cannot be "
                    "seen in the bases topic, where a dead worker's transaction may be open yet"
                )
            raise LogLost(
                f"partition {self._partition}: no snapshot can be used, and what the fold began "
                f"with is not in the bases topic, of step {known.genesis_n}, under keys that are "
                "known here; bring one of them back (snapshots.older_key_files?), or change "
                'model.hash_seed and set model.on_change = "rebuild" (replay the log) or "fresh" '
                "(untrained from here)"
            )
        return origin

    def untrained(self, genesis: int, genesis_n: int, recipe: Recipe) -> Origin:
        """The untrained model at an offset, after so many steps of other folds."""
        with self._deadlined("making the model", MAKE_S_MAX):
            task = task_of(recipe, partition=self._partition, genesis=genesis, genesis_n=genesis_n)
        return Origin(task, f"untrained model at {genesis}")

    def header_of(self, offset: int, known: Metadata) -> Header | None:
        """The header of a snapshot, or of the base, of the committed recipe; None: there is none.

        Raises: Retryable, LogLost: the base cannot be read.
        """
        try:
            for header, _ in self._candidates.up_to(offset, known.n):
                if header.fingerprint == known.fingerprint:
                    return header
        except (Retryable, Misconfigured) as error:
            # What differs is only said better with the store's help.
            self._candidates.say_store_away(error)
        base = self._base(known)
        return None if base is None else base.header

    def what_changed(self, committed: Committed, known: Metadata | None) -> str:
        """Say which parts of the recipe changed; only what is stored knows the earlier ones.

        Raises: as `header_of`.
        """
        if known is None:
            return "the committed offset carries no metadata of ours; another tool set it"
        ours, header = self._sources.recipe, self.header_of(committed.offset, known)
        if header is not None:
            return "; ".join(changes(header.recipe, ours.parts()))
        return f"fingerprint {known.fingerprint} -> {ours.fingerprint()}"

    def steps_before(self, committed: Committed, known: Metadata | None) -> int:
        """How many steps the partition has had, so that none of their numbers comes again."""
        if known is not None:
            return known.n
        try:
            newest = next(self._candidates.up_to(NO_LIMIT, None), None)
        except (Retryable, Misconfigured) as error:
            self._candidates.say_store_away(error)
            newest = None
        # Up to now each step took one event.
        return committed.offset if newest is None else max(newest[0].n, committed.offset)

    def _base(self, known: Metadata) -> bases.Base | None:
        sources = self._sources
        if not known.has_base:
            return None
        identity = Identity.of(sources.recipe, sources.topic_id)
        return bases.load(
            sources.reader, self._partition, known, keys=sources.keys, identity=identity
        )

    def _loaded(self, header: Header, payload: bytes, recipe: Recipe, what: str) -> Origin | None:
        """Load the state of a verified snapshot; None: it does not unpickle."""
        try:
            # The first task of a recipe makes the untrained model too.
            with self._candidates.taking_in(
                "unpickling a snapshot", len(payload), more_s=MAKE_S_MAX
            ):
                task = task_of(recipe, partition=self._partition, payload=payload)
        except pickle.UnpicklingError as error:
            self._candidates.reject(header, f"it does not unpickle: {error}")
            return None
        task.admission.weigh(len(payload))
        return Origin(task, what, len(payload))
