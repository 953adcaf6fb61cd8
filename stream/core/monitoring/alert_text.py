"""An alert in words."""

from decimal import Decimal
from typing import Final

from stream.core.monitoring.detectors import Alert

_PLAIN_MAX: Final = 1e15  # beyond it, or its inverse, people read an exponent more easily


def describe(alarm: Alert, partition: int, offset: int) -> str:
    """One line for people.

    >>> from stream.core.spec import DetectorSpec
    >>> alarm = Alert("drift", DetectorSpec(name="adwin", type="ADWIN"), 0.1128, 0.3401)
    >>> describe(alarm, 0, 1337)
    'error rose from 0.11 to 0.34 (ADWIN "adwin", partition 0, offset 1337)'
    """
    spec, before, after, change = alarm.spec, alarm.before, alarm.after, "changed"
    if before is not None and after is not None and before != after:
        digits = next((n for n in range(2, 17) if _shown(before, n) != _shown(after, n)), 17)
        move = "rose" if after > before else "fell"
        change = f"{move} from {_shown(before, digits)} to {_shown(after, digits)}"
    where = f'{spec.type} "{spec.name}", partition {partition}, offset {offset}'
    return f"{'warning: ' if alarm.kind == 'warning' else ''}{spec.signal} {change} ({where})"


def _shown(value: float, digits: int) -> str:
    """Write a number with so many significant digits, whole before the point, without exponent."""
    if 10**digits <= abs(value) < _PLAIN_MAX:
        return f"{value:.0f}"
    text = f"{value:.{digits}g}"
    return f"{Decimal(text):f}" if 1 / _PLAIN_MAX < abs(value) < _PLAIN_MAX else text
