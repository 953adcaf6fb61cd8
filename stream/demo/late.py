"""The demo's second act: labels that come a day late, and a worker that is killed in between."""

import csv
import gzip
import json
import time
from collections.abc import Callable
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from itertools import islice
from math import ceil
from pathlib import Path

from stream.core.event import Channel
from stream.demo.children import Child
from stream.demo.follower import PARTITION, Tail
from stream.demo.late_verdict import LateVerdict, judge_late, name_of, order_of
from stream.demo.pipelines import HASH_SEED, LATE, write_config
from stream.demo.screen import LINE_EVERY_S, Screen
from stream.demo.waiting import READY_WITHIN_S, STALLED_AFTER_S, TICK_S, wait_until
from stream.errors import Internal
from stream.ports import Reader
from stream.sandbox import Sandbox

FLIGHTS_N = 3_000
"""Those of the first six days. Fewer are spread over the same days: there must be some before the
first label, and many after it."""

FEED_S = 5.0  # nearly a second for each day: more than a flight may wait for its label
DAY_S = 86_400
DOWN_S = 1.0
COMPARED_WITHIN_S = 600.0


@dataclass(slots=True, kw_only=True)
class LateAct:
    """What happened, and what the comparison found.

    Attributes:
        waiting_n: flights without their label when the worker was killed.
        back_s: so long after the kill its next output could be read.
    """

    waiting_n: int
    back_s: float
    verdict: LateVerdict


