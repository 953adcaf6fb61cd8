"""The words of `produce`; see `words`."""

from pathlib import Path

import click

from stream.errors import Usage
from stream.runtime import signals
from stream.runtime.commands.words import OpenPipeline, config


@click.command
@config
@click.pass_obj
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--label", metavar="COLUMN", help="The label (by default the one of that name).")
@click.option("--id", "id_", metavar="COLUMN", help="The event's id; also the key without --key.")
@click.option("--key", metavar="COLUMN", help="The record's key, which decides the partition.")
@click.option("--time", metavar="COLUMN", help="Event time: ISO 8601 or epoch; without it: now.")
@click.option(
    "--delay", metavar="COLUMN",
    help="Labels come so much later, in records of their own: seconds, or as 15m.",
)  # fmt: skip
@click.option(
    "--labels", is_flag=True,
    help="FILE holds labels of events, to be learned later: id and label, or partition and offset.",
)  # fmt: skip
@click.option("--no-label", is_flag=True, help="Events have no label, and no column is one.")
@click.option("--delimiter", metavar="CHAR", help="Between cells; without it: found.")
@click.option("--rate", metavar="N/s", help="Events a second; without it as fast as it goes.")
def produce(
    open_pipeline: OpenPipeline, path: Path, file: Path, *, label: str | None, id_: str | None,
    key: str | None, time: str | None, delay: str | None, rate: str | None, delimiter: str | None,
    no_label: bool, labels: bool,
) -> None:  # fmt: skip
    """Send FILE (.jsonl, .csv, either with .gz) to the events topic, or the labels topic.

    Lines of JSON are sent as they are. Of a broken file nothing is sent. In CSV a column is of one
    type for the whole file, and an empty cell, NA, N/A, NaN or null is a missing value.

    \b
    Example:
      stream produce -c stream.toml elec2.csv.gz --label class --rate 1000/s
      stream produce -c stream.toml orders.csv --label paid --time at --delay paid_after
      stream produce -c stream.toml --labels paid.csv --label paid --id order
    """  # noqa: D301  # click reads the \b
    from stream.runtime.commands import produce  # noqa: PLC0415
    from stream.runtime.files.layout import Columns  # noqa: PLC0415

    pipeline = open_pipeline(path)
    signals.listen(pipeline.stopping)
    if delimiter is not None and len(delimiter := delimiter.replace("\\t", "\t")) != 1:
        raise Usage("--delimiter: write one character, or \\t for a tab")
    if label is not None and no_label:
        raise Usage("--label and --no-label say the opposite; write one of them")
    if labels and (no_label or delay is not None):
        other = "--no-label" if no_label else "--delay"
        raise Usage(f"--labels and {other}: a file of labels has no events; write one of them")
    columns = Columns(
        label=label, id=id_, key=key, time=time, delay=delay, delimiter=delimiter,
        no_label=no_label,
    )  # fmt: skip
    produce.produce(pipeline, file, columns=columns, rate=rate, are_labels=labels)
