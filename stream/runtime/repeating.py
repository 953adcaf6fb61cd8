"""Does a model repeat itself? Tried with the first events, in two processes, before it counts.

Whatever comes back after a crash is proved by its digest, and so a model that draws at random, asks
the clock or goes by where its objects lie loses everything with its snapshots: no replay of it is
like the other. One process folds the events as the worker will; a second one, which has nothing in
common with it but the recipe, folds the first half, has its state pickled and read back as a
snapshot is, in a process that saw none of it, and folds the rest.
"""

import os
import pickle
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import IO, Any

import msgspec

from stream.core.event import Channel, Record
from stream.core.recipe import Recipe
from stream.errors import Retryable
from stream.runtime.forking import CAN_FORK, ForkedCopy
from stream.runtime.repeated_fold import DEADLINE_S, Answer, Outcome, fold_all
from stream.runtime.second_process import OTHER

EVENTS_MAX = 1_000
LOOK_EVERY_S = 0.1
_SHOWN_CHARS_MAX = 60


class Untried(Exception):
    """No answer was to be had, so nothing is known of the model; the text says why."""


@dataclass(frozen=True, slots=True)
class Compared:
    """What was found out.

    Attributes:
        difference: how two copies of the model differ; None: not at all.
        outcomes: what this process, or its like, made of the events.
    """

    difference: str | None
    outcomes: tuple[Outcome, ...]


def compare(recipe: Recipe, records: Sequence[Record], *, stopping: threading.Event) -> Compared:
    """Let two processes fold these records of one partition, or as many as there is time for.

    Raises: Untried: nobody can tell, or `stopping` was set.
    """
    job = {"path": list(sys.path), "recipe": recipe, "records": list(records)}
    other = _spawned(recipe, OTHER)
    try:
        # Only with the recipe's hash seed a fork of this very process is what the worker will be.
        if CAN_FORK and os.environ.get("PYTHONHASHSEED") == str(recipe.hash_seed):
            one: _Asked = _Forked(job)
        else:
            one = _Spawned(_spawned(recipe, "plain"), job, stopping)
        theirs = _Spawned(other, job, stopping).answer()
        ours = one.answer()
    finally:
        other.kill()
        other.wait()
    return Compared(_difference(ours, theirs, records), ours.outcomes)


# -- the two processes ----------------------------------------------------------------------------


class _Forked:
    """Folds in a forked copy of this process, which has loaded everything already."""

    def __init__(self, job: Mapping[str, Any]) -> None:
        try:
            self._copy = ForkedCopy(lambda: pickle.dumps(fold_all(job)), deadline_s=DEADLINE_S)
        except Retryable as error:
            raise Untried(str(error)) from error

    def answer(self) -> Answer:
        """Wait for the answer. Raises: Untried."""
        try:
            return pickle.loads(self._copy.payload()[0])  # type: ignore[no-any-return]
        except Retryable as error:
            raise Untried("the model ended its process, or hangs") from error


class _Spawned:
    """Folds in a new interpreter."""

    def __init__(
        self, process: "subprocess.Popen[bytes]", job: Mapping[str, Any], stopping: threading.Event
    ) -> None:
        self._process, self._stopping = process, stopping
        self._job = pickle.dumps(job)

    def answer(self) -> Answer:
        """Wait for the answer. Raises: Untried."""
        deadline = time.monotonic() + DEADLINE_S
        # `communicate` would leave off writing at its first timeout: who is slow to listen, for it
        # still loads river, would wait for the rest of a large job until the deadline.
        listens, self._process.stdin = self._process.stdin, None
        threading.Thread(target=_feed, args=(listens, self._job), daemon=True).start()
        while not self._stopping.is_set() and time.monotonic() < deadline:
            try:
                answered, _ = self._process.communicate(timeout=LOOK_EVERY_S)
            except subprocess.TimeoutExpired:
                continue
            if self._process.returncode or not answered:
                raise Untried(f"a second process ended with {self._process.returncode}")
            return pickle.loads(answered)  # type: ignore[no-any-return]
        self._process.kill()
        if self._stopping.is_set():
            raise Untried("a stop signal came")
        raise Untried(f"a second process took longer than {DEADLINE_S} s")


