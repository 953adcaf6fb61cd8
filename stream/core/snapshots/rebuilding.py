"""What a pickled state is rebuilt with, where the libraries' own ways would give more than that.

numpy's constructors take buffers and addresses, `getattr` takes any name, `functools.partial` any
callable: of a pickle that names them nobody could say what it does. Each function here makes one
kind of thing, of plain values that it looks at first. `pickling` names them, `unpickling` allows
no others for these things.
"""

import re
from collections.abc import Callable
from enum import Enum
from functools import partial
from math import prod
from types import BuiltinFunctionType, FunctionType, MethodDescriptorType, MethodType
from typing import Any, Literal
from zoneinfo import ZoneInfo

import numpy as np
from numpy.random import BitGenerator, Generator, RandomState, SeedSequence

_DTYPE = re.compile(r"[<>|=][biufcSU]\d{1,6}|[<>][mM]8(\[\d{0,9}\w{1,5}\])?")
"""Numbers, texts and times, each of so many bytes: nothing that holds objects or has fields."""


def is_plain(dtype: np.dtype[Any]) -> bool:
    """Whether an array of this type can be rebuilt from its bytes."""
    return dtype.metadata is None and _DTYPE.fullmatch(dtype.str) is not None


def dtype(name: str) -> np.dtype[Any]:
    """Rebuild a type of numbers, texts or times."""
    if type(name) is not str or _DTYPE.fullmatch(name) is None:
        raise ValueError(f"{name!r} is no type of an array that is stored")
    return np.dtype(name)


def array(
    kind: str, shape: tuple[int, ...], order: Literal["C", "F"], data: bytes | bytearray
) -> np.ndarray[Any, Any]:
    """Rebuild an array from its bytes; one made of a `bytes` can't be written to."""
    found = dtype(kind)
    _require(type(data) is bytes or type(data) is bytearray, "an array is of bytes")
    _require(_is_shape(shape) and order in ("C", "F"), "an array has a shape and an order")
    _require(prod(shape) * found.itemsize == len(data), "an array has as many bytes as it holds")
    if not len(data):
        return np.empty(shape, found, order)
    return np.frombuffer(data, found).reshape(shape, order=order)


def array_of_objects(shape: tuple[int, ...], items: list[Any]) -> np.ndarray[Any, Any]:
    """Rebuild an array whose items are objects, each its own."""
    _require(type(items) is list and _is_shape(shape), "an array of objects is of a list")
    _require(prod(shape) == len(items), "an array has as many items as its shape")
    found = np.empty(len(items), object)
    for at, item in enumerate(items):
        found[at] = item
    return found.reshape(shape)


def scalar(kind: str, data: bytes) -> Any:
    """Rebuild one number, text or time of numpy's."""
    found = dtype(kind)
    _require(type(data) is bytes and len(data) == found.itemsize, "a scalar is of its bytes")
    return np.frombuffer(data, found)[0] if data else found.type()


def seed_sequence(
    entropy: int | list[int], spawn_key: tuple[int, ...], pool_size: int, spawned_n: int
) -> SeedSequence:
    """Rebuild a seed sequence, from which generators get their seeds."""
    entropies = entropy if type(entropy) is list else [entropy]
    numbers = [*entropies, *spawn_key, pool_size, spawned_n]
    _require(type(spawn_key) is tuple and all(type(n) is int for n in numbers), "seeds are numbers")
    _require(0 < pool_size <= 64, "a pool has some words")  # noqa: PLR2004
    return SeedSequence(
        entropy, spawn_key=spawn_key, pool_size=pool_size, n_children_spawned=spawned_n
    )


_GENERATORS = {cls.__name__: cls for cls in (
    np.random.MT19937, np.random.PCG64, np.random.PCG64DXSM, np.random.Philox, np.random.SFC64,
)}  # fmt: skip
_POSITIONS = {"pos": 624, "buffer_pos": 4}
"""How far into its own words a generator may stand; numpy does not look."""


