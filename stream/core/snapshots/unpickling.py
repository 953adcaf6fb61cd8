"""Behind a snapshot's signature, the second line: unpickling only what states are made of.

To unpickle is to import and to call whatever the bytes name. Here they may name, exactly:

- the plain types of `allowed_names`, and the functions of `rebuilding`;
- what the pickle of the configured model itself names, while it is untrained; of the standard
  library only what is listed there, and of numpy nothing;
- classes that models come to hold while they learn: river's, of the packages that the untrained
  model's are of (`GROWN`); scikit-learn's, of a few modules (`GROWN_OF_SKLEARN`); the user's, of
  the modules and packages that the untrained model's classes and its factory are in.

A class counts only under its own name in its own module, so nothing that a module merely imported
can be reached through it. Bound methods are those that the untrained model holds. A pickle that
changes a class or a function that it names is refused, and what it changed is put back. It is no
sandbox: who signs snapshots is trusted, and docs/security.md says what that means.
"""

import importlib
import io
import pickle
import sys
from operator import is_
from types import (
    BuiltinFunctionType,
    ClassMethodDescriptorType,
    FunctionType,
    MethodDescriptorType,
)
from typing import Any

from stream.core.snapshots import rebuilding
from stream.core.snapshots.allowed_names import (
    GROWN,
    GROWN_METHODS,
    GROWN_OF_SKLEARN,
    IF_HELD,
    LIBRARIES,
    NOT_GROWN,
    PLAIN,
    Name,
)

_REBUILDING, _METHOD = (
    "stream.core.snapshots.rebuilding",
    ("stream.core.snapshots.rebuilding", "method"),
)

_METHODS = (
    FunctionType, classmethod, staticmethod, MethodDescriptorType, ClassMethodDescriptorType,
)  # fmt: skip


class Allowed:
    """What a state of one recipe may name.

    Args:
        untrained: the pickle of that recipe's untrained state, made by this process.
        factory: the module that the recipe's factory is in.

    Attributes:
        refused: what the untrained state names and no pickle may: it could not be restored.
    """

    def __init__(self, untrained: bytes, *, factory: str) -> None:
        seen = _Recorder(untrained)
        seen.load()
        held = seen.names - PLAIN
        self.refused = sorted(f"{m}.{n}" for m, n in held if not _may_be_held(m, n))
        self._names = PLAIN | {name for name in held if _may_be_held(*name)}
        self._methods = GROWN_METHODS | seen.methods
        modules = {factory, *(module for module, _ in held)}
        self._modules = frozenset(module for module in modules if not _is_library(module))
        # A sibling may have what a model makes only while it learns. Not of ours: of what this
        # program is made of, a model holds what its untrained state names.
        packages = (module if _is_package(module) else module.rpartition(".")[0]
                    for module in self._modules if _root(module) != "stream")  # fmt: skip
        self._packages = tuple(f"{package}." for package in packages if package)
        derived = _modules_of(held)
        own = {module.split(".")[1] for module in derived if module.startswith("river.")}
        more = {each for package in ("", *own) for each in GROWN.get(package, "").split()}
        self._rivers = (own | more) - NOT_GROWN
        self._modules |= _grown_of_sklearn(derived)

    def find(self, module: str, name: str) -> Any:
        """What is allowed under this name. Raises: pickle.UnpicklingError: nothing is."""
        if (module, name) == _METHOD:
            return self._method
        if (module, name) in self._names:
            return _found(module, name)
        if self._may_hold_classes(module):
            found = _found(module, name)
            if _is_class_of(found, module, name) or _rebuilds(found, module, name):
                return found
        raise pickle.UnpicklingError(f"it names {module}.{name}, which no state of this model has")

    def _may_hold_classes(self, module: str) -> bool:
        parts = module.split(".")
        if parts[-1] == "__main__":
            return False
        if parts[0] == "river":
            return len(parts) > 1 and parts[1] in self._rivers
        return module in self._modules or module.startswith(self._packages)

    def _method(self, holder: Any, name: str) -> Any:
        """A method that the untrained state holds too, or of a class of the user's.

        It is the class's own: no property is evaluated, and what the object has under this name
        does not count.
        """
        cls = _class_of(holder)
        is_users = not _is_library(cls.__module__) and self._may_hold_classes(cls.__module__)
        if ((_name_of(cls), name) in self._methods or is_users) and not name.startswith("__"):
            found = next((vars(each)[name] for each in cls.__mro__ if name in vars(each)), None)
            if isinstance(found, _METHODS):
                return found.__get__(None if isinstance(holder, type) else holder, cls)
        raise pickle.UnpicklingError(
            f"it asks a {cls.__qualname__} for {name!r}, which is no method that a state holds"
        )


