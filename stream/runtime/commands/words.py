"""The words of the commands that run a pipeline, look at it or feed it.

Each gets from it how to open a pipeline, so that only there an adapter is chosen.
"""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from stream.core.event import Channel, Reason
from stream.deferred import load_river
from stream.errors import ExitCode, Usage
from stream.runtime import signals

if TYPE_CHECKING:
    from stream.runtime.pipeline import Pipeline


def leave_no_files() -> None:
    """Let a command that only looks leave nothing behind, not even a user's compiled module."""
    sys.dont_write_bytecode = True


OpenPipeline = Callable[[Path], "Pipeline"]

config = click.option(
    "-c", "--config", "path", required=True, type=click.Path(path_type=Path),
    help="The pipeline's TOML file.",
)  # fmt: skip


@click.command
@config
@click.pass_obj
@click.option("--until-end", is_flag=True, help="Stop once the events there are at start are done.")
@click.option(
    "--workers",
    metavar="N",
    help="N processes under a supervisor, or as many as there are CPUs and partitions: auto.",
)
@click.option("--supervised", type=int, hidden=True)
def run(
    open_pipeline: OpenPipeline, path: Path, *, until_end: bool, workers: str | None,
    supervised: int | None,
) -> None:  # fmt: skip
    """Run a worker until SIGTERM or Ctrl-C; with --workers several, which share the partitions.

    \b
    Example:
      stream run -c stream.toml
      stream run -c stream.toml --workers auto
    """  # noqa: D301  # click reads the \b
    signals.hold()
    from stream.runtime import process  # noqa: PLC0415

    if workers is not None and supervised is None:
        from stream.runtime.supervision import sizing, supervising  # noqa: PLC0415

        asked = sizing.asked(workers)
        supervising.supervise(open_pipeline(path), workers=asked, until_end=until_end)
        return
    pipeline = process.opened_in_its_environment(open_pipeline, path)
    signals.listen(pipeline.stopping, is_idle=pipeline.backend.is_idle)
    if supervised is not None:
        from stream.runtime.supervision import worker_link  # noqa: PLC0415

        worker_link.obey(pipeline, supervised)
    load_river()  # the line is up by then
    from stream.runtime import running  # noqa: PLC0415

    # Of several workers none can know where the end is: their supervisor does.
    running.work(pipeline, until_end=until_end and supervised is None)


@click.command
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--label", metavar="NAME", help="The field with the label; without it: a guess.")
@click.option("--id", "id_", metavar="NAME", help="The field with the event's id.")
@click.option("--pipeline", metavar="NAME", help="The pipeline's name; without it: the file's.")
@click.option(
    "--out", type=click.Path(dir_okay=False, path_type=Path), default="stream.toml",
    help="What to write (stream.toml by default).",
)  # fmt: skip
@click.option("--force", is_flag=True, help="Overwrite what is there.")
def init(
    file: Path, *, label: str | None, id_: str | None, pipeline: str | None, out: Path, force: bool
) -> None:
    """Write a starter configuration from a sample of events: FILE (.jsonl, .csv, also .gz).

    It finds the label, the id and the features, chooses a ready model, and says what to type next.

    \b
    Example:
      stream init flights.csv --label late
    """  # noqa: D301  # click reads the \b
    from stream.runtime.commands import init as room  # noqa: PLC0415

    room.write(file, out=out, force=force, label=label, own_id=id_, pipeline=pipeline)


@click.command
@config
@click.pass_obj
def check(open_pipeline: OpenPipeline, path: Path) -> ExitCode:
    """Look at the configuration, the model, Kafka and Redis; say all problems at once.

    \b
    Example:
      stream check -c stream.toml
    """  # noqa: D301  # click reads the \b
    from stream.runtime import process  # noqa: PLC0415

    leave_no_files()
    process.enter_environment(path)  # what a model computes may follow from the hash seed
    load_river()
    from stream.runtime.commands import check as room  # noqa: PLC0415

    fine = room.check(open_pipeline, path, environ=os.environ)
    return ExitCode.OK if fine else ExitCode.CONFIG


@click.command
@config
@click.pass_obj
@click.option("--json", "as_json", is_flag=True, help="One JSON document instead of a table.")
@click.option(
    "--progress-within", metavar="SECONDS", type=click.FloatRange(min=0),
    help="For health checks: 69 unless there is no lag, or a committed offset moves in this time.",
)  # fmt: skip
def status(
    open_pipeline: OpenPipeline, path: Path, *, as_json: bool, progress_within: float | None
) -> None:
    """Say how far each partition is, how well its model does, and what alarmed it last.

    \b
    Example:
      stream status -c stream.toml --json
    """  # noqa: D301  # click reads the \b
    from stream.runtime.commands import status as room  # noqa: PLC0415

    leave_no_files()
    room.show(open_pipeline(path), as_json=as_json, progress_within_s=progress_within)