def bit_generator(name: str, state: dict[str, Any], seeds: SeedSequence | None) -> BitGenerator:
    """Rebuild one of numpy's generators of bits, where it stood."""
    _require(type(name) is str and name in _GENERATORS, "a generator is one of numpy's")
    _require(seeds is None or type(seeds) is SeedSequence, "a generator is of seeds")
    _require(type(state) is dict and type(state.get("state")) is dict, "a generator has a state")
    for part in (state, state["state"]):
        for key, value in part.items():
            most = _POSITIONS.get(key)
            _require(
                type(value) in (str, int, dict, np.ndarray)
                and (most is None or (type(value) is int and 0 <= value <= most)),
                "a generator's state is of numbers",
            )
    found: BitGenerator = _GENERATORS[name](0 if seeds is None else seeds)
    found.state = state
    return found


def generator(bits: BitGenerator) -> Generator:
    """Rebuild numpy's distributions over a generator of bits."""
    _require(type(bits) in _GENERATORS.values(), "a generator is of numpy's bits")
    return Generator(bits)


def random_state(bits: BitGenerator, has_gauss: int, gauss: float) -> RandomState:
    """Rebuild numpy's older distributions over a generator of bits."""
    _require(type(bits) in _GENERATORS.values(), "a generator is of numpy's bits")
    _require(type(has_gauss) is int and type(gauss) is float, "a number may be in hand")
    found = RandomState(bits)
    found.set_state({**found.get_state(legacy=False), "has_gauss": has_gauss, "gauss": gauss})
    return found


def numbers(values: list[Any]) -> np.ndarray[Any, Any]:
    """`numpy.array` of a list of numbers; river's LDA holds it as a factory."""
    _require(type(values) is list and all(type(v) in (int, float) for v in values), "numbers")
    return np.array(values)


def ones(n: int) -> np.ndarray[Any, Any]:
    """`numpy.ones`; river's LDA holds it as a factory."""
    _require(type(n) is int and 0 <= n <= 1 << 20, "a length")
    return np.ones(n)


