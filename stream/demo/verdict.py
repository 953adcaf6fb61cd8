"""The comparison: every published prediction against the plain loop's, bit for bit."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What the comparison of one pipeline found.

    Attributes:
        expected_n: events, and so predictions of the plain loop.
        missing_n: events without a prediction.
        repeated_n: predictions beyond the first of an event.
        different_n: predictions that are not, bit for bit, the plain loop's, or in the wrong place.
        alarms_n: how often the plain loop's detector alarmed.
        alarms_equal: whether exactly those were published, at the same events.
        committed: the group's offset: events that a restart would not read again.
    """

    expected_n: int
    published_n: int
    missing_n: int
    repeated_n: int
    different_n: int
    alarms_n: int
    alarms_equal: bool
    committed: int

    @property
    def exact(self) -> bool:
        """Whether the outputs are those of an undisturbed run."""
        wrong_n = self.missing_n + self.repeated_n + self.different_n
        return not wrong_n and self.alarms_equal and self.committed == self.expected_n


def judge(
    published: Sequence[bytes], alerts: Sequence[int], *, committed: int, expected: Path
) -> Verdict:
    """Compare what was published with the plain loop.

    Args:
        published: the values of the prediction records, as they were read.
        alerts: the offsets of the drift alerts, as they were read.
        committed: the group's committed offset.
        expected: what `plain_loop.py` wrote.
    """
    right = [json.loads(line) for line in expected.read_text(encoding="utf-8").splitlines()]
    seen: set[int] = set()
    repeated_n = different_n = 0
    for value in published:
        one = json.loads(value)
        offset = one["offset"]
        repeated_n += offset in seen
        # In order, each is one further than all before it.
        in_place = offset == len(seen)
        seen.add(offset)
        if not in_place or offset >= len(right) or _said(one) != _expected(right[offset], offset):
            different_n += 1
    drifted = [offset for offset, (*_, drift) in enumerate(right) if drift]
    return Verdict(
        expected_n=len(right),
        published_n=len(published),
        missing_n=len(set(range(len(right))) - seen),
        repeated_n=repeated_n,
        different_n=different_n,
        alarms_n=len(drifted),
        alarms_equal=list(alerts) == drifted,
        committed=committed,
    )


# As text: json writes a float with the digits that give back its very bits, and -0.0 unlike 0.0.
def _said(one: dict[str, Any]) -> str:
    return json.dumps([one["prediction"], one["probabilities"], one["label"], one["learned"]])


def _expected(line: list[Any], offset: int) -> str:
    prediction, probabilities, label, _drift = line
    return json.dumps([prediction, probabilities, label, offset])
