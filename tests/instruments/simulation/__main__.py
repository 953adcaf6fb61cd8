"""Run seeds of the simulation, one seed again, or the planted bugs; see `--help`."""

import argparse
import gc
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from functools import partial
from pathlib import Path
from typing import TypeVar

from tests.instruments.simulation.hunt import hunt
from tests.instruments.simulation.page import write_planted, write_seeds
from tests.instruments.simulation.planted import BUGS
from tests.instruments.simulation.screen import Screen
from tests.instruments.simulation.seeds import Failed, simulate

BATCH_N = 50

T = TypeVar("T")
R = TypeVar("R")

_EXAMPLES = """\
examples:
  scripts/simulate --seeds 20000 --jobs 2     seeds 0 to 19999
  scripts/simulate --seed 1234 --steps 57     one seed again, told move by move
  scripts/simulate --planted                  every deliberate mistake must be found
  scripts/simulate --planted --page docs/SIMULATION.md
"""


def main() -> int:
    """Returns: 0, or 1 if a seed failed or a planted bug was not found."""
    parser = argparse.ArgumentParser(
        prog="scripts/simulate",
        description="The real worker in one process with a world of seeded faults.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--seeds", type=int, metavar="N", help="how many seeds (default 1000)")
    what.add_argument("--seed", type=int, metavar="S", help="this one, told move by move")
    what.add_argument("--planted", action="store_true", help="look for the planted bugs")
    parser.add_argument("--first", type=int, default=0, metavar="K", help="the first seed")
    parser.add_argument("--jobs", type=int, default=1, metavar="J", help="processes")
    parser.add_argument("--steps", type=int, metavar="N", help="actions until the faults end")
    parser.add_argument("--events", type=int, metavar="N", help="in every world; else any number")
    parser.add_argument("--page", type=Path, metavar="FILE", help="where a run's figures go, too")
    arguments = parser.parse_args()
    if arguments.seed is not None:
        return _again(arguments.seed, steps=arguments.steps, records_n=arguments.events)
    if arguments.planted:
        return _planted(arguments.jobs, page=arguments.page)
    seeds_n = 1000 if arguments.seeds is None else arguments.seeds
    seeds = range(arguments.first, arguments.first + seeds_n)
    return _many(seeds, jobs_n=arguments.jobs, records_n=arguments.events, page=arguments.page)


def _again(seed: int, *, steps: int | None, records_n: int | None) -> int:
    def tell(line: str) -> None:
        sys.stdout.write(f"{line}\n")

    try:
        simulate(seed, steps=steps, records_n=records_n, note=tell)
    except Failed as failed:
        sys.stdout.write(f"{failed}\n")
        return 1
    sys.stdout.write(f"seed {seed}: nothing is wrong\n")
    return 0


def _many(seeds: range, *, jobs_n: int, records_n: int | None, page: Path | None) -> int:
    failed: list[str] = []
    cpu_s = 0.0
    work = partial(_batch, records_n=records_n)
    with Screen(len(seeds), "seeds") as screen:
        for done_n, took_s, texts in _spread(work, _batches(seeds), jobs_n=jobs_n):
            for text in texts:
                screen.tell(text)
            cpu_s += took_s
            failed += texts
            screen.advance(done_n, f"{len(failed)} failed")
    sys.stdout.write(
        f"seeds {seeds.start} to {seeds.stop - 1}: {len(failed)} failed; "
        f"{len(seeds) / cpu_s:.0f} for each second of a core's time\n"
    )
    if page is not None:
        write_seeds(
            page,
            _command(),
            seeds_n=len(seeds),
            failed_n=len(failed),
            cpu_s=cpu_s,
            events=records_n,
        )
    return 1 if failed else 0


def _command() -> str:
    return " ".join(("scripts/simulate", *sys.argv[1:]))


def _batch(seeds: Sequence[int], *, records_n: int | None) -> tuple[int, float, list[str]]:
    failed = []
    began_s = time.process_time()
    # A tenth of the time goes into looking for cycles in the middle of a seed; and where none is
    # looked for after it, the next one gets memory that no cache holds.
    gc.disable()
    gc.freeze()
    for seed in seeds:
        try:
            simulate(seed, records_n=records_n).forget()
        except Failed as error:
            failed.append(str(error))
        gc.collect()
    return len(seeds), time.process_time() - began_s, failed


def _planted(jobs_n: int, *, page: Path | None) -> int:
    missed_n = 0
    every = []
    with Screen(len(BUGS), "planted bugs") as screen:
        for found in _spread(hunt, BUGS, jobs_n=jobs_n):
            every.append(found)
            missed_n += found.seeds_n is None
            screen.tell(str(found))
            screen.advance(1, f"{missed_n} not found")
    if page is not None:
        order = list(BUGS)
        write_planted(page, _command(), sorted(every, key=lambda each: order.index(each.name)))
    sys.stdout.write(f"{len(BUGS) - missed_n} of {len(BUGS)} planted bugs found\n")
    return 1 if missed_n else 0


def _batches(seeds: range) -> list[range]:
    return [seeds[n : n + BATCH_N] for n in range(0, len(seeds), BATCH_N)]


def _spread(work: Callable[[T], R], items: Iterable[T], *, jobs_n: int) -> Iterator[R]:
    """What `work` makes of each item, as it comes; in processes, if there are to be several."""
    if jobs_n <= 1:
        yield from map(work, items)
        return
    with ProcessPoolExecutor(jobs_n) as pool:
        for done in as_completed([pool.submit(work, item) for item in items]):
            yield done.result()


if __name__ == "__main__":
    sys.exit(main())
