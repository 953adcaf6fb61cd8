"""What a run has found: a line a row, JSON, and the page in docs/."""

import json
import os
import platform
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from stream.sandbox.kafka_settings import KAFKA_VERSION
from tests.instruments.faults.recovery import Recoveries
from tests.instruments.faults.stage import Client
from tests.instruments.faults.table import Result
from tests.instruments.faults.worker import START_S

HEAD = """# Faults

Written by `scripts/faults --client {client}`, not by hand. Each row is a fault of the table that
the design is held to. A reader with `read_committed`, which shares no code with the worker, watches
while the fault lasts, and in the end every output is compared with a plain river loop.

{summary}. {date}, Kafka {kafka}, Python {python}, {cpus} CPUs, shared with other work (load
{load:.0f} when this page was written); rows may come from several runs (`--json FILE --merge`).

`held`: made on real servers, and everything that must hold did. `proven`: it cannot be made on real
servers here, the row says why, and the tests that it names passed. `recovery`: the longest time
from the fault (from its end, where nothing can go on before) to the next committed output, the
start of a new process included.

I1 one outcome each; I2 equal to a plain loop; I3 order; I4 all or none; I5 nothing uncommitted is
read; I6 offsets never go back; I7 lag reaches 0; I8 no hanging transaction; I9 recovery in time;
I10 snapshots change nothing; I11 nothing unsigned is unpickled; I12 memory bounded; I13 failures
are loud.

| row | fault | must hold | verdict | seconds | recovery | what was done and seen |
|---|---|---|---|---|---|---|
"""


_RECOVERY_HEAD = "\n## Recovery\n"

RECOVERY = (
    _RECOVERY_HEAD
    + """
`scripts/faults --recovery`: seconds from `kill -9` to the next committed output, the start of the
new process (Python, river, connections) included; `recovery_time_s = {allowed_s:g}`, on a broker
with the intervals that it is shipped with. The kills come 0.5 to 3 s after the last recovery.
`start`: how much of it the new process takes until it works (median), which is a matter of the
machine; in `late` what it takes beyond {start_s:g} s is not counted.

| model | events in the log | state | worker | kills | min | median | max | start | late | all |
|---|---|---|---|---|---|---|---|---|---|---|
"""
)


def line(result: Result) -> str:
    """For the terminal."""
    recovery = _seconds(result.recovery_s_max)
    return (
        f"{result.number:>2} {result.verdict:<6} {result.took_s:6.1f} s  recovery {recovery:>6}  "
        f"{result.fault}: {result.detail}"
    )


class Book:
    """What runs have found, one upon the other; kept in a JSON file."""

    def __init__(self, path: Path | None, *, merge: bool) -> None:
        self._path = path
        self.rows: dict[int, Result] = {}
        self.recoveries: dict[tuple[str, str], Recoveries] = {}
        if path is not None and merge and path.exists():
            told = json.loads(path.read_text())
            for row in told["rows"]:
                self.add(Result(**{**row, "tests": tuple(row["tests"])}))
            for row in told.get("recoveries", []):
                self.add(
                    Recoveries(
                        **{
                            **row,
                            "seconds": tuple(row["seconds"]),
                            "started_s": tuple(row["started_s"]),
                        }
                    )
                )

    def add(self, found: Result | Recoveries) -> None:
        """In the place of what an earlier run found of the same."""
        if isinstance(found, Result):
            self.rows[found.number] = found
        else:
            self.recoveries[found.model, found.who] = found

    def note(self, found: Result | Recoveries) -> None:
        """Add, and write the file: a run that is stopped is not lost."""
        self.add(found)
        if self._path is None:
            return
        told = {
            **_circumstances(),
            "rows": [asdict(self.rows[n]) for n in sorted(self.rows)],
            "recoveries": [asdict(each) for each in self.recoveries.values()],
        }
        self._path.write_text(json.dumps(told, indent=1) + "\n")


def summary(results: Sequence[Result]) -> str:
    """How many held."""
    good = [r for r in results if r.verdict in {"held", "proven"}]
    odd = [str(r.number) for r in results if r.verdict not in {"held", "proven"}]
    tail = f"; broke: {', '.join(odd)}" if odd else ""
    took_s = sum(r.took_s for r in results)
    return f"{len(good)} of {len(results)} rows held or proven in {took_s:.0f} s{tail}"


def page(book: Book, client: Client, *, not_run: Sequence[int], not_with: Mapping[int, str]) -> str:
    """docs/FAULTS.md, or the other client's, up to the part that `recovery` is."""
    seen = _circumstances()
    results = [book.rows[n] for n in sorted(book.rows)]
    rows = [
        f"| {r.number} | {r.fault} | {r.must} | {r.verdict}{_on(r)} | {r.took_s:.0f} | "
        f"{_seconds(r.recovery_s_max)} | {_cell(r)} |"
        for r in results
    ]
    head = HEAD.format(
        summary=summary(results) + _missing(not_run), date=seen["date"], kafka=seen["kafka"],
        python=seen["python"], cpus=seen["cpus"], client=client,
        load=os.getloadavg()[0],
    )  # fmt: skip
    never = [
        f"\nRow {number} cannot be had with this client: {not_with[number]}.\n"
        for number in not_with
    ]
    return head + "\n".join(rows) + "\n" + "".join(never)


def _missing(not_run: Sequence[int]) -> str:
    return f"; not run: {', '.join(map(str, not_run))}" if not_run else ""


def recovery(book: Book, before: str) -> str:
    """The page's last part; if no run in the book made it, what the page said `before`."""
    found = list(book.recoveries.values())
    if not found:
        _, head, kept = before.partition(_RECOVERY_HEAD)
        return head + kept
    rows = [
        f"| {r.model} | {r.events_n:,} | {r.model_bytes / 1e6:.2f} MB | {r.who} | "
        f"{len(r.seconds)} | {min(r.seconds):.1f} | "
        f"{statistics.median(r.seconds):.1f} | {max(r.seconds):.1f} | "
        f"{statistics.median(r.started_s):.1f} | {r.late_n} | "
        f"{' '.join(f'{s:.1f}' for s in sorted(r.seconds))} |"
        for r in found
    ]
    return RECOVERY.format(allowed_s=found[0].allowed_s, start_s=START_S) + "\n".join(rows) + "\n"


def _on(result: Result) -> str:
    return "" if result.where == "tests" else f" ({result.where})"


def _cell(result: Result) -> str:
    tests = ", ".join(f"`{t.removeprefix('tests/')}`" for t in result.tests)
    return " ".join(filter(None, (result.detail, tests))).replace("|", "/")


def _seconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f} s"


def _circumstances() -> dict[str, Any]:
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "kafka": KAFKA_VERSION,
        "python": platform.python_version(),
        "cpus": os.cpu_count(),
    }
