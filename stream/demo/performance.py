"""The whole demo, from the sandbox to the report."""

import gzip
import importlib.util
import json
import os
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from itertools import islice
from pathlib import Path
from typing import Literal

from stream import sandbox as sandboxes
from stream.demo.children import Child, Failed
from stream.demo.follower import Follower
from stream.demo.late import LateAct, perform_late
from stream.demo.pipelines import (
    ADWIN_DELTA,
    HASH_SEED,
    STEADY,
    VICTIM,
    Pipeline,
    write_config,
)
from stream.demo.screen import LINE_EVERY_S, Screen, open_screen
from stream.demo.stage import Actor, Stage, committed
from stream.demo.verdict import Verdict, judge
from stream.demo.waiting import TICK_S
from stream.errors import Internal, Misconfigured, Usage
from stream.ports import Reader
from stream.sandbox.guard import own_folder

FLIGHTS = Path(__file__).parent / "data" / "flights.csv.gz"
FLIGHTS_N = 45_000
EVENTS_N_MIN = 500  # fewer, and no worker could be killed half way

FLIGHTS_PER_S = 1_700  # both workers keep up with it on two busy cores
FEED_S_MIN = 8.0  # shorter, and a shortened stream were over before half way is seen

COMPARED_WITHIN_S = 600.0

OpenReader = Callable[[Path], Reader]


def run(
    *,
    open_reader: OpenReader,
    kafka: Literal["auto", "docker", "jvm", "embedded"] = "auto",
    report: Path = Path("demo-report.html"),
    events_n: int | None = None,
) -> None:
    """Perform, compare, and write the report; nothing else stays behind, however it ends.

    Args:
        open_reader: the topics of the pipeline that a configuration file describes.
        kafka: which sandbox, see `stream.sandbox.start`.
        report: the HTML file to write.
        events_n: how many flights; None: all 45,000.

    Raises:
        Usage: `report` or `events_n` cannot be.
        Misconfigured: the extra `demo` is not installed.
        Internal: something failed, or the outputs are not those of an undisturbed run.
        Retryable: the sandbox that was asked for cannot be had.
    """
    flights_n = _checked(report, events_n)
    began_s = time.monotonic()
    with ExitStack() as stack:
        screen = stack.enter_context(open_screen())
        folder = stack.enter_context(own_folder(None, name="streamfold-demo"))
        screen.note("bringing up Kafka and Redis")
        sandbox = stack.enter_context(sandboxes.start(say=screen.say, kafka=kafka))
        stage = _stage(stack, screen, sandbox, folder, open_reader=open_reader, flights_n=flights_n)
        try:
            _announce(screen, flights_n)
            stage.perform()
            verdicts = _verdicts(stack, stage, folder)
            _summarise(screen, stage, verdicts)
            late = perform_late(
                screen, sandbox, folder, open_reader=open_reader, flights=FLIGHTS,
                flights_n=flights_n,
            )  # fmt: skip
        except Failed as error:
            for line in error.log_tail:
                screen.say(f"  | {line}", "dim")
            raise
        _report(report, stage, verdicts, late, took_s=time.monotonic() - began_s)
        screen.note("")
        screen.say(f"report   {report}")
        if not (late.verdict.exact and all(verdict.exact for verdict in verdicts)):
            raise Internal("the published outputs are not those of an undisturbed run")


def _checked(report: Path, events_n: int | None) -> int:
    """Refuse what would fail after minutes of work. Returns: how many flights to feed."""
    if importlib.util.find_spec("jinja2") is None:
        raise Misconfigured(
            "the report needs jinja2: pip install '.[demo]' in the project's folder"
        )
    if report.is_dir() or not os.access(report.resolve().parent, os.W_OK):
        raise Usage(f"--report: {report} cannot be written; name a file in a folder of yours")
    flights_n = FLIGHTS_N if events_n is None else events_n
    if not EVENTS_N_MIN <= flights_n <= FLIGHTS_N:
        raise Usage(f"--events: {flights_n} is not between {EVENTS_N_MIN} and {FLIGHTS_N}")
    return flights_n


