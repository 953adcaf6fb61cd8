"""Another recipe, and the model goes on: by itself where only settings changed, else by "keep".

The state is first brought back with the recipe that it was committed with, and proved. Where only
detectors, limits or the like changed, that is today's recipe with the settings of then, which the
newest snapshot or base tells. Where the learner's own recipe changed (river, Python, the machine,
code), it is today's, and the state is on trial: it must load, and repeat its last predictions.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from itertools import chain
from math import isclose
from typing import Any

import msgspec

from stream.core.event import Channel, Record
from stream.core.fold.task import Task
from stream.core.formats.quarantine import parse
from stream.core.formats.records import prediction_in
from stream.core.recipe import Recipe, changes
from stream.core.result import StepResult
from stream.core.snapshots.metadata import Metadata, parse_metadata
from stream.core.snapshots.seal import Header
from stream.errors import Misconfigured
from stream.ports import Committed, Reader
from stream.runtime import recent

TRIAL_N = 1_000
"""Outcomes that a state on trial must repeat, where there are so many."""

_REPEATED = 1e-9
"""So far two answers to one event may be apart, as a part of the larger: another machine's last
bits."""

_TRIED = frozenset(
    ("fold", "river", "python", "numpy", "scikit-learn", "machine", "machine's math",
     "model source")
)  # fmt: skip
"""Parts of a learner's recipe that may change under a state, if it repeats itself all the same."""


@dataclass(frozen=True, slots=True)
class Keeping:
    """How a state that another recipe has folded is brought back.

    Attributes:
        where: "partition 3".
        before: what it is replayed with.
        is_proved: what it gives then must have the committed digest.
        is_tried: it must repeat its last outcomes.
        what: which parts of the recipe changed, for people.
    """

    where: str
    before: Recipe
    is_proved: bool
    is_tried: bool
    what: str

    def check(self, task: Task, expected: Metadata, trial: "Trial | None", *, origin: str) -> None:
        """Look at a state whose digest is another one. Raises: Misconfigured: it is not the same.

        Args:
            task: was replayed up to the committed offset.
            expected: what was committed there.
            trial: compared its outcomes on the way.
            origin: what the replay began with, for people.
        """
        state, learned = task.state, task.serving.learned
        if trial is not None and trial.difference is not None:
            raise self.refusal(f"does not repeat itself: {trial.difference}", origin)
        if (state.n, learned) != (expected.n, expected.learned):
            raise self.refusal(
                f"learned {learned} of {state.n} events, and had learned {expected.learned} "
                f"of {expected.n}",
                origin,
            )
        if trial is not None and not trial.repeated_n:
            raise self.untried(origin)

    def untried(self, origin: str) -> Misconfigured:
        """That nothing is there to try the state on: it goes on only with what it was made by."""
        return self.refusal(
            "could not be tried: between there and the committed offset no outcome was published",
            origin,
        )

    def refusal(self, why: str, origin: str) -> Misconfigured:
        """That the state cannot be kept, and what to do."""
        return Misconfigured(
            f"model: the state of {self.where} cannot be kept ({self.what}): from {origin}, "
            f'replayed, it {why}; set it back, or set model.on_change = "rebuild" (replay the log '
            'under the new recipe) or "fresh" (untrained from here)'
        )


def is_asked(known: Metadata, recipe: Recipe, on_change: str) -> bool:
    """Whether the model goes on under another recipe, rather than `on_change` deciding."""
    return known.learner == recipe.learner_fingerprint() or on_change == "keep"


def uses_bases(recipe: Recipe, committed: Mapping[int, Committed], on_change: str) -> bool:
    """Whether a fold of the group began with a base, or will begin anew with one."""
    known = (parse_metadata(at.metadata) for at in committed.values())
    has_any = any(each is not None and each.has_base for each in known)
    return has_any or writes_bases(recipe, committed, on_change)


def writes_bases(recipe: Recipe, committed: Mapping[int, Committed], on_change: str) -> bool:
    """Whether a fold of the group will begin anew with a base."""
    known = [m for at in committed.values() if (m := parse_metadata(at.metadata)) is not None]
    return any(
        each.fingerprint != recipe.fingerprint() and is_asked(each, recipe, on_change)
        for each in known
    )


