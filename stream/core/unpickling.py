"""Behind a snapshot's signature, the second line: unpickling only what states are made of.

To unpickle is to import and to call whatever the bytes name. Here they may name, exactly:

- the handful of plain types and rebuilding functions below;
- classes of river, each where it is defined;
- whatever the pickle of the configured model itself names, while it is untrained;
- classes of the packages that the configured model's classes and factory come from.

A class counts only under its own name in its own module, so nothing that a module merely imported
can be reached through it. `getattr`, by which bound methods are pickled, gives methods of such
classes and nothing else. It is no sandbox: who signs snapshots is trusted, see docs/security.md.
"""

import importlib
import io
import pickle
import sys
from types import BuiltinFunctionType, FunctionType
from typing import Any

Name = tuple[str, str]
"""A module and a qualified name in it."""

_PLAIN: frozenset[Name] = frozenset(
    (module, name)
    for module, names in {
        "builtins": "bool bytearray complex dict float frozenset int iter list range set slice str "
        "tuple",
        "collections": "Counter OrderedDict defaultdict deque",
        "copy": "deepcopy",
        "datetime": "date datetime time timedelta timezone",
        "functools": "partial",
        "numpy": "array dtype ndarray ones zeros",
        "numpy._core.multiarray": "_reconstruct scalar",
        "numpy._core.numeric": "_frombuffer",
        "numpy.random._generator": "Generator",
        "numpy.random._mt19937": "MT19937",
        "numpy.random._pcg64": "PCG64 PCG64DXSM",
        "numpy.random._philox": "Philox",
        "numpy.random._pickle": "__bit_generator_ctor __generator_ctor __randomstate_ctor",
        "numpy.random._sfc64": "SFC64",
        "numpy.random.bit_generator": "SeedSequence __pyx_unpickle_SeedSequence",
        "random": "Random",
        "statistics": "NormalDist",
        # Functions that river's estimators come to hold only while they learn.
        "river.naive_bayes.gaussian": "GaussianNB._make_gaussian",
        "river.tree.splitter.ebst_splitter": "EBSTNode._update_estimator_univariate",
        "river.tree.splitter.nominal_splitter_reg": "NominalSplitterReg._update_estimator_univariate",  # noqa: E501
        "river.utils.math": "minkowski_distance",
    }.items()
    for name in names.split()
)

_NOT_STATES = ("river.api", "river.checks", "river.datasets", "river.evaluate", "river.stream")
"""What of river reads and writes files, or runs whole experiments."""

_GETATTR: Name = ("builtins", "getattr")

_METHODS: frozenset[tuple[Name, str]] = frozenset({(("random", "Random"), "gauss")})
"""Bound methods of the plain types that river's estimators come to hold while they learn."""

_OWN = "stream"


class Allowed:
    """What a state of one recipe may name.

    Args:
        untrained: the pickle of that recipe's untrained state, made by this process.
        factory: the module that the recipe's factory is in.
    """

    def __init__(self, untrained: bytes, *, factory: str) -> None:
        seen = _Recorder(untrained)
        seen.load()
        self._names = _PLAIN | seen.names
        self._methods = _METHODS | seen.methods
        modules = {factory, *(module for module, _ in seen.names - _PLAIN)}
        self._modules = frozenset(module for module in modules if not _is_library(module))
        # Another module of the same package may have what a model makes only while it learns. Not
        # in ours: of what this program is made of, a model holds what its untrained state names.
        roots = (module.partition(".")[0] for module in self._modules)
        self._packages = frozenset(root for root in roots if root != _OWN)

    def find(self, module: str, name: str) -> Any:
        """What is allowed under this name. Raises: pickle.UnpicklingError: nothing is."""
        if (module, name) == _GETATTR:
            return self._method
        if (module, name) in self._names:
            return _found(module, name)
        if self._may_hold_classes(module):
            found = _found(module, name)
            if _is_class_of(found, module, name) or _rebuilds(found, module, name):
                return found
        raise pickle.UnpicklingError(f"it names {module}.{name}, which no state of this model has")

    def _may_hold_classes(self, module: str) -> bool:
        root = module.partition(".")[0]
        if root == "river":
            return not any(module == no or module.startswith(f"{no}.") for no in _NOT_STATES)
        return module in self._modules or root in self._packages

    def _method(self, holder: Any, name: str) -> Any:
        """`getattr`, for methods that a class of a state defines; no property is evaluated."""
        cls = _class_of(holder)
        if (_name_of(cls), name) in self._methods:
            return getattr(holder, name)
        if self._may_hold_classes(cls.__module__) and not name.startswith("__"):
            found = next((vars(each)[name] for each in cls.__mro__ if name in vars(each)), None)
            if isinstance(found, FunctionType | classmethod | staticmethod):
                return getattr(holder, name)
        raise pickle.UnpicklingError(
            f"it asks a {cls.__qualname__} for {name!r}, which is no method that a state holds"
        )


def loads(pickled: bytes, allowed: Allowed) -> Any:
    """What was pickled, if it is made of what is allowed.

    Raises: pickle.UnpicklingError: it is not, or it is no pickle; nothing of it was kept.
    """
    try:
        return _Restricted(pickled, allowed).load()
    except pickle.UnpicklingError:
        raise
    # Bytes that are no pickle may make it raise anything: MemoryError for a length they only claim.
    except Exception as error:
        raise pickle.UnpicklingError(f"{type(error).__name__}: {error}") from error


class _Restricted(pickle.Unpickler):
    def __init__(self, pickled: bytes, allowed: Allowed) -> None:
        super().__init__(io.BytesIO(pickled))
        self._allowed = allowed

    def find_class(self, module: str, name: str) -> Any:
        return self._allowed.find(module, name)


class _Recorder(pickle.Unpickler):
    """Loads what this process pickled itself, and keeps the names."""

    def __init__(self, pickled: bytes) -> None:
        super().__init__(io.BytesIO(pickled))
        self.names: set[Name] = set()
        self.methods: set[tuple[Name, str]] = set()

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == _GETATTR:
            return self._method
        self.names.add((module, name))
        return super().find_class(module, name)

    def _method(self, holder: Any, name: str) -> Any:
        self.methods.add((_name_of(_class_of(holder)), name))
        return getattr(holder, name)


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


def _is_library(module: str) -> bool:
    """Whether classes in this module are allowed one by one only, or by a rule of their own."""
    root = module.partition(".")[0]
    return root in sys.stdlib_module_names or root in {"numpy", "river"}