def _stage(
    stack: ExitStack,
    screen: Screen,
    sandbox: sandboxes.Sandbox,
    folder: Path,
    *,
    open_reader: OpenReader,
    flights_n: int,
) -> Stage:
    """Prepare both pipelines, their workers and the feed; at its end `stack` kills what runs."""
    actors = []
    for pipeline in (STEADY, VICTIM):
        config = write_config(pipeline, sandbox, folder)
        reader = stack.enter_context(closing(open_reader(config)))
        arguments = "-m", "stream", "run", "-c", str(config)
        worker = Child(f"worker {pipeline.name}", *arguments, folder=folder)
        stack.callback(worker.kill)
        actors.append(Actor(config, worker, Follower(pipeline, reader)))
    rate = min(FLIGHTS_PER_S, flights_n / FEED_S_MIN)
    flights = _cut(flights_n, folder)
    feed = Child(
        "feed", "-m", "stream", "produce", "-c", str(actors[0].config), str(flights),
        "--label", "late", "--time", "time", "--rate", f"{rate:.0f}/s", folder=folder,
    )  # fmt: skip
    stack.callback(feed.kill)
    return Stage(screen, sandbox, actors, feed, flights_n)


def _cut(flights_n: int, folder: Path) -> Path:
    """The file with the first so many flights."""
    if flights_n == FLIGHTS_N:
        return FLIGHTS
    path = folder / "flights.csv"
    with gzip.open(FLIGHTS, "rt", encoding="utf-8") as flights:
        path.write_text("".join(islice(flights, flights_n + 1)), encoding="utf-8")
    return path


def _announce(screen: Screen, flights_n: int) -> None:
    screen.say(f"stream   {flights_n:,} flights out of Houston in 2011: will each arrive late?")
    for pipeline in (STEADY, VICTIM):
        screen.say(f"model    {pipeline.title}: {pipeline.how}")


def _verdicts(stack: ExitStack, stage: Stage, folder: Path) -> list[Verdict]:
    """Run the plain loops beside each other, and compare."""
    stage.screen.say("compare  with a plain loop over the same flights that nobody disturbs")
    loops = []
    for actor in stage.actors:
        out = folder / f"{actor.follower.pipeline.name}.jsonl"
        loops.append((_plain_loop(actor.follower.pipeline, stage.events_n, out), actor, out))
    for loop, _, _ in loops:
        stack.callback(loop.kill)
        loop.start()
    began_s = noted_s = time.monotonic()
    while not all(loop.ended() for loop, _, _ in loops):
        time.sleep(TICK_S)
        now_s = time.monotonic()
        if now_s - began_s > COMPARED_WITHIN_S:
            raise Internal(f"the plain loops did not end within {COMPARED_WITHIN_S:.0f} s")
        if now_s - noted_s >= LINE_EVERY_S:
            done_n, noted_s = min(_lines_n(out) for _, _, out in loops), now_s
            stage.screen.note(f"the plain loops have done {done_n:,} of {stage.events_n:,}")
    return [_verdict(actor, out) for _, actor, out in loops]


def _lines_n(path: Path) -> int:
    return path.read_bytes().count(b"\n") if path.exists() else 0


def _plain_loop(pipeline: Pipeline, flights_n: int, out: Path) -> Child:
    program = str(Path(__file__).parent / "plain_loop.py")
    # -P: this folder must not be importable, its modules are no top-level ones.
    return Child(
        f"plain loop {pipeline.name}", "-P", program, str(FLIGHTS), pipeline.factory,
        json.dumps(pipeline.params), str(ADWIN_DELTA), str(flights_n), str(out),
        folder=out.parent, hash_seed=HASH_SEED,
    )  # fmt: skip


def _verdict(actor: Actor, expected: Path) -> Verdict:
    follower = actor.follower
    return judge(
        [record.value or b"" for record in follower.predictions],
        [drift.offset for drift in follower.drifts if drift.kind == "drift"],
        committed=committed(actor),
        expected=expected,
    )


def _summarise(screen: Screen, stage: Stage, verdicts: Sequence[Verdict]) -> None:
    """Show what each pipeline published, compared with the undisturbed loop."""
    rows = []
    for actor, verdict in zip(stage.actors, verdicts, strict=True):
        rows.append([
            actor.follower.pipeline.title,
            f"{verdict.published_n:,}",
            f"{verdict.missing_n:,}",
            f"{verdict.repeated_n:,}",
            f"{verdict.different_n:,}",
            "same" if verdict.alarms_equal else "others",
            f"{verdict.committed:,}",
        ])  # fmt: skip
    title = f"Published, against an undisturbed plain loop over the {stage.events_n:,} flights"
    columns = ("pipeline", "published", "missing", "twice", "differ", "alarms", "committed")
    screen.table(title, columns, rows)
    if all(verdict.exact for verdict in verdicts):
        screen.say("exact    every prediction is there once, equal in every bit", "bold green")


def _report(
    path: Path, stage: Stage, verdicts: Sequence[Verdict], late: LateAct, *, took_s: float
) -> None:
    from stream.demo.report import render  # noqa: PLC0415  # it needs the extra `demo`

    text = render(stage, verdicts, late, took_s=took_s)
    path.write_text(text, encoding="utf-8")
