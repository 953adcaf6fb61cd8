"""The detectors that are compared, and what one run of them gives."""

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from stream.core.monitoring.detected import Alert
from stream.core.monitoring.detectors import build
from stream.core.spec import DetectorSpec


@dataclass(frozen=True)
class Candidate:
    """One row of a table.

    Attributes:
        share: of the drawn events that it is run on; KSWIN takes a hundred times as long as others.
    """

    label: str
    type: str
    params: dict[str, Any] = field(default_factory=dict)
    share: float = 1.0

    def spec(self) -> DetectorSpec:
        """What the fold builds its detector from."""
        return DetectorSpec(name="it", type=self.type, params=self.params)


CANDIDATES = (
    Candidate("ADWIN", "ADWIN"),
    Candidate("ADWIN, delta 1e-5", "ADWIN", {"delta": 1e-5}),
    Candidate("DDM", "DDM"),
    Candidate("EDDM", "EDDM"),
    Candidate("FHDDM", "FHDDM"),
    Candidate("HDDMA", "HDDMA"),
    Candidate("HDDMW", "HDDMW"),
    Candidate("PageHinkley", "PageHinkley"),
    Candidate("KSWIN", "KSWIN", share=0.02),
    Candidate("ECUSUM, threshold 1e4", "ECUSUM", {"threshold": 1e4}),
    Candidate("ECUSUM, threshold 1e5", "ECUSUM", {"threshold": 1e5}),
    Candidate("ECUSUM", "ECUSUM"),
)
"""Without parameters: the detector's defaults."""

SWEEP = (
    *(Candidate(f"ADWIN, delta {delta:g}", "ADWIN", {"delta": delta})
      for delta in (2e-3, 1e-4, 1e-5, 1e-7)),
    *(Candidate(f"DDM, drift {drift:g}, warm start {warm}", "DDM",
                {"drift_threshold": drift, "warm_start": warm})
      for warm in (30, 300, 1000, 2000) for drift in (3.0, 3.5, 4.0)),
)  # fmt: skip
"""What could become a default: river's own, and stricter ones."""


def is_worse(alert: Alert | None) -> bool:
    """Whether it is a drift for the worse: what a budget of false alarms is about."""
    return (
        alert is not None
        and alert.kind == "drift"
        and (alert.before is None or alert.after is None or alert.after > alert.before)
    )


@dataclass
class Run:
    """Where a detector found drifts for the worse, how many others there were, and its time."""

    worse: list[int]
    better_n: int
    us: float


def run(candidate: Candidate, values: Sequence[float]) -> Run:
    """One detector over one signal, as a fold feeds it."""
    update = build(candidate.spec()).update
    values = values[: int(len(values) * candidate.share)]
    began = time.process_time()
    alerts = [
        (index, alert)
        for index, value in enumerate(values)
        if (alert := update(value)) is not None and alert.kind == "drift"
    ]
    us = 1e6 * (time.process_time() - began) / max(1, len(values))
    worse = [index for index, alert in alerts if is_worse(alert)]
    return Run(worse, len(alerts) - len(worse), us)


def delay_n(candidate: Candidate, before: Iterable[float], after: Iterable[float]) -> int | None:
    """How many values after the change until it is found; None: not at all."""
    update = build(candidate.spec()).update
    for value in before:
        update(value)
    return next((n for n, value in enumerate(after, 1) if is_worse(update(value))), None)