@click.command
@config
@click.pass_obj
@click.argument("what", type=click.Choice(["list", "inspect", "verify"]))
@click.option("--partition", type=click.IntRange(min=0), help="Only of this partition.")
@click.option("--offset", type=click.IntRange(min=0), help="Only the one at this offset.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
def snapshots(
    open_pipeline: OpenPipeline,
    path: Path,
    what: str,
    *,
    partition: int | None,
    offset: int | None,
    as_json: bool,
) -> None:
    """List the stored snapshots, inspect their headers, or verify them by a replay of the log.

    \b
    Example:
      stream snapshots -c stream.toml verify --partition 0
    """  # noqa: D301  # click reads the \b
    from stream.runtime import process  # noqa: PLC0415
    from stream.runtime.commands import snapshots  # noqa: PLC0415

    leave_no_files()
    if what == "verify":
        pipeline = process.opened_in_its_environment(open_pipeline, path)
        load_river()
        from stream.runtime.commands.verify import verify as command  # noqa: PLC0415
    else:
        pipeline = open_pipeline(path)
        command = snapshots.show_list if what == "list" else snapshots.inspect
    command(pipeline, partition=partition, offset=offset, as_json=as_json)


@click.command
@config
@click.pass_obj
@click.argument("what", type=click.Choice(["predictions", "alerts", "quarantine", "outcomes"]))
@click.option("-f", "--follow", is_flag=True, help="Go on with what comes, until Ctrl-C.")
@click.option(
    "-n", "--last", metavar="N", type=click.IntRange(0, 1_000_000), default=10,
    help="Begin with the newest N of all partitions (10 by default).",
)  # fmt: skip
@click.option(
    "--json", "as_json", is_flag=True,
    help="A JSON object a line: predictions and alerts as they were published.",
)  # fmt: skip
def tail(
    open_pipeline: OpenPipeline, path: Path, what: str, *, follow: bool, last: int, as_json: bool
) -> None:
    """Show what came out: predictions beside their labels, alerts, or refused records.

    Only what was committed. A prediction's offset is that of its event.

    \b
    Example:
      stream tail -c stream.toml predictions --last 20
      stream tail -c stream.toml alerts --follow
      stream tail -c stream.toml predictions --json | jq .probabilities
    """  # noqa: D301  # click reads the \b
    from stream.runtime.commands import tail as room  # noqa: PLC0415

    leave_no_files()
    pipeline = open_pipeline(path)
    if follow:
        signals.listen(pipeline.stopping)
    room.show(pipeline, Channel(what), last=last, follow=follow, as_json=as_json)


@click.command
@config
@click.pass_obj
@click.argument("what", type=click.Choice(["list", "redrive"]))
@click.option(
    "--reason", type=click.Choice([reason.value for reason in Reason]),
    help="Only what was refused for this.",
)  # fmt: skip
@click.option(
    "--limit", metavar="N", type=click.IntRange(min=1), help="list: the last N (20 by default)."
)
@click.option("--json", "as_json", is_flag=True, help="list: one JSON document.")
@click.option("--dry-run", is_flag=True, help="redrive: only say what would be sent.")
def quarantine(
    open_pipeline: OpenPipeline, path: Path, what: str, *, reason: str | None, limit: int | None,
    as_json: bool, dry_run: bool,
) -> None:  # fmt: skip
    """List refused records, or send them back to the events topic once the cause is mended.

    A redrive sends each record at most once, as it came: key, value, headers and time. One that
    was interrupted goes on where it was; what it sent and is refused again waits for the next.

    \b
    Example:
      stream quarantine -c stream.toml list --reason bad_label
      stream quarantine -c stream.toml redrive --reason bad_label --dry-run
    """  # noqa: D301  # click reads the \b
    from stream.runtime.commands import quarantine as room  # noqa: PLC0415
    from stream.runtime.commands import redrive  # noqa: PLC0415

    leave_no_files()
    if what == "list":
        if dry_run:
            raise Usage("--dry-run: only for redrive; a list never changes anything")
        room.show_list(open_pipeline(path), reason=reason, limit=limit or 20, as_json=as_json)
        return
    if as_json or limit is not None:
        raise Usage("--json and --limit: only for list; a redrive sends all there is")
    pipeline = open_pipeline(path)
    signals.listen(pipeline.stopping)
    redrive.redrive(pipeline, reason=reason, dry_run=dry_run)