@dataclass(slots=True)
class _Stage:
    """One worker, its feed, and what it has published."""

    screen: Screen
    sandbox: Sandbox
    worker: Child
    feed: Child
    tail: Tail
    flights_n: int
    predictions: list[bytes] = field(default_factory=list)
    outcomes: list[bytes] = field(default_factory=list)
    _is_down: bool = False
    _noted_s: float = 0.0

    def perform(self) -> tuple[int, float]:
        """Feed, kill, start again, and wait for the last outcome.

        Returns: `LateAct.waiting_n` and `LateAct.back_s`.
        Raises: Failed: a command ended otherwise. Internal: it does not go on.
        """
        self.worker.start()
        self._wait(self._is_ready, READY_WITHIN_S, "the worker is not ready", "starting a worker")
        self.feed.start()
        self._follow(lambda: len(self.predictions) >= self.flights_n // 2)
        killed_s = time.monotonic()
        self._kill()
        time.sleep(DOWN_S)
        # What it had published and we had not read yet, when it was killed, counts too.
        self._wait(self._look, STALLED_AFTER_S, "the topics do not answer")
        before_n, waiting_n = self._published_n(), len(self.predictions) - len(self.outcomes)
        if len(self.outcomes) >= self.flights_n:
            raise Internal("the labels were over before the kill; start the demo again")
        self.screen.say(f"start    it again; {waiting_n:,} flights wait for their labels", "bold")
        self.worker.start()
        self._is_down = False
        self._follow(lambda: self._published_n() > before_n)
        back_s = time.monotonic() - killed_s
        self.screen.say(f"back     {back_s:.1f} s after the kill", "bold green")
        self._follow(lambda: len(self.outcomes) >= self.flights_n)
        self.screen.note("stopping the worker")
        self._wait(self.feed.ended, STALLED_AFTER_S, "the feed does not end")
        self.worker.stop()
        self._is_down = True
        # Nothing more may come; if it does, the verdict has to know.
        self._wait(self._look, STALLED_AFTER_S, "the topics do not answer")
        return waiting_n, back_s

    def _kill(self) -> None:
        """End the worker with SIGKILL."""
        pid = self.worker.pid
        self.worker.kill()
        self._is_down = True
        done = f"{len(self.predictions):,} predictions and {len(self.outcomes):,} labels"
        self.screen.say(f"kill     SIGKILL for process {pid} after {done}", "bold red")

    def _follow(self, holds: Callable[[], bool]) -> None:
        """Read until something holds. Raises: Internal: nothing is published any more."""
        while not holds():
            time.sleep(TICK_S)
            self._wait(self._moves, STALLED_AFTER_S, "nothing was published")

    def _moves(self) -> bool:
        """Read and show what is new. Returns: whether anything was."""
        before_n = self._published_n()
        self._look()
        if time.monotonic() - self._noted_s >= LINE_EVERY_S and self.predictions:
            self._noted_s = time.monotonic()
            self.screen.note(
                f"{len(self.predictions):,} of {self.flights_n:,} flights predicted, "
                f"{len(self.outcomes):,} labels learned"
            )
        return self._published_n() > before_n

    def _look(self) -> bool:
        """Read what is new; the outcomes first, so that each has its prediction. Returns: True."""
        self._check()
        for channel, into in (
            (Channel.OUTCOMES, self.outcomes), (Channel.PREDICTIONS, self.predictions),
        ):  # fmt: skip
            for record in self.tail.new(channel):
                into.append(record.value or b"")
        return True

    def _published_n(self) -> int:
        return len(self.predictions) + len(self.outcomes)

    def _is_ready(self) -> bool:
        self._check()
        return bool(self.tail.reader.committed())

    def _check(self) -> None:
        """Raises: Failed, Internal: something ended that must not."""
        if not self._is_down:
            self.worker.check_runs()
        self.feed.ended()
        server = self.sandbox.ended()
        if server is not None:
            raise Internal(f"the sandbox's {server} ended by itself; start the demo again")

    def _wait(
        self, holds: Callable[[], bool], within_s: float, problem: str, doing: str = ""
    ) -> None:
        wait_until(self.screen, holds, within_s, problem, doing=doing)


def perform_late(
    screen: Screen,
    sandbox: Sandbox,
    folder: Path,
    *,
    open_reader: Callable[[Path], Reader],
    flights: Path,
    flights_n: int,
) -> LateAct:
    """Perform the second act, compare, and say what was found.

    `flights` is the file of all flights; `flights_n` how many the first act had.

    Raises: Failed: a command ended otherwise. Internal: it does not go on.
    """
    path, delays_s = _cut(flights, min(flights_n, FLIGHTS_N), folder)
    with ExitStack() as stack:
        config = write_config(LATE, sandbox, folder)
        reader = stack.enter_context(closing(open_reader(config)))
        worker = Child("worker late", "-m", "stream", "run", "-c", str(config), folder=folder)
        feed = Child(
            "feed late", "-m", "stream", "produce", "-c", str(config), str(path), "--id", "id",
            "--label", "late", "--time", "time", "--delay", "told_after",
            "--rate", f"{2 * len(delays_s) / FEED_S:.0f}/s", folder=folder,
        )  # fmt: skip
        for child in (worker, feed):
            stack.callback(child.kill)
        screen.say("")
        what = "each label comes a day later, in a topic of its own"
        screen.say(f"late     {len(delays_s):,} flights; {what}")
        stage = _Stage(screen, sandbox, worker, feed, Tail(reader), len(delays_s))
        waiting_n, back_s = stage.perform()
        screen.note("comparing with a plain loop that is told in which order labels came")
        found = reader.committed().get(PARTITION)
        verdict = judge_late(
            stage.predictions, stage.outcomes, delays_s=delays_s,
            committed=0 if found is None else found.offset,
            expected=_plain_loop(stack, stage, path),
        )  # fmt: skip
    act = LateAct(waiting_n=waiting_n, back_s=back_s, verdict=verdict)
    _say(screen, act)
    return act


def _cut(flights: Path, wanted_n: int, folder: Path) -> tuple[Path, list[int]]:
    """Write the file of this act: flights with an id, told a day after they land.

    Returns: the file; and for each flight how many seconds later its label comes.
    """
    path, delays_s = folder / "flights-late.csv.gz", []
    with (
        gzip.open(flights, "rt", encoding="utf-8", newline="") as file,
        gzip.open(path, "wt", encoding="utf-8", newline="") as out,
    ):
        reader = csv.DictReader(file)
        writer = csv.writer(out)
        writer.writerow(["id", *(reader.fieldnames or ()), "told_after"])
        for i, row in enumerate(islice(reader, 0, FLIGHTS_N, ceil(FLIGHTS_N / wanted_n))):
            delays_s.append(DAY_S + 60 * int(row["duration_min"]))
            writer.writerow([name_of(i), *row.values(), delays_s[-1]])
    return path, delays_s


def _plain_loop(stack: ExitStack, stage: _Stage, flights: Path) -> list[str]:
    """Run the plain loop. Returns: its lines. Raises: Failed, Internal."""
    order, out = flights.with_name("late-order.json"), flights.with_name("late.jsonl")
    order.write_text(json.dumps(order_of(stage.outcomes)), encoding="utf-8")
    program = str(Path(__file__).parent / "late_loop.py")
    # -P: this folder must not be importable, its modules are no top-level ones.
    loop = Child(
        "plain loop late", "-P", program, str(flights), LATE.factory, json.dumps(LATE.params),
        str(order), str(out), folder=out.parent, hash_seed=HASH_SEED,
    )  # fmt: skip
    stack.callback(loop.kill)
    loop.start()
    wait_until(stage.screen, loop.ended, COMPARED_WITHIN_S, "the plain loop did not end")
    return out.read_text(encoding="utf-8").splitlines()


def _say(screen: Screen, act: LateAct) -> None:
    """Say what was found; when the worker was back is said already."""
    found = act.verdict
    once = "each has exactly one outcome"
    if found.odd_n or found.outcomes_n != found.labels_n:
        once = f"{found.outcomes_n:,} outcomes, {found.odd_n:,} of them wrong"
    screen.note("")
    screen.say(f"labels   {found.labels_n:,}, median delay {found.delay_h:.1f} h; {once}")
    if found.exact:
        screen.say("exact    same as a plain loop that is told their order: yes", "bold green")
        return
    wrong = f"{found.different_n:,} differ, {found.missing_n:,} missing"
    screen.say(f"wrong    same as a plain loop that is told their order: no; {wrong}", "bold red")