def keeping(where: str, header: Header | None, known: Metadata, recipe: Recipe) -> Keeping:
    """How the state of a committed offset goes on with `recipe`.

    Args:
        where: "partition 3".
        header: of a snapshot or a base of the committed recipe; None: there is none.
        known: what was committed.
        recipe: goes on.

    Raises: Misconfigured: another model would be needed.
    """
    is_tried = known.learner != recipe.learner_fingerprint()
    if header is None:
        # Today's settings have to do; what they give is compared all the same.
        what = f"fingerprint {known.fingerprint} -> {recipe.fingerprint()}"
        return Keeping(where, recipe, is_proved=False, is_tried=True, what=what)
    ours, theirs = recipe.learner_parts(), header.recipe
    changed = {n for n in ours.keys() | _learners(theirs) if ours.get(n) != theirs.get(n)}
    what = "; ".join(changes(dict(theirs), recipe.parts()))
    if others := sorted(changed - _TRIED):
        raise Misconfigured(
            f'model.on_change = "keep": {", ".join(others)} changed, so {where} needs another '
            f'model ({what}); set it back, or set "rebuild" (replay the log under the new recipe) '
            'or "fresh" (untrained from here)'
        )
    try:
        before = recipe.as_of(theirs)
    except (ValueError, TypeError, KeyError):
        return Keeping(where, recipe, is_proved=False, is_tried=True, what=what)
    return Keeping(where, before, is_proved=not is_tried, is_tried=is_tried, what=what)


def _learners(parts: Mapping[str, str]) -> set[str]:
    own = ("model.", "events.", "topics.")
    return {name for name in parts if name.startswith(own) or name in _TRIED}


class Trial:
    """Compares what a replay gives with the last outcomes that were published.

    Args:
        reader: reads them.
        partition: whose.
        recipe: knows the events topic.
        stop: the committed offset.
    """

    def __init__(self, reader: Reader, partition: int, recipe: Recipe, *, stop: int) -> None:
        self._published: dict[int, Any] = {}
        take = partial(_outcome_in, recipe.events_topic)
        for channel in (Channel.PREDICTIONS, Channel.QUARANTINE):
            found = recent.last(reader, channel, partition, n=TRIAL_N, take=take)
            self._published.update((offset, what) for offset, what in found if offset < stop)
        self.looked_n = self.repeated_n = 0
        self.difference: str | None = None

    def look(self, result: StepResult) -> bool:
        """Compare one outcome. Returns: False, for only the digest at the end decides.

        What differs may be of an earlier fold, of which a rebuild gave the same events other
        outcomes: then `difference` says the first, and the digest is right all the same.
        """
        self.looked_n += 1
        offset = result.record.offset
        before = self._published.get(offset)
        if before is None or result.is_of_label:
            return False
        now = _of(result)
        if _is_repeated(before, now):
            self.repeated_n += 1
            return False
        if self.difference is None:
            self.difference = f"event {offset} was {_shown(before)} and is {_shown(now)}"
        return False


def _outcome_in(topic: str, record: Record) -> tuple[int, Any] | None:
    """The offset and the content of a published outcome; None: it is of no event of `topic`."""
    refused = parse(record)
    if refused is not None:
        return (refused.offset, refused.reason) if refused.topic == topic else None
    prediction = prediction_in(record)
    return None if prediction is None else (prediction.offset, json.loads(record.value or b"{}"))


def _of(result: StepResult) -> Any:
    if result.refusal is not None:
        return result.refusal.reason.value
    return msgspec.json.decode(result.canonical)


def _is_repeated(before: Any, now: Any) -> bool:
    """Whether two documents are the same, but for the last bits of their numbers."""
    if isinstance(before, dict) and isinstance(now, dict):
        names = {*chain(before, now)} - {"fault"}
        return all(_is_repeated(before.get(name), now.get(name)) for name in names)
    if isinstance(before, float) and isinstance(now, float | int):
        return isclose(before, now, rel_tol=_REPEATED, abs_tol=1e-12)
    return bool(before == now)


def _shown(outcome: Any) -> str:
    if not isinstance(outcome, dict):
        return f"refused as {outcome}"
    kept = {n: outcome[n] for n in ("prediction", "score", "probabilities") if n in outcome}
    return json.dumps(kept)
