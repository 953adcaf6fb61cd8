"""Says when no more events come, by the wall clock: the one alert that is outside of the fold.

A replay does not repeat it: its id follows from the offset at which the partition is silent, so
that after a restart, which waits once more, the same alert comes under the same id.
"""

from collections.abc import Callable, Collection, Mapping
from typing import Final

from stream.core.event import Output, iso
from stream.core.fold.task import Task
from stream.core.result import AlertValue, Evidence, Since
from stream.ports import Clock

_SUGGESTION: Final = {
    "firing": "see whether whoever writes the events still runs",
    "resolved": "nothing: it is over",
}

Write = Callable[[AlertValue, int], Output]
"""Makes of an alert, and its timestamp, the record to publish."""


class Silence:
    """Watches how long ago each partition's last event came.

    Args:
        after_s: so long is silence; None: nothing is watched.
        pipeline: its name begins the ids.
        write: see `Write`.
    """

    def __init__(self, after_s: float | None, *, pipeline: str, write: Write, clock: Clock) -> None:
        self._after_s = after_s
        self._pipeline = pipeline
        self._write = write
        self._clock = clock
        self._heard: dict[int, float] = {}  # partition -> when
        self._told: dict[int, int] = {}  # partition -> the offset it is silent at

    @property
    def is_watched(self) -> bool:
        """Whether anything is."""
        return self._after_s is not None

    def heard(self, partitions: Collection[int]) -> None:
        """Note that events of these came just now."""
        if partitions and self.is_watched:
            self._heard.update(dict.fromkeys(partitions, self._clock.monotonic()))

    def look(self, tasks: Mapping[int, Task], publish: Callable[[list[Output]], None]) -> int:
        """Publish what there is to tell.

        Args:
            tasks: of the partitions that fold, all committed.
            publish: makes records durable. What it raises is raised, and all is told again later.

        Returns: how many alerts were published.
        """
        if self._after_s is None:
            return 0
        now = self._clock.monotonic()
        self._heard = {p: self._heard.get(p, now) for p in tasks}  # it begins where one is ours
        told = {p: offset for p, offset in self._told.items() if p in tasks}
        outputs = []
        for partition, task in tasks.items():
            is_silent = now - self._heard[partition] >= self._after_s
            if is_silent and partition not in told:
                told[partition] = task.next_offset
                outputs.append(self._output(task, task.next_offset, "firing"))
            elif not is_silent and partition in told:
                outputs.append(self._output(task, told.pop(partition), "resolved"))
        if outputs:
            publish(outputs)
        self._told = told
        return len(outputs)

    def _output(self, task: Task, offset: int, state: str) -> Output:
        """One alert of a partition that is silent at an offset, or was."""
        now_ms, where = self._clock.now_ms(), f"{self._pipeline}/{task.partition}"
        episode = f"{where}/flow/silence/events/{offset}"
        after_s = self._after_s or 0.0
        text = f"no event for {after_s:g} s (partition {task.partition}, offset {offset})"
        if state == "resolved":
            text = f"resolved: events come again (partition {task.partition}, offset {offset})"
        value = AlertValue(
            id=f"{episode}/{offset}" if state == "firing" else f"{episode}/{offset}/resolved",
            kind="flow",
            detector="silence",
            name="silence",
            signal="events",
            partition=task.partition,
            offset=offset,
            event_time=iso(now_ms),
            learned=task.serving.learned,
            evidence=Evidence(None, None, measure="silence", threshold=after_s),
            message=text,
            severity="warning",
            direction="changed",
            state=state,
            episode=episode,
            since=Since(offset, iso(now_ms - round(1000 * after_s))),
            repeats=1,
            suggestion=_SUGGESTION[state],
        )
        return self._write(value, now_ms)
