"""The policy on alerts, fed with findings: what is told, when, and how often."""

import pickle
import re
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.core.monitoring.episodes import Finding, Severity
from stream.core.monitoring.marks import Place
from stream.core.monitoring.policy_spec import PolicySpec

WORSE = Finding(
    "drift", "ADWIN", "adwin", "error", "worse", Severity.WARNING, 0.1, 0.3, "error rose"
)
DDM = WORSE._replace(detector="DDM", name="ddm", after=0.4)
BETTER = WORSE._replace(direction="better", severity=Severity.INFO)
ZONE = DDM._replace(kind="warning", severity=Severity.INFO)
FAILS = Finding(
    "numeric", "failures", "model:failures", "failure", "worse", Severity.CRITICAL, None, 0.2, "it"
)
SPEC = PolicySpec(cooldown=10)
REMINDING = replace(SPEC, reminder_ms=0)
ALL = replace(SPEC, min_severity=Severity.INFO)
SECOND_MS = 1000


class Hand:
    """Drives a policy step by step, as a fold does: it is only asked where it wants to be.

    Attributes:
        told: of each record: its step, state and kind, and how often that fired.
        ids: the same: its episode, and its step again.
        ongoing: names of what holds on though it does not fire.
        largest: signals that the last storm named.
    """

    def __init__(self, spec: PolicySpec, *, step_ms: int = SECOND_MS) -> None:
        self.policy = spec.begin()
        self.step_ms = step_ms
        self.n = 0
        self.told: list[tuple[int, str, str, int]] = []
        self.ongoing: set[str] = set()
        self.largest: list[str] = []
        self.ids: list[tuple[object, int]] = []

    def steps(self, count: int, *findings: Finding, at_ms: int | None = None) -> None:
        """So many steps, at each of which all of this is found."""
        for _ in range(count):
            for each in findings:
                self.policy.fire(each)
            time_ms = self.n * self.step_ms if at_ms is None else at_ms
            if self.n >= self.policy.due_n and self.policy.sees(self.n, time_ms):
                place = Place(self.n, 100 + self.n, time_ms, self.n, self.n)
                for record in self.policy.close(place, is_ongoing=self.ongoing.__contains__):
                    first = record.episode.first
                    self.told.append((self.n, record.state, first.kind, record.episode.repeats))
                    self.ids.append(((*first.key, record.episode.began.n), self.n))
                    self.largest = [one.first.signal for one in record.largest] or self.largest
            self.n += 1

    def copied(self) -> None:
        """Go on with what a snapshot would bring back."""
        self.policy = pickle.loads(pickle.dumps(self.policy))  # noqa: S301  # our own


def told(spec: PolicySpec, *steps: tuple[Any, ...]) -> list[tuple[int, str, str, int]]:
    """What is told of these steps: how many, and what is found at each."""
    hand = Hand(spec)
    for each in steps:
        hand.steps(*each)
    return hand.told


def test_one_firing_is_told_and_resolved() -> None:
    """Resolved once a cooldown has passed; then nothing is kept of it."""
    hand = Hand(SPEC)
    hand.steps(1, WORSE)
    hand.steps(9)
    assert hand.told == [(0, "firing", "drift", 1)]

    hand.steps(1)
    assert hand.told[1:] == [(10, "resolved", "drift", 1)]
    hand.steps(50)
    assert len(hand.told) == 2
    assert not hand.policy.episodes


def test_what_fires_within_the_cooldown_is_a_repeat() -> None:
    """At its last step, too; and each puts the end off."""
    assert told(SPEC, (1, WORSE), (9,), (1, WORSE), (20,)) == [
        (0, "firing", "drift", 1),
        (20, "resolved", "drift", 2),
    ]


def test_what_fires_within_another_cooldown_reopens_the_episode() -> None:
    """After that it is another one, which counts from one."""
    assert told(SPEC, (1, WORSE), (19,), (1, WORSE), (11,)) == [
        (0, "firing", "drift", 1),
        (10, "resolved", "drift", 1),
        (20, "firing", "drift", 2),
        (30, "resolved", "drift", 2),
    ]
    assert told(SPEC, (1, WORSE), (20,), (1, WORSE))[2:] == [(21, "firing", "drift", 1)]


def test_reminders_come_at_doublings_and_not_within_a_cooldown() -> None:
    """Nor within half an hour by the records' timestamps."""
    fired = told(REMINDING, (100, WORSE), (10,))
    assert fired == [
        (0, "firing", "drift", 1),
        (10, "reminder", "drift", 11),
        (21, "reminder", "drift", 22),
        (109, "resolved", "drift", 100),
    ]
    slow = Hand(replace(SPEC, reminder_ms=60 * SECOND_MS, burst_n=99))
    slow.steps(250, WORSE)
    assert [n for n, *_ in slow.told] == [0, 60, 121, 243]


