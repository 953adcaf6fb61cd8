"""Real streams for the tests: some come with the package, more may lie beside the repository.

`STREAM_TEST_DATA` names the folder of the others, by default `../shared/data` seen from the
repository. A test of *what any stream must give* takes `rows_or`, with a stand-in from what the
package and river bring; a test of numbers that are known of one stream takes `rows`, and is skipped
where that is missing. With "data" in `STREAM_TESTS_EXPECT` a missing stream is a failure for both.
"""

import csv
import gzip
import os
import random
import re
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

import pytest
from river.datasets import synth

from stream.core.event import Feature

Row = dict[str, Feature]

_REPOSITORY = Path(__file__).resolve().parents[1]
FLIGHTS = _REPOSITORY / "stream" / "demo" / "data" / "flights.csv.gz"
_SINE_TURNS_N = 20_000
_INT = re.compile(r"[-+]?\d+")
_FLOAT = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?")


def rows(name: str) -> Iterator[Row]:
    """The rows of a stream, in stream order: column -> int, float or string, as its text looks.

    Args:
        name: the file's, without `.csv.gz`.
    """
    path = _path(name)
    if not path.is_file():
        pytest.skip(_missing(path))
    return _read(path)


def rows_or(name: str, stand_in: Callable[[], Iterator[Row]]) -> Iterator[Row]:
    """The rows of a stream, or of what stands in for it in a plain clone."""
    path = _path(name)
    if path.is_file():
        return _read(path)
    _missing(path)
    return stand_in()


def flights() -> Iterator[Row]:
    """The 45,000 flights of the demo."""
    return _read(FLIGHTS)


def sine(n: int = 100_000, *, seed: int = 1) -> Iterator[Row]:
    """River's generator SINE1, whose labels turn round every 20,000 rows; `class` is p or n."""
    parts = [synth.Sine(classification_function=turn, seed=seed) for turn in (0, 1)]
    for start in range(0, n, _SINE_TURNS_N):
        part = islice(parts[start // _SINE_TURNS_N % 2], min(_SINE_TURNS_N, n - start))
        for features, label in part:
            yield {f"x{i}": value for i, value in features.items()} | {"class": "np"[label]}


def outliers(n: int = 20_000, *, seed: int = 1) -> Iterator[Row]:
    """Three numbers around 0; about one row in a thousand lies far off, and has `label` 1."""
    drawn = random.Random(seed)
    for _ in range(n):
        far = drawn.random() < 0.001
        middle = 12.0 if far else 0.0
        row: Row = {name: drawn.gauss(middle, 1.0) for name in ("a", "b", "c")}
        yield row | {"label": int(far)}


def _path(name: str) -> Path:
    folder = Path(os.environ.get("STREAM_TEST_DATA") or _REPOSITORY.parent / "shared" / "data")
    return folder / f"{name}.csv.gz"


def _missing(path: Path) -> str:
    """Why. Fails where it is expected."""
    reason = (
        f"no stream {path.name.removesuffix('.csv.gz')} here; STREAM_TEST_DATA names its folder"
    )
    if "data" in os.environ.get("STREAM_TESTS_EXPECT", "").split(","):
        pytest.fail(f"data were expected here, but: {reason} ({path.parent})", pytrace=False)
    return reason


def _read(path: Path) -> Iterator[Row]:
    with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            yield {column: _value(text) for column, text in row.items()}


def _value(text: str) -> Feature:
    if _INT.fullmatch(text):
        return int(text)
    return float(text) if _FLOAT.fullmatch(text) else text
