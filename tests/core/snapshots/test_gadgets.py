"""Pickles of those who hold the key: chains of allowed things that once led to a shell.

Each is refused before anything of it ran, though the model holds as much as a model may: functions
of its own, a `FuncTransformer`, partials, generators, bound methods.
"""

import copy
import functools
import operator
import pickle
from collections.abc import Callable
from random import Random
from typing import Any

import numpy as np
import pytest
from river import cluster, compose, forest, linear_model

from stream.core.snapshots import pickling, rebuilding, unpickling
from stream.core.snapshots.unpickling import Allowed

ran: list[object] = []


def note(*arguments: object) -> dict[str, float]:
    """What a pickle must not get called with what it likes, by way of what it makes."""
    ran.append(arguments)
    return {}


def kept(x: dict[str, float]) -> dict[str, float]:
    """The user's own step."""
    return x


class Held:
    """As much as an untrained state may hold."""

    def __init__(self) -> None:
        self.model = compose.FuncTransformer(kept) | linear_model.LogisticRegression()
        self.others = [forest.ARFClassifier(n_models=2, seed=1), cluster.KMeans(seed=1)]
        self.numpy = [np.zeros(3), np.float64(1), np.random.RandomState(1), np.dtype("f8")]
        self.numpy += [np.random.default_rng(1), np.random.SeedSequence(1)]
        self.partial = functools.partial(copy.deepcopy, [1])


UNTRAINED = pickling.dumps(Held())
ALLOWED = Allowed(UNTRAINED, factory="stream.models")
ARRAY, SCALAR, DTYPE = rebuilding.array, rebuilding.scalar, rebuilding.dtype


class Call:
    """Pickles as a call, and then as what is set on what it gives."""

    def __init__(self, function: Callable[..., Any], *arguments: Any, state: Any = None) -> None:
        self.call = function, arguments, state

    def __reduce__(self) -> tuple[Any, ...]:
        return self.call


def dumped(*values: Any) -> bytes:
    """As `pickle.dumps`, so with names as they are."""
    return pickle.dumps(values[0] if len(values) == 1 else list(values))


def text(module: str, name: str, arguments: bytes = b"(") -> bytes:
    """The call of a name, in the protocol of people."""
    return b"c%b\n%b\n%btR." % (module.encode(), name.encode(), arguments)


def at_an_address() -> Any:
    """An allowed object that has been given the address of an array."""
    found = linear_model.LogisticRegression()
    vars(found)["__array_interface__"] = {"data": (64, False), "shape": (1,), "typestr": "<f8"}
    return found


FUNC = compose.FuncTransformer(kept)
vars(FUNC)["func"] = kept

