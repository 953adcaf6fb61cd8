"""River loaded without the half of scipy that few models ever call: it comes when it is called.

Five modules of river import `scipy.stats` or `scipy.integrate` at their top, for a function each
(one tree's F test, one metric). With these, river takes 1.9 s of CPU to load, without 0.9 s; and a
first start loads it in two processes.
"""

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

DEFERRED = ("scipy.integrate", "scipy.stats")
IMPORTERS = ("river.drift", "river.metrics", "river.proba", "river.tree")


def load_river() -> None:
    """Load those packages of river, and with them most of it, but not what they import of scipy."""
    with scipy_deferred():
        for name in IMPORTERS:
            importlib.import_module(name)


@contextmanager
def scipy_deferred() -> Iterator[None]:
    """Who imports river in here loads less; nothing of a user's is to be imported in here.

    Afterwards `import scipy.stats` gives everyone the real one. It does nothing where that is there
    already, and nothing for a river that is.
    """
    sys.modules.update({n: DeferredModule(n) for n in DEFERRED if n not in sys.modules})
    try:
        yield
    finally:
        _withdraw()


class Deferred:
    """Stands in a module of river for a function or a distribution of scipy.

    Whatever is asked of it is asked of the real one, which is loaded by then.

    Args:
        module: the module's whole name.
        name: of what in it.
    """

    __slots__ = ("_module", "_name")

    def __init__(self, module: str, name: str) -> None:
        self._module, self._name = module, name

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # Python's own questions, as of `copy`
            raise AttributeError(name)
        return getattr(self._real(), name)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the real one."""
        return self._real()(*args, **kwargs)

    def __repr__(self) -> str:
        return f"<{self._module}.{self._name}, loaded at its first use>"

    def _real(self) -> Any:
        return getattr(_loaded(self._module), self._name)


class DeferredModule(ModuleType):
    """Gives stand-ins to whoever imports from it; once that is over, what the real one has."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # Python's own questions to a module
            raise AttributeError(name)
        if sys.modules.get(self.__name__) is self:
            return Deferred(self.__name__, name)
        return getattr(_loaded(self.__name__), name)


def _loaded(name: str) -> ModuleType:
    """Load the real module. A stand-in may be called before the import that it eased is over."""
    _withdraw()
    return importlib.import_module(name)


def _withdraw() -> None:
    for name in DEFERRED:
        if isinstance(sys.modules.get(name), DeferredModule):
            del sys.modules[name]
