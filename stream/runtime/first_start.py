"""What a worker finds out before a model's first event counts: see `repeating`.

Only where nothing was folded with this learner yet, or so little that it proves nothing: once a
model has begun, a start costs no time for it any more, nor does a change of other settings.
"""

import logging
import random
import threading
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from stream.core.event import Channel, Kind, Record
from stream.core.problems import PROBLEMS
from stream.core.recipe import Recipe
from stream.core.snapshots.metadata import parse_metadata
from stream.core.spec import EventShape
from stream.errors import Misconfigured
from stream.ports import Committed, Reader, TopicInfo
from stream.runtime import recent, repeating
from stream.telemetry import LogEvent, Telemetry

PROVED_N = 100
"""Once so many records were folded with a learner, a start tries it no more."""

BYTES_MAX = 4 << 20
PARTITIONS_MAX = 16
"""How many partitions are looked at for events, each for the time of a request."""

MADE_UP_N = 60


def try_model(
    recipe: Recipe, kind: Kind, *, events: TopicInfo, reader: Reader, telemetry: Telemetry,
    stopping: threading.Event,
) -> None:  # fmt: skip
    """Let two processes fold the first events, if this learner is new.

    Raises: Misconfigured: they differ. Retryable.
    """
    committed = reader.committed()
    ours = [n for at in committed.values() if (n := _folded_n(at, recipe)) is not None]
    if sum(ours) >= PROVED_N:
        return
    records = first_records(reader, events, n=repeating.EVENTS_MAX)
    if ours and not records:
        return  # the first start tried it with made-up ones
    refuse_unrepeatable(
        recipe, records or made_up(recipe.shape, kind), telemetry=telemetry, stopping=stopping
    )


def refuse_unrepeatable(
    recipe: Recipe, records: list[Record], *, telemetry: Telemetry, stopping: threading.Event
) -> None:
    """Raises: Misconfigured: two processes that folded these records do not agree."""
    try:
        found = repeating.compare(recipe, records, stopping=stopping).difference
    except repeating.Untried as error:
        if not stopping.is_set():
            telemetry.say(LogEvent.MODEL_UNTRIED, level=logging.WARNING, why=error)
        return
    if found is not None:
        raise Misconfigured(f"model.factory: {recipe.model.factory} {found}")


def _folded_n(at: Committed, recipe: Recipe) -> int | None:
    known = parse_metadata(at.metadata)
    if known is None or recipe.learner_fingerprint() != known.learner:
        return None
    return known.n


def first_records(reader: Reader, events: TopicInfo, *, n: int) -> list[Record]:
    """The first records of the first partition that has any. Raises: Retryable, Misconfigured."""
    for partition in range(min(events.partitions, PARTITIONS_MAX)):
        bounds = reader.bounds(Channel.EVENTS, partition)
        if bounds.start < bounds.end:
            stop = min(bounds.end, bounds.start + 2 * n)
            records = recent.records_in(reader, Channel.EVENTS, partition, bounds.start, stop)
            found = list(_some(records, n))
            if found:
                return found
    return []


def _some(records: Iterable[Record], n: int) -> Iterator[Record]:
    size = 0
    for count, record in enumerate(records, 1):
        yield record
        size += len(record.value or b"")
        if count >= n or size >= BYTES_MAX:
            return


def made_up(shape: EventShape, kind: Kind) -> list[Record]:
    """Events as the configuration describes them, where the log has none yet."""
    chance = random.Random(1)  # noqa: S311  # the same ones each time
    records = []
    for offset in range(MADE_UP_N):
        features = {"a": chance.uniform(-1, 1), "b": chance.gauss(0, 1)}
        document: dict[str, Any] = features if shape.flat else {shape.features: features}
        label = _label(kind, shape, is_true=features["a"] > 0, value=features["b"])
        if label is not None:
            document = {**document, shape.label: label}
        value = msgspec.json.encode(document)
        records.append(Record(0, offset, 1_000 * offset, None, value))
    return records


def _label(kind: Kind, shape: EventShape, *, is_true: bool, value: float) -> object:
    """Make up a label that a model of this kind accepts; None where labels mean nothing."""
    problem = PROBLEMS[kind]
    if not problem.is_supervised:
        return None
    if problem.answer == "value":
        return value
    if is_true or shape.positive is None:
        return is_true if shape.positive is None else shape.positive
    if isinstance(shape.positive, bool):
        return not shape.positive
    return f"not {shape.positive}" if isinstance(shape.positive, str) else shape.positive + 1
