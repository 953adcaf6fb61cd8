"""What a worker folds beside the events, commands and labels, and what of it a commit takes."""

from collections.abc import Callable, Collection, Mapping, Sequence

from stream.core.event import Channel, Output
from stream.core.fold.task import Task
from stream.core.result import StepResult
from stream.ports import Committed
from stream.runtime.breaker import Breaker
from stream.runtime.commanding import Commanding
from stream.runtime.control import Control
from stream.runtime.labelling import Labelling, Labels
from stream.runtime.life import Lives
from stream.runtime.snapshotter import Snapshotter
from stream.runtime.sources import Sources
from stream.runtime.uncommitted import Uncommitted
from stream.runtime.watchdog import Deadlined
from stream.runtime.watched_log import WatchedLog


class Beside:
    """Commands and labels of the partitions that a worker holds.

    Args:
        control, ready: see `Commanding`; `ready` is the worker's `ready_commands`.
        labels: the labels topic; None: they come in events, or among them.
        results: takes what labels gave.
        deadlined: puts a deadline on calls that can hang.

    Attributes:
        commanding: folds commands.
        labelling: folds the labels of a topic of their own; None: there is none.
    """

    def __init__(
        self,
        control: Control | None,
        labels: Labels | None,
        *,
        lives: Lives,
        results: list[StepResult],
        log: WatchedLog,
        breaker: Breaker,
        snapshotter: Snapshotter,
        sources: Sources,
        ready: Callable[[Collection[Channel]], None],
        deadlined: Deadlined,
    ) -> None:
        self._uncommitted = Uncommitted()
        self.commanding = Commanding(
            control, lives=lives, log=log, breaker=breaker, snapshotter=snapshotter,
            uncommitted=self._uncommitted, sources=sources, ready=ready, deadlined=deadlined,
        )  # fmt: skip
        self.labelling = labels and Labelling(
            labels, lives=lives, results=results, uncommitted=self._uncommitted, sources=sources
        )

    def adopt(self, task: Task) -> None:
        """Take commands and labels to a task that is live now."""
        self.commanding.adopt(task)
        if self.labelling is not None:
            self.labelling.adopt(task)

    def drop(self, partitions: Collection[int]) -> None:
        """Take none to these any more; what was folded of them is not committed."""
        self._uncommitted.drop(partitions)
        self.commanding.drop(partitions)
        if self.labelling is not None:
            self.labelling.drop(partitions)

    def to_commit(self, tasks: Mapping[int, Task]) -> tuple[dict[int, Committed], Sequence[Output]]:
        """What to commit of these, and what to publish with it beside what steps gave."""
        if self.labelling is not None:
            self.labelling.place(tasks.values())
        told = list(self._uncommitted.outputs(tasks.values()))
        return {p: self._uncommitted.of(task) for p, task in tasks.items()}, told

    def committed(self) -> None:
        """Forget what is committed now."""
        self.commanding.committed(self._uncommitted.committed())
