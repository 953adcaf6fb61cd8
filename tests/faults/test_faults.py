"""The slice of the fault table that CI runs, and the table itself."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from stream.sandbox import LocalKafka, LocalRedis
from tests.faults.all_rows import QUICK, table
from tests.faults.running import REPOSITORY, run_rows

QUICK_WITHIN_S = 180.0


@pytest.mark.broker
@pytest.mark.timeout(600)
def test_the_quick_slice_holds(kafka: LocalKafka, redis_server: LocalRedis, tmp_path: Path) -> None:
    """Six faults on real servers of their own, within three minutes."""
    assert kafka.running, "the fixtures skip where servers cannot be had"
    assert redis_server.running
    rows = table().rows
    said: list[str] = []
    began = time.monotonic()

    results = run_rows([rows[n] for n in QUICK], tmp_path, said.append, lambda _: None)

    assert [r.verdict for r in results] == ["held"] * len(QUICK), "\n".join(said)
    assert time.monotonic() - began < QUICK_WITHIN_S


def test_the_table_has_every_row() -> None:
    """42 rows, each made for real or proven by tests that it names."""
    rows = table().rows

    assert sorted(rows) == list(range(1, 43))
    assert [n for n, row in rows.items() if row.run is None and not (row.tests and row.why)] == []


def test_every_test_that_a_row_names_is_there() -> None:
    """A proof by a test that nobody can find is none."""
    named = sorted({test for row in table().rows.values() for test in row.tests})

    done = subprocess.run(
        [sys.executable, "-m", "pytest", "--collect-only", "-q", *named],
        cwd=REPOSITORY, capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert done.returncode == 0, done.stdout[-2_000:]
