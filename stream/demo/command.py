"""The words of `stream demo`; the command line gives it how to open a pipeline."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

if TYPE_CHECKING:
    from stream.runtime.commands.words import OpenPipeline


@click.command
@click.pass_obj
@click.option(
    "--kafka", type=click.Choice(["auto", "docker", "jvm", "embedded"]), default="auto",
    help="Containers, a local JVM, no server at all, or the first that can be had.",
)  # fmt: skip
@click.option(
    "--report", type=click.Path(dir_okay=False, path_type=Path), default="demo-report.html",
    help="Where to write the report (by default ./demo-report.html).",
)  # fmt: skip
@click.option("--events", metavar="N", type=int, help="So many flights, not all; for a quick look.")
def demo(
    open_pipeline: "OpenPipeline",
    *,
    kafka: Literal["auto", "docker", "jvm", "embedded"],
    report: Path,
    events: int | None,
) -> None:
    """Show it all in a minute: two models on a real stream, a killed worker, nothing lost.

    Brings up a throw-away Kafka and Redis, kills a worker half way, compares what was published
    with an undisturbed run, does it again with labels that come a day late, and leaves nothing
    but a report.

    \b
    Example:
      stream demo --events 10000
    """  # noqa: D301  # click reads the \b
    from stream.demo.performance import run  # noqa: PLC0415  # `--help` stays quick

    # What this shell is set up for is another pipeline, on other servers.
    for name in [name for name in os.environ if name.startswith("STREAM__")]:
        del os.environ[name]
    run(
        open_reader=lambda path: open_pipeline(path).backend.reader(),
        kafka=kafka,
        report=report,
        events_n=events,
    )
