"""What the quiet policy, the default detectors and all monitors say on real streams.

    python -m tests.instruments.monitors real
    python -m tests.instruments.monitors shuffled --copies 10
    python -m tests.instruments.monitors planted
    python -m tests.instruments.monitors autocorrelated
    python -m tests.instruments.monitors cost --rounds 5

`real`: every alert on the streams as they are. `shuffled`: on copies in an order of chance, where
nothing changes, so that every alert of a warning or more is false. `planted`: one feature of the
flights is broken from a known event on, in each way that features break. `autocorrelated`: one
number that depends on the one before it, of which nothing changes, or its mean. `cost`: what an
event costs with all monitors and without any, chunks in turn, and how large they are: the least of
several rounds, which is nearly the same on a busy machine, and the median, which is not.

docs/MONITORS.md has what they wrote.
"""

import pickle
import sys
from collections import Counter
from collections.abc import Iterable

import click

from stream.runtime import process
from tests.instruments.monitors.autocorrelated import SHIFTS, delay, false_alarms
from tests.instruments.monitors.faults import FAULTS, PLANTED_AT, broken
from tests.instruments.monitors.folding import (
    POOR,
    SOUND,
    STREAMS,
    Alerted,
    alerts_of,
    costs,
    events_of,
    ten_numbers,
)


def _line(*cells: object) -> None:
    sys.stdout.write(f"| {' | '.join(map(str, cells))} |\n")
    sys.stdout.flush()


def _head(*cells: str) -> None:
    _line(*cells)
    _line(*["---"] * len(cells))


@click.group()
def main() -> None:
    """What the monitors say."""


@main.command()
@click.option("--only", default="", help="The beginning of a stream's name.")
@click.option("--least", default="warning", help="info, warning or critical")
def real(only: str, least: str) -> None:
    """Every alert on the streams as they are."""
    _head("stream", "offset", "state", "severity", "episode", "since", "message")
    for name in STREAMS:
        if name.startswith(only):
            for each in alerts_of(name, events_of(name), min_severity=least):
                _line(name, each.offset, each.state, each.severity, each.what, each.since,
                      each.message)  # fmt: skip


@main.command()
@click.option("--copies", default=10)
@click.option("--only", default="")
def shuffled(copies: int, only: str) -> None:
    """How often it is wrong on copies in an order of chance."""
    _head("stream", "events", "firing", "in 100,000", "which")
    for name in STREAMS:
        if not name.startswith(only):
            continue
        events_n, found = 0, []
        for seed in range(copies):
            events = events_of(name, shuffle_seed=seed)
            events_n += len(events)
            found += [each for each in alerts_of(name, events) if each.state == "firing"]
        which = Counter(each.what for each in found)
        told = ", ".join(f"{what} {n}" for what, n in which.most_common())
        _line(name, events_n, len(found), f"{1e5 * len(found) / events_n:.2f}", told or "none")


@main.command()
@click.option("--feature", default="", help="Only this one.")
def planted(feature: str) -> None:
    """Break one feature of the flights, in each way."""
    _head("fault", "first alert", "events later", "alerts within 5,000", "what else")
    name = "airline_hflights"
    events = events_of(name)[: PLANTED_AT + 5_000]
    before = {each.episode for each in alerts_of(name, events)}
    for fault in FAULTS:
        if fault.feature.startswith(feature):
            found = alerts_of(name, broken(events, fault))
            new = [each for each in found if each.state == "firing" and each.episode not in before]
            of_it = [each for each in new if fault.feature in each.features]
            others = [each.what for each in new if each not in of_it]
            _line(fault.name, *_first(of_it), len(new), ", ".join(others) or "nothing")


def _first(alerts: Iterable[Alerted]) -> tuple[str, str]:
    first = next(iter(alerts), None)
    return ("none", "-") if first is None else (first.message, f"{first.offset - PLANTED_AT}")


@main.command()
@click.option("--runs", default=20)
@click.option("--features", "features_n", default=10, help="Among so many the budget is shared.")
def autocorrelated(runs: int, features_n: int) -> None:
    """Values that depend on those before."""
    shifts = [f"found after, {shift} deviations" for shift in SHIFTS]
    _head("correlation", "false in 100,000", *shifts)
    for rho in (0.0, 0.5, 0.9, 0.99):
        false = false_alarms(rho, runs_n=runs, blocks_n=200, features_n=features_n)
        cells = []
        for shift in SHIFTS:
            after_n, found_n = delay(rho, shift, runs_n=runs, features_n=features_n)
            cells.append(f"{after_n:.0f} ({found_n} of {runs})" if found_n else "none")
        _line(rho, f"{false:.2f}", *cells)


@main.command()
@click.option("--rounds", default=5, help="Of each the least is told.")
@click.option("--events", "events_n", default=31_000)
def cost(rounds: int, events_n: int) -> None:
    """What an event costs, in turn."""
    process.collect_rarely()  # as a worker does
    kinds = ["", "detectors", "monitors", "detectors, monitors"]
    streams = {
        "ten numbers": (ten_numbers(events_n), SOUND),
        "ten numbers, a poor model": (ten_numbers(events_n), POOR),
        "airline_hflights, a poor model": (events_of("airline_hflights")[:events_n], POOR),
    }
    _head("stream", "watched by", "us an event, least", "over none", "median", "over none")
    for name, (events, factory) in streams.items():
        found, state = costs(events, kinds, rounds, factory=factory)
        none = found[""]
        for kind, us in found.items():
            _line(
                name, kind or "nothing", f"{us.least:.2f}", f"{us.least - none.least:.2f}",
                f"{us.usual:.2f}", f"{us.usual - none.usual:.2f}",
            )  # fmt: skip
        size = len(pickle.dumps(state.extras["monitors"]))
        sys.stdout.write(f"\n{size} bytes of monitors in a snapshot\n\n")


if __name__ == "__main__":
    main()
