"""What a worker folds beside the events, commands and labels, and what of it a commit takes."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Final

from msgspec import structs

from stream.core.event import Channel, Output
from stream.core.fold.task import Task
from stream.core.result import StepResult
from stream.errors import CommitLost, Misconfigured
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

KEPT_BACK_S: Final = 60.0
"""So long no offset of the labels topic is committed, where one was refused."""


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
        self._clock = sources.clock
        self._kept_back_until_s = 0.0
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
        offsets = {p: self._uncommitted.of(task) for p, task in tasks.items()}
        if self._clock.monotonic() < self._kept_back_until_s:
            offsets = {p: _without_labels(each) for p, each in offsets.items()}
        return offsets, told

    @contextmanager
    def committing(self, offsets: Mapping[int, Committed]) -> Iterator[None]:
        """Around a commit: one that is refused may be so for an offset that only tools look at.

        Whoever may not read the labels topic any more may commit no offset of it.

        Raises: CommitLost: the next one goes without it, for a while.
        """
        try:
            yield
        except Misconfigured as error:
            if not any(Channel.LABELS in each.others for each in offsets.values()):
                raise
            self._kept_back_until_s = self._clock.monotonic() + KEPT_BACK_S
            raise CommitLost(str(error)) from error

    def committed(self) -> None:
        """Forget what is committed now."""
        self.commanding.committed(self._uncommitted.committed())


def _without_labels(committed: Committed) -> Committed:
    others = {c: offset for c, offset in committed.others.items() if c is not Channel.LABELS}
    return structs.replace(committed, others=others)
