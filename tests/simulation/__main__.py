"""Run seeds of the simulation; see `python -m tests.simulation --help`."""

import argparse
import sys
import time

from tests.simulation.simulation import Failed, simulate


def main() -> int:
    """Returns: 0, or 1 if a seed failed."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.simulation", description="Seeded schedules of faults, in one process."
    )
    parser.add_argument("--seed", type=int, default=0, help="the first seed (default 0)")
    parser.add_argument("--seeds", type=int, default=1, metavar="N", help="how many (default 1)")
    parser.add_argument("--trace", action="store_true", help="print every life-cycle move")
    arguments = parser.parse_args()
    failed: list[int] = []
    started = time.perf_counter()
    for n in range(arguments.seeds):
        seed = arguments.seed + n
        try:
            simulate(seed, note=_trace if arguments.trace else None)
        except Failed as error:
            failed.append(seed)
            _tell(f"{error}\n")
            if arguments.trace:
                raise
        _progress(n + 1, arguments.seeds, failed_n=len(failed), started=started)
    return 1 if failed else 0


def _progress(done_n: int, seeds_n: int, *, failed_n: int, started: float) -> None:
    is_last = done_n == seeds_n
    if not is_last and done_n % (10 if sys.stderr.isatty() else 500):
        return
    rate = done_n / (time.perf_counter() - started)
    line = f"{done_n}/{seeds_n} seeds, {failed_n} failed, {rate:.0f} a second"
    _tell(line + ("\n" if is_last or not sys.stderr.isatty() else "\r"))


def _trace(line: str) -> None:
    sys.stdout.write(f"{line}\n")


def _tell(text: str) -> None:
    sys.stderr.write(text)
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main())
