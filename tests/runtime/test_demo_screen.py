"""The demo's tables: on any terminal no name is cut or broken."""

import io
from contextlib import redirect_stdout

import pytest
from rich.console import Console
from rich.live import Live

from stream.core.scores import Score
from stream.demo.pipelines import STEADY, VICTIM
from stream.demo.screen import Row, Terminal, _live_table

ROWS = [
    Row(
        title=pipeline.title, state="restoring", published_n=44_567, total_n=45_000,
        per_s=12_345.6, lag_n=12_345, alarms_n=23,
        score=Score(metric="accuracy", value=0.6543, baseline=0.5678, kappa=0.2, n=1000),
    )
    for pipeline in (STEADY, VICTIM)
]  # fmt: skip


@pytest.mark.parametrize("width", [60, 80, 104, 200])
def test_the_live_table_leaves_columns_out_rather_than_cut_words(width: int) -> None:
    """Names, scores and states are whole; with room enough everything is there."""
    console = Console(file=io.StringIO(), width=width, force_terminal=True, color_system=None)
    console.print(_live_table(17.0, ROWS, console))
    assert isinstance(console.file, io.StringIO)
    shown = console.file.getvalue()

    assert "…" not in shown
    for word in (STEADY.title, VICTIM.title, "65.4% / 56.8%", "restoring", "accuracy"):
        assert word in shown
    assert all(len(line) <= width for line in shown.splitlines())
    assert ("alarms" in shown) == (width >= 104)


@pytest.mark.parametrize("width", [60, 80, 200])
def test_the_last_table_breaks_no_word(width: int) -> None:
    """Its columns stand below each other where they don't fit."""
    columns = ("pipeline", "published", "missing", "twice", "differ", "alarms", "committed")
    rows = [(p.title, "45,000", "0", "0", "0", "same", "45,000") for p in (STEADY, VICTIM)]
    out = io.StringIO()
    console = Console(file=out, width=width, force_terminal=True, color_system=None)
    with redirect_stdout(out):
        Terminal(console, Live(console=console)).table("Published", columns, rows)

    words = out.getvalue().split()
    for cell in (*columns, STEADY.title.split()[0], "45,000", "same"):
        assert cell in words
    assert all(len(line) <= width for line in out.getvalue().splitlines())
