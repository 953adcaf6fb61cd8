"""The examples in docstrings say what is so."""

import doctest
import importlib
from pathlib import Path

import pytest

from tests.end_to_end.outside import REPOSITORY


def _name(path: Path) -> str:
    return ".".join(path.relative_to(REPOSITORY).with_suffix("").parts).removesuffix(".__init__")


MODULES = [
    _name(path)
    for path in sorted((REPOSITORY / "stream").rglob("*.py"))
    if "    >>> " in path.read_text()
]


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_of_a_module_hold(name: str) -> None:
    """Each of them, and there is at least one."""
    found = doctest.testmod(importlib.import_module(name))

    assert found.attempted
    assert not found.failed
