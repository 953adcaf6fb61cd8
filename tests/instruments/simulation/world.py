"""The durable world, and the processes that live and die in it.

Everything runs in one thread: a process does something only when it is given a turn, and
`World.faults` is asked at every step of every port call; `World.acting` is the process that calls.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from stream.adapters.memory import MemoryLog, MemoryReader
from stream.adapters.memory.broker import Faults, no_faults
from stream.adapters.memory.group import Member
from stream.core.event import Channel
from stream.core.recipe import Recipe
from stream.core.snapshots.seal import Keys
from stream.core.spec import DetectorSpec, EventShape, ModelSpec
from stream.models.fast import quick
from stream.runtime import assembly
from stream.runtime.assembly import wired
from stream.runtime.breaker import NEVER, Limit
from stream.runtime.commit_policy import CommitPolicy
from stream.runtime.control import Control
from stream.runtime.generations import generation_at_start
from stream.runtime.labelling import Labels
from stream.runtime.labels_topic import LabelsTopic
from stream.runtime.retention import Policy
from stream.runtime.snapshotter import Snapshotter
from stream.runtime.sources import OnChange, Sources
from stream.runtime.worker import Worker
from stream.telemetry import LogEvent
from tests.instruments.simulation.cache import Cache, CachedSnapshots
from tests.instruments.simulation.clock import ManualClock
from tests.instruments.simulation.control_topic import ControlReader, ControlTopic
from tests.instruments.simulation.doubles import (
    Deadlines,
    Diary,
    Jobs,
    Line,
    PositionedLog,
    StrictBroker,
)
from tests.instruments.simulation.labels_source import LabelsReader, LabelsSource
from tests.instruments.simulation.plain_fold import DETECTOR
from tests.instruments.simulation.violation import Violation
from tests.instruments.simulation.workload import LIMITS

PIPELINE = "sim"
NAMES = {channel: f"{PIPELINE}.{channel.value}" for channel in Channel}
KEY = b"k" * 32
BREATH_S = 0.005


class _Recipe(Recipe):
    """What `Recipe` asks the machine for does not change in one process."""

    def parts(self) -> dict[str, str]:
        """See `Recipe.parts`."""
        known: dict[str, dict[str, str]] = self.__dict__
        if "_parts" not in known:
            known["_parts"] = super().parts()
        return known["_parts"]

    def fingerprint(self) -> str:
        """See `Recipe.fingerprint`."""
        known: dict[str, str] = self.__dict__
        if "_fingerprint" not in known:
            known["_fingerprint"] = super().fingerprint()
        return known["_fingerprint"]


RECIPE = _Recipe(
    pipeline=PIPELINE,
    events_topic=NAMES[Channel.EVENTS],
    model=ModelSpec(factory="tests.instruments.simulation.model:Brittle"),
    detectors=(DetectorSpec(name="ph", type="PageHinkley", params=dict(DETECTOR)),),
    shape=EventShape(),
    limits=LIMITS,
    hash_seed=0,
    quicken=quick,
)

_TELLING = frozenset(("flush:after", "end:after", "save:after", "remove:after"))
_UNWATCHED = frozenset(
    ("save:before", "save:after", "remove:before", "remove:after", "stored", "look")
)
"""The snapshots' steps run beside the loop, on the executor; so does the look for commands."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """The classes that processes are made of; a planted bug is another class in one place."""

    worker: type[Worker] = Worker
    snapshotter: type[Snapshotter] = Snapshotter
    log: type[MemoryLog] = PositionedLog
    store: type[CachedSnapshots] = CachedSnapshots
    reader: type[MemoryReader] = MemoryReader


