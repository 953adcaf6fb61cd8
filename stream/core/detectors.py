"""river's drift detectors on the signals of the fold -> alarms.

A monitor feeds one detector and alarms at exactly the updates after which a plain loop with that
detector sees `drift_detected`. DDM, EDDM, HDDMA and HDDMW also warn, once each time they enter
their warning zone (river's FHDDM has the flag, but never raises it).

TABLE

- FHDDM in river alarms when its input *falls*, against its docstring. It is fed 1 - value.
- EDDM measures distances between errors, and an error is exactly 1 to it: of a fraction, such as
  the prediction P(true), it is fed whether it is 0.5 or more. DDM, FHDDM, HDDMA and HDDMW take
  fractions as they are: their bounds hold for any values in [0, 1].
- KSWIN draws at random: without a seed it gets 0, so that a replay repeats it.
"""

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from inspect import signature
from math import inf
from typing import Any, ClassVar, Final, Literal

import msgspec
from river import drift
from river.drift import binary

from stream.core.event import Feature
from stream.core.spec import DetectorSpec
from stream.errors import Misconfigured

Kind = Literal["classifier", "regressor", "anomaly"]

MAGNITUDE_MAX: Final = 1e100  # sums of squares stay finite; a single 1e300 would blind ADWIN
MAGNITUDE_MIN: Final = -MAGNITUDE_MAX
RECENT_N: Final = 100  # events in `after` where a detector does not tell when the change was
ZONE_N_MIN: Final = 20  # HDDM's zones often hold 2 to 5 events, all errors: no estimate of a mean

_CLASSES: Final[dict[str, Callable[..., Any]]] = {
    "ADWIN": drift.ADWIN, "KSWIN": drift.KSWIN, "PageHinkley": drift.PageHinkley,
    "DDM": binary.DDM, "EDDM": binary.EDDM, "FHDDM": binary.FHDDM,
    "HDDMA": binary.HDDMA, "HDDMW": binary.HDDMW,
}  # fmt: skip
_BINARY: Final = frozenset({"DDM", "EDDM", "FHDDM", "HDDMA", "HDDMW"})
_SIGNALS: Final = ("error", "prediction", "label")
_FEATURE: Final = "feature:"

# A parameter, how often it must fit into another, and that one; with river's defaults. Otherwise
# river raises, and only once its window is full.
_FITS: Final = {
    "KSWIN": ("stat_size", 30, 2, "window_size", 100),
    "FHDDM": ("short_window_size", 0, 1, "sliding_window_size", 100),
}


class Alarm(msgspec.Struct, frozen=True):
    """What a detector found at one event.

    Attributes:
        before: mean of the signal before the change, as the detector saw it; None if unknown.
        after: mean of the signal since; finite, like `before`.
    """

    kind: Literal["drift", "warning"]
    spec: DetectorSpec
    before: float | None
    after: float | None


