"""Real streams for the tests; they lie beside the repository, not in it.

`STREAM_TEST_DATA` names their folder, by default `../shared/data` seen from the repository. Where
they are missing the test is skipped; with "data" in `STREAM_TESTS_EXPECT` it fails.
"""

import csv
import gzip
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from stream.core.event import Feature

Row = dict[str, Feature]

_REPOSITORY = Path(__file__).resolve().parents[1]
_INT = re.compile(r"[-+]?\d+")
_FLOAT = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?")


def rows(name: str) -> Iterator[Row]:
    """The rows of a stream, in stream order: column -> int, float or string, as its text looks.

    Args:
        name: the file's, without `.csv.gz`.
    """
    folder = Path(os.environ.get("STREAM_TEST_DATA") or _REPOSITORY.parent / "shared" / "data")
    path = folder / f"{name}.csv.gz"
    if not path.is_file():
        reason = f"no {path.name} in {folder}; set STREAM_TEST_DATA"
        if "data" in os.environ.get("STREAM_TESTS_EXPECT", "").split(","):
            pytest.fail(f"data were expected here, but: {reason}", pytrace=False)
        pytest.skip(reason)
    return _read(path)


def _read(path: Path) -> Iterator[Row]:
    with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            yield {column: _value(text) for column, text in row.items()}


def _value(text: str) -> Feature:
    if _INT.fullmatch(text):
        return int(text)
    return float(text) if _FLOAT.fullmatch(text) else text
