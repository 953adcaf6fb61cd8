"""Which labels are the configured positive value."""

import re
from typing import Any

_SPELT = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?")  # as JSON does
_SPELT_MAX = 32


def is_positive(label: Any, positive: Any) -> bool:
    """Whether a label is the configured positive value, however its JSON or CSV wrote it.

    >>> [is_positive(label, 1) for label in (1, 1.0, "1", "1.0", True, "yes", 2)]
    [True, True, True, True, True, False, False]
    >>> [is_positive(label, True) for label in ("true", "True", "1")]
    [True, True, False]
    """
    if label == positive:
        return True
    written, expected = _written(label), _written(positive)
    if isinstance(label, bool) or isinstance(positive, bool):
        return written.lower() == expected.lower()
    if written == expected:
        return True
    if isinstance(label, str) == isinstance(positive, str):
        return False
    text, number = (label, positive) if isinstance(label, str) else (positive, label)
    return bool(_number_of(text) == number)


def _written(value: Any) -> str:
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _number_of(text: str) -> float | None:
    """The number that a text spells; None: it spells none, or is too long for a label."""
    return float(text) if len(text) <= _SPELT_MAX and _SPELT.fullmatch(text) else None
