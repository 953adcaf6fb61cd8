"""The command `snapshots verify`: does a replay from each snapshot give what was committed?"""

import pickle
from collections.abc import Callable, Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from functools import cache, partial

from msgspec.structs import replace

from stream.core.event import Channel
from stream.core.fold.task import Task
from stream.core.fold.tasks import task_of
from stream.core.recipe import Recipe
from stream.core.result import StepResult
from stream.core.snapshots.metadata import Metadata, parse_metadata
from stream.core.snapshots.seal import Keys
from stream.errors import BadInput, LogLost, Misconfigured, Usage
from stream.ports import Committed, Reader, SnapshotStore, TopicInfo
from stream.runtime import bases, preparation
from stream.runtime.commands import base_checks, difference, screen
from stream.runtime.commands.other_folds import beyond, other_fold
from stream.runtime.commands.snapshots import (
    Found,
    existing_keys,
    line,
    say_json,
    stored,
    unsealed,
)
from stream.runtime.commands.status import events_topic, stored_in
from stream.runtime.identity import Identity
from stream.runtime.journal import Journal, Steps
from stream.runtime.pipeline import Pipeline
from stream.runtime.replay import Replay

REPORT_EVERY = 100
"""Records between two moves of the progress."""


def verify(pipeline: Pipeline, *, partition: int | None, offset: int | None, as_json: bool) -> None:
    """Replay from every snapshot to the committed offset and compare; a worker may run meanwhile.

    Call it under the pipeline's hash seed.

    Raises:
        BadInput: not all of them reproduce what was committed.
        Misconfigured: what was committed is of another recipe than this configuration's.
        Retryable: log or store is away.
    """
    recipe = preparation.make_recipe(pipeline.settings)
    with ExitStack() as stack:
        topics = stack.enter_context(closing(pipeline.backend.topics()))
        events = events_topic(topics.describe(), pipeline)
        partitions = range(events.partitions)
        if partition is not None:
            if partition not in partitions:
                raise Usage(f"--partition {partition}: {events.name} has {events.partitions}")
            partitions = range(partition, partition + 1)
        store = stack.enter_context(closing(pipeline.backend.snapshots()))
        reader = stack.enter_context(closing(pipeline.backend.reader()))
        every = stored(pipeline, store, partitions, offset=offset)
        # In this order: a snapshot is only taken of what was committed before.
        committed = reader.committed()
        keys = cache(partial(existing_keys, pipeline))
        verifier = _Verifier(pipeline, recipe, events, store, reader, keys)
        total = sum(max(0, _offset(committed, f.partition) - f.next_offset) for f in every)
        found = []
        with screen.Progress("records replayed", total=total, clock=pipeline.clock()) as progress:
            for each in every:
                verified = verifier.verified(
                    each, committed=committed.get(each.partition), progress=progress
                )
                if verified is not None:
                    found.append(verified)
                    if not as_json:
                        screen.say(line(verified, f"ok, {verified.replayed} records replayed"))
        lost_n = 0
        if offset is None:
            known = {p: committed[p] for p in partitions if p in committed}
            lost_n = _say_without_one(verifier, found, known, as_json=as_json)
    if as_json:
        names = ("partition", "n", "next_offset", "size_bytes", "age_s", "problem", "skipped",
                 "replayed", "first_difference")  # fmt: skip
        say_json(pipeline, found, names)
    _conclude(found, lost_n, as_json=as_json)


def _say_without_one(
    verifier: "_Verifier",
    found: list[Found],
    committed: Mapping[int, Committed],
    *,
    as_json: bool,
) -> int:
    """Which partitions have nothing that a start could use: that costs a replay, and no event.

    Returns: how many cannot be replayed, for their beginning is gone as well.
    """
    having = {each.partition for each in found}
    useful = {each.partition for each in found if each.skipped is None}
    lost_n = 0
    for partition, at in sorted(committed.items()):
        known = parse_metadata(at.metadata)
        if known is None or not known.n or partition in useful:
            continue
        what = "no snapshot of the committed fold" if partition in having else "no snapshot"
        lost = verifier.lost_beginning(partition, known)
        began = ", with the base" if known.has_base else ""
        then = (
            f"the next start replays {known.n - known.genesis_n} events from the log, from "
            f"{known.genesis} on{began}"
        )
        if not as_json:
            screen.say(f"partition {partition}: {what}; {lost or then}")
        lost_n += bool(lost)
    return lost_n


def _conclude(found: list[Found], lost_n: int, *, as_json: bool) -> None:
    """Say how many snapshots verified.

    Raises: BadInput: at least one of them did not, or a partition's state is lost.
    """
    bad = sum(each.problem is not None for each in found)
    skipped = sum(each.skipped is not None for each in found)
    if bad:
        raise BadInput(
            f"{bad} of {len(found)} snapshots do not reproduce what was committed; a worker passes "
            "over what does not fit, and replays more of the log"
        )
    if lost_n:
        raise BadInput(
            f"nothing brings the state of {lost_n} partition{'' if lost_n == 1 else 's'} back; "
            "`stream check` says what is lost"
        )
    if not found and not as_json:
        screen.say("no snapshots: there is nothing to verify")
    elif not as_json:
        also = f", {skipped} of other folds skipped" if skipped else ""
        n = len(found) - skipped
        screen.say(f"{n} snapshot{'' if n == 1 else 's'} verified{also}")


def _offset(committed: dict[int, Committed], partition: int) -> int:
    return committed[partition].offset if partition in committed else 0