@pytest.mark.parametrize("each_ms", [10, 100, 1000])
@pytest.mark.parametrize("spec", [PolicySpec(), PolicySpec(cooldown=900_000, unit="ms")])
def test_an_hour_of_firing_is_three_records_and_an_end(spec: PolicySpec, each_ms: int) -> None:
    """However many events an hour has; the end is one."""
    hand = Hand(spec, step_ms=each_ms)
    hand.steps(3_600_000 // each_ms, WORSE)
    fired_n = len(hand.told)
    hand.steps(max(1000, 900_000 // each_ms) + 5)

    assert 1 <= fired_n <= 3
    assert [state for _, state, *_ in hand.told[fired_n:]] == ["resolved"]
    assert hand.told[-1][-1] == 3_600_000 // each_ms


def test_several_detectors_of_one_change_are_one_episode() -> None:
    """With what each of them saw last; its name is that of the first."""
    hand = Hand(SPEC)
    hand.steps(1, WORSE)
    hand.steps(2, DDM)

    assert len(hand.told) == 1
    (episode,) = hand.policy.episodes.values()
    assert (episode.first.name, episode.repeats) == ("adwin", 3)
    assert [(name, each.after, each.offset) for (name, _), each in episode.pieces.items()] == [
        ("adwin", 0.3, 100),
        ("ddm", 0.4, 102),
    ]


def test_what_is_less_severe_is_not_told_until_it_is_more() -> None:
    """An improvement and a warning zone are no one's business by default."""
    mild = DDM._replace(severity=Severity.INFO)

    assert told(SPEC, (1, BETTER), (1, ZONE), (50,)) == []
    assert [each[1:3] for each in told(ALL, (1, BETTER), (1, ZONE), (11,))] == [
        ("firing", "drift"),
        ("firing", "warning"),
        ("resolved", "drift"),
        ("resolved", "warning"),
    ]
    assert told(SPEC, (3, mild), (1, WORSE), (1, mild), (11,)) == [
        (3, "firing", "drift", 4),
        (14, "resolved", "drift", 5),
    ]
    told_again = told(ALL, (1, mild), (1, WORSE), (1, mild))
    assert told_again == [(0, "firing", "drift", 1), (1, "firing", "drift", 2)]


def test_a_warning_of_a_drift_that_has_come_says_nothing() -> None:
    """Neither after it nor at the same step, whichever was found first."""
    for steps in ([(1, WORSE), (1, ZONE)], [(1, ZONE, WORSE)]):
        assert told(ALL, *steps) == [(0, "firing", "drift", 1)]


def signals(count: int) -> list[Finding]:
    """Drifts of so many signals."""
    return [WORSE._replace(signal=f"feature:{n:02}", direction="changed") for n in range(count)]


def test_over_the_limit_there_is_one_storm() -> None:
    """With the ten largest; it is over when the limit has room for a whole burst again."""
    hand = Hand(replace(SPEC, refill_n=40))
    many = signals(15)
    hand.steps(1, *many)
    hand.steps(1, many[7])
    hand.steps(200)

    firing = [each for each in hand.told if each[1] == "firing"]
    assert [kind for _, _, kind, _ in firing] == ["drift", "drift", "drift", "storm"]
    assert firing[-1][-1] == 12
    assert hand.largest == [f"feature:{n:02}" for n in range(3, 13)]
    over = [each for each in hand.told if each[1] == "resolved"]
    assert [(n, kind) for n, _, kind, _ in over] == [(10, "drift")] * 3 + [(120, "storm")]


def test_what_fires_again_and_again_does_not_get_round_the_limit() -> None:
    """Reopened every 15 steps for 3,000: about three records each 40 steps at most."""
    hand = Hand(replace(SPEC, refill_n=40))
    for _ in range(200):
        hand.steps(1, WORSE)
        hand.steps(14)
    firing = [each for each in hand.told if each[1:3] == ("firing", "drift")]
    storms = [each for each in hand.told if each[1:3] == ("firing", "storm")]

    assert len(firing) <= 3 + 3000 // 40
    assert len(storms) == 1


def test_a_critical_one_passes_every_limit() -> None:
    """There is no room, and it is told; and it takes none from others."""
    strict = replace(SPEC, min_severity=Severity.CRITICAL)
    assert told(strict, (1, WORSE, FAILS)) == [(0, "firing", "numeric", 1)]

    found = told(SPEC, (1, *signals(4)), (1, FAILS))
    assert found[-1] == (1, "firing", "numeric", 1)


def test_what_goes_on_without_firing_is_not_over() -> None:
    """A state over its ceiling is told once, and stays so until it is another."""
    hand = Hand(SPEC)
    hand.ongoing.add(FAILS.name)
    hand.steps(1, FAILS)
    hand.steps(500)
    assert len(hand.told) == 1

    hand.ongoing.clear()
    hand.steps(11)
    assert [state for _, state, *_ in hand.told] == ["firing", "resolved"]


def test_by_fold_time_a_night_without_events_is_an_end() -> None:
    """What fires after it is another episode; the former is resolved at that step."""
    spec = PolicySpec(cooldown=60 * SECOND_MS, unit="ms")
    hand = Hand(spec)
    hand.steps(5, WORSE)
    hand.steps(5, WORSE, at_ms=10_000 * SECOND_MS)

    assert [each[1:] for each in hand.told] == [
        ("firing", "drift", 1),
        ("resolved", "drift", 7),
        ("firing", "drift", 1),
    ]


def test_fold_time_that_is_set_back_is_told_and_keeps_episodes_going() -> None:
    """What fired in a future that is none is not waited for."""
    spec = PolicySpec(cooldown=200 * SECOND_MS, unit="ms")
    hand = Hand(spec)
    hand.steps(4, WORSE, at_ms=100_000 * SECOND_MS)
    hand.steps(400)

    assert [each[1:3] for each in hand.told] == [
        ("firing", "drift"),
        ("firing", "flow"),
        ("resolved", "drift"),
        ("resolved", "flow"),
    ]


_FINDINGS = st.sampled_from([(), (), (), (WORSE,), (DDM,), (BETTER, ZONE), (FAILS,), (WORSE, DDM)])
_STEPS = st.lists(st.tuples(st.integers(1, 30), _FINDINGS), max_size=30)


@given(_STEPS, st.sets(st.integers(0, 300)), st.sampled_from([ALL, SPEC, REMINDING]), st.booleans())
def test_every_episode_has_a_beginning_and_an_end(
    steps: list[tuple[int, tuple[Finding, ...]]], cuts: set[int], spec: PolicySpec, by_time: bool
) -> None:
    """Wherever it was pickled; told and resolved in turn, each once; nothing is left over."""
    if by_time:
        spec = replace(spec, cooldown=spec.cooldown * SECOND_MS, unit="ms")
    hand, plain = Hand(replace(spec, refill_n=25)), Hand(replace(spec, refill_n=25))
    for count, findings in [*steps, (300, ())]:
        for _ in range(count):
            hand.steps(1, *findings)
            plain.steps(1, *findings)
            if hand.n in cuts:
                hand.copied()

    assert hand.told == plain.told
    assert not hand.policy.episodes
    assert len(set(hand.ids)) == len(hand.ids)
    for episode in {each for each, _ in hand.ids}:
        states = "".join(
            state[2]
            for (each, _), (_, state, *_) in zip(hand.ids, hand.told, strict=True)
            if each == episode
        )
        assert re.fullmatch("(r[rm]*s)+", states), (episode, states)


@pytest.mark.parametrize(
    ("spec", "finding", "may"),
    [(SPEC, WORSE, True), (SPEC, WORSE._replace(severity=Severity.INFO), True),
     (SPEC, BETTER, False), (SPEC, ZONE, False), (ALL, BETTER, True), (ALL, ZONE, True)],
)  # fmt: skip
def test_what_can_never_be_told_is_known_before(
    spec: PolicySpec, finding: Finding, may: bool
) -> None:
    """Warnings and improvements under the least severity: nobody need look for their evidence."""
    hand = Hand(spec)
    assert hand.policy.may_announce(finding) == may
    hand.steps(100, finding)
    if not may:
        assert hand.told == []


def test_a_storm_is_over_once_there_is_room_though_fold_time_stands_still() -> None:
    """Records of an old clock move no time, and make room all the same."""
    hand = Hand(replace(SPEC, unit="ms", cooldown=10 * SECOND_MS, burst_n=1, refill_n=20))
    hand.steps(1, WORSE, WORSE._replace(signal="prediction", direction="changed"))
    hand.steps(14)
    hand.steps(20, at_ms=0)

    storms = [each[:2] for each in hand.told if each[2] == "storm"]
    assert storms == [(0, "firing"), (20, "resolved")]
