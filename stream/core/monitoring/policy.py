"""Which findings are announced: few alerts, each once, reminders, and an end.

    nothing ──► firing ──► resolved ──► forgotten
                 │  ▲         │
       reminder ─┘  └─────────┘ again within a cooldown: the same episode

A finding belongs to the episode of its kind, direction and signal (`Finding.key`), or to one that
it joined (`grouping`). That is announced when it begins, when it has become more severe, at
doublings of its firings, and when it is over. What is less severe than is wanted is kept, but not
announced; what is too much is announced as one storm.

An event at which nothing fires and nothing is due costs one comparison of integers.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Final, NamedTuple

from stream.core.event import iso
from stream.core.monitoring.bucket import DATA, Bucket, largest
from stream.core.monitoring.episodes import NEVER, STORM, Episode, Finding, Key, Phase, Severity
from stream.core.monitoring.fold_time import FoldTime
from stream.core.monitoring.grouping import Groups
from stream.core.monitoring.marks import Marks, Place
from stream.core.monitoring.policy_spec import PolicySpec

LARGEST_N: Final = 10
"""Episodes that a storm names."""

LABELLED: Final = frozenset({"baseline", "calibration"})
"""Measures that look at labelled events alone."""


class Announcement(NamedTuple):
    """One record to publish.

    Attributes:
        largest: of a storm: the largest episodes that were withheld.
    """

    state: Phase
    episode: Episode
    largest: tuple[Episode, ...] = ()


class Policy:
    """The policy of one partition; a deterministic fold that can be pickled between two steps.

    Attributes:
        due_n: the next step at which something is to be done; the present one, if anything fires.
            Steps are those of records here: commands are none.
        episodes: those that go on, or were over a cooldown ago at most. There is one for each kind,
            direction and signal that is watched, so their number is bounded by the configuration.
    """

    __slots__ = (
        "_buckets", "_fired", "_groups", "_marks", "_next", "_now", "_spec", "_time",
        "due_n", "episodes",
    )  # fmt: skip

    def __init__(self, spec: PolicySpec) -> None:
        self._spec = spec
        self._marks, self._groups = Marks(), Groups()
        self._time = FoldTime() if spec.unit == "ms" else None
        self._fired: list[Finding] = []
        self._next, self._now = NEVER, 0
        self._buckets = tuple(Bucket(spec.burst_n, spec.refill_n) for _ in range(2))
        self.due_n = 0
        self.episodes: dict[Key, Episode] = {}

    def going_on_from(self, old: "Policy") -> "Policy":
        """Take over what is open, and since when; `old` is not used any more."""
        self._marks, self._groups, self._next = old._marks, old._groups, 0  # noqa: SLF001
        episodes = self.episodes = old.episodes
        if (self._time is None) is (old._time is None):  # noqa: SLF001
            self._time, self._now = old._time, old._now  # noqa: SLF001
        elif place := self._marks.last:  # times of another unit: as if all had fired just now
            at = place.n if self._time is None else place.timestamp_ms
            self.episodes = {k: e.moved_to(at) for k, e in episodes.items() if e.over_at is None}
        return self

    def severity(self, detector: str, default: Severity) -> Severity:
        """How severe a drift of this detector is, if it is no improvement."""
        return dict(self._spec.severities).get(detector, default)

    def may_announce(self, finding: Finding) -> bool:
        """Whether a detector's finding may ever be told; warnings and improvements stay as severe.

        A drift that is not severe enough may be of an episode that becomes so.
        """
        is_mild = finding.kind == "warning" or finding.direction == "better"
        return not is_mild or finding.severity >= self._spec.min_severity

    def fire(self, finding: Finding) -> None:
        """Take in what was found at the present step, before it is over."""
        self._fired.append(finding)
        self.due_n = 0

    def release(self, name: str, n: int) -> None:
        """What bears this name is over since the step `n`; firing again, it is told at once."""
        self._now = n if self._time is None else self._now
        for episode in self.episodes.values():
            if episode.first.name == name and episode.over_at is None:
                episode.release(self._now - self._spec.cooldown)
                self._next = self.due_n = 0

    def sees(self, n: int, timestamp_ms: int | None) -> bool:
        """Let time pass: the present step is over. To be called at `due_n` and later.

        Args:
            n: its number.
            timestamp_ms: of its record; None: it was no record of the events topic.

        Returns: whether there may be something to tell, so that `close` is to be called.
        """
        time = self._time
        if time is None:
            self._now = n
            return True
        now = self._now = time.now_ms if timestamp_ms is None else time.see(timestamp_ms)
        if timestamp_ms is not None and time.was_ms is not None:
            self._set_back(time.was_ms, now)
        return bool(self._fired) or now >= self._next or n >= self._marks.due_n

    def close(
        self,
        place: Place,
        *,
        is_ongoing: Callable[[str], bool],
        ongoing: Iterable[Finding] = (),
    ) -> list[Announcement]:
        """What is to be announced of the present step.

        Args:
            place: the step.
            is_ongoing: whether what bears this name holds on, though it does not fire.
            ongoing: what was found, and is not over.
        """
        now, fired = self._now, [*self._groups.joined(self._fired, place.n, self._is_open)]
        if place.n >= self._marks.due_n:
            self._marks.add(place)
        announced: list[Announcement] = []
        if fired or now >= self._next:
            self._fired = []
            holding = {self._groups.key_of(each) for each in ongoing}
            keys = {each.key for each in fired}
            announced += self._ended(place, now, keys, is_ongoing, holding)
            announced += self._fires(fired, place, now)
            self._next = self._next_due(place, now)
        # By fold time each record counts, for each may move it.
        self.due_n = 0 if self._time is not None else min(self._next, self._marks.due_n)
        return announced

    def _is_open(self, key: Key) -> bool:
        episode = self.episodes.get(key)
        return episode is not None and episode.over_at is None

    def _set_back(self, was_ms: int, now: int) -> None:
        """Fold time is set back, and with it what was noted by it; that is announced."""
        for each in self.episodes.values():
            each.last, each.announced_at = min(each.last, now), min(each.announced_at, now)
            each.over_at = None if each.over_at is None else min(each.over_at, now)
        self._fired.append(
            Finding(
                "flow", "clock", "fold:time", "timestamp", "changed", Severity.WARNING, None, None,
                f"timestamps ran ahead: fold time is set back from {iso(was_ms)} to {iso(now)}",
            )
        )  # fmt: skip

    def _ended(
        self,
        place: Place,
        now: int,
        fired: set[Key],
        is_ongoing: Callable[[str], bool],
        holding: set[Key],
    ) -> Iterator[Announcement]:
        """End what has not fired for a cooldown, and forget what was over a cooldown ago."""
        cooldown = self._spec.cooldown
        for key, episode in tuple(self.episodes.items()):
            if episode.over_at is None and now - episode.last >= cooldown:
                is_storm = episode.first.kind == STORM
                if is_ongoing(episode.first.name):
                    episode.last = now
                elif key in holding or (is_storm and self._missing(place.n) > 0):
                    continue
                # By fold time a step may lie far behind the one before it: as if it had reopened.
                elif (key not in fired or now - episode.last > 2 * cooldown) and episode.resolve(
                    now if is_storm else episode.last + cooldown
                ):
                    yield Announcement("resolved", episode)
            if episode.over_at is not None and now - episode.over_at > cooldown:
                del self.episodes[key]

    def _fires(self, fired: list[Finding], place: Place, now: int) -> Iterator[Announcement]:
        """Take in what fired, and announce of each episode, once, what there is to."""
        touched: dict[Key, Episode] = {}
        for finding in sorted(fired, key=lambda each: each.kind == "warning"):
            if not self._is_late_warning(finding):
                touched[finding.key] = self._in_episode(finding, place, now)
        withheld_n = 0
        for episode in touched.values():
            state = self._state(episode, place, now)
            if state is None:
                continue
            if episode.severity is Severity.CRITICAL or self._takes(episode, place.n):
                episode.announce(place, now)
                yield Announcement(state, episode)
            elif state == "firing" and not episode.is_withheld:
                episode.is_withheld = True
                withheld_n += 1
        if withheld_n:
            yield from self._storm(withheld_n, place, now)

    def _is_late_warning(self, finding: Finding) -> bool:
        """Whether it is a warning of a drift that has come already."""
        drift = self.episodes.get(("drift", *finding.key[1:]))
        return finding.kind == "warning" and drift is not None and drift.over_at is None

    def _in_episode(self, finding: Finding, place: Place, now: int) -> Episode:
        """The episode of a finding, which has begun or goes on."""
        episode = self.episodes.get(finding.key)
        if episode is None:
            episode = self.episodes[finding.key] = Episode(
                finding, place, self._since(finding, place)
            )
        elif episode.over_at is not None:
            episode.since = self._since(finding, place)
        episode.fire(finding, place, now)
        return episode

    def _since(self, finding: Finding, place: Place) -> Place:
        """Where the change probably began."""
        if finding.values_n is None:
            return place
        are_labelled = finding.signal in ("error", "label")
        if finding.measured is not None:  # its blocks are of events, but of these two measures
            are_labelled = finding.detector in LABELLED
        return self._marks.before(place, finding.values_n, are_labelled=are_labelled)

    def _state(self, episode: Episode, place: Place, now: int) -> Phase | None:
        """What there is to tell of an episode that fired just now; None: nothing."""
        spec = self._spec
        if episode.severity < spec.min_severity:
            return None
        if episode.announced is None or episode.severity > episode.announced:
            return "firing"
        is_worth_it = episode.is_worth_a_reminder(
            place, now, cooldown=spec.cooldown, least_ms=spec.reminder_ms
        )
        return "reminder" if is_worth_it else None

    def _storm(self, withheld_n: int, place: Place, now: int) -> Iterator[Announcement]:
        """Announce, once, that there was more than may be announced at a time."""
        withheld = [each for each in self.episodes.values() if each.is_withheld]
        severity = max(each.severity for each in withheld)
        finding = Finding(
            STORM, STORM, "alerts:storm", "alerts", "changed", severity, None, None,
            f"more alerts than may be published at a time (offset {place.offset})",
        )  # fmt: skip
        for _ in range(withheld_n):
            storm = self._in_episode(finding, place, now)
        state = self._state(storm, place, now)
        if state is not None:
            storm.announce(place, now)
            yield Announcement(state, storm, largest(withheld, LARGEST_N))

    def _missing(self, n: int) -> int:
        """How many steps it takes until as many may be published at once as ever."""
        return max(bucket.missing(n) for bucket in self._buckets)

    def _takes(self, episode: Episode, n: int) -> bool:
        return self._buckets[episode.first.kind in DATA].takes(n)

    def _next_due(self, place: Place, now: int) -> int:
        """When the next episode is over, or forgotten."""
        cooldown, dues = self._spec.cooldown, [NEVER]
        for episode in self.episodes.values():
            due = episode.last + cooldown
            if episode.over_at is not None:
                due = episode.over_at + cooldown + 1
            elif episode.first.kind == STORM:
                # By fold time nobody knows at which step the bucket will be full.
                full = self._missing(place.n)
                due = max(due, place.n + full if self._time is None else now)
            # What is not over yet, though a cooldown has passed, is looked at in each step: of fold
            # time there may be many before it moves.
            dues.append(max(due, now + (self._time is None)))
        return min(dues)
