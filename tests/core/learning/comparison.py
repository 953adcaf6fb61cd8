"""What a river model answers, and the same model from its pickled state: to compare two of them."""

import pickle
from collections.abc import Callable
from typing import Any

from stream.core.snapshots import pickling
from tests.bits import bits


def told(method: Callable[..., Any], *arguments: Any) -> Any:
    """What it answers, to every bit; an error with its text."""
    try:
        return bits(method(*arguments))
    except (ArithmeticError, AttributeError, KeyError, TypeError, ValueError) as error:
        return repr(error)


def restored(model: Any) -> Any:
    """Another one, from the pickled state."""
    return pickle.loads(pickling.dumps(model))  # noqa: S301  # ours
