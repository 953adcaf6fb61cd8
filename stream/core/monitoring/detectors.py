"""Drift detectors, river's and our own, on the signals of the fold -> alerts.

A `Detector` feeds one of them and alerts at exactly the updates after which a plain loop with that
detector sees `drift_detected`. DDM, EDDM, HDDMA and HDDMW also warn, once each time they enter
their warning zone (river's FHDDM has the flag, but never raises it).

Which steps of an error rate they see (of 20 seeds; 2,000 events at each rate; river 0.26.1's
defaults, as fed from here), after how many events (median), and the false alarms of both columns:

    type         .1 -> .4  .4 -> .1  false     type    .1 -> .4  .4 -> .1  false
    ADWIN        20,  79   20, 111      0      EDDM    20,  41    3, 541    282
    KSWIN        13, 408   10,  25     13      FHDDM   20,  64   none         6
    PageHinkley  20, 166   20, 130      0      HDDMA   20,  61   none         2
    DDM          20,  92   none        19      HDDMW   20,  49   none        29

- FHDDM in river alarms when its input *falls*, against its docstring. It is fed 1 - value.
- EDDM measures distances between errors, and an error is exactly 1 to it: of a fraction, such as
  the prediction P(true), it is fed whether it is 0.5 or more. DDM, FHDDM, HDDMA and HDDMW take
  fractions as they are: their bounds hold for any values in [0, 1].
- KSWIN draws at random: without a seed it gets 0, so that a replay repeats it.
- ECUSUM is ours (`monitoring.ecusum`): it takes any values of 0 and more, and sees rises alone.
"""

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from inspect import signature
from math import inf
from typing import Any, Final

from river import drift
from river.drift import binary

from stream.core.event import Feature
from stream.core.monitoring.detected import Alert, DetectorRaised
from stream.core.monitoring.ecusum import ECUSUM
from stream.core.spec import DetectorSpec
from stream.errors import Misconfigured

MAGNITUDE_MAX: Final = 1e100  # sums of squares stay finite; a single 1e300 would blind ADWIN
MAGNITUDE_MIN: Final = -MAGNITUDE_MAX
RECENT_N: Final = 100  # events in `after` where a detector does not tell when the change was
ERRORS_MIN: Final = 30  # DDM takes their number for normally distributed
ZONE_N_MIN: Final = 20  # HDDM's zones often hold 2 to 5 events, all errors: no estimate of a mean

_CLASSES: Final[dict[str, Callable[..., Any]]] = {
    "ADWIN": drift.ADWIN, "KSWIN": drift.KSWIN, "PageHinkley": drift.PageHinkley,
    "DDM": binary.DDM, "EDDM": binary.EDDM, "FHDDM": binary.FHDDM,
    "HDDMA": binary.HDDMA, "HDDMW": binary.HDDMW, "ECUSUM": ECUSUM,
}  # fmt: skip
BINARY: Final = frozenset({"DDM", "EDDM", "FHDDM", "HDDMA", "HDDMW"})  # they read errors, 0 or 1
_SIGNALS: Final = ("error", "prediction", "label")
FEATURE: Final = "feature:"

_FED: Final[dict[str, Callable[[float], float]]] = {
    "EDDM": lambda value: value >= 0.5,  # noqa: PLR2004  # an even chance
    "FHDDM": lambda value: 1.0 - value,
}
# A parameter, how often it must fit into another, and that one; with river's defaults. Otherwise
# river raises, and only once its window is full.
_FITS: Final = {
    "KSWIN": ("stat_size", 30, 2, "window_size", 100),
    "FHDDM": ("short_window_size", 0, 1, "sliding_window_size", 100),
}


