"""The comparison: what is measured, and where the tables go."""

from argparse import Namespace
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.instruments.bench import loops, plots, summary
from tests.instruments.bench.rounds import Row, measure
from tests.instruments.bench.stage import Say, opened

EVENTS_N = 100_000
ROUNDS_N = 3
QUICK_EVENTS_N = 20_000
QUICK_ROUNDS_N = 2
QUICK_PEERS = ("confluent-expert", "kafka-python-expert")

#: So that a slow model's run takes about as long as a quick one's.
FEWER = {"lr": 1, "ht": 2, "arf": 25}


def run(options: Namespace, folder: Path, *, command: str, say: Say) -> int:
    """Measure, print, write. Returns: the exit code."""
    everything = options.quick or "all" in options.peers
    clients = options.client or (list(loops.CLIENTS) if everything else ["kafka-python"])
    guarantees = options.guarantee or (list(loops.GUARANTEES) if everything else ["exactly-once"])
    models = options.models or (list(FEWER) if "all" in options.peers else ["lr"])
    peers = options.peers or (QUICK_PEERS if options.quick else ())
    events_n = options.events or (QUICK_EVENTS_N if options.quick else EVENTS_N)
    rounds = options.rounds or (QUICK_ROUNDS_N if options.quick else ROUNDS_N)
    rows: list[Row] = []
    with opened(folder, kafka=options.kafka, say=say) as stage:
        told = summary.about(command, stage.kind)
        for done, rows in enumerate(
            measure(
                stage,
                [*loops.ours(clients, guarantees, options.alerts or ["raw"]), *loops.chosen(peers)],
                events_n={model: events_n // FEWER[model] for model in models},
                rounds=rounds,
            ),
            1,
        ):
            _finish(rows, done, told, options, say if done == rounds else _nothing)
    return 0 if all(row.failed is None and row.is_same for row in rows) else 1


def _finish(
    rows: Sequence[Row], rounds: int, told: Mapping[str, Any], options: Namespace, say: Say
) -> None:
    """What is known after some rounds."""
    versions = summary.versions(rows)
    figures = {"versions": versions, "rounds": rounds, "rows": summary.as_json(rows)}
    text = summary.tables(rows, rounds=rounds)
    summary.finish("peers", text, told=told, figures=figures, options=options, say=say)
    if options.plots is not None:
        for path in plots.draw(rows, options.plots):
            say(f"drawn: {path}")


def _nothing(_line: str) -> None:
    """Only the last round's table is printed."""
