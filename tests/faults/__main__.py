"""Run the fault table on real servers; see `scripts/faults --help`."""

import argparse
import json
import sys
import tempfile
from pathlib import Path

from tests.endpoint import lanes
from tests.faults import recovery, report
from tests.faults.all_rows import table
from tests.faults.running import run_rows
from tests.faults.table import Result

REPOSITORY = Path(__file__).resolve().parents[2]
PAGE = REPOSITORY / "docs" / "FAULTS.md"


def main() -> int:
    """Returns: 0, or 1 if a row broke."""
    if sys.argv[1:2] == ["matrix"]:
        return lanes.main()
    parser = argparse.ArgumentParser(
        prog="scripts/faults",
        description="Make every fault of the table on a real Kafka and a real Redis, and look on.",
        epilog="example: scripts/faults 1 15 30. scripts/faults matrix: row 20 on the scripted "
        "endpoint, every case of it in a table",
    )
    parser.add_argument("rows", nargs="*", type=int, metavar="ROW", help="default: all of them")
    parser.add_argument("--quick", action="store_true", help="the slice that CI runs")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results there too")
    parser.add_argument(
        "--merge", action="store_true",
        help="keep what FILE says of other rows; the page is written once all rows are there",
    )  # fmt: skip
    parser.add_argument("--page", type=Path, metavar="FILE", default=PAGE, help=argparse.SUPPRESS)
    parser.add_argument(
        "--recovery", action="store_true",
        help="instead: kill -9 to the next committed output, 20 times for each of two models",
    )  # fmt: skip
    parser.add_argument("--kills", type=int, default=20, help="for --recovery (default 20)")
    parser.add_argument(
        "--models", nargs="+", choices=list(recovery.CASES), default=list(recovery.CASES),
        help="for --recovery (default: both)",
    )  # fmt: skip
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="streamfold-faults-") as folder:
        if arguments.recovery:
            return recovery.measure(Path(folder), arguments.models, kills=arguments.kills, say=_say)
        rows = table().rows
        unknown = set(arguments.rows) - rows.keys()
        if unknown:
            parser.error(f"no such row: {sorted(unknown)}; there are {min(rows)} to {max(rows)}")
        chosen = [
            row
            for number, row in sorted(rows.items())
            if number in (arguments.rows or rows) and (row.is_quick or not arguments.quick)
        ]
        earlier = report.known(arguments.json) if arguments.json and arguments.merge else []
        book = {r.number: r for r in earlier}

        def note(result: Result) -> None:
            """Written after each row, so that a run that is stopped is not lost."""
            book[result.number] = result
            if arguments.json is not None:
                told = report.as_json([book[n] for n in sorted(book)])
                arguments.json.write_text(json.dumps(told, indent=1) + "\n")

        results = run_rows(chosen, Path(folder), _say, note)
    _say(report.summary(results))
    if book.keys() == rows.keys():
        arguments.page.write_text(report.page([book[n] for n in sorted(book)]))
    return 0 if all(r.verdict in {"held", "proven"} for r in results) else 1


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
