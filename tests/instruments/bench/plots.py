"""The ratios as bars, one picture a model, as SVG."""

from collections.abc import Iterable
from pathlib import Path

from matplotlib.figure import Figure

from tests.instruments.bench.rounds import Row, by_model
from tests.instruments.bench.step import MODELS
from tests.instruments.bench.summary import ranked

COLOURS = {"exactly-once": "#1b6ca8", "at-least-once": "#8fb8d8", "none": "#888888"}
INCHES_A_BAR = 0.27


def draw(rows: Iterable[Row], folder: Path) -> list[Path]:
    """Write `bench-MODEL.svg` for each model. Returns: the files."""
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for model, of_model in by_model(rows).items():
        path = folder / f"bench-{model}.svg"
        _figure(model, [row for row in ranked(of_model) if row.measured]).savefig(
            path, bbox_inches="tight", metadata={"Date": None}
        )
        files.append(path)
    return files


def _figure(model: str, rows: list[Row]) -> Figure:
    figure = Figure(figsize=(8.5, 1.2 + INCHES_A_BAR * len(rows)))
    axes = figure.subplots()
    places = range(len(rows))
    medians = [row.wall.median for row in rows]
    spread = [
        [row.wall.median - row.wall.min for row in rows],
        [row.wall.max - row.wall.median for row in rows],
    ]
    axes.barh(
        places, medians, xerr=spread, height=0.7, ecolor="#444444",
        color=[COLOURS[row.loop.guarantee] for row in rows],
    )  # fmt: skip
    axes.plot(
        [row.cpu.median for row in rows], places, "o", color="#b3401f", markersize=4, label="CPU"
    )
    axes.set_yticks(places, [_label(row) for row in rows])
    axes.invert_yaxis()
    axes.set_xlim(0, None)
    axes.set_xlabel(f"share of the bare river loop ({MODELS[model]}); more is better")
    axes.spines[["top", "right"]].set_visible(False)
    for guarantee in ("exactly-once", "at-least-once"):
        axes.bar(0, 0, color=COLOURS[guarantee], label=f"wall, {guarantee}")
    axes.legend(frameon=False, loc="lower right")
    return figure


def _label(row: Row) -> str:
    other = "" if row.is_same else " (other predictions)"
    return f"{row.loop.title.replace('*', '')}{other}"