@dataclass(frozen=True, slots=True)
class _Verifier:
    """Replays from snapshots of one pipeline, of each partition the newest first.

    Attributes:
        keys: reads them at the first call: before the first snapshot there may be no key yet.
        proved: partition -> the metadata at the positions, offset and step, that replays reached
            and found right.
        journals: partition -> its journal, where the committed fold has used any of it.
    """

    pipeline: Pipeline
    recipe: Recipe
    events: TopicInfo
    store: SnapshotStore
    reader: Reader
    keys: Callable[[], Keys]
    proved: dict[int, dict[tuple[int, int], Metadata]] = field(default_factory=dict)
    journals: dict[int, Journal] = field(default_factory=dict)

    def verified(
        self, found: Found, *, committed: Committed | None, progress: screen.Progress
    ) -> Found | None:
        """Unseal, look at the header, replay, compare; None: a worker removed it meanwhile.

        Raises: Misconfigured, Retryable.
        """
        known = None if committed is None else parse_metadata(committed.metadata)
        if committed is None or known is None:
            return replace(found, problem="nothing of ours is committed to compare it with")
        if known.fingerprint != self.recipe.fingerprint():
            raise Misconfigured(
                f"model: partition {found.partition} was committed with another recipe "
                f"({known.fingerprint}, here it is {self.recipe.fingerprint()}); verify with the "
                "configuration, code and versions that the workers have"
            )
        # Of a topic made again none is compared, and `_other_fold` says so.
        identity = Identity.of(self.recipe, topic_id=None)
        opened, payload = unsealed(found, self.store, self.keys(), identity)
        if opened.header is None:
            there = {s.n for s in stored_in(self.pipeline, self.store, found.partition)}
            return opened if found.n in there else None
        header = opened.header
        topic_id = self.events.topic_id
        problem = opened.problem or beyond(header, committed, known, topic_id)
        skipped = other_fold(header, known, self.recipe, topic_id)
        if problem is not None or skipped is not None:
            return replace(opened, problem=problem, skipped=None if problem else skipped)
        try:
            task = task_of(self.recipe, partition=found.partition, payload=payload)
        except pickle.UnpicklingError as error:
            return replace(opened, problem=f"it does not unpickle: {error}")
        task.state.closed_n = known.closed_n
        own = task.metadata()
        if (task.next_offset, own.n, own.digest) != (header.next_offset, header.n, header.digest):
            return replace(opened, problem="its state is not what its header says")
        return self._replayed(opened, task, committed=committed, known=known, progress=progress)

    def lost_beginning(self, partition: int, known: Metadata) -> str:
        """Why the committed fold cannot be had again from where it began; "" if it can.

        Raises: Misconfigured, Retryable, BadInput.
        """
        base = None
        if known.has_base:
            identity = Identity.of(self.recipe, self.events.topic_id)
            base = bases.load(self.reader, partition, known, keys=self.keys(), identity=identity)
        return base_checks.lost_beginning(
            known,
            None if base is None else base.header,
            self.reader.bounds(Channel.EVENTS, partition),
            topic=self.pipeline.settings.topics.bases,
        )

    def _replayed(
        self,
        found: Found,
        task: Task,
        *,
        committed: Committed,
        known: Metadata,
        progress: screen.Progress,
    ) -> Found:
        """Replay from a snapshot, and compare at each offset whose digest is known."""
        proved = self.proved.setdefault(found.partition, {})
        own, began_n = task.metadata(), task.state.n
        try:
            # Over each newer snapshot: so a difference is known to lie between two of them.
            newer = proved | {(committed.offset, known.n): known}
            for (offset, n), expected in sorted(newer.items()):
                agreed = task.next_offset, task.keep_copy()
                steps = self._steps(found.partition, known, before_n=n)
                self._replay(task, offset, steps, progress)
                reached = task.metadata()
                if (reached.n, reached.digest) != (expected.n, expected.digest):
                    where, first = self._place(found.partition, *agreed, offset, steps)
                    return replace(
                        found,
                        replayed=task.state.n - began_n,
                        first_difference=first,
                        problem=f"replayed to {offset} it gives digest {reached.digest} after "
                        f"{reached.n} records, expected is {expected.digest} after {expected.n}; "
                        + where,
                    )
        except LogLost as error:
            return replace(found, problem=f"cannot be replayed: {error}")
        proved[found.next_offset, own.n] = own
        return replace(found, replayed=task.state.n - began_n)

    def _steps(self, partition: int, known: Metadata, *, before_n: int) -> Steps:
        """What the committed fold was given beside events. Raises: LogLost, Retryable."""
        if known.journal_n and partition not in self.journals:
            self.journals[partition] = Journal(self.reader, partition)
        return Steps(
            self.journals.get(partition), partition, upto=known.journal_n, before_n=before_n
        )

    def _replay(self, task: Task, stop: int, steps: Steps, progress: screen.Progress) -> None:
        """Fold up to an offset, and move the progress line on."""
        since_n = task.state.n

        def report(_result: StepResult) -> bool:
            if (task.state.n - since_n) % REPORT_EVERY == 0:
                progress.advance(REPORT_EVERY)
            return False

        clock = self.pipeline.clock()
        Replay(self.reader, task, clock=clock, steps=steps).advance(stop, look=report)

    def _place(
        self, partition: int, start: int, payload: bytes, stop: int, steps: Steps
    ) -> tuple[str, int | None]:
        """Say where between two offsets a replay differs, with the offset if that is known."""
        if start == stop:
            return f"the difference lies before offset {start}", None
        task = task_of(self.recipe, partition=partition, payload=payload)
        offset = difference.first(
            task, self.reader, stop=stop, clock=self.pipeline.clock(), steps=steps
        )
        if offset is not None:
            return f"the first outcome that is not the published one is that of {offset}", offset
        return f"the difference lies between offsets {start} and {stop - 1}", None
