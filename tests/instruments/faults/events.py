"""The workload: a seeded stream with drifts in it, and records that are no events."""

import json
import random
from collections.abc import Iterator

BAD_EVERY = 97
DRIFT_EVERY = 1_500


def stream(seed: int) -> Iterator[bytes]:
    """Event values without end; every 97th record is none.

    The rule that makes the label turns around every 1,500 events, so that detectors alarm.
    """
    chance = random.Random(seed)
    n = 0
    while True:
        n += 1
        if n % BAD_EVERY == 0:
            yield b"no event %d" % n
            continue
        features = {name: chance.gauss(0.0, 1.0) for name in ("a", "b", "c")}
        label = features["a"] + 0.5 * features["b"] > 0
        if (n // DRIFT_EVERY) % 2:
            label = not label
        if chance.random() < 0.05:
            label = not label
        yield json.dumps({"features": features, "label": label}).encode()


def with_features(**more: float) -> bytes:
    """One event that has these features beside the usual ones."""
    features = {"a": 0.25, "b": -0.5, "c": 1.0, **more}
    return json.dumps({"features": features, "label": True}).encode()
