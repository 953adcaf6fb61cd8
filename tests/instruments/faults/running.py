"""Runs rows one after another, and turns whatever happens into a line."""

import re
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path

from kafka import errors

from stream.errors import StreamError
from tests.instruments.faults import report
from tests.instruments.faults.stage import TAKE_OVERS_N, Client, Stage
from tests.instruments.faults.table import Result, Row, Told, Verdict
from tests.instruments.faults.worker import Broke

REPOSITORY = Path(__file__).resolve().parents[3]
TESTS_WITHIN_S = 600.0


def run_rows(
    rows: Sequence[Row],
    folder: Path,
    say: Callable[[str], None],
    note: Callable[[Result], None],
    client: Client = "kafka-python",
    *,
    take_overs_n: int = TAKE_OVERS_N,
) -> list[Result]:
    """Each row with what came of it; a row that broke gets its servers thrown away."""
    results = []
    with Stage(folder, say, client, take_overs_n) as stage:
        for row in rows:
            results.append(run_row(row, stage))
            say(report.line(results[-1]))
            note(results[-1])
            if results[-1].verdict == "broke":
                stage.discard()
    return results


def run_row(row: Row, stage: Stage) -> Result:
    """One row, and the tests that it names."""
    began = time.monotonic()
    verdict: Verdict = "proven"
    told, detail, where = Told(), row.why, "tests"
    if row.run is not None:
        where = "real servers" + (" and tests" if row.tests else "")
        try:
            told = row.run(stage)
            verdict, detail = "held", " ".join(filter(None, (told.note, row.why)))
        except Broke as error:
            verdict, detail = "broke", str(error)
        except (AssertionError, StreamError, errors.KafkaError, OSError) as error:
            last = traceback.extract_tb(error.__traceback__)[-1]
            place = f"{Path(last.filename).name}:{last.lineno}"
            verdict, detail = "broke", f"{type(error).__name__} at {place}: {error}"
    if verdict != "broke" and row.tests:
        failed = failing(row.tests)
        if failed:
            verdict, detail = "broke", failed
    return Result(
        number=row.number,
        fault=row.fault,
        must=row.must,
        verdict=verdict,
        where=where,
        took_s=time.monotonic() - began,
        recovery_s_max=max(told.recoveries, default=None),
        detail=" ".join(detail.split()),
        tests=row.tests,
    )


def failing(tests: Sequence[str]) -> str:
    """Run tests by their ids. Returns: what did not pass; empty: all did, and none was skipped."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-x", *tests],
        cwd=REPOSITORY, capture_output=True, text=True, timeout=TESTS_WITHIN_S, check=False,
    )  # fmt: skip
    last = done.stdout.strip().splitlines()[-1:]
    passed = re.search(r"\b(\d+) passed", " ".join(last))
    skipped = re.search(r"\b(\d+) skipped", " ".join(last))
    if done.returncode == 0 and passed and not skipped:
        return ""
    return f"tests: {' '.join(last)} ({' '.join(tests)})"
