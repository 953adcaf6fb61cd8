"""Which detector is for what: tables of what each finds, how late, and how often it is wrong.

    python -m tests.instruments.detectors rates
    python -m tests.instruments.detectors sine --only ECUSUM
    python -m tests.instruments.detectors sine --reset --only ADWIN
    python -m tests.instruments.detectors real --copies 2
    python -m tests.instruments.detectors rates --sweep

`rates`: errors drawn with a rate; false alarms in 100,000, and the mean delay of a change after
5,000 errors. `sine`: streams whose drifts are known. `real`: what is said on real streams, and on
shuffled copies of them, where everything that is said is false. An alarm is a drift for the worse.
With `--sweep` the candidates are those that could become defaults.

docs/DETECTORS.md has what they wrote, and what follows. A table takes some minutes; `--only`
(the beginning of a row's name) makes single rows.
"""

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from statistics import fmean

import click

from stream.core.monitoring.detectors import BINARY
from tests.core.monitoring.detector_reference import bits
from tests.instruments.detectors.candidates import CANDIDATES, SWEEP, Candidate, delay_n, run
from tests.instruments.detectors.streams import (
    REAL,
    SINE_DRIFTS,
    SINES,
    alarms_with_reset,
    errors,
    labelled,
    signal,
)

RATES = (0.01, 0.05, 0.2)
STEPS = ((0.2, 0.3), (0.2, 0.4), (0.2, 0.6), (0.05, 0.1), (0.05, 0.3))
RUN_N, BEFORE_N, AFTER_N = 100_000, 5_000, 20_000
FOUND_WITHIN_N = 5_000

Cells = Iterator[str]


def rates(candidate: Candidate, runs_n: int) -> Cells:
    """The cells of a detector on errors that are drawn with a rate."""
    us = []
    for rate in RATES:
        false_n = events_n = 0
        for seed in range(runs_n):
            values = list(bits((rate, RUN_N), seed=seed))
            ran = run(candidate, values)
            false_n += len(ran.worse)
            events_n += int(len(values) * candidate.share)
            us.append(ran.us)
        yield f"{1e5 * false_n / events_n:.2f}"
    steps_n = max(2, round(4 * runs_n * candidate.share))
    for before, after in STEPS:
        delays = [
            delay_n(candidate, bits((before, BEFORE_N), seed=seed),
                    bits((after, AFTER_N), seed=1_000 + seed))
            for seed in range(steps_n)
        ]  # fmt: skip
        yield _mean_of_found(delays)
    yield f"{fmean(us):.1f}"


def _mean_of_found(delays: Sequence[int | None]) -> str:
    seen = [each for each in delays if each is not None]
    some = "" if len(seen) == len(delays) else f" ({len(seen)} of {len(delays)})"
    return f"{fmean(seen):.0f}{some}" if seen else "none"


def judged(alarms: Sequence[int]) -> tuple[list[int], int]:
    """The delays of the drifts of a sine stream that were found, and how many alarms were false."""
    delays = [
        next((at - drift for at in alarms if drift <= at < drift + FOUND_WITHIN_N), None)
        for drift in SINE_DRIFTS
    ]
    found = [each for each in delays if each is not None]
    return found, len(alarms) - len(found)


def of_sine(alarms: Iterable[Sequence[int]]) -> Cells:
    """The cells of a detector whose alarms on the three sine streams these are."""
    delays, false_n = [], 0
    for each in alarms:
        found, false = judged(each)
        delays += found
        false_n += false
    yield f"{len(delays)} of {len(SINES) * len(SINE_DRIFTS)}"
    yield f"{fmean(delays):.0f}" if delays else "-"
    yield f"{false_n / len(SINES):.1f}"  # each stream has 100,000 events


def real(candidate: Candidate, signals: dict[str, list[list[float]]]) -> Cells:
    """The cells of a detector on real streams: as they are, then shuffled."""
    for name, streams in signals.items():
        if REAL[name].is_regression and candidate.type in BINARY:
            yield from ("-", "-")
            continue
        as_it_is, *shuffled = (run(candidate, errors) for errors in streams)
        yield f"{len(as_it_is.worse)} + {as_it_is.better_n}"
        events_n = sum(int(len(errors) * candidate.share) for errors in streams[1:])
        yield f"{1e5 * sum(len(each.worse) for each in shuffled) / max(1, events_n):.2f}"


def write(
    head: Sequence[str], rows: Iterable[Candidate], cells: Callable[[Candidate], Cells]
) -> None:
    """A table in Markdown, row by row."""
    _line("", *head)
    _line(*["---"] * (len(head) + 1))
    for candidate in rows:
        _line(candidate.label, *cells(candidate))


def _line(*cells: str) -> None:
    sys.stdout.write(f"| {' | '.join(cells)} |\n")
    sys.stdout.flush()


@click.command(help=__doc__)
@click.argument("table", type=click.Choice(["rates", "sine", "real"]))
@click.option("--only", default="", help="Rows whose name begins so.")
@click.option("--sweep", is_flag=True, help="What could become a default.")
@click.option("--reset", is_flag=True, help="sine: the tree begins anew at each alarm.")
@click.option("--runs", default=20, show_default=True, help="rates: of 100,000 errors each.")
@click.option("--copies", default=2, show_default=True, help="real: shuffled ones of each stream.")
def main(*, table: str, only: str, sweep: bool, reset: bool, runs: int, copies: int) -> None:
    """Write one table."""
    chosen = [each for each in (SWEEP if sweep else CANDIDATES) if each.label.startswith(only)]
    if table == "rates":
        head = [*(f"false at {rate}" for rate in RATES),
                *(f"{before} to {after}" for before, after in STEPS), "us an event"]  # fmt: skip
        write(head, chosen, lambda each: rates(each, runs))
        return
    chosen = [replace(each, share=1.0) for each in chosen]  # these streams have an end
    if table == "sine":
        events = [labelled(name) for name in SINES]
        head = ["found", "mean delay", "false in 100,000"]
        if reset:
            write(head, chosen, lambda each: of_sine(alarms_with_reset(each, e) for e in events))
        else:
            signals = [errors(each) for each in events]
            write(head, chosen, lambda each: of_sine(run(each, e).worse for e in signals))
        return
    orders = [None, *range(copies)]
    found = {name: [signal(name, order) for order in orders] for name in REAL}
    head = [cell for name in REAL for cell in (f"{name}: worse + better", "shuffled: false")]
    write(head, chosen, lambda each: real(each, found))


if __name__ == "__main__":
    main()