def filled(func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """`functools.partial`, which has no state to be set."""
    if type(args) is tuple and type(kwargs) is dict:  # a tree has one in each of its nodes
        return partial(func, *args, **kwargs)
    raise ValueError("a partial has arguments")


def method(holder: Any, name: str) -> Any:
    """A bound method; `unpickling` puts a stricter one in its place."""
    return getattr(holder, name)


def member(cls: type[Enum], name: str) -> Enum:
    """Rebuild a member of an enumeration."""
    _require(isinstance(cls, type) and issubclass(cls, Enum), "a member is of an enumeration")
    return cls[name]


def zone(key: str) -> ZoneInfo:
    """Rebuild a time zone of the machine's data."""
    _require(type(key) is str, "a time zone has a name")
    return ZoneInfo(key)


def _is_shape(shape: tuple[int, ...]) -> bool:
    return type(shape) is tuple and all(type(n) is int and 0 <= n < 1 << 40 for n in shape)


def _require(is_so: bool, what: str) -> None:  # a condition, as of an assert
    if not is_so:
        raise ValueError(what)


# -- the other way: what stands in a pickle for a thing of ours ------------------------------------

Reduced = tuple[Callable[..., Any], tuple[Any, ...]]
"""A function of this module, and what it is to be called with."""


def of_array(value: np.ndarray[Any, Any]) -> Reduced | None:
    """Reduce an array; None: it is not one that we rebuild, its own pickle says what it is."""
    kind = value.dtype
    if kind.char == "O":
        return array_of_objects, (value.shape, value.ravel().tolist())
    if not is_plain(kind):
        return None
    order: Literal["C", "F"] = "F" if value.flags.fnc else "C"
    data = value.tobytes(order)
    return array, (kind.str, value.shape, order, bytearray(data) if value.flags.writeable else data)


def of_scalar(value: np.generic) -> Reduced | None:
    """Reduce as `of_array` does; None: it is not of a type that we rebuild."""
    kind = value.dtype
    # An empty text has no bytes, and says four.
    return (scalar, (kind.str, value.tobytes()[: kind.itemsize])) if is_plain(kind) else None


def of_dtype(value: np.dtype[Any]) -> Reduced | None:
    """Reduce as `of_array` does; None: it is not of a type that we rebuild."""
    return (dtype, (value.str,)) if is_plain(value) else None


def of_bits(value: BitGenerator) -> Reduced:
    """Reduce a generator of bits with its seeds, from which others may be spawned later."""
    seeds = value.seed_seq
    kept = seeds if type(seeds) is SeedSequence else None
    return bit_generator, (type(value).__name__, dict(value.state), kept)


def of_seeds(value: SeedSequence) -> Reduced:
    """Reduce a seed sequence together with how many were spawned from it."""
    entropy = value.entropy
    plain = int(entropy) if isinstance(entropy, int | np.integer) else [int(n) for n in entropy]  # type: ignore[union-attr]
    spawned_n = value.n_children_spawned
    return seed_sequence, (plain, tuple(value.spawn_key), value.pool_size, spawned_n)


def of_random_state(value: RandomState) -> Reduced:
    """Reduce a random state: its bits, and the half of a pair that it has in hand."""
    state: Any = value.get_state(legacy=False)
    return random_state, (value._bit_generator, int(state["has_gauss"]), float(state["gauss"]))  # noqa: SLF001  # type: ignore[attr-defined]


def of_method(value: MethodType | BuiltinFunctionType) -> Reduced | None:
    """Reduce a bound method; None: it is a function of a module."""
    if value is np.array:
        return _stand_in, ("numbers",)
    holder: Any = value.__self__
    is_bound = holder is not None and not hasattr(holder, "__spec__")  # a module
    return (method, (holder, value.__name__)) if is_bound else None


def of_descriptor(value: MethodDescriptorType) -> Reduced:
    """Reduce a method of a built-in class that is bound to no object."""
    return method, (value.__objclass__, value.__name__)


def of_function(value: FunctionType) -> Reduced | None:
    """Reduce `numpy.ones`; None: any other function is found under its name."""
    return (_stand_in, ("ones",)) if value is np.ones else None


def of_partial(value: "partial[Any]") -> Reduced | None:
    """Reduce a partial; None: it has attributes of its own."""
    kept: Any = value.__reduce__()[2]
    return None if kept[3] else (filled, (value.func, value.args, value.keywords))


def of_member(value: Enum) -> Reduced | None:
    """Reduce a member of an enumeration; None: a combination of flags, which has no name."""
    cls = type(value)
    return (member, (cls, value.name)) if value.name in cls.__members__ else None


def of_zone(value: ZoneInfo) -> Reduced | None:
    """Reduce a time zone to its name; None: it was read from a file, and has none."""
    return None if value.key is None else (zone, (value.key,))


def _stand_in(name: str) -> Callable[..., Any]:
    found: dict[str, Callable[..., Any]] = {"numbers": numbers, "ones": ones}
    return found[name]


_WAYS: dict[type, Callable[[Any], Reduced | None]] = {
    np.ndarray: of_array,
    SeedSequence: of_seeds,
    Generator: lambda value: (generator, (value.bit_generator,)),
    RandomState: of_random_state,
    MethodType: of_method,
    MethodDescriptorType: of_descriptor,
    FunctionType: of_function,
    BuiltinFunctionType: of_method,
    partial: of_partial,
    ZoneInfo: of_zone,
    **dict.fromkeys(_GENERATORS.values(), of_bits),
}


def way_of(cls: type) -> Callable[[Any], Reduced | None] | None:
    """How objects of a class are reduced here; None: as their class says."""
    found = _WAYS.get(cls)
    if found is None and issubclass(cls, np.generic):
        return of_scalar
    if found is None and issubclass(cls, np.dtype):
        return of_dtype
    return of_member if found is None and issubclass(cls, Enum) else found
