"""Run the fault table on real servers; see `scripts/faults --help`."""

import argparse
import signal
import sys
import tempfile
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path

from tests.instruments.endpoint import lanes
from tests.instruments.faults import recovery, report
from tests.instruments.faults.all_rows import NOT_WITH, table
from tests.instruments.faults.running import run_rows
from tests.instruments.faults.stage import TAKE_OVERS_N, Client
from tests.instruments.faults.worker import Broke

REPOSITORY = Path(__file__).resolve().parents[3]
PAGES: dict[Client, str] = {"kafka-python": "FAULTS.md", "confluent": "FAULTS-confluent.md"}


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
    parser.add_argument(
        "--page", type=Path, metavar="FILE", help="write the page there, even if rows are missing"
    )
    parser.add_argument(
        "--recovery", action="store_true",
        help="instead: kill -9 to the next committed output, 20 times for each of two models",
    )  # fmt: skip
    parser.add_argument("--kills", type=int, default=20, help="for --recovery (default 20)")
    parser.add_argument(
        "--models", nargs="+", choices=list(recovery.CASES), default=list(recovery.CASES),
        help="for --recovery (default: both)",
    )  # fmt: skip
    parser.add_argument(
        "--events", type=int, metavar="N", help="for --recovery, instead of 1,000,000 and 100,000"
    )
    parser.add_argument(
        "--take-overs", type=int, default=TAKE_OVERS_N, metavar="N", help="of row 50 (default 6)"
    )
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="for the logs of workers")
    parser.add_argument("--client", choices=list(PAGES), default="kafka-python")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # workers end too
    client: Client = arguments.client
    book = report.Book(arguments.json, merge=arguments.merge)
    not_with = NOT_WITH[client]
    rows = {number: row for number, row in table().rows.items() if number not in not_with}
    unknown = set(arguments.rows) - rows.keys()
    if unknown:
        parser.error(f"no such row: {sorted(unknown)}; there are {min(rows)} to {max(rows)}")
    with _folder(arguments.keep) as folder:
        if arguments.recovery:
            is_good = _recover(Path(folder), arguments, book)
        else:
            chosen = [
                row
                for number, row in sorted(rows.items())
                if number in (arguments.rows or rows) and (row.is_quick or not arguments.quick)
            ]
            results = run_rows(
                chosen, Path(folder), _say, book.note, client,
                take_overs_n=arguments.take_overs,
            )  # fmt: skip
            _say(report.summary(results))
            is_good = all(r.verdict in {"held", "proven"} for r in results)
    missing = sorted(rows.keys() - book.rows.keys())
    if not missing or arguments.page is not None:
        path = arguments.page or REPOSITORY / "docs" / PAGES[client]
        before = path.read_text() if path.exists() else ""
        path.write_text(
            report.page(book, client, not_run=missing, not_with=not_with)
            + report.recovery(book, before)
        )
    return 0 if is_good else 1


def _recover(folder: Path, arguments: argparse.Namespace, book: report.Book) -> bool:
    """Whether each recovery was in time."""
    cases = [
        replace(case, events_n=arguments.events or case.events_n)
        for case in map(recovery.CASES.__getitem__, arguments.models)
    ]
    late_n = 0
    try:
        for found in recovery.measure(
            folder, cases, kills=arguments.kills, client=arguments.client, say=_say
        ):
            book.note(found)
            if len(found.seconds) == arguments.kills:
                _say(found.told)
                late_n += found.late_n
    except Broke as error:
        _say(f"broke: {error}")
        return False
    _say(f"{late_n} later than recovery_time_s = {recovery.RECOVERY_TIME_S:g}")
    return not late_n


def _folder(keep: Path | None) -> AbstractContextManager[str]:
    if keep is None:
        return tempfile.TemporaryDirectory(prefix="streamfold-faults-")
    keep.mkdir(parents=True, exist_ok=True)
    return nullcontext(str(keep))


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
