"""The right alerts of a policy: everything that ever fired is kept, and looked through each time.

It shares no code with `stream.core.monitoring.policy`, and nothing here is bounded or quick.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

RANKS = ("info", "warning", "critical")
JOINS_N = 2000
LONG_AGO_MS = 1 << 62


@dataclass(frozen=True, slots=True)
class Rules:
    """The settings, as `PolicySpec` has them."""

    min_severity: str
    cooldown: int
    by_time: bool
    reminder_ms: int
    burst_n: int
    refill_n: int


@dataclass(frozen=True, slots=True)
class Fired:
    """What was found."""

    kind: str
    detector: str
    name: str
    signal: str
    direction: str
    severity: str
    values_n: int | None = None
    is_measured: bool = False


@dataclass(frozen=True, slots=True)
class Step:
    """A record's that is over: its number, and how many events had a label, or were valid before.

    Commands are none of these, though the program counts them as steps.
    """

    n: int
    offset: int
    timestamp_ms: int
    labelled_n: int
    valid_n: int


@dataclass(slots=True)
class Story:
    """One episode, with all its firings and all that was told of it."""

    key: tuple[str, ...]
    first: Fired
    offset: int
    since: tuple[int, int]
    firings: list[tuple[int, Fired]] = field(default_factory=list)
    told: list[tuple[str, int, int, int, str]] = field(default_factory=list)
    ended: list[int] = field(default_factory=list)
    held_on: int = 0
    least_ms: int = 0
    ends_at: int | None = None
    is_over: bool = False
    is_untold: bool = False

    @property
    def severity(self) -> str:
        """The highest of all firings."""
        return max((each.severity for _, each in self.firings), key=RANKS.index)

    @property
    def last(self) -> int:
        """When it fired, or held on, last; it may end at once."""
        if self.ends_at is not None:
            return self.ends_at
        return max(self.firings[-1][0], self.held_on)

    def fire(self, fired: Fired, now: int, timestamp_ms: int) -> None:
        """It fires, and goes on."""
        self.firings.append((now, fired))
        self.ends_at, self.is_over = None, False
        self.least_ms = min(self.least_ms, timestamp_ms)

    def release(self, at: int) -> None:
        """It is over, as if it had fired last at `at`; if it fires at once, that is told."""
        self.ends_at = at
        if self.told:
            state, _, _, timestamp_ms, severity = self.told[-1]
            self.told[-1] = state, 0, at, timestamp_ms, severity
            self.least_ms = -LONG_AGO_MS

    @property
    def is_told(self) -> bool:
        """Whether somebody waits for its end."""
        return bool(self.told) and self.told[-1][0] != "resolved"


class PlainTime:
    """Fold time, from all timestamps there were."""

    def __init__(self) -> None:
        self.now, self.all, self.since = 0, list[int](), list[int]()

    def see(self, timestamp_ms: int) -> bool:
        """One more. Returns: whether it is set back."""
        self.all.append(timestamp_ms)
        self.since.append(timestamp_ms)
        last = sorted(self.all[-5:])
        median = last[(len(last) - 1) // 2]
        if median > self.now:
            self.now, self.since = median, []
        elif len(self.since) == 100:
            middle, self.since = sorted(self.since)[49], []
            if middle < self.now - 3_600_000:
                self.now, self.all = max(middle, 0), []
                return True
        return False


class PlainPolicy:
    """What is told of one partition.

    Args:
        tell: is given the words of each record: of the episode, and of this one.
        holds_on: whether what is called so goes on without firing.
        ongoing: what monitors found when they looked last.
    """

    def __init__(
        self,
        rules: Rules,
        *,
        tell: Callable[[Fired, dict[str, Any]], None],
        holds_on: Callable[[str], bool],
        ongoing: Callable[[], Iterable[Fired]],
    ) -> None:
        self._rules = rules
        self._tell = tell
        self.holds_on = holds_on
        self._ongoing = ongoing
        self._fired: list[Fired] = []
        self._stories: list[Story] = []
        self._spent: dict[bool, list[int]] = {False: [], True: []}
        self._time, self._now = PlainTime(), 0
        self._marked: list[Step] = []
        self._at: Step | None = None
        self._joined: dict[tuple[str, ...], tuple[tuple[str, ...], int]] = {}
        self._first: dict[tuple[str, str], tuple[tuple[str, ...], int]] = {}

    def fire(self, fired: Fired) -> None:
        """It fires at the present step."""
        self._fired.append(fired)

    def release(self, name: str) -> None:
        """What is called so is over, since the last step."""
        self._at = None  # the next one is looked at, whatever its number
        for story in self._stories:
            if story.first.name == name and not story.is_over:
                story.release(self._now - self._rules.cooldown)

    def close(self, step: Step, *, is_timed: bool = True) -> None:
        """The step is over; without `is_timed` it was of no record of the events topic."""
        # A label's step has the number of the record behind it: both are looked at once, if nothing
        # fires a second time.
        is_again = self._at is not None and self._at.n == step.n
        self._at = step
        if is_again and not self._fired and not self._rules.by_time:
            return
        if not self._marked or step.n >= self._marked[-1].n + 32:
            self._marked.append(step)
        n, offset, timestamp_ms = step.n, step.offset, step.timestamp_ms
        is_back = is_timed and self._time.see(timestamp_ms)
        assert not (is_back and self._rules.by_time), "no workload sets fold time back"
        now = self._now = self._time.now if self._rules.by_time else n
        fired, self._fired = [(each, self._lead(each, n)) for each in self._fired], []
        for story in list(self._stories):
            self._end(story, n, now, timestamp_ms, {key for _, key in fired})
        stories: list[Story] = []
        for each, key in fired:
            story = self._story(each, key, offset, self._since(each))
            story.fire(each, now, timestamp_ms)
            if story not in stories:
                stories.append(story)
        untold = [story for story in stories if not self._say(story, n, now, timestamp_ms)]
        for _ in untold:
            severities = (story.severity for story in self._stories if story.is_untold)
            worst = max(severities, key=RANKS.index)
            fired_storm = Fired("storm", "storm", "alerts:storm", "alerts", "changed", worst)
            storm = self._story(fired_storm, _key(fired_storm), offset, (offset, timestamp_ms))
            storm.fire(fired_storm, now, timestamp_ms)
        if untold:
            self._say(storm, n, now, timestamp_ms)

    def _end(
        self, story: Story, n: int, now: int, timestamp_ms: int, fired: set[tuple[str, ...]]
    ) -> None:
        cooldown = self._rules.cooldown
        if not story.is_over and now - story.last >= cooldown:
            ongoing = {self._joined.get(_key(f), (_key(f), 0))[0] for f in self._ongoing()}
            is_storm = story.first.kind == "storm"
            if self.holds_on(story.first.name):
                story.held_on, story.ends_at = now, None
            elif story.key in ongoing or (
                is_storm
                and min(self._room(n, k) for k in self._spent)
                < self._rules.burst_n * self._rules.refill_n
            ):
                pass
            elif story.key not in fired or now - story.last > 2 * cooldown:
                if story.is_told:
                    self._publish(story, "resolved", now, timestamp_ms)
                story.is_over, story.is_untold = True, False
                story.ended.append(now if is_storm else story.last + cooldown)
        if story.is_over and now - story.ended[-1] > cooldown:
            self._stories.remove(story)

    def _lead(self, fired: Fired, n: int) -> tuple[str, ...]:
        """The story that it belongs to: its own, or one that began not long ago."""
        own, of = _key(fired), (fired.kind, fired.direction)
        if not fired.is_measured or fired.kind not in ("input", "output"):
            return own
        going_on = {story.key for story in self._stories if not story.is_over}
        lead, last_n = self._joined.get(own, (own, n))
        if lead not in going_on or (lead != own and n - last_n > JOINS_N):
            lead, began_n = self._first.get(of, (own, n))
            if began_n < n and (n - began_n > JOINS_N or lead not in going_on):
                lead, began_n = own, n
            self._first[of] = lead, began_n
        self._joined[own] = lead, n
        return lead

    def _since(self, fired: Fired) -> tuple[int, int]:
        """The last of every 32nd step at which the change had not begun."""
        now = at = self._at
        assert now is not None
        assert at is not None
        if fired.values_n is not None:
            is_error = fired.signal in ("error", "label")
            if fired.is_measured:
                is_error = fired.detector in ("baseline", "calibration")
            before_n = (now.labelled_n if is_error else now.valid_n) + 1 - fired.values_n
            at = self._marked[0]
            for step in self._marked:
                if (step.labelled_n if is_error else step.valid_n) > before_n:
                    break
                at = step
        return at.offset, at.timestamp_ms

    def _story(
        self, fired: Fired, key: tuple[str, ...], offset: int, since: tuple[int, int]
    ) -> Story:
        for story in self._stories:
            if story.key == key:
                if story.is_over:
                    story.since = since
                return story
        self._stories.append(Story(key, fired, offset, since))
        return self._stories[-1]

    def _say(self, story: Story, n: int, now: int, timestamp_ms: int) -> bool:
        """Tell what is to be told of it. Returns: False: the limit kept it back, and only now."""
        rules, severity = self._rules, story.severity
        if RANKS.index(severity) < RANKS.index(rules.min_severity):
            return True
        state = "firing"
        if story.is_told:
            _, told_n, told_at, _, told_severity = story.told[-1]
            if severity == told_severity:
                state = "reminder"
                is_soon = now - told_at < rules.cooldown
                is_soon |= timestamp_ms - story.least_ms < rules.reminder_ms
                if is_soon or len(story.firings) < 2 * told_n:
                    return True
        is_free = severity == "critical" or story.first.kind == "storm"
        if not is_free:
            is_data = story.first.kind in ("input", "output", "flow")
            if self._room(n, is_data) < rules.refill_n:
                is_known = state == "reminder" or story.is_untold
                story.is_untold |= state == "firing"
                return is_known
            self._spent[is_data].append(n)
        story.is_untold = False
        self._publish(story, state, now, timestamp_ms)
        return True

    def _room(self, n: int, is_data: bool) -> int:
        """Steps in the bucket: it begins full, and each record takes what some steps give back."""
        rules, full = self._rules, self._rules.burst_n * self._rules.refill_n
        room, at = full, 0
        for spent_n in self._spent[is_data]:
            room, at = min(full, room + spent_n - at) - rules.refill_n, spent_n
        return min(full, room + n - at)

    def _publish(self, story: Story, state: str, now: int, timestamp_ms: int) -> None:
        repeats = len(story.firings)
        story.told.append((state, repeats, now, timestamp_ms, story.severity))
        story.least_ms = timestamp_ms
        since_offset, since_ms = story.since
        words = {
            "severity": story.severity,
            "state": state,
            "began": story.offset,
            "since": (since_offset, since_ms),
            "repeats": repeats,
        }
        self._tell(story.first, words)


def _key(fired: Fired) -> tuple[str, ...]:
    """What is one episode: each measure of a variable has its own."""
    if fired.is_measured and fired.kind in ("input", "output"):
        return fired.kind, fired.direction, fired.signal, fired.detector
    return fired.kind, fired.direction, fired.signal