class Monitor:
    """One detector on one signal; a deterministic fold that can be pickled at any point.

    Attributes:
        skipped_n: values outside the detector's domain, or not finite: it was not fed them.
    """

    __slots__ = ("_detector", "_n", "_recent", "_total", "_zone", "skipped_n", "spec")

    def __init__(self, spec: DetectorSpec) -> None:
        seeded = {"seed": 0} if spec.type == "KSWIN" else {}
        self.spec = spec
        self.skipped_n = 0
        self._detector = _CLASSES[spec.type](**seeded | spec.params)
        recent_n = 0 if spec.type == "ADWIN" else getattr(self._detector, "window_size", RECENT_N)
        self._recent: deque[float] = deque(maxlen=recent_n)
        self._forget()

    def _forget(self) -> None:
        """Start over, as river's detectors do at the update after a drift."""
        self._n = 0
        self._total = 0.0
        self._recent.clear()
        self._zone: tuple[int, float] | None = None  # _n and _total before the warning

    def update(self, value: float) -> Alarm | None:
        """Feed the detector one value; the alarm that it gave, if any. Raises nothing."""
        if not MAGNITUDE_MIN <= value <= MAGNITUDE_MAX:
            self.skipped_n += 1
            return None
        detector = self._detector
        detector.update(value)
        self._n += 1
        self._total += value
        self._recent.append(value)
        return self._drift() if detector.drift_detected else None

    def _drift(self) -> Alarm:
        alarm = Alarm("drift", self.spec, *self._means())
        self._forget()
        return alarm

    def _means(self) -> tuple[float | None, float | None]:
        """The mean before and after the change.

        ADWIN and KSWIN: of the two parts of their windows. The others: up to the warning zone
        and since; without one, or in a short one, of all but the most recent values and of those.
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


class _Binary(Monitor):
    """Detectors of errors: for values in [0, 1], and with warnings (FHDDM's flag is always off)."""

    __slots__ = ()
    _translates: ClassVar = False

    def update(self, value: float) -> Alarm | None:
        if not 0.0 <= value <= 1.0:
            self.skipped_n += 1
            return None
        detector = self._detector
        detector.update(self._translate(value) if self._translates else value)
        self._n += 1
        self._total += value
        self._recent.append(value)
        if detector.drift_detected:
            return self._drift()
        if not detector.warning_detected:
            self._zone = None
        elif self._zone is None:
            self._zone = self._n - 1, self._total - value
            return Alarm("warning", self.spec, *self._means())
        return None

    def _translate(self, value: float) -> float:
        return value


class _Eddm(_Binary):
    __slots__ = ()
    _translates = True

    def _translate(self, value: float) -> float:
        return value >= 0.5  # noqa: PLR2004  # an even chance


class _Fhddm(_Binary):
    __slots__ = ()
    _translates = True

    def _translate(self, value: float) -> float:
        return 1.0 - value


def build(spec: DetectorSpec) -> Monitor:
    """The monitor of one spec.

    Raises: Misconfigured: naming the key that is off. The configuration has refused most of it
        before; this holds the rest to what `update` promises.
    """
    at, params = f'detectors "{spec.name}"', spec.params
    if spec.type not in _CLASSES:
        raise Misconfigured(f"{at}: type must be one of {', '.join(_CLASSES)}, not {spec.type!r}")
    if spec.signal not in _SIGNALS and not spec.signal.startswith(_FEATURE):
        raise Misconfigured(f"{at}: signal must be one of {_SIGNALS} or feature:NAME")
    known = signature(_CLASSES[spec.type]).parameters
    if unknown := [f"params.{name}" for name in params if name not in known]:
        raise Misconfigured(f"{at}: no {', '.join(unknown)}; {spec.type} has {', '.join(known)}")
    part, least, times, whole, most = _FITS.get(spec.type, ("", 0, 0, "", 0))
    if times * params.get(part, least) > params.get(whole, most):
        raise Misconfigured(f"{at}: params.{part} must fit {times} times into {whole}")
    special = {"EDDM": _Eddm, "FHDDM": _Fhddm}
    try:
        return special.get(spec.type, _Binary if spec.type in _BINARY else Monitor)(spec)
    except (TypeError, ValueError, ArithmeticError) as error:
        raise Misconfigured(f"{at}: params: {spec.type} refuses them: {error}") from error


class Detectors:
    """All detectors of a pipeline; a deterministic fold that can be pickled at any point.

    Args:
        specs: with different names; the alarms of one event come in their order.

    Attributes:
        monitors: one a spec, in the order of `specs`.

    Raises:
        Misconfigured: as `build`.
    """

    __slots__ = ("_on_error", "_on_others", "monitors")

    def __init__(self, specs: Sequence[DetectorSpec]) -> None:
        self.monitors = tuple(build(spec) for spec in specs)
        on: dict[str, tuple[Monitor, ...]] = {}
        for monitor in self.monitors:
            on[monitor.spec.signal] = (*on.get(monitor.spec.signal, ()), monitor)
        self._on_error = on.pop("error", ())
        self._on_others = tuple((name, name.removeprefix(_FEATURE), on[name]) for name in on)

    def update(
        self,
        error: float | None,
        prediction: float | None,
        label: Feature | None,
        features: Mapping[str, Feature],
    ) -> tuple[Alarm, ...]:
        """Feed one event's signals; None, a string or an absent feature feeds nobody.

        Returns: the alarms: nearly always the empty tuple.
        """
        alarms = _update(self._on_error, error) if self._on_error else ()
        for signal, feature, monitors in self._on_others:
            if signal != feature:
                alarms += _update(monitors, features.get(feature))
            else:
                alarms += _update(monitors, prediction if signal == "prediction" else label)
        if len(alarms) > 1:
            order = [monitor.spec.name for monitor in self.monitors]
            return tuple(sorted(alarms, key=lambda alarm: order.index(alarm.spec.name)))
        return alarms


def _update(monitors: tuple[Monitor, ...], value: Feature | None) -> tuple[Alarm, ...]:
    if type(value) is not float:
        if not isinstance(value, (int, float)):
            return ()
        value = float(value) if MAGNITUDE_MIN <= value <= MAGNITUDE_MAX else inf
    alarms: tuple[Alarm, ...] = ()
    for monitor in monitors:
        alarm = monitor.update(value)
        if alarm is not None:
            alarms = (*alarms, alarm)
    return alarms


def default_specs(kind: Kind) -> tuple[DetectorSpec, ...]:
    """The detectors of a configuration that names none.

    ADWIN and DDM on "error". A regressor's error is no 0 or 1, so DDM cannot read it. An anomaly
    detector has no label to be wrong about: ADWIN watches its score instead.
    """
    signal = "prediction" if kind == "anomaly" else "error"
    adwin = DetectorSpec(name="adwin", type="ADWIN", signal=signal)
    ddm = DetectorSpec(name="ddm", type="DDM", signal=signal)
    return (adwin, ddm) if kind == "classifier" else (adwin,)


def problems(specs: Sequence[DetectorSpec], kind: Kind) -> list[str]:
    """Which of `specs` could never work on such a model, one line each."""
    found = []
    for index, spec in enumerate(specs):
        if spec.signal != "error" or kind == "classifier":
            continue
        if kind == "anomaly":
            found.append(
                f"detectors[{index}].signal: an anomaly detector has no error; "
                f'write signal = "prediction" (its score)'
            )
        elif spec.type in _BINARY:
            found.append(
                f"detectors[{index}].type: {spec.type} needs errors of 0 or 1, and a regressor's "
                f"are not; take ADWIN, KSWIN or PageHinkley"
            )
    return found


def describe(alarm: Alarm, partition: int, offset: int) -> str:
    """One line for people.

    >>> alarm = Alarm("drift", default_specs("regressor")[0], 0.1128, 0.3401)
    >>> describe(alarm, 0, 1337)
    'error rose from 0.11 to 0.34 (ADWIN "adwin", partition 0, offset 1337)'
    """
    spec, before, after, change = alarm.spec, alarm.before, alarm.after, "changed"
    if before is not None and after is not None and before != after:
        digits = next((n for n in range(2, 17) if _shown(before, n) != _shown(after, n)), 17)
        move = "rose" if after > before else "fell"
        change = f"{move} from {_shown(before, digits)} to {_shown(after, digits)}"
    warning = "warning: " if alarm.kind == "warning" else ""
    where = f'{spec.type} "{spec.name}", partition {partition}, offset {offset}'
    return f"{warning}{spec.signal} {change} ({where})"


def _shown(value: float, digits: int) -> str:
    """At least so many significant digits, every digit before the point, and no exponent."""
    text = f"{value:.{digits}g}" if abs(value) < 10**digits else f"{value:.0f}"
    return f"{Decimal(text):f}"
