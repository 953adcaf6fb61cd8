"""The comparison of the second act: predictions as the plain loop's, and one outcome a label."""

import json
from collections.abc import Sequence
from statistics import median
from typing import Any

import msgspec

ANSWER = ("prediction", "probabilities")
MS_AN_HOUR = 3_600_000


class LateVerdict(msgspec.Struct, frozen=True, kw_only=True):
    """What the comparison found.

    Attributes:
        labels_n: labels that were sent: one for each flight.
        delay_h: the median of how much later than its flight a label came, in hours.
        missing_n: flights without a prediction.
        different_n: predictions that are not, bit for bit, the plain loop's, or in the wrong place.
        outcomes_n: outcomes that were published.
        odd_n: outcomes that are not those of the labels, each once and in their order.
        committed: the group's offset: flights that a restart would not read again.
    """

    labels_n: int
    delay_h: float
    missing_n: int
    different_n: int
    outcomes_n: int
    odd_n: int
    committed: int

    @property
    def exact(self) -> bool:
        """Whether the outputs are those of an undisturbed run."""
        wrong_n = self.missing_n + self.different_n + self.odd_n
        return not wrong_n and self.outcomes_n == self.labels_n == self.committed


def name_of(flight: int) -> str:
    """The id of a flight."""
    return f"f{flight}"


def order_of(outcomes: Sequence[bytes]) -> list[tuple[int, int]]:
    """The step of each label, and its flight: all that the plain loop is told."""
    told = [each for each in map(json.loads, outcomes) if each["kind"] == "labeled"]
    return [(each["n"], each["offset"]) for each in told]


def judge_late(
    predictions: Sequence[bytes],
    outcomes: Sequence[bytes],
    *,
    delays_s: Sequence[int],
    committed: int,
    expected: Sequence[str],
) -> LateVerdict:
    """Compare what was published with the plain loop, and with the file of the flights.

    Args:
        predictions: the values of the records, as they were read.
        outcomes: as they were read.
        delays_s: how much later than each flight its label was sent.
        committed: the group's committed offset.
        expected: the lines that `late_loop.py` wrote.
    """
    right = [json.loads(line) for line in expected]
    said = [json.loads(value) for value in predictions]
    told = [json.loads(value) for value in outcomes]
    different_n = sum(
        i >= len(right) or _said(one) != _expected(i, right[i]) for i, one in enumerate(said)
    )
    odd_n = (
        sum(_is_odd(one, i, said, right, delays_s) for i, one in enumerate(told))
        + len(told)
        - len({one["id"] for one in told})
    )
    return LateVerdict(
        labels_n=len(delays_s),
        delay_h=median(one["delay_ms"] or 0 for one in told) / MS_AN_HOUR if told else 0.0,
        missing_n=len({*range(len(delays_s))} - {one["offset"] for one in said}),
        different_n=different_n,
        outcomes_n=len(told),
        odd_n=odd_n,
        committed=committed,
    )


# As text: json writes a float with the digits that give back its very bits, and -0.0 unlike 0.0.
def _said(one: dict[str, Any]) -> str:
    return json.dumps([one[name] for name in ("id", "offset", *ANSWER, "learned")])


def _expected(flight: int, line: list[Any]) -> str:
    prediction, probabilities, learned, _late = line
    return json.dumps([name_of(flight), flight, prediction, probabilities, learned])


def _is_odd(
    one: dict[str, Any],
    place: int,
    said: Sequence[dict[str, Any]],
    right: Sequence[list[Any]],
    delays_s: Sequence[int],
) -> bool:
    """Whether an outcome is not that of the label at this place: learned, and its event's."""
    flight = one["offset"]
    if one["kind"] != "labeled" or not 0 <= flight < min(len(said), len(right), len(delays_s)):
        return True
    published = said[flight]
    wanted = {name: published[name] for name in ("id", *ANSWER)} | {
        "label_offset": place,
        "learned": place,
        "label": right[flight][-1],
        "delay_ms": 1_000 * delays_s[flight],
    }
    return any(json.dumps(one[name]) != json.dumps(value) for name, value in wanted.items())
