"""The matrix on our endpoint, several cases side by side, and the table of how they ended."""

import argparse
import logging
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from stream.errors import StreamError
from tests.instruments.endpoint.matrix import CLIENTS, Broke, Outcome, Player
from tests.instruments.endpoint.policy import allowed
from tests.instruments.endpoint.spoilings import APIS, Spoiling, everything
from tests.instruments.endpoint.stands import EndpointStand

NAMES = (None, "w-0")
ENDLESS_LANES = 3
"""Cases that last until a timeout mostly wait."""


@dataclass(frozen=True, slots=True)
class Result:
    """How one case ended.

    Attributes:
        outcome: None: it broke something; `why` says what.
    """

    client: str
    instance: str | None
    spoiling: Spoiling
    outcome: Outcome | None
    why: str = ""

    @property
    def held(self) -> bool:
        """Whether nothing broke, and it ended in a way that is right for its error."""
        return not self.why

    def __str__(self) -> str:
        how = self.why if self.outcome is None else f"{self.outcome.how} ({self.why})"
        return f"{self.client}, {self.instance or 'no name'}: {self.spoiling}: {how}"


@dataclass(frozen=True, slots=True)
class Lane:
    """Cases that are played one after another."""

    client: str
    instance: str | None
    spoilings: Sequence[Spoiling]


def lanes(spoilings: Iterable[Spoiling]) -> list[Lane]:
    """Every case for every client; a worker with a name differs in what happens once."""
    chosen = list(spoilings)
    brief = [s for s in chosen if not s.is_endless]
    endless = [s for s in chosen if s.is_endless]
    made = []
    for client in CLIENTS:
        made += [Lane(client, name, brief) for name in NAMES]
        made += [Lane(client, None, endless[n::ENDLESS_LANES]) for n in range(ENDLESS_LANES)]
    return [lane for lane in made if lane.spoilings]


def run(lanes: Sequence[Lane], note: Callable[[Result], None], *, jobs: int) -> list[Result]:
    """Play lanes; `note` hears of each case when it is over."""
    client_log = logging.getLogger("confluent_kafka")
    if not client_log.handlers:  # or Python prints what librdkafka says of each case
        client_log.addHandler(logging.NullHandler())
    with ThreadPoolExecutor(jobs) as threads:
        played = list(threads.map(lambda lane: _played(lane, note), lanes))
    return [result for lane in played for result in lane]


def _played(lane: Lane, note: Callable[[Result], None]) -> list[Result]:
    results: list[Result] = []
    with EndpointStand() as stand:
        player: Player | None = None
        for spoiling in lane.spoilings:
            try:
                player = player or Player(stand, lane.client, instance=lane.instance)
                result = _judged(lane, spoiling, player.play(spoiling))
            except (Broke, StreamError) as error:
                result = Result(lane.client, lane.instance, spoiling, None, f"{error!r}")
                if player is not None:
                    player.close()
                player = None
            results.append(result)
            note(result)
        if player is not None:
            player.close()
        if open_ := stand.endpoint.state.open_ids():
            last = lane.spoilings[-1]
            results.append(Result(lane.client, lane.instance, last, None, f"I8: open: {open_}"))
    return results


def _judged(lane: Lane, spoiling: Spoiling, outcome: Outcome) -> Result:
    right = allowed(spoiling, is_named=lane.instance is not None)
    why = "" if outcome.how in right else f"may only be {' or '.join(sorted(right))}"
    return Result(lane.client, lane.instance, spoiling, outcome, why)


def table(results: Sequence[Result]) -> str:
    """Markdown: a line for each call and error, a column for each client and way."""
    columns = [(client, name) for client in CLIENTS for name in NAMES]
    lines = [
        "| call | what happens | "
        + " | ".join(f"{c}, {n or 'no name'}" for c, n in columns)
        + " |",
        "|---|---|" + "---|" * len(columns),
    ]
    cells = {(str(r.spoiling), r.client, r.instance): _cell(r) for r in results}
    for spoiling in sorted({r.spoiling for r in results}, key=_order):
        api, _, what = str(spoiling).partition(" ")
        found = [cells.get((str(spoiling), *column), "") for column in columns]
        lines.append(f"| {api} | {what} | {' | '.join(found)} |")
    return "\n".join(lines)


def _order(spoiling: Spoiling) -> tuple[int, int, str]:
    return list(APIS).index(spoiling.api), spoiling.code is None, str(spoiling)


def _cell(result: Result) -> str:
    if not result.held or result.outcome is None:
        return f"BROKE: {result.why}"
    outcome = result.outcome
    there = " (was there)" if outcome.took_effect and outcome.how != "committed" else ""
    return f"{outcome.how}{there}, {outcome.took_s:.1f} s"


def summary(results: Sequence[Result]) -> str:
    """One line."""
    hows = Counter(r.outcome.how for r in results if r.outcome is not None)
    told = ", ".join(f"{n} {how}" for how, n in sorted(hows.items()))
    broken_n = sum(not r.held for r in results)
    slowest_s = max((r.outcome.took_s for r in results if r.outcome is not None), default=0.0)
    return (
        f"{len(results)} cases: {told}; {broken_n} broke; the slowest commit took {slowest_s:.1f} s"
    )


def main() -> int:
    """Returns: 0, or 1 if a case broke."""
    parser = argparse.ArgumentParser(
        prog="scripts/faults matrix",
        description="Row 20 on the scripted endpoint: client x call x error x outcome.",
        epilog="example: scripts/faults matrix EndTxn",
    )
    parser.add_argument("only", nargs="*", metavar="WORD", help="cases whose text has all words")
    parser.add_argument("--jobs", type=int, default=4, help="cases side by side (default 4)")
    parser.add_argument("--quiet", action="store_true", help="print no table, only what broke")
    arguments = parser.parse_args(sys.argv[2:])
    chosen = [s for s in everything() if all(word in str(s) for word in arguments.only)]
    began_s = time.monotonic()
    results = run(lanes(chosen), _say_if_broken, jobs=arguments.jobs)
    if not arguments.quiet:
        _say(table(results))
    _say(f"{summary(results)}; {time.monotonic() - began_s:.0f} s in all")
    return 0 if all(r.held for r in results) else 1


def _say_if_broken(result: Result) -> None:
    if not result.held:
        _say(f"BROKE {result}")


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()
