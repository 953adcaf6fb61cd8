"""The slice of the fault table that CI runs, and the table itself."""

import subprocess
import sys
from pathlib import Path

import pytest

from stream.sandbox import LocalKafka, LocalRedis
from tests.instruments.faults import report
from tests.instruments.faults.all_rows import QUICK, table
from tests.instruments.faults.recovery import Recoveries
from tests.instruments.faults.running import REPOSITORY, run_rows


@pytest.mark.broker
@pytest.mark.timeout(600)
def test_the_quick_slice_holds(kafka: LocalKafka, redis_server: LocalRedis, tmp_path: Path) -> None:
    """Six faults on real servers of their own; each row bounds its own waits."""
    assert kafka.running, "the fixtures skip where servers cannot be had"
    assert redis_server.running
    rows = table().rows
    said: list[str] = []

    results = run_rows([rows[n] for n in QUICK], tmp_path, said.append, lambda _: None)

    assert [r.verdict for r in results] == ["held"] * len(QUICK), "\n".join(said)


def test_a_run_of_rows_keeps_what_the_page_says_of_recovery() -> None:
    """Runs of kills are others; one of them takes the place of the one before."""
    book = report.Book(None, merge=False)
    book.add(
        Recoveries(
            model="tree", events_n=10, model_bytes=5, who="named", allowed_s=10.0,
            seconds=(1.5,), started_s=(0.5,),
        )
    )  # fmt: skip
    said = report.recovery(book, "")
    assert "| tree |" in said

    rows_only = report.Book(None, merge=False)
    assert report.recovery(rows_only, f"the table\n{said}") == said
    assert report.recovery(book, "the table\n\n## Recovery\n\nof before") == said
    assert not report.recovery(rows_only, "the table\n")


def test_the_table_has_every_row() -> None:
    """54 rows, each made for real or proven by tests that it names."""
    rows = table().rows

    assert sorted(rows) == list(range(1, 55))
    assert [n for n, row in rows.items() if row.run is None and not (row.tests and row.why)] == []


def test_every_test_that_a_row_names_is_there() -> None:
    """A proof by a test that nobody can find is none."""
    named = sorted({test for row in table().rows.values() for test in row.tests})

    done = subprocess.run(
        [sys.executable, "-m", "pytest", "--collect-only", "-q", *named],
        cwd=REPOSITORY, capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert done.returncode == 0, done.stdout[-2_000:]
