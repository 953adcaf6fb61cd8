"""Takes an event on which a model raised out of it again, without going back to a copy of it all.

To go back to a copy takes half a second for a forest; user code that raises on one event in twenty
would leave a tenth of the speed. Most often little has changed: river's larger models do not change
when they are asked (see `asking`), and what raises when it is taught is mostly somebody's own class
in front of one or around it. What is not such a large part is mostly small. So while events fail
the small parts are pickled before each event, and put back when it fails, around the large ones as
they are.
"""

import gc
import io
import pickle
from collections.abc import Callable, Iterator, Mapping
from itertools import chain
from typing import Any, NoReturn

from river import base, compose

from stream.core.learning.asking import ATOMS, UNCHANGED, in_doubt, is_sure
from stream.core.learning.failures import CRASHES
from stream.core.snapshots import pickling
from stream.core.stand_in import plain

BYTES_MAX = 32 << 10
"""Of the small parts: 0.1 ms; with more, a model goes back to its copy each time."""

SMALL_BYTES = 64 << 10
"""Of a state: going back to a copy of a smaller one takes less than keeping parts of it."""

WATCHED_N = 1000
"""Events for which the small parts are kept, after one has failed."""

_INSIDES = ("river.anomaly", "river.ensemble", "river.forest", "river.neighbors", "river.tree")
"""Packages whose objects are large parts, or inside of one: what else refers to such an object must
refer to the same one afterwards."""


class Watch:
    """Takes an event out of a model that raised on it, where its large parts have not seen it.

    Args:
        model: the live one.
    """

    def __init__(self, model: Any) -> None:
        self._model = model
        self._apart = Apart()
        self._asked: bytes | None = None
        self._taught: bytes | None = None
        self._event: tuple[dict[Any, Any], Any] = {}, None
        self._in_doubt = in_doubt(plain(model))

    def is_unchanged(self, features: Mapping[Any, Any]) -> bool:
        """Whether asking has surely changed nothing.

        Args:
            features: those on which it raised.
        """
        if not any(map(_has_state, self._in_doubt)):
            return True
        model = plain(self._model)
        return type(model) is compose.Pipeline and _raises_early(model, features)

    def pays(self, state: bytes) -> bool:
        """Whether it takes less to keep the small parts than to go back to a pickled state."""
        return len(state) > SMALL_BYTES or any(each.encode() in state for each in _INSIDES)

    def following(self, model: Any) -> "Watch":
        """Go on with the model that `without_event` gave."""
        self._model, self._asked = model, None
        self._in_doubt = in_doubt(plain(model))
        return self

    def look(self) -> bool:
        """Keep the small parts before an event. Returns: whether they are small enough for that."""
        self._asked, self._taught = self._small_parts(), None
        return self._asked is not None

    def look_again(self, features: Mapping[Any, Any], label: Any) -> None:
        """Keep the small parts again, between asking and teaching the model."""
        self._taught, self._event = self._small_parts(), (dict(features), label)

    def without_event(self, *, is_asked: bool) -> Any | None:
        """The model as it was at the last `look`; None if nobody can tell.

        Args:
            is_asked: it raised when it was asked, and has not been taught since.
        """
        if self._asked is None or not (is_asked or self._is_spared()):
            return None
        return self._apart.loads(self._asked)

    def _small_parts(self) -> bytes | None:
        pickled = self._apart.dumps(plain(self._model))
        return pickled if pickled is not None and len(pickled) <= BYTES_MAX else None

    def _is_spared(self) -> bool:
        """Whether the model raises on this event before any large part is as much as touched.

        It is taught once more, with stand-ins for its large parts: up to the first touch of one it
        does what it did.
        """
        if self._taught is None:
            return False
        touched: list[str] = []
        copy = self._apart.loads(self._taught, touched)
        features, label = self._event
        try:
            if isinstance(copy, base.AnomalyDetector):
                copy.learn_one(features)
            else:
                copy.learn_one(features, label)
        except Touched:
            return False
        except CRASHES:
            raise
        except BaseException:  # noqa: BLE001  # as it did
            return not touched
        return False