GADGETS: dict[str, bytes] = {
    "getattr": dumped(Call(getattr, linear_model.LogisticRegression, "__init__")),
    "a dunder by our own method": dumped(
        Call(rebuilding.method, linear_model.LogisticRegression(), "__reduce_ex__")
    ),
    "a function's globals by our own method": dumped(Call(rebuilding.method, kept, "__globals__")),
    "a step that calls what it is given": dumped(
        Call(rebuilding.method, FUNC, "transform_one", state=None)
    ),
    "operator.attrgetter": dumped(operator.attrgetter("__init__.__globals__")),
    "operator.methodcaller": dumped(operator.methodcaller("mkdir")),
    "functools.partial": dumped(functools.partial(kept, {})),
    "functools.reduce": dumped(Call(functools.reduce, kept, [1, 2])),
    "a partial that is none": dumped(Call(rebuilding.filled, 3, (), {})),
    "numpy.ndarray": dumped(Call(np.ndarray, (1,), "O", b"\x40" + bytes(7))),
    "numpy.frombuffer": dumped(Call(np.frombuffer, bytes(8), "f8")),
    "numpy.array over an address": dumped(Call(np.array, at_an_address())),
    "numpy.float64 over an address": dumped(Call(np.float64, at_an_address())),
    "numpy's own pickle of an array": dumped(np.zeros(3)),
    "numpy's own pickle of objects": dumped(np.array([note, None])),
    "numpy's own pickle of a type": dumped(np.dtype([("a", "O")])),
    "numpy's own scalar": dumped(np.float64(1.0)),
    "numpy's ufunc": dumped(np.exp),
    "an array of objects over an address": dumped(Call(ARRAY, "|O8", (1,), "C", b"\x40" * 8)),
    "an array of fields": dumped(Call(ARRAY, "|V8", (1,), "C", bytes(8))),
    "an array longer than its bytes": dumped(Call(ARRAY, "<f8", (1 << 30,), "C", bytes(8))),
    "an array of a negative shape": dumped(Call(ARRAY, "<f8", (-1, -1), "C", bytes(8))),
    "an array over another array": dumped(Call(ARRAY, "<f8", (1,), "C", at_an_address())),
    "a type that is an object": dumped(Call(DTYPE, at_an_address())),
    "a type of fields": dumped(Call(DTYPE, "O,O")),
    "a scalar over an address": dumped(Call(SCALAR, "<f8", at_an_address())),
    "numbers over an address": dumped(Call(rebuilding.numbers, [at_an_address()])),
    "a generator by a constructor of one's own": text(
        "numpy.random._pickle", "__generator_ctor", b"(VPCG64\ncbuiltins\nlist\n"
    ),
    "a generator beyond its words": dumped(
        Call(
            rebuilding.bit_generator,
            "MT19937",
            {"bit_generator": "MT19937", "state": {"key": [0] * 624, "pos": 1 << 40}},
            None,
        )
    ),
    "a generator of what is none": dumped(Call(rebuilding.generator, at_an_address())),
    "a time zone elsewhere": dumped(Call(rebuilding.zone, "../../../etc/passwd")),
    "a member of what is no enumeration": dumped(Call(rebuilding.member, dict, "fromkeys")),
    "a module in ours": text("stream.core.snapshots.rebuilding", "np.frombuffer", b"(C\x01aVu1\n"),
    "a function of ours that is none of these": text(
        "stream.core.snapshots.pickling", "dumps", b"(I1\n"
    ),
    "builtins.type": text("builtins", "type", b"(VX\n)}"),
    "types.FunctionType": text("types", "FunctionType"),
    "codecs": text("_codecs", "decode", b"(C\x01aVhex\n"),
    "a file": text("io", "FileIO", b"(V/etc/passwd\n"),
    "pathlib's methods": text("pathlib", "Path.unlink", b"(V/etc/nothing\n"),
    "what runs code": text("timeit", "timeit", b"(V1\n"),
    "river's files": text("river.stream.iter_csv", "iter_csv", b"(V/etc/passwd\n"),
    "river's bandits": text("river.bandit.envs.testbed", "KArmedTestbed"),
    "a class of a package that is not grown": text(
        "river.compat.river_to_sklearn", "River2SKLBase"
    ),
}


@pytest.mark.parametrize("pickled", GADGETS.values(), ids=list(GADGETS))
def test_a_gadget_is_refused_before_anything_ran(pickled: bytes) -> None:
    """By one exception, whatever it was made of."""
    ran.clear()
    with pytest.raises(pickle.UnpicklingError):
        unpickling.loads(pickled, ALLOWED)

    assert not ran


def patched(target: type | Callable[..., Any], **attributes: Any) -> bytes:
    """Sets attributes of what is found under a name, which `pickle` calls a slot's state."""
    return pickle.dumps(target)[:-1] + pickle.dumps((None, attributes))[2:-1] + b"b."


@pytest.mark.parametrize(
    ("target", "attributes"),
    [
        (linear_model.LogisticRegression, {"learn_one": kept}),
        (linear_model.LogisticRegression, {"__reduce_ex__": kept, "brand_new": 1}),
        (kept, {"__defaults__": (1, 2)}),
        (kept, {"__wrapped__": 1}),
        (Held, {"__init__": kept}),
    ],
)
def test_no_pickle_changes_a_class_or_a_function(target: Any, attributes: dict[str, Any]) -> None:
    """It would outlive the snapshot that was refused; what was set is put back."""
    before = {name: getattr(target, name, None) for name in attributes}

    with pytest.raises(pickle.UnpicklingError, match=f"it changes {target.__qualname__}"):
        unpickling.loads(patched(target, **attributes), ALLOWED)

    assert {name: getattr(target, name, None) for name in attributes} == before
    with pytest.raises(pickle.UnpicklingError):
        unpickling.loads(patched(target, **attributes)[:-1] + b"coss\nystem\n.", ALLOWED)
    assert {name: getattr(target, name, None) for name in attributes} == before