@dataclass(slots=True, eq=False, kw_only=True)
class Process:
    """One worker's process.

    Attributes:
        control: reads commands; None: it takes none.
        labels: reads labels; None: they come in no topic of their own.
        last_member: its membership when it closed the log, which outlives it if it is static.
    """

    name: str
    instance: str | None
    worker: Worker
    log: MemoryLog
    jobs: Jobs
    deadlines: Deadlines
    telemetry: Diary
    stopping: threading.Event
    control: Control | None = None
    labels: LabelsTopic | None = None
    last_member: Member | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How processes are configured, as far as the simulation varies it."""

    recipe: Recipe = RECIPE
    start: Literal["earliest", "latest"] = "earliest"
    on_change: OnChange = "refuse"
    until_end: bool = False
    are_jobs_late: bool = False
    commit_interval_s: float = 0.02
    fold_s_max: float = 0.02
    replay_budget_s: float = 0.02
    keep: int = 2
    retention_s: float | None = None
    limit: Limit = NEVER
    may_repeat: bool = False
    is_commanded: bool = False
    has_labels_topic: bool = False
    patience_s: float = 1.0


class World:
    """Broker, snapshots and clock; and the makers of processes.

    Attributes:
        faults: asked at each step of a port call; whatever it raises is that step's failure.
        watcher: called at each step that may have made something visible.
        acting: the process whose turn it is.
        commands: the control topic, and all that was sent to it.
        labels: the labels topic, in the same way.
        is_looking: asked before each turn: whether commands are looked for; a look may be slow.
        is_reading: the same of labels.
        told: what was said of labels that are lost, and of recipes that changed.
    """

    def __init__(
        self,
        clock: ManualClock,
        *,
        partitions_n: int,
        parts: Parts,
        jitter: Callable[[], float] = lambda: 0.5,
        note: Callable[[str], None] | None = None,
    ) -> None:
        self.clock = clock
        self.note = note
        self.broker = StrictBroker(clock=clock, faults=self._on_step)
        self.cache = Cache(clock)
        self.faults: Faults = no_faults
        self.watcher: Callable[[], None] = lambda: None
        self.acting: Process | None = None
        self.commands = ControlTopic(self.broker, NAMES[Channel.CONTROL])
        self.labels = LabelsSource(self.broker, NAMES[Channel.LABELS])
        self.is_looking: Callable[[], bool] = lambda: True
        self.is_reading: Callable[[], bool] = lambda: True
        self.told: list[Line] = []
        self._parts = parts
        self._jitter = jitter
        for channel in Channel:
            self.broker.create(NAMES[channel], partitions=partitions_n)

    @property
    def topic_id(self) -> str:
        """Of the events topic."""
        return self.broker.topic(NAMES[Channel.EVENTS]).topic_id

    def start(self, options: Options | None = None, *, instance: str | None = None) -> Process:
        """A new process, as `stream.runtime.assembly` puts it together."""
        options = options or Options()
        parts, name = self._parts, f"w{self.broker.serial()}"
        log = parts.log(self.broker, names=NAMES, group=PIPELINE, instance=instance)
        store = parts.store(self.cache, pipeline=PIPELINE, clock=self.clock, faults=self._on_step)
        telemetry, deadlines = Diary(name, self.note, self.told), Deadlines(self.clock)
        jobs, stopping = Jobs(are_late=options.are_jobs_late), threading.Event()
        reader = parts.reader(self.broker, names=NAMES, group=PIPELINE, batch_records_max=7)
        control = None
        if options.is_commanded:
            control = Control(self._control_reader, clock=self.clock, telemetry=telemetry)
        labels: Labels | None = None
        if options.has_labels_topic:
            topic = LabelsTopic(
                self._labels_reader, patience_s=options.patience_s, start=options.start,
                clock=self.clock, telemetry=telemetry,
            )  # fmt: skip
            labels = Labels(topic, NAMES[Channel.LABELS], options.patience_s)
        group = self.broker.group(PIPELINE)
        sources = Sources(
            recipe=options.recipe,
            generation=generation_at_start(
                options.recipe,
                group.offsets,
                may_return=lambda: options.on_change == "keep" or not group.members_n(),
            ),
            reader=reader,
            store=store,
            keys=Keys(KEY),
            topic_id=self.topic_id,
            start=options.start,
            on_change=options.on_change,
            clock=self.clock,
            telemetry=telemetry,
            may_repeat=options.may_repeat,
            labels_topic=NAMES[Channel.LABELS] if options.has_labels_topic else None,
        )
        worker = wired(
            sources,
            log=log,
            policy=Policy(
                replay_budget_s=options.replay_budget_s,
                keep=options.keep,
                retention_s=options.retention_s,
            ),
            commit_policy=CommitPolicy(
                commit_interval_s=options.commit_interval_s,
                fold_s_max=options.fold_s_max,
                call_deadline_s=10.0,
                min_gap_s=BREATH_S,
                until_end=options.until_end,
            ),
            executor=jobs,
            watchdog=deadlines,
            stopping=stopping,
            limit=options.limit,
            control=control,
            labels=labels,
            jitter=self._jitter,
            parts=assembly.Parts(parts.worker, parts.snapshotter),
        )
        return Process(
            name=name, instance=instance, worker=worker, log=log, jobs=jobs,
            deadlines=deadlines, telemetry=telemetry, stopping=stopping, control=control,
            labels=labels and labels.topic,
        )  # fmt: skip

    def grow(self) -> None:
        """Each topic gets one more partition, the events' last."""
        partitions_n = 1 + len(self.broker.topic(NAMES[Channel.EVENTS]).partitions)
        for channel in reversed(Channel):
            self.broker.topic(NAMES[channel]).grow(partitions_n)

    def turn(self, process: Process) -> None:
        """One round of its loop; before it is done what threads do beside it: they look."""
        if process.control is not None and self.is_looking():
            self.look(process)
        if process.labels is not None and self.is_reading():
            self.look_at_labels(process)
        self._let(process, process.worker.turn)

    def look_at_labels(self, process: Process) -> None:
        """Let it look for labels."""
        assert process.labels is not None
        self._let(process, process.labels.look)

    def look(self, process: Process) -> None:
        """Let it look for commands."""
        assert process.control is not None
        self._let(process, process.control.look)

    def _labels_reader(self) -> LabelsReader:
        return LabelsReader(self.labels, names=NAMES, group=PIPELINE, batch_records_max=7)

    def _control_reader(self) -> ControlReader:
        return ControlReader(self.broker, names=NAMES, group=PIPELINE, batch_records_max=7)

    def run(self, process: Process) -> None:
        """Its whole life, to the end of `Worker.run`, and the log closed."""
        self._let(process, process.worker.run)
        process.last_member = process.log.member
        process.log.close()

    def stop(self, process: Process) -> None:
        """What SIGTERM does."""
        process.stopping.set()
        self.run(process)

    def run_job(self, process: Process) -> None:
        """Let its executor's thread run one job."""
        self._let(process, process.jobs.run_one)

    def bury(self, process: Process) -> None:
        """The session and the open transaction of a dead or silent process end."""
        member = process.log.member or process.last_member
        if member is not None:
            self.broker.expire(PIPELINE, member)
        self.broker.time_out(process.log.transactional_id)

    def _let(self, process: Process, act: Callable[[], None]) -> None:
        before, self.acting = self.acting, process
        try:
            act()
        finally:
            self.acting = before

    def _on_step(self, step: str) -> None:
        process = self.acting
        is_watched = process is None or process.jobs.is_running or step in _UNWATCHED
        if process is not None and process.deadlines.end_s is None and not is_watched:
            raise Violation(f"{step}: a call without a deadline")
        if step in _TELLING:
            self.watcher()
        self.faults(step)


def rejected(process: Process) -> list[dict[str, object]]:
    """Which stored snapshots it did not trust; a younger owner may have removed one meanwhile."""
    return [
        fields
        for event, fields in process.telemetry.said
        if event is LogEvent.SNAPSHOT_REJECTED and "gone" not in str(fields["why"])
    ]
