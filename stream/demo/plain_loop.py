"""The undisturbed run: river in a plain loop. Imports nothing of the worker, on purpose.

The demo runs this file as a program of its own:

    plain_loop.py FLIGHTS.csv.gz FACTORY PARAMS_JSON ADWIN_DELTA EVENTS_N OUT.jsonl

It writes one line for each flight: `[prediction, probabilities, late, alarm]`.
"""

import csv
import gzip
import importlib
import json
import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from river import drift

NUMBERS = ("minute", "duration_min", "distance_miles")
WORDS = ("airline", "origin", "destination", "weekday")


def flights(path: str) -> Iterator[tuple[dict[str, Any], bool]]:
    """Features and label of each flight, in order."""
    with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            # In the order of the columns, as an upstream would send them.
            features = {
                name: int(text) if name in NUMBERS else text
                for name, text in row.items()
                if name in NUMBERS or name in WORDS
            }
            yield features, row["late"] == "true"


def main(arguments: list[str]) -> None:
    """Predict, then learn, then look for drift; for each flight."""
    path, factory, params, delta, events_n, out = arguments
    module, _, name = factory.partition(":")
    model = getattr(importlib.import_module(module), name)(**json.loads(params))
    detector = drift.ADWIN(delta=float(delta))
    with Path(out).open("w", encoding="utf-8") as lines:
        for features, late in islice(flights(path), int(events_n)):
            probabilities = model.predict_proba_one(features)
            prediction = model.predict_one(features)
            model.learn_one(features, late)
            detector.update(0 if prediction == late else 1)
            line = [prediction, probabilities, late, detector.drift_detected]
            lines.write(json.dumps(line) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
