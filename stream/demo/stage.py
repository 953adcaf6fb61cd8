"""The demo's live part: two workers, one feed, one SIGKILL."""

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from stream.core.event import Channel
from stream.demo.children import Child
from stream.demo.follower import PARTITION, Follower
from stream.demo.pipelines import VICTIM
from stream.demo.screen import Row, Screen
from stream.demo.waiting import READY_WITHIN_S, STALLED_AFTER_S, TICK_S, wait_until
from stream.errors import Internal
from stream.sandbox import Sandbox
from stream.telemetry import LogEvent

DOWN_S = 2.0  # long enough to be seen in the plots
RATE_OVER_S = 2.0

_RESTORED = re.compile(
    rf'{LogEvent.TASK_RESTORED} .*origin="(?P<what>[^"]*) (?P<start>\d+)" next_offset=(?P<end>\d+)'
)


@dataclass(slots=True, kw_only=True)
class Crash:
    """The SIGKILL, and what came of it; seconds since the feed began.

    Attributes:
        published_n: the victim's predictions before it died.
        restarted_s: when the worker was started again.
        back_s: when its next prediction could be read.
        restored: what the restarted worker said of how it got its state back; "" if nothing.
    """

    at_s: float
    pid: int
    published_n: int
    restarted_s: float | None = None
    back_s: float | None = None
    restored: str = ""


@dataclass(slots=True)
class Actor:
    """One pipeline on the stage: its worker, and who reads what it publishes."""

    config: Path
    worker: Child
    follower: Follower


@dataclass(slots=True)
class Stage:
    """Everything that takes part in the demo.

    Attributes:
        events_n: events in the feed's file.
        crash: None until half way.
    """

    screen: Screen
    sandbox: Sandbox
    actors: Sequence[Actor]
    feed: Child
    events_n: int
    crash: Crash | None = None
    _began_s: float = field(default_factory=time.monotonic)

    def perform(self) -> None:
        """Run until every event has its prediction, and both workers have ended well.

        Raises: Failed: a command ended otherwise. Internal: it does not go on.
        """
        for actor in self.actors:
            actor.worker.start()
        doing = "starting one worker for each model"
        wait_until(
            self.screen, self._ready, READY_WITHIN_S, "the workers are not ready", doing=doing
        )
        self.feed.start()
        wait_until(
            self.screen, self._fed, READY_WITHIN_S, "no flight came", doing="starting the feed"
        )
        self._began_s = time.monotonic()
        while not self._finished():
            time.sleep(TICK_S)
            wait_until(self.screen, self._moves, STALLED_AFTER_S, "nothing was published")
        self.screen.note("stopping the workers")
        wait_until(self.screen, self.feed.ended, STALLED_AFTER_S, "the feed does not end")
        for actor in self.actors:
            actor.worker.stop()
            # Nothing more may come; if it does, the verdict has to know.
            actor.follower.look(self._at_s())

    def _ready(self) -> bool:
        """Whether both workers fold: each has committed where its fold begins."""
        self._check()
        return all(actor.follower.reader.committed() for actor in self.actors)

    def _fed(self) -> bool:
        self._check()
        return self.actors[0].follower.reader.bounds(Channel.EVENTS, PARTITION).end > 0

    def _finished(self) -> bool:
        back = self.crash is not None and self.crash.back_s is not None
        return back and all(a.follower.published_n >= self.events_n for a in self.actors)

    def _moves(self) -> bool:
        """Read and show what is new, and see to the crash. Returns: whether anything was new."""
        self._check()
        before_n = sum(actor.follower.published_n for actor in self.actors)
        for actor in self.actors:
            for drift in actor.follower.look(self._at_s()):
                word, style = ("alarm ", "yellow") if drift.worse else ("better", "")
                title = actor.follower.pipeline.title
                self.screen.say(f"{word}   {title}, {drift.text()}", style)
        self.screen.show(self._at_s(), [self._row(actor) for actor in self.actors])
        self._crash_and_restart()
        return sum(actor.follower.published_n for actor in self.actors) > before_n

    def _crash_and_restart(self) -> None:
        """Kill one worker half way, start it again, and notice when it publishes again."""
        victim = next(actor for actor in self.actors if actor.follower.pipeline is VICTIM)
        published_n, crash, now_s = victim.follower.published_n, self.crash, self._at_s()
        if published_n >= self.events_n and (crash is None or crash.restarted_s is None):
            raise Internal("the flights were over before the kill; start the demo again")
        if crash is None:
            if published_n >= self.events_n // 2:
                self.crash = self._kill(victim)
        elif crash.restarted_s is None:
            if now_s - crash.at_s >= DOWN_S:
                self.screen.say(f"start    {VICTIM.title} again", "bold")
                victim.worker.start()
                # What it had published and we had not read yet, when it was killed, counts too.
                crash.published_n, crash.restarted_s = published_n, now_s
        elif crash.back_s is None and published_n > crash.published_n:
            crash.back_s = now_s
            crash.restored = _restored(victim.worker.log_text())
            took_s = now_s - crash.restarted_s
            self.screen.say(f"back     in {took_s:.1f} s: {crash.restored}", "bold green")

    def _kill(self, victim: Actor) -> Crash:
        """End the worker with SIGKILL, and remember when and after how many predictions."""
        crash = Crash(
            at_s=self._at_s(), pid=victim.worker.pid, published_n=victim.follower.published_n
        )
        victim.worker.kill()
        self.screen.say(
            f"kill     SIGKILL for {VICTIM.title} (process {crash.pid}) "
            f"after {crash.published_n:,} predictions",
            "bold red",
        )
        return crash

    def _row(self, actor: Actor) -> Row:
        """Describe one pipeline at this moment for the live table."""
        follower = actor.follower
        state = "running"
        if follower.published_n >= self.events_n:
            state = "done"
        elif self.crash is not None and follower.pipeline is VICTIM:
            killed = "killed" if self.crash.restarted_s is None else "restoring"
            state = killed if self.crash.back_s is None else state
        return Row(
            title=follower.pipeline.title,
            state=state,
            published_n=follower.published_n,
            total_n=self.events_n,
            per_s=follower.per_s(RATE_OVER_S),
            lag_n=follower.samples[-1].lag_n,
            score=follower.score(),
            alarms_n=follower.alarms_n,
        )

    def _check(self) -> None:
        """Raises: Failed, Internal: something ended that must not."""
        down = self.crash is not None and self.crash.restarted_s is None
        for actor in self.actors:
            if not (down and actor.follower.pipeline is VICTIM):
                actor.worker.check_runs()
        self.feed.ended()
        server = self.sandbox.ended()
        if server is not None:
            raise Internal(f"the sandbox's {server} ended by itself; start the demo again")

    def _at_s(self) -> float:
        return time.monotonic() - self._began_s


def committed(actor: Actor) -> int:
    """The pipeline's committed offset; 0 without one."""
    found = actor.follower.reader.committed().get(PARTITION)
    return 0 if found is None else found.offset


def _restored(log: str) -> str:
    """What the worker said last of how it got its state back, in words; "" if nothing."""
    said = list(_RESTORED.finditer(log))
    if not said:
        return ""
    what, start, next_offset = said[-1]["what"], int(said[-1]["start"]), int(said[-1]["end"])
    return f"{what} {start:,}, {next_offset - start:,} flights replayed to offset {next_offset:,}"
