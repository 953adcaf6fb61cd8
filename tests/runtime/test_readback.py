"""What is saved is read back through the restricted unpickler first; what can't be is refused."""

import array
import collections
import datetime as dt
import decimal
import enum
import fractions
import functools
import ipaddress
import operator
import pathlib
import re
import types
import uuid
import zoneinfo
from concurrent.futures import Executor, Future
from typing import Any, NamedTuple

import numpy as np
import pytest
from river import base

from stream.adapters.memory import MemoryBroker, MemorySnapshots
from stream.core.fold.task import Task
from stream.core.recipe import Recipe
from stream.core.snapshots import seal as sealing
from stream.core.spec import EventShape, Limits, ModelSpec
from stream.errors import Misconfigured
from stream.runtime.clock import SystemClock
from stream.runtime.forking import CAN_FORK, Fork, ForkedCopy
from stream.runtime.retention import Policy
from stream.runtime.snapshotter import Snapshotter
from stream.telemetry import LogEvent, Metric
from tests.folds import event
from tests.instruments.simulation.doubles import Diary

KEY = b"k" * 32


class Colour(enum.Enum):
    """A user's enumeration."""

    RED = "r"


class Access(enum.Flag):
    """Flags, whose combinations have no name."""

    READ = 1
    WRITE = 2


class Point(NamedTuple):
    """A user's named tuple."""

    x: int
    y: int


LATER: list[Any] = []
"""What the model comes to hold at its second event."""


class Holder(base.Classifier):
    """A user's model that holds what it is given, and later something else."""

    def __init__(self, held: Any = None) -> None:
        self.held = held
        self.n = 0

    def learn_one(self, x: dict[Any, Any], y: Any) -> None:  # noqa: ARG002
        """See river."""
        self.n += 1
        if self.n > 1 and LATER:
            self.held = LATER[0]

    def predict_one(self, x: dict[Any, Any], **_: Any) -> bool:  # noqa: ARG002
        """See river."""
        return bool(self.n % 2)


HELD: dict[int, Any] = {0: None}


def make(test: str) -> Holder:  # noqa: ARG001  # a recipe of its own
    """The recipe's factory."""
    return Holder(HELD[0])


def recipe(name: str) -> Recipe:
    """A recipe of its own for each test: the last one is remembered."""
    return Recipe(
        pipeline="p",
        events_topic="e",
        model=ModelSpec(factory=f"{__name__}:make", params={"test": name}),
        detectors=(),
        shape=EventShape(),
        limits=Limits(),
        hash_seed=0,
    )


HARMLESS: list[Any] = [
    decimal.Decimal("1.20"),
    uuid.UUID(int=7),
    array.array("d", [1.0, 2.5]),
    re.compile(r"a+(b)?", re.IGNORECASE),
    collections.deque([1], maxlen=3),
    collections.OrderedDict(a=1),
    collections.Counter("ab"),
    collections.ChainMap({"a": 1}),
    collections.UserDict({"a": 1}),
    fractions.Fraction(1, 3),
    ipaddress.ip_address("10.0.0.1"),
    ipaddress.ip_network("fe80::/64"),
    Colour.RED,
    Access.READ,
    Access.READ | Access.WRITE,
    re.IGNORECASE | re.DOTALL,
    Point(1, 2),
    zoneinfo.ZoneInfo("UTC"),
    pathlib.PurePosixPath("/a/b"),
    pathlib.Path("a"),
    dt.datetime(2026, 1, 1, tzinfo=dt.UTC),
    dt.timedelta(days=1),
    types.SimpleNamespace(a=1),
    frozenset({1}),
    bytearray(b"a"),
    range(3),
    slice(1, 2),
    1 + 2j,
    iter([1, 2]),
    np.arange(3),
    functools.partial(max, 1),
    operator.itemgetter("a"),
    b"bytes",
    ...,
    NotImplemented,
]


@pytest.mark.parametrize("value", HARMLESS, ids=lambda value: type(value).__name__)
def test_what_states_commonly_hold_comes_back(value: Any, monkeypatch: Any) -> None:
    """Untrained and trained, through the restricted unpickler."""
    monkeypatch.setitem(HELD, 0, value)
    parts = recipe(f"harmless {value!r}"[:60])
    task = Task(parts, partition=0)
    task.step(event(0, {"a": 1.0}, label=True))

    back = Task(parts, partition=0, payload=task.keep_copy()).serving.model.held

    assert type(back) is type(value)
    assert repr(back) == repr(value) or type(value) is type(iter([]))


@pytest.mark.parametrize(
    ("value", "name"),
    [
        (operator.attrgetter("a"), "operator.attrgetter"),
        (getattr, "builtins.getattr"),
        (np.float64, "numpy.float64"),
        (np.array([(1, 2)], dtype=[("a", "i4"), ("b", "i4")]), "numpy"),
        (decimal.Context(), "decimal.Context"),
        (open, "io.open"),
    ],
)
def test_a_model_that_no_snapshot_brings_back_is_refused_at_the_start(
    value: Any, name: str, monkeypatch: Any
) -> None:
    """With the name of what is at fault, and what to do."""
    monkeypatch.setitem(HELD, 0, value)

    with pytest.raises(Misconfigured, match=re.escape(name)) as failure:
        Task(recipe(f"refused {name}"), partition=0)
    assert "of a module of yours" in str(failure.value)


class AtOnce(Executor):
    """Runs a job when it is given."""

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> "Future[Any]":
        """See `Executor`."""
        future: Future[Any] = Future()
        future.set_result(fn(*args, **kwargs))
        return future


@pytest.mark.parametrize(
    "fork",
    [None, pytest.param(ForkedCopy, marks=pytest.mark.skipif(not CAN_FORK, reason="no fork"))],
    ids=["in line", "forked"],
)
def test_what_becomes_unreadable_is_said_counted_and_not_stored(
    fork: Fork | None, monkeypatch: Any
) -> None:
    """The older snapshots stay; a worker goes on, and its undoing too."""
    monkeypatch.setitem(HELD, 0, None)
    diary, broker = Diary("w", lambda _: None), MemoryBroker(clock=SystemClock())
    store = MemorySnapshots(broker, pipeline="p")
    snapshotter = Snapshotter(
        store,
        executor=AtOnce(),
        policy=Policy(replay_budget_s=0.0, keep=1),
        key=KEY,
        topic_id="t",
        clock=SystemClock(),
        telemetry=diary,
        fork=fork,
    )
    parts = recipe("later")
    task = Task(parts, partition=0)
    snapshotter.adopt(0, stored_n=0)
    monkeypatch.setattr(f"{__name__}.LATER", [decimal.Context()])
    for offset in range(4):
        task.step(event(offset, {"a": 1.0}, label=True))
        snapshotter.consider([task])
    snapshotter.consider([])

    assert [(entry.n, entry.next_offset) for entry in store.stored(0)] == [(1, 1)]
    sealed = store.load(0, 1, len)
    assert sealed is not None
    _, payload = sealing.unseal(sealed, sealing.Keys(KEY))
    assert Task(parts, partition=0, payload=payload).serving.model.n == 1
    said = [fields for what, fields in diary.said if what is LogEvent.SNAPSHOT_UNREADABLE]
    assert len(said) == 1
    assert "decimal.Context" in str(said[0]["why"])
    assert diary.counters[Metric.SNAPSHOTS_UNREADABLE] == 3
    assert diary.counters[Metric.SNAPSHOTS] == 1
