"""Durations, as people write them: "30s", "15m"."""

import re
from typing import Final

from stream.config.checks import show

MS: Final = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_DURATION: Final = re.compile(r"([0-9]{1,9}) ?(ms|s|m|h|d)")


def duration(value: str) -> str:
    """Check that a value is a duration.

    >>> duration("15m")
    '15m'
    """
    if not _DURATION.fullmatch(value):
        raise ValueError(f'{show(value)} is no duration; write "30s", "15m", "24h" or "7d"')
    return value


def milliseconds(checked: str) -> int:
    """How long a checked duration is.

    >>> milliseconds("15m")
    900000
    """
    found = _DURATION.fullmatch(checked)
    assert found is not None  # noqa: S101
    return int(found[1]) * MS[found[2]]
