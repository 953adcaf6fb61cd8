"""The bench's command line: `scripts/bench --help`."""

import argparse
import shlex
import signal
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from stream.sandbox import NotReady, Unavailable
from tests.instruments.bench import comparison, growth, latency, loops, stall, startup, workers
from tests.instruments.bench.loops import ALERTS, CLIENTS, GUARANTEES
from tests.instruments.bench.stage import Failed
from tests.instruments.bench.step import MODELS

MODES: dict[str, Callable[..., int]] = {
    "growth": growth.run,
    "startup": startup.run,
    "latency": latency.run,
    "stall": stall.run,
    "workers": workers.run,
}
"""What is measured instead of the comparison."""

EPILOG = """examples:
  scripts/bench --quick                          two minutes: ours beside loops by experts
  scripts/bench --peers quix,confluent-expert    ours beside some peers
  scripts/bench --peers all --rounds 5 --write   everything; writes docs/performance.md
"""


def main() -> int:
    """Returns: 0; 1: a loop failed, published other predictions, or a limit was not held."""
    parser = _parser()
    options = parser.parse_args()
    try:
        loops.chosen(options.peers)
    except ValueError as error:
        parser.error(str(error))
    # So that loops and servers are ended, too: loops are sessions of their own.
    signal.signal(signal.SIGTERM, lambda number, _frame: sys.exit(128 + number))
    command = shlex.join(["scripts/bench", *sys.argv[1:]])
    with tempfile.TemporaryDirectory(prefix="streamfold-bench-") as folder:
        mode = next((MODES[name] for name in MODES if getattr(options, name)), comparison.run)
        try:
            return mode(options, Path(folder), command=command, say=_say)
        except (Failed, Unavailable, NotReady) as error:
            sys.stderr.write(f"bench: {error}\n")
            return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="scripts/bench",
        description="Our worker beside the bare river loop and beside what else one could use.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--quick", action="store_true", help="few events, two rounds, some loops")
    add("--peers", type=_words, default=[], metavar="NAME,...",
        help="measure these too: beginnings of their names, or all")  # fmt: skip
    add("--client", type=_some(CLIENTS), help="ours with (default kafka-python)")
    add("--guarantee", type=_some(GUARANTEES), help="ours with (default exactly-once)")
    add("--alerts", type=_some(ALERTS), help="ours with (default raw); quiet has all monitors")
    add("--models", type=_some(tuple(MODELS)), help="default lr")
    add("--events", type=int, metavar="N",
        help="of logistic regression (default 100000); slower models get fewer")  # fmt: skip
    add("--rounds", type=int, metavar="N", help="default 3")
    modes = parser.add_mutually_exclusive_group()
    for name, what in (
        ("growth", "cost of an event and memory, from 10^4 to 10^7 events (--events)"),
        ("startup", "how long commands take to start"),
        ("latency", "from append to visible, at 1000 events/s"),
        ("stall", "how long a snapshot holds its partition up, by the size of the model"),
    ):
        modes.add_argument(f"--{name}", action="store_true", help=f"instead: {what}")
    modes.add_argument("--workers", type=int, metavar="N",
        help="instead: N workers on N partitions beside one on the same")  # fmt: skip
    add("--kafka", choices=["auto", "docker", "jvm", "embedded"], default="auto")
    add("--json", type=Path, metavar="FILE", help="write the figures there, too")
    add("--plots", type=Path, metavar="FOLDER", help="draw the figures there, too")
    add("--write", action="store_true", help="put the tables into docs/performance.md")
    return parser


def _words(text: str) -> list[str]:
    return [word for word in text.split(",") if word]


def _some(known: Sequence[str]) -> Callable[[str], list[str]]:
    """Reads one or more of these words, or "all"."""

    def names(text: str) -> list[str]:
        words = list(known) if text == "all" else _words(text)
        if unknown := set(words) - set(known):
            raise argparse.ArgumentTypeError(f"{', '.join(unknown)}: not of {', '.join(known)}")
        return words

    return names


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