def _feed(listens: IO[bytes] | None, job: bytes) -> None:
    assert listens is not None  # noqa: S101  # it is a pipe
    try:
        with listens:
            listens.write(job)
    except OSError:
        return  # it ended before it had read all: how, its exit code tells


_Asked = _Forked | _Spawned


def _spawned(recipe: Recipe, world: str) -> "subprocess.Popen[bytes]":
    """Start the second process under the recipe's hash seed. Raises: Untried: it cannot start."""
    try:
        return subprocess.Popen(
            [sys.executable, "-m", "stream.runtime.second_process", world, str(DEADLINE_S)],
            env={
                **os.environ,
                "PYTHONHASHSEED": str(recipe.hash_seed),
                "PYTHONDONTWRITEBYTECODE": "1",  # it only looks
            },
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
    except OSError as error:
        raise Untried(f"no second process could be had: {error}") from error


# -- what differs ---------------------------------------------------------------------------------

WHY = (
    "something in it draws at random without a seed, asks the clock, or goes by id() or an "
    "object's hash; give every generator a seed of its own (random.Random(1), numpy's "
    "default_rng(1), random_state=1) and keep it in the model"
)

NOT_PICKLED = (
    "what it learns is not in its pickled state (keep it in self, not in the class or the module, "
    "and let no __getstate__ leave it out)"
)


def _difference(ours: Answer, theirs: Answer, records: Sequence[Record]) -> str | None:
    """Say in one sentence how two answers differ; None: they agree."""
    pairs = zip(ours.outcomes, theirs.outcomes, strict=False)
    for n, (one, other) in enumerate(pairs):
        if one != other:
            place = f"event {n + 1} (partition {records[n].partition}, offset {records[n].offset})"
            what, half, why = _first_value(one, other), theirs.half, WHY
            if half is not None and n >= half:
                what += f" (whose state was pickled and read back before event {half + 1})"
                why = f"{NOT_PICKLED}, or {WHY}"
            return (
                "does not repeat itself: two processes folded the same events, and of "
                f"{place} {what}; {why}"
            )
    if theirs.unreadable is not None:
        return (
            f"could not be restored from a snapshot of it: {theirs.unreadable}; use plain types, "
            "numpy's arrays, classes of the factory's own package, and those of river of which the "
            "untrained model holds one, for what it keeps"
        )
    for (whose, state), (_, other_state) in zip(ours.generators, theirs.generators, strict=False):
        if state != other_state:
            return f"cannot repeat itself: {whose} begins anywhere, anew in each process; seed it"
    # What was raised may hold an address, which is another one in each.
    if (ours.raised is None) != (theirs.raised is None):
        raised = theirs.raised or ours.raised
        return f"raised in one of two processes, and not in the other: {raised}"
    return None


def _first_value(one: Outcome, other: Outcome) -> str:
    """Say where two outcomes of one event first differ, and what each process found there."""
    for (channel, ours), (other_channel, theirs) in zip(one, other, strict=False):
        if (channel, ours) == (other_channel, theirs):
            continue
        if channel != other_channel:
            return f"one made a record for {channel}, the other one for {other_channel}"
        if channel == Channel.QUARANTINE:
            return f"one was refused as {ours.decode()}, the other as {theirs.decode()}"
        name, a, b = _first_leaf(msgspec.json.decode(ours), msgspec.json.decode(theirs), "")
        return f"the {name} is {_shown(a)} in one and {_shown(b)} in the other"
    return "one raised alerts that the other did not"


def _first_leaf(one: Any, other: Any, name: str) -> tuple[str, Any, Any]:
    """Find the first value in which two documents differ, with its path."""
    if isinstance(one, dict) and isinstance(other, dict) and one.keys() == other.keys():
        for key, value in one.items():
            if value != other[key] or type(value) is not type(other[key]):
                return _first_leaf(value, other[key], f"{name}.{key}" if name else key)
        return f"order of {name or 'its fields'}", list(one), list(other)
    return name, one, other


def _shown(value: object) -> str:
    text = msgspec.json.encode(value).decode()
    return text if len(text) <= _SHOWN_CHARS_MAX else text[:_SHOWN_CHARS_MAX] + "..."
