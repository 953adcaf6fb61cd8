"""The auditor of detector tests: detectors in plain loops, and streams to run them on."""

import math
import pickle
import random
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, TypeVar

from river import drift

from stream.core.monitoring.detected import Alert
from stream.core.monitoring.detectors import Detector
from stream.core.monitoring.ecusum import ECUSUM
from stream.core.spec import DetectorSpec

RIVERS = ("ADWIN", "KSWIN", "PageHinkley", "DDM", "EDDM", "FHDDM", "HDDMA", "HDDMW")
TYPES = (*RIVERS, "ECUSUM")
BINARY = RIVERS[3:]
WARNING = ("DDM", "EDDM", "HDDMA", "HDDMW")

Params = dict[str, dict[str, Any]]

SMALL: Params = {
    "KSWIN": {"window_size": 40, "stat_size": 15, "alpha": 0.01},
    "ECUSUM": {"warm_up": 150},
}
"""They find something in few events, of which each costs KSWIN 0.3 ms."""

CALM: Params = {
    "KSWIN": {"window_size": 450, "stat_size": 150},
    "EDDM": {"alpha": 0.8, "beta": 0.7},
    "ECUSUM": {"warm_up": 500},
}
"""With few false alarms: what came before a step is not forgotten when it comes."""

EAGER: Params = {
    "ADWIN": {"clock": 1, "delta": 0.9},
    "KSWIN": {"window_size": 6, "stat_size": 3, "alpha": 0.2},
    "PageHinkley": {"min_instances": 1, "threshold": 0.1},
    "DDM": {"warm_start": 1, "warning_threshold": 0.5, "drift_threshold": 1.0},
    "EDDM": {"warm_start": 1},
    "FHDDM": {"sliding_window_size": 5, "confidence_level": 0.5, "short_window_size": 2},
    "HDDMA": {"drift_confidence": 0.9, "warning_confidence": 0.99, "two_sided_test": True},
    "HDDMW": {"drift_confidence": 0.9, "warning_confidence": 0.99, "two_sided_test": True},
    "ECUSUM": {"warm_up": 10, "threshold": 10.0},
}
"""Alarms after a handful of values."""

T = TypeVar("T")


def spec(type_: str, signal: str = "error", **params: Any) -> DetectorSpec:
    """A spec named like its type."""
    return DetectorSpec(name=type_.lower(), type=type_, signal=signal, params=params)


def plain_detector(type_: str, **params: Any) -> Any:
    """River's own, or ours without the fold; KSWIN with the seed that it gets from us."""
    if type_ == "ECUSUM":
        return ECUSUM(**params)
    seeded = {"seed": 0} if type_ == "KSWIN" else {}
    made = getattr(drift, type_, None) or getattr(drift.binary, type_)
    return made(**seeded | params)


def plain(type_: str, values: Iterable[float], **params: Any) -> dict[str, list[int]]:
    """Where a plain loop sees a drift, and where it sees a warning begin: kind -> indices."""
    detector = plain_detector(type_, **params)
    found: dict[str, list[int]] = {"drift": [], "warning": []}
    warned = False
    for index, value in enumerate(values):
        fed: float = value >= 0.5 if type_ == "EDDM" else value
        detector.update(1 - fed if type_ == "FHDDM" else fed)
        if detector.drift_detected:
            found["drift"].append(index)
            warned = False
        elif getattr(detector, "warning_detected", False):
            if not warned:
                found["warning"].append(index)
            warned = True
        else:
            warned = False
    return found


def bits(*pieces: tuple[float, int], seed: int) -> Iterator[float]:
    """Errors, 0.0 or 1.0: for each (rate, n) piece n of them, drawn with that rate."""
    rng = random.Random(seed)
    for rate, n in pieces:
        for _ in range(n):
            yield float(rng.random() < rate)


def waves(n: int, *, seed: int) -> Iterator[float]:
    """Noisy fractions of [0, 1] whose mean follows a sine with a period of 1,500."""
    rng = random.Random(seed)
    for index in range(n):
        mean = 0.5 + 0.35 * math.sin(2 * math.pi * index / 1_500)
        yield min(1.0, max(0.0, rng.gauss(mean, 0.1)))


UP_AND_DOWN = list(bits((0.1, 900), (0.45, 600), (0.05, 900), (0.3, 600), seed=7))


def found(detector: Detector, values: Sequence[float]) -> list[Alert | None]:
    """What each value gave."""
    return [detector.update(value) for value in values]


def where(alerts: Sequence[Alert | None]) -> dict[str, list[int]]:
    """The indices of each kind of alarm."""
    kinds: dict[str, list[int]] = {"drift": [], "warning": []}
    for index, alarm in enumerate(alerts):
        if alarm is not None:
            kinds[alarm.kind].append(index)
    return kinds


def thawed(state: T) -> T:
    """A copy that went through pickle, as a snapshot does."""
    copy: T = pickle.loads(pickle.dumps(state, pickle.HIGHEST_PROTOCOL))  # noqa: S301 - our own
    return copy