class Apart:
    """Pickles a model without its large parts, which stay where they are."""

    def __init__(self) -> None:
        self._large: list[Any] = []
        self._places: dict[int, int] = {}
        self._inside: set[int] = set()

    def dumps(self, model: Any) -> bytes | None:
        """Pickle all but the large parts; None: something from inside one is held elsewhere."""
        found_n = -1
        while found_n != len(self._large):  # what is inside is known once all of them are
            found_n, buffer = len(self._large), io.BytesIO()
            self._inside = {id(held) for part in self._large for held in _held(part)}
            try:
                _Pickler(buffer, self._place).dump(model)
            except _Shared:
                return None
        return buffer.getvalue()

    def loads(self, pickled: bytes, touched: list[str] | None = None) -> Any:
        """Load the rest as it was, around the large parts or around stand-ins for them.

        Args:
            pickled: what `dumps` gave.
            touched: what is done to a stand-in is noted here, and raises `Touched`.
        """
        unpickler = _Unpickler(io.BytesIO(pickled))
        unpickler.large = self._large
        if touched is not None:
            unpickler.large = [_stand_in(type(part), touched) for part in self._large]
        return unpickler.load()

    def _place(self, value: Any) -> int | None:
        """The number of a large part; None: it is not a large part."""
        place = self._places.get(id(value))
        if place is None and type(value) in UNCHANGED and is_sure(value):
            place = self._places[id(value)] = len(self._large)
            self._large.append(value)  # so it lives, and its id is nobody else's
        elif place is None and (
            id(value) in self._inside or type(value).__module__.startswith(_INSIDES)
        ):
            raise _Shared
        return place


class Touched(BaseException):
    """A model did something to a stand-in; no handler of a user's catches this."""


class _Plain:
    """An empty class: its attributes are those that every object has."""


class _Shared(Exception):
    """Something inside a large part is held from outside, too, so it cannot be left apart."""


class _Pickler(pickling.Pickler):
    def __init__(self, file: io.BytesIO, place: Callable[[Any], int | None]) -> None:
        super().__init__(file)
        self.persistent_id = place  # type: ignore[method-assign]


class _Unpickler(pickle.Unpickler):
    large: list[Any]

    def persistent_load(self, place: int) -> Any:
        return self.large[place]


def _held(part: Any) -> Iterator[Any]:
    """What a large part holds that may change."""
    held = gc.get_referents(part)  # not `vars`: whoever asks for it makes an object slow
    values = chain.from_iterable(each.values() for each in held if type(each) is dict)
    return (each for each in chain(held, values) if not isinstance(each, ATOMS))


def _raises_early(pipeline: compose.Pipeline, features: Mapping[Any, Any]) -> bool:
    """Whether a step raises before any is asked that this may change."""
    transformed = dict(features)
    for step in pipeline.steps.values():
        if any(map(_has_state, in_doubt(step))):
            return False
        try:
            transformed = step.transform_one(transformed)
        except CRASHES:
            raise
        except BaseException:  # noqa: BLE001  # as it did
            return True
    return False


def _has_state(part: Any) -> bool:
    """Whether an object has any attribute, or room for what is none."""
    held = [each for each in gc.get_referents(part) if each is not type(part)]
    return any(held) or type(part).__basicsize__ != _Plain.__basicsize__


def _stand_in(cls: type, touched: list[str]) -> Any:
    """Make an object of a class that has no attribute, and lets nobody set one."""

    def touch(_self: object, name: str, *_: object) -> NoReturn:
        if name == "_last_step":  # river asks each estimator, to tell whether it is a pipeline
            raise AttributeError(name)
        touched.append(name)
        raise Touched(name)

    kind = type(cls.__name__, (cls,), {"__getattr__": touch, "__setattr__": touch})
    return object.__new__(kind)
