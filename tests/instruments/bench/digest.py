"""Predictions brought down to one number, so that no loop wins by doing something else."""

import hashlib
import json
from collections.abc import Iterable
from operator import attrgetter
from typing import NamedTuple


class Predicted(NamedTuple):
    """One prediction; `p` is the probability of true."""

    event_id: str
    prediction: object
    p: float


def read(values: Iterable[bytes]) -> list[Predicted]:
    """Published predictions, ours or another loop's."""
    told = []
    for value in values:
        record = json.loads(value)
        p = record["p"] if "p" in record else record["probabilities"].get("true", 0.0)
        told.append(Predicted(record["id"], record["prediction"], p))
    return told


def digest(told: Iterable[Predicted]) -> str:
    """The same for the same predictions to the last bit, in whatever order they were published."""
    whole = hashlib.blake2b(digest_size=8)
    for one in sorted(told, key=attrgetter("event_id")):
        whole.update(f"{one.event_id} {one.prediction} {one.p!r}\n".encode())
    return whole.hexdigest()