class Detector:
    """One detector on one signal; a deterministic fold that can be pickled at any point.

    Attributes:
        skipped_n: values outside the detector's domain, or not finite: it was not fed them.
    """

    __slots__ = (
        "_detector", "_n", "_recent", "_total", "_translated", "_zone", "skipped_n", "spec",
    )  # fmt: skip

    def __init__(self, spec: DetectorSpec) -> None:
        seeded = {"seed": 0} if spec.type == "KSWIN" else {}
        self.spec, self.skipped_n = spec, 0
        self._detector = _CLASSES[spec.type](**seeded | spec.params)
        recent_n = 0 if spec.type == "ADWIN" else getattr(self._detector, "window_size", RECENT_N)
        self._recent: deque[float] = deque(maxlen=recent_n)
        self._translated = spec.type in _FED
        self._forget()

    def _forget(self) -> None:
        """Start over, as river's detectors do at the update after a drift."""
        self._n = 0
        self._total = 0.0
        self._zone: tuple[int, float] | None = None  # _n and _total before the warning

    def update(self, value: float) -> Alert | None:
        """Feed the detector one value; the alert that it gave, if any. Raises: DetectorRaised."""
        if not MAGNITUDE_MIN <= value <= MAGNITUDE_MAX:
            self.skipped_n += 1
            return None
        detector = self._detector
        try:
            detector.update(value)
        except BaseException as error:
            raise DetectorRaised(error) from error
        self._n += 1
        self._total += value
        self._recent.append(value)
        return self._drift() if detector.drift_detected else None

    def _drift(self) -> Alert:
        width_n = getattr(self._detector, "width", None)  # ADWIN's: what its window kept
        since_n = width_n if self._zone is None else self._n - self._zone[0]
        is_weak = self.spec.type == "DDM" and self._total < ERRORS_MIN
        alert = Alert("drift", self.spec, *self._means(), since_n, is_weak)
        self._forget()
        return alert

    def _means(self) -> tuple[float | None, float | None]:
        """The mean before and after the change.

        ADWIN: of what its window dropped and kept; that still holds events of before. KSWIN: of
        its window's parts. The others: up to the warning zone and since; without one, or in a
        short one, of all but the most recent values and of those.
        """
        n, total, detector = self._n, self._total, self._detector
        if self.spec.type == "ADWIN":
            # It drops only when it detects: until then, all since the last drift is its window.
            after_n, after = detector.width, detector.total
        elif self._zone is not None and n - self._zone[0] >= ZONE_N_MIN:
            after_n, after = n - self._zone[0], total - self._zone[1]
        else:
            after_n = max(1, min(RECENT_N, n // 2))
            if self.spec.type == "KSWIN":
                n, total, after_n = len(self._recent), sum(self._recent), detector.stat_size
            after = sum(list(self._recent)[-after_n:])
        before = float((total - after) / (n - after_n)) if n > after_n else None
        return before, float(after / after_n) if after_n else None


class _Binary(Detector):
    """A detector of errors: it takes values in [0, 1], and warns (FHDDM's flag is always off)."""

    __slots__ = ()

    def update(self, value: float) -> Alert | None:
        if not 0.0 <= value <= 1.0:
            self.skipped_n += 1
            return None
        detector = self._detector
        fed = _FED[self.spec.type](value) if self._translated else value
        try:
            detector.update(fed)
        except BaseException as error:
            raise DetectorRaised(error) from error
        self._n += 1
        self._total += value
        self._recent.append(value)
        if detector.drift_detected:
            return self._drift()
        if not detector.warning_detected:
            self._zone = None
        elif self._zone is None:
            self._zone = self._n - 1, self._total - value
            return Alert("warning", self.spec, *self._means())
        return None


class _Ours(Detector):
    """Our own: it takes values of 0 and more, tells its evidence itself, and never raises."""

    __slots__ = ()

    def update(self, value: float) -> Alert | None:
        if not 0.0 <= value <= MAGNITUDE_MAX:
            self.skipped_n += 1
            return None
        detector = self._detector
        detector.update(value)
        if detector.drift_detected:
            return Alert("drift", self.spec, detector.before, detector.after, detector.since_n)
        return None


_signature = cache(signature)  # a tenth of a millisecond, for every task


def build(spec: DetectorSpec) -> Detector:
    """Build the detector of one spec, whose values `stream.config` has tried.

    Raises: Misconfigured: naming the key that is off.
    """
    at, params = f'detectors "{spec.name}"', spec.params
    if spec.type not in _CLASSES:
        raise Misconfigured(f"{at}: type must be one of {', '.join(_CLASSES)}, not {spec.type!r}")
    if spec.signal not in _SIGNALS and not spec.signal.startswith(FEATURE):
        raise Misconfigured(f"{at}: signal must be one of {_SIGNALS} or feature:NAME")
    known = _signature(_CLASSES[spec.type]).parameters
    if unknown := [f"params.{name}" for name in params if name not in known]:
        raise Misconfigured(f"{at}: no {', '.join(unknown)}; {spec.type} has {', '.join(known)}")
    part, least, times, whole, most = _FITS.get(spec.type, ("", 0, 0, "", 0))
    try:
        fits = times * params.get(part, least) <= params.get(whole, most)
        made = _Ours if spec.type == "ECUSUM" else _Binary if spec.type in BINARY else Detector
        detector = made(spec)
    except (TypeError, ValueError, ArithmeticError) as error:
        raise Misconfigured(f"{at}: params: {spec.type} refuses them: {error}") from error
    if not fits:
        raise Misconfigured(f"{at}: params.{part} must fit {times} times into {whole}")
    return detector


class Detectors:
    """All detectors of a pipeline; a deterministic fold that can be pickled at any point.

    Args:
        specs: their names differ; the alarms of one event come in their order.
        kept: detectors that go on as they are, where there is their very spec among `specs`.

    Attributes:
        detectors: one a spec, in the order of `specs`.

    Raises: Misconfigured: as `build`.
    """

    __slots__ = ("_on_error", "_on_others", "detectors")

    def __init__(self, specs: Sequence[DetectorSpec], *, kept: Sequence[Detector] = ()) -> None:
        self.detectors = tuple(
            next((each for each in kept if each.spec == spec), None) or build(spec)
            for spec in specs
        )
        on: dict[str, tuple[Detector, ...]] = {}
        for detector in self.detectors:
            on[detector.spec.signal] = (*on.get(detector.spec.signal, ()), detector)
        self._on_error = on.pop("error", ())
        self._on_others = tuple((name, name.removeprefix(FEATURE), on[name]) for name in on)

    def update(
        self,
        error: float | None,
        prediction: float | None,
        label: Feature | None,
        features: Mapping[str, Feature],
    ) -> tuple[Alert, ...]:
        """Feed one event's signals; None, a string or an absent feature feeds nobody.

        Returns: the alerts: nearly always the empty tuple.
        """
        alerts: tuple[Alert, ...] = ()
        if error is not None:  # as `_update` does, which a call would slow down
            if type(error) is not float:
                error = _as_float(error)
            for detector in self._on_error:
                alarm = detector.update(error)
                if alarm is not None:
                    alerts = (*alerts, alarm)
        if not self._on_others:
            return alerts
        for signal, feature, detectors in self._on_others:
            if signal != feature:
                alerts += _update(detectors, features.get(feature))
            else:
                alerts += _update(detectors, prediction if signal == "prediction" else label)
        if len(alerts) > 1:
            order = [detector.spec.name for detector in self.detectors]
            return tuple(sorted(alerts, key=lambda alarm: order.index(alarm.spec.name)))
        return alerts


def _update(detectors: tuple[Detector, ...], value: Feature | None) -> tuple[Alert, ...]:
    if type(value) is not float:
        if not isinstance(value, (int, float)):
            return ()
        value = _as_float(value)
    return tuple([alarm for each in detectors if (alarm := each.update(value)) is not None])


def _as_float(value: float) -> float:
    """Turn a number into a float, for KSWIN's test takes no integer of more than 64 bits."""
    return float(value) if MAGNITUDE_MIN <= value <= MAGNITUDE_MAX else inf
