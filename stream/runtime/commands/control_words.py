"""The words of `control` and `ledger`; see `words`."""

from pathlib import Path

import click

from stream.core.commands import LEDGERED, What
from stream.runtime.commands.words import OpenPipeline, config, leave_no_files


@click.command
@config
@click.pass_obj
@click.argument("what", type=click.Choice([what.value for what in What]))
@click.option(
    "--partition", "partitions", type=click.IntRange(min=0), multiple=True,
    help="Only this one; may be given several times.",
)  # fmt: skip
@click.option(
    "--within", metavar="DURATION", default="60s",
    help="Not begun by then it is never done (60s by default).",
)  # fmt: skip
@click.option("--why", metavar="TEXT", required=True, help="The reason, for the ledger.")
@click.option("--by", metavar="NAME", help="Who commands; without it: this user.")
@click.option("--id", "id_", metavar="ID", help="Sent again with the same one it is done once.")
def control(
    open_pipeline: OpenPipeline, path: Path, what: str, *, partitions: tuple[int, ...],
    within: str, why: str, by: str | None, id_: str | None,
) -> None:  # fmt: skip
    """Command running workers, and wait until each partition has answered in the ledger.

    freeze and unfreeze concern learning, pause and resume consuming; reset begins with an untrained
    model. 0: done everywhere; 65: refused somewhere; 69: not answered.

    \b
    Example:
      stream control -c stream.toml freeze --why "bad upstream deploy"
      stream control -c stream.toml resume --partition 3 --why "mended" --by ada
    """  # noqa: D301  # click reads the \b
    from stream.runtime.commands import control as room  # noqa: PLC0415

    command = room.command_of(what, why=why, by=by, within=within, own_id=id_)
    pipeline = open_pipeline(path)
    room.control(pipeline, command, partitions=partitions, may_be_known=id_ is not None)


@click.command
@config
@click.pass_obj
@click.option("--json", "as_json", is_flag=True, help="The records as they are, a line each.")
@click.option(
    "--partition", "partitions", type=click.IntRange(min=0), multiple=True,
    help="Only this one; may be given several times.",
)  # fmt: skip
@click.option(
    "--what", type=click.Choice(LEDGERED), multiple=True, metavar="WHAT",
    help="Only this: freeze, promote, refused, ...; may be given several times.",
)  # fmt: skip
def ledger(
    open_pipeline: OpenPipeline, path: Path, *, as_json: bool, partitions: tuple[int, ...],
    what: tuple[str, ...],
) -> None:  # fmt: skip
    """List what commands did, and each change of what predicts or whether it learns.

    \b
    Example:
      stream ledger -c stream.toml --what freeze --what unfreeze
      stream ledger -c stream.toml --json | jq .why
    """  # noqa: D301  # click reads the \b
    from stream.runtime.commands import ledger as room  # noqa: PLC0415

    leave_no_files()
    room.show(open_pipeline(path), partitions=partitions, what=what, as_json=as_json)
