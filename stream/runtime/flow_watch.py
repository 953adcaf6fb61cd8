"""Alerts by the wall clock, the only ones outside of the fold: silence, and a lag that grows.

A replay does not repeat them: their ids follow from the offset at which they began.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Literal, NamedTuple, Protocol

from stream.core.event import Output, iso
from stream.core.fold.task import Task
from stream.core.result import AlertValue, Evidence, Since
from stream.ports import Clock

Write = Callable[[AlertValue, int], Output]
"""Makes of an alert, and its timestamp, the record to publish."""

State = Literal["firing", "resolved"]


class Trouble(NamedTuple):
    """What is wrong with a partition's flow just now.

    Attributes:
        value: what was measured; threshold: it is over this.
        since_s: so long ago it began.
    """

    text: str
    value: float | None
    threshold: float
    since_s: float


class Watched(Protocol):
    """One thing that can be wrong with the flow of a partition."""

    @property
    def measure(self) -> str:
        """Its name."""

    @property
    def direction(self) -> Literal["worse", "changed"]:
        """What it means."""

    @property
    def suggestion(self) -> str:
        """What to do."""

    @property
    def over(self) -> str:
        """What is said of its end."""

    def heard(self, partitions: Collection[int]) -> None:
        """Note that events of these came just now."""

    def look(self, tasks: Mapping[int, Task]) -> Mapping[int, Trouble]:
        """What is wrong, by partition; these are all that fold, and are committed."""


class FlowWatch:
    """Tells what begins and what ends.

    Args:
        watched: what is looked at; none: it costs nothing.
        pipeline: its name begins the ids.
        write: see `Write`.
    """

    def __init__(
        self, watched: Sequence[Watched], *, pipeline: str, write: Write, clock: Clock
    ) -> None:
        self._watched = tuple(watched)
        self._pipeline = pipeline
        self._write = write
        self._clock = clock
        self._told: dict[tuple[str, int], tuple[int, Trouble]] = {}  # and the offset it began at

    @property
    def is_on(self) -> bool:
        """Whether anything is watched."""
        return bool(self._watched)

    def heard(self, partitions: Collection[int]) -> None:
        """Note that events of these came just now."""
        if partitions:
            for each in self._watched:
                each.heard(partitions)

    def look(self, tasks: Mapping[int, Task], publish: Callable[[list[Output]], None]) -> int:
        """Publish what there is to tell.

        Args:
            tasks: of the partitions that fold, all committed.
            publish: makes records durable. What it raises is raised, and all is told again later.

        Returns: how many alerts were published.
        """
        told = {at: begun for at, begun in self._told.items() if at[1] in tasks}
        outputs = []
        for each in self._watched:
            troubles = each.look(tasks)
            for partition, task in tasks.items():
                trouble, at = troubles.get(partition), (each.measure, partition)
                if trouble is not None and at not in told:
                    told[at] = task.next_offset, trouble
                    outputs.append(self._output(each, task, told[at], "firing"))
                elif trouble is None and at in told:
                    outputs.append(self._output(each, task, told.pop(at), "resolved"))
        if outputs:
            publish(outputs)
        self._told = told
        return len(outputs)

    def _output(self, of: Watched, task: Task, begun: tuple[int, Trouble], state: State) -> Output:
        """One alert of a partition; its end bears the offset at which it began."""
        (offset, trouble), partition = begun, task.partition
        now_ms, where = self._clock.now_ms(), f"{self._pipeline}/{partition}"
        episode = f"{where}/flow/{of.measure}/events/{offset}"
        is_over = state == "resolved"
        text = f"resolved: {of.over}" if is_over else trouble.text
        value = AlertValue(
            id=f"{episode}/{offset}/resolved" if is_over else f"{episode}/{offset}",
            kind="flow",
            detector=of.measure,
            name=of.measure,
            signal="events",
            partition=partition,
            offset=offset,
            event_time=iso(now_ms),
            learned=task.serving.learned,
            evidence=_evidence(of.measure, trouble),
            message=f"{text} (partition {partition}, offset {offset})",
            severity="warning",
            direction=of.direction,
            state=state,
            episode=episode,
            since=Since(offset, iso(now_ms - round(1000 * trouble.since_s))),
            repeats=1,
            suggestion="nothing: it is over" if is_over else of.suggestion,
        )
        return self._write(value, now_ms)


def _evidence(measure: str, trouble: Trouble) -> Evidence:
    if trouble.value is None:
        return Evidence(None, None, measure=measure, threshold=trouble.threshold)
    return Evidence(
        trouble.threshold, trouble.value, measure=measure, value=trouble.value,
        threshold=trouble.threshold,
    )  # fmt: skip
