"""An alert in words."""

from decimal import Decimal
from typing import Final

from stream.core.monitoring.detected import Alert

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
        move = "rose" if after > before else "fell"
        change = "{} from {} to {}".format(move, *told_apart(before, after, least_n=2))
    where = f'{spec.type} "{spec.name}", partition {partition}, offset {offset}'
    return f"{'warning: ' if alarm.kind == 'warning' else ''}{spec.signal} {change} ({where})"


def told_apart(one: float, other: float, *, least_n: int) -> tuple[str, str]:
    """Write two numbers with as many digits as it takes to see that they differ.

    >>> told_apart(0.1128, 0.3401, least_n=2), told_apart(20240101.0, 20240102.0, least_n=4)
    (('0.11', '0.34'), ('20240101', '20240102'))
    """
    for digits in range(least_n, 18):
        found = _shown(one, digits), _shown(other, digits)
        if found[0] != found[1]:
            break
    return found


def _shown(value: float, digits: int) -> str:
    """Write a number with so many significant digits, whole before the point, without exponent."""
    if 10**digits <= abs(value) < _PLAIN_MAX:
        return f"{value:.0f}"
    text = f"{value:.{digits}g}"
    return f"{Decimal(text):f}" if 1 / _PLAIN_MAX < abs(value) < _PLAIN_MAX else text
