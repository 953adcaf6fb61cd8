"""The events that every loop gets: labelled, nine numbers each, about 225 bytes."""

import json
import random
from collections.abc import Iterator

Features = dict[str, float]

KEY = b"one"
"""Every event's key: whoever keeps state by key has one model, as a partition of ours has."""

TURNS_EVERY = 25_000


def events(n: int) -> Iterator[tuple[str, Features, bool]]:
    """Id, features and label of each: a noisy linear rule that turns around now and then."""
    chance = random.Random(7)
    names = [f"input_{i}" for i in range(9)]
    weights = [chance.uniform(-1, 1) for _ in names]
    for i in range(n):
        features = {name: round(chance.gauss(0, 1), 6) for name in names}
        side = sum(w * v for w, v in zip(weights, features.values(), strict=True))
        label = (side > 0) ^ (i // TURNS_EVERY % 2 == 1) ^ (chance.random() < 0.1)
        yield f"e-{i:08d}", features, label


def encoded(n: int) -> Iterator[bytes]:
    """The same as the values of records."""
    for i, features, label in events(n):
        event = {"id": i, "features": features, "label": label}
        yield json.dumps(event, separators=(",", ":")).encode()
