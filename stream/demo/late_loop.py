"""The undisturbed run where labels come later: river in a plain loop that is told the order.

Imports nothing of the worker, on purpose. The demo runs this file as a program of its own:

    late_loop.py FLIGHTS.csv.gz FACTORY PARAMS_JSON ORDER.json OUT.jsonl

ORDER has `[n, flight]` for each label: that it was the step `n` of all, and which flight it is of.
All other steps are the flights, in their order. What a label is stands in FLIGHTS. It writes one
line for each flight: `[prediction, probabilities, learned before, late]`.
"""

import importlib
import json
import sys
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

from stream.demo.plain_loop import flights


def lines(model: Any, path: str, order: dict[int, int]) -> Iterator[list[Any]]:
    """Predict at each flight, learn at each label; one line for each flight."""
    seen: list[tuple[dict[str, Any], bool]] = []
    coming, learned = flights(path), 0
    for n in count():
        if n in order:
            # Of a flight that did not come yet there is nothing to learn; the verdict says so.
            if order[n] < len(seen):
                model.learn_one(*seen[order[n]])
                learned += 1
            continue
        flight = next(coming, None)
        if flight is None:
            return
        seen.append(flight)
        features, late = flight
        probabilities = model.predict_proba_one(features)
        yield [model.predict_one(features), probabilities, learned, late]


def main(arguments: list[str]) -> None:
    """Write the lines."""
    path, factory, params, order, out = arguments
    module, _, name = factory.partition(":")
    model = getattr(importlib.import_module(module), name)(**json.loads(params))
    told = dict(json.loads(Path(order).read_text(encoding="utf-8")))
    with Path(out).open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(line) + "\n" for line in lines(model, path, told))


if __name__ == "__main__":
    main(sys.argv[1:])