def loads(pickled: bytes, allowed: Allowed) -> Any:
    """What was pickled, if it is made of what is allowed.

    Raises: pickle.UnpicklingError: it is not, or it is no pickle; nothing of it was kept.
    """
    unpickler = _Restricted(pickled, allowed)
    try:
        found = unpickler.load()
    except pickle.UnpicklingError:
        unpickler.put_back()
        raise
    # Bytes that are no pickle may make it raise anything: MemoryError for a length they only claim.
    except Exception as error:
        unpickler.put_back()
        raise pickle.UnpicklingError(f"{type(error).__name__}: {error}") from error
    if changed := unpickler.put_back():
        raise pickle.UnpicklingError(f"it changes {changed}, which is no part of a state")
    return found


def names(pickled: bytes) -> set[Name]:
    """What the pickle of a model that this process made names."""
    seen = _Recorder(pickled)
    seen.load()
    return seen.names


class _Restricted(pickle.Unpickler):
    def __init__(self, pickled: bytes, allowed: Allowed) -> None:
        super().__init__(io.BytesIO(pickled))
        self._allowed = allowed
        self._before: list[tuple[Any, dict[str, Any]]] = []

    def find_class(self, module: str, name: str) -> Any:
        found = self._allowed.find(module, name)
        if type(found) is FunctionType or isinstance(found, type):
            self._before.append((found, _attributes(found)))
        return found

    def put_back(self) -> str:
        """Undo what was done to classes and functions. Returns: to the first of them, or ""."""
        changed = ""
        for found, before in self._before:
            now = _attributes(found)
            # In this order, which a changed value leaves as it is: it is looked at for each class.
            if len(now) == len(before) and all(map(is_, now.values(), before.values())):
                continue
            changed = changed or found.__qualname__
            for name in now.keys() - before.keys():
                delattr(found, name)
            for name, value in before.items():
                if now.get(name) is not value:
                    setattr(found, name, value)
        return changed


_OF_FUNCTIONS = ("__code__", "__defaults__", "__kwdefaults__")


def _attributes(found: type | FunctionType) -> dict[str, Any]:
    own = vars(found).copy()
    if type(found) is FunctionType:
        for name in _OF_FUNCTIONS:
            own[name] = getattr(found, name)
    return own


class _Recorder(pickle.Unpickler):
    """Loads what this process pickled itself, and keeps the names."""

    def __init__(self, pickled: bytes) -> None:
        super().__init__(io.BytesIO(pickled))
        self.names: set[Name] = set()
        self.methods: set[tuple[Name, str]] = set()

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == _METHOD:
            return self._method
        self.names.add((module, name))
        return super().find_class(module, name)

    def _method(self, holder: Any, name: str) -> Any:
        self.methods.add((_name_of(_class_of(holder)), name))
        return getattr(holder, name)


def _modules_of(held: set[Name]) -> set[str]:
    """Where what is held is, and where the classes are that its classes derive from.

    A forest of the user's that is derived from river's makes river's trees.
    """
    found = [_found(*name) for name in held]
    bases = {each.__module__ for cls in found if isinstance(cls, type) for each in cls.__mro__}
    return bases | {module for module, _ in held}


def _grown_of_sklearn(modules: set[str]) -> frozenset[str]:
    packages = {module.split(".")[1] for module in modules if module.startswith("sklearn.")}
    return frozenset(
        f"sklearn.{module}" for package in packages & GROWN_OF_SKLEARN.keys()
        for module in GROWN_OF_SKLEARN[package].split()
    )  # fmt: skip


def _may_be_held(module: str, name: str) -> bool:
    """Whether a state may name this, if its untrained model does."""
    root = _root(module)
    if root in {"stream", "river", "sklearn"} or not _is_library(module):
        return module != _REBUILDING
    names = IF_HELD.get(module)
    if names is not None:
        return not names or name in names.split()
    return False


def _found(module: str, name: str) -> Any:
    found: Any = sys.modules.get(module) or importlib.import_module(module)
    for part in name.split("."):
        found = getattr(found, part)
    return found


def _is_class_of(found: Any, module: str, name: str) -> bool:
    return isinstance(found, type) and _name_of(found) == (module, name)


def _rebuilds(found: Any, module: str, name: str) -> bool:
    """Whether it is what Cython rebuilds the instances of a module's classes with."""
    return (
        name.startswith("__pyx_unpickle_")
        and isinstance(found, BuiltinFunctionType | FunctionType)
        and found.__module__ == module
    )


def _class_of(holder: Any) -> type:
    return holder if isinstance(holder, type) else type(holder)


def _name_of(cls: type) -> Name:
    return cls.__module__, cls.__qualname__


def _root(module: str) -> str:
    return module.partition(".")[0]


def _is_package(module: str) -> bool:
    return hasattr(sys.modules.get(module), "__path__")


def _is_library(module: str) -> bool:
    """Whether what is in this module is allowed one by one only, or by a rule of its own."""
    return _root(module) in sys.stdlib_module_names or _root(module) in LIBRARIES


assert all(hasattr(rebuilding, n) for m, n in PLAIN if m == _REBUILDING)  # noqa: S101  # one list
