"""The steps that no event made, folded again as the journal has kept them."""

from stream.core.commands import Entry
from stream.core.event import Channel, LabelRecord
from stream.core.fold import commands
from stream.core.fold.labelling import LabellingTask
from stream.core.fold.task import Task
from stream.core.formats.commands import command_in, mark_of
from stream.core.snapshots.metadata import Reached


def repeat(task: Task, entry: Entry) -> None:
    """Fold one step of the journal in.

    Args:
        task: stands where the step was made, or is another recipe's, which may have no use for it:
            a label is none to a fold without labels, or where it is no label any more.
        entry: the step.
    """
    record, source = entry.record(task.partition), Channel(entry.input)
    if source is Channel.CONTROL:
        commands.fold(task, record, command_in(record))
    elif isinstance(task, LabellingTask):
        label = task.read_label(record)
        if isinstance(label, LabelRecord):
            task.step_label(record, label)
    task.reached[source] = Reached(entry.offset + 1, mark_of(record))
