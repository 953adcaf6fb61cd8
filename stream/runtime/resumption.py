"""Where a partition's outcomes go on, when the committed offset alone does not tell.

Whoever may do so can set a group's offset, and a broker that lost data may have an old one. What
was published tells how far the outcomes reach. Against that, the committed offset may lie

- behind. Metadata of ours beside it: the state is proved there, then folded up to the outcomes'
  end, muted. Of another recipe, or none: "rebuild" is muted up to that end, "fresh" begins there;
- at the end: as ever; without metadata of ours `model.on_change` decides;
- ahead, as set by another tool (with metadata of ours all that lies before it has been proved):
  events have no outcome. "rebuild" refuses to pass them over, "fresh" says which.

At least once the outcomes may be ahead by what a crash left: of the same recipe they come again, to
the last bit. No offset at all, and outcomes: it was lost, and nobody begins again unasked.
"""

from dataclasses import dataclass

from stream.core.event import Channel
from stream.core.labels.labels_spec import are_among_events
from stream.core.snapshots.metadata import Metadata
from stream.errors import LogLost
from stream.ports import Bounds, Committed
from stream.runtime import published
from stream.runtime.sources import Sources

SUSPECTS = (
    "the log or the snapshot is not what it was, or the model does not repeat itself: `stream "
    "check` tries the model in two processes, `stream snapshots verify` names the first event "
    'that differs; mend it and, to go on untrained from here, set model.on_change = "fresh"'
)
"""After a replay that did not give what was committed: what may be to blame, how to find out, and
the way out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Resumption:
    """Where a partition's outcomes go on.

    Attributes:
        offset: publishing begins with this event; those before it are folded muted.
        reach: the first offset after all that have an outcome; None if none has one.
        missing: the first offset before `offset` whose event has no outcome, and gets none.
    """

    offset: int
    reach: int | None = None
    missing: int | None = None

    def notice(self, committed: Committed) -> str:
        """Say what an operator must know about it; "" where there is nothing."""
        if self.missing is not None:
            return (
                f"events {self.missing} to {committed.offset - 1} have no outcome: the group's "
                "offset was set ahead of them"
            )
        if self.offset > committed.offset:
            return (
                f"events {committed.offset} to {self.offset - 1} have their outcomes already: the "
                "group's offset was set back, or the broker lost the newer one; they get no second "
                "one"
            )
        if self.reach is None and committed.offset:
            return f"no event before {committed.offset} has an outcome"
        return ""

    def refused(self, where: str, committed: Committed, what: str | None) -> str:
        """What `model.on_change = "refuse"` says.

        Args:
            where: "partition 3".
            committed: what was found committed.
            what: changed in the recipe; None: there is no metadata of ours.
        """
        moved = self.notice(committed)
        also = f"; {moved}" if moved else ""
        if what is not None:
            return (
                f"model: the recipe is not the one that {where} was committed with ({what}){also}; "
                'set it back, or set model.on_change = "rebuild" (replay the log under the new '
                'one) or "fresh" (untrained from here)'
            )
        first = "" if self.missing is None else f"set it back to {self.reach}, and "
        return (
            f"model: the committed offset of {where}, {committed.offset}, carries no metadata of "
            f"ours; another tool set it{also}; {first}for one start set model.on_change = "
            '"rebuild" (replay the log, go on where the outcomes end) or "fresh" (untrained from '
            f"{self.offset})"
        )

    def check_start(self, where: str, events: Bounds) -> None:
        """Raises: LogLost: the event to go on with is not in the log any more."""
        if self.offset < events.start:
            raise LogLost(
                f"{where}: offset {self.offset} is next, the log starts at {events.start}: records "
                "were deleted before they were processed; to go on without them set the group's "
                f'offset to {events.start} and, for one start, model.on_change = "fresh"'
            )

    def check_whole(self, where: str, committed: Committed) -> None:
        """Raises: LogLost: a rebuild would pass over events that have no outcome."""
        if self.missing is not None:
            notice = self.notice(committed)
            raise LogLost(
                f"{where}: cannot rebuild: {notice}; set it back to {self.reach} to "
                f'have them, or set model.on_change = "fresh" to go on at {self.offset}, untrained '
                "and without them"
            )


def resumption(
    sources: Sources, partition: int, committed: Committed, events: Bounds, *, is_own: bool
) -> Resumption:
    """Where a partition's outcomes go on.

    Args:
        sources: read the events and the outcomes, of which at least once the last may have holes.
        partition: the events' partition.
        committed: its committed offset.
        events: what the log holds of it.
        is_own: the metadata beside the offset is ours; its recipe need not be.

    Raises: Retryable, Misconfigured, LogLost: as `Reader.read`.
    """
    reader, topic, may_repeat = sources.reader, sources.recipe.events_topic, sources.may_repeat
    at = committed.offset
    if is_own:
        # What is before it has been proved; most often there is no more to be found.
        reach = published.next_offset(reader, partition, topic=topic)
        if reach is None or reach <= at:
            return Resumption(offset=at, reach=at)
    reach = published.end_in(reader, partition, events, topic=topic)
    # A label among the events has no outcome of an event's, and is no hole in them.
    is_whole = not are_among_events(sources.recipe.extras)
    if reach is not None and (may_repeat or (is_own and is_whole)):
        since = at if is_own else 0
        reach = published.first_missing(reader, partition, reach, topic=topic, since=since)
    if reach is None or reach >= at or is_own:
        return Resumption(offset=max(at, reach or 0), reach=reach)
    missing = reach if reach < events.start else None
    if missing is None:
        missing = published.first_event(reader, partition, reach, min(at, events.end))
    return Resumption(offset=at, reach=reach, missing=missing)


def check_end(where: str, committed: Committed, events: Bounds) -> None:
    """Raises: LogLost: the log ends before the committed offset."""
    if committed.offset > events.end:
        raise LogLost(
            f"{where}: offset {committed.offset} was committed, the log ends at {events.end}: it "
            "was truncated or made again; reset the group's offsets (made again: to "
            f'{events.start}, and for one start set model.on_change = "rebuild")'
        )


def second_look(sources: Sources, partition: int) -> Committed | None:
    """The committed offset, if the first look missed it; None if nothing ever came of this.

    Where a fold begins is committed before it gives any outcome (`Worker._settle`), so one that has
    outcomes has an offset too, unless somebody deleted it.

    Raises: LogLost: somebody did; Retryable, Misconfigured.
    """
    reader = sources.reader
    known = published.next_offset(reader, partition, topic=sources.recipe.events_topic)
    if known is None:
        return None
    # Whoever was stopped for a while after the first look may have missed another's beginning.
    committed = reader.committed().get(partition)
    if committed is None:
        raise LogLost(_lost(sources, partition, known))
    return committed


def _lost(sources: Sources, partition: int, known: int) -> str:
    """Say that there are outcomes up to `known` and no offset, why that may be, and what to do."""
    reader, topic = sources.reader, sources.recipe.events_topic
    events = reader.bounds(Channel.EVENTS, partition)
    end = published.end_in(reader, partition, events, topic=topic)
    if end is None:
        why, to = f"none of them is of an event of {topic}, which was made again", events.start
    else:
        why = "the group's offsets were deleted or have expired"
        to = end
        if sources.may_repeat:
            to = published.first_missing(reader, partition, end, topic=topic)
    return (
        f"partition {partition}: no offset is committed, yet there are outcomes up to the event "
        f"before {known}: {why}, or another pipeline writes to these topics (`stream check` says "
        f"which); set the group's offset of {topic} partition {partition} to {to} and, for one "
        'start, model.on_change = "rebuild"; or name new output topics to begin again'
    )


def genesis_of(known: Metadata | None, sources: Sources, partition: int, log_start: int) -> int:
    """Where the fold began that is to be rebuilt.

    Args:
        known: what was committed beside its offset; None: nothing of ours, so the oldest outcome
            must tell.
        sources: read the outcomes, and know `topics.start`.
        partition: the events' partition.
        log_start: the first offset that the log still holds.

    Raises: LogLost: the log does not hold its beginning any more; Retryable, Misconfigured.
    """
    if known is not None and known.has_base:
        known = None  # where the untrained model began, only outcomes tell
    if known is None:
        topic = sources.recipe.events_topic
        first = published.first_offset(sources.reader, partition, topic=topic)
    else:
        first = known.genesis
    if first is None:
        return log_start
    if first < log_start:
        raise LogLost(
            f"partition {partition}: cannot rebuild, the log starts at {log_start} and the fold at "
            f'{first}; set model.on_change = "fresh" to begin untrained'
        )
    # Of an older event the outcome may have expired, unless there never was one.
    return first if known is not None or sources.start == "latest" else log_start
