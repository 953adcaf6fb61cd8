"""Which versions of river what we know of it was found out with."""

from river.__version__ import __version__ as river_version

COMPARED = frozenset({"0.26.1"})
"""Versions of river with which tests/models/fast held, and what the core takes river's for."""


def is_compared() -> bool:
    """Whether the bits of this river were compared."""
    return river_version in COMPARED
