"""Values that are text, but were hardly meant so: numbers as people write them, one word twice."""

import re
from collections.abc import Iterable, Sequence
from typing import Any

from stream.config.checks import show

_WHOLE = r"(?:0|[1-9][0-9]*)"  # never 007: a leading zero is a code's
_AMOUNT = (
    rf"(?:[1-9][0-9]{{0,2}}(?:[,.' \u2019\u00a0\u202f][0-9]{{3}})+(?:[.,][0-9]+)?"
    rf"|{_WHOLE}(?:[.,][0-9]*)?|[.,][0-9]+)"
)
_CURRENCY = r"(?:[$€£¥]|USD|EUR|GBP|CHF|JPY)"
_LIKE_NUMBER = re.compile(
    rf"[-+]?\s?(?:{_CURRENCY}\s?)?[-+]?{_AMOUNT}(?:[eE][-+]?[0-9]+)?\s?(?:{_CURRENCY}|%)?"
)
NUMBER = re.compile(r"[-+]?(?:(?:0|[1-9][0-9]*)(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]+)?")
_CHARS_MAX = 40  # nobody writes a longer amount

_MEANING = dict.fromkeys(("true", "t", "yes", "y", "1", "on"), "true") | dict.fromkeys(
    ("false", "f", "no", "n", "0", "off"), "false"
)
_SHOWN_N = 5


def is_like_number(text: str) -> bool:
    """Whether people would read a number: with a decimal comma, thousands, a currency, percent.

    >>> [is_like_number(t) for t in ("1,5", "1,234.5", "$5", "3 %", "7", "007", "1-2", "UP")]
    [True, True, True, True, True, False, False, False]
    """
    text = text.strip()
    return len(text) <= _CHARS_MAX and bool(_LIKE_NUMBER.fullmatch(text))


def odd_number(values: Iterable[Any]) -> str:
    """Find a text that people would read as a number, if all values are numbers to them.

    >>> odd_number(["7", "1,5", None]), odd_number(["1,5", "UP"]), odd_number([1, "2.5"])
    ('1,5', '', '')
    """
    odd = ""
    for value in values:
        if isinstance(value, bool) or (isinstance(value, str) and not is_like_number(value)):
            return ""
        if not odd and isinstance(value, str) and not NUMBER.fullmatch(value.strip()):
            odd = value
    return odd


def alike(values: Iterable[Any]) -> list[str]:
    """The words that differ only in case or spaces; or mean the same, if all are yes or no.

    >>> alike(["True", "true", "no"]), alike(["yes", "1", "0"]), alike(["UP", "1", "yes"])
    (['True', 'true'], ['yes', '1'], [])
    """
    words = dict.fromkeys(value for value in values if isinstance(value, str))
    keys = {word: word.strip().casefold() for word in words}
    if all(key in _MEANING for key in keys.values()):
        keys = {word: _MEANING[key] for word, key in keys.items()}
    groups: dict[str, list[str]] = {}
    for word, key in keys.items():
        groups.setdefault(key, []).append(word)
    return [word for group in groups.values() if len(group) > 1 for word in group]


def alike_said(words: Sequence[str]) -> str:
    """Say what labels that are alike become, and what to do."""
    shown = ", ".join(show(word) for word in words[:_SHOWN_N])
    more = f" and {len(words) - _SHOWN_N} more" if len(words) > _SHOWN_N else ""
    return (
        f"the labels {shown}{more} differ only in case or spaces or mean the same, and are "
        "different classes as they stand: write each in one way"
    )