def test_what_the_model_itself_may_not_hold_is_named() -> None:
    """So that it is told at the start, and not by each restart."""
    held = [operator.attrgetter("a"), getattr, open, np.exp, np.float64, kept]

    refused = Allowed(pickling.dumps(held), factory="mine").refused

    assert {name.lstrip("_") for name in refused} == {
        "builtins.getattr", "io.open", "numpy.exp", "numpy.float64", "operator.attrgetter",
    }  # fmt: skip


def test_a_method_is_the_classs_own() -> None:
    """Whatever the object holds under its name."""
    model = cluster.KMeans(seed=1)
    allowed = Allowed(pickling.dumps(model), factory="mine")
    rng = Random(3)
    vars(rng)["gauss"] = note

    found = unpickling.loads(dumped(Call(rebuilding.method, rng, "gauss")), allowed)

    assert found.__func__ is Random.gauss


# -- and what is honest comes back -----------------------------------------------------------------

ARRAYS = [
    np.arange(6.0).reshape(2, 3),
    np.asfortranarray(np.arange(6).reshape(2, 3)),
    np.arange(12)[::2],
    np.array([]),
    np.zeros((0, 3), "i2"),
    np.array(3.5),
    np.array(["a", "bcd"]),
    np.array([b"x", b"yz"]),
    np.array(["2026-01-01", "NaT"], "M8[D]"),
    np.array([1 + 2j, float("nan")]),
    np.array([True, False]),
    np.arange(3, dtype=">i4"),
    np.array([1, "a", None, [2]], dtype=object),
]


@pytest.mark.parametrize("value", ARRAYS, ids=lambda value: f"{value.dtype}{value.shape}")
def test_arrays_come_back_to_the_bit(value: Any) -> None:
    """Type, shape, order in memory and values; they can be written to, if they could."""
    value.flags.writeable = value.size != 3
    for found in (
        pickle.loads(pickling.dumps(value)),  # noqa: S301  # our own bytes
        unpickling.loads(pickling.dumps(value), ALLOWED),
    ):
        assert (found.dtype, found.shape) == (value.dtype, value.shape)
        assert found.tobytes() == value.tobytes() or value.dtype == object
        assert found.flags.writeable == value.flags.writeable or value.dtype == object
        if value.flags.contiguous or value.flags.fnc:
            assert found.flags.fnc == value.flags.fnc
        assert repr(found) == repr(value)


@pytest.mark.parametrize(
    "value",
    [np.float64("nan"), np.float32(0.1), np.int8(-3), np.bool_(True), np.str_("a"), np.str_(""),
     np.datetime64("2026-01-01"), np.complex128(1j), np.dtype("<U7"), np.dtype("f4")],
    ids=repr,
)  # fmt: skip
def test_numbers_of_numpys_come_back_to_the_bit(value: Any) -> None:
    """Of their type."""
    found = unpickling.loads(pickling.dumps(value), ALLOWED)

    assert type(found) is type(value)
    assert repr(found) == repr(value)


GENERATORS: list[Callable[[], Any]] = [
    lambda: np.random.RandomState(3),
    lambda: np.random.default_rng(3),
    *(
        functools.partial(lambda cls: np.random.Generator(cls(3)), cls)
        for cls in rebuilding._GENERATORS.values()
    ),
]


@pytest.mark.parametrize("make", GENERATORS, ids=range(len(GENERATORS)))
def test_generators_go_on_where_they_were(make: Callable[[], Any]) -> None:
    """With the half of a pair that they have in hand, and as many children as they had."""
    rng = make()
    for _ in range(7):
        rng.standard_normal(), rng.integers(9) if hasattr(rng, "integers") else rng.randint(9)
    if hasattr(rng, "spawn"):
        rng.spawn(2)
    else:
        rng.normal()

    found = unpickling.loads(pickling.dumps(rng), ALLOWED)

    assert [found.normal() for _ in range(9)] == [rng.normal() for _ in range(9)]
    if hasattr(rng, "spawn"):
        assert found.spawn(1)[0].random() == rng.spawn(1)[0].random()


def test_two_generators_of_the_same_bits_stay_so() -> None:
    """What the one draws the other does not."""
    bits = np.random.PCG64(3)
    one, other = unpickling.loads(
        pickling.dumps([np.random.Generator(bits), np.random.Generator(bits)]), ALLOWED
    )

    assert one.bit_generator is other.bit_generator
