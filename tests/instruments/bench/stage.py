"""The servers and folders of one bench, and how a loop is run on them."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from stream.cli import Pipeline
from stream.core.event import Channel
from stream.runtime import process
from stream.runtime.topics import ready_topics
from stream.sandbox import start
from stream.sandbox.kafka_settings import JVM_BRIEF
from tests.instruments.bench import digest, environments
from tests.instruments.bench.events import KEY, encoded
from tests.instruments.bench.loops import Loop
from tests.instruments.bench.meter import Figures, Spec, read_figures
from tests.instruments.bench.topics import Topics

REPOSITORY = Path(__file__).resolve().parents[3]
RUN_WITHIN_S = 900.0

CONFIG = """pipeline = "{name}"
[kafka]
client = "{client}"
[topics]
events = "{events}"
[model]
factory = "tests.instruments.bench.step:make_model"
params = {{ kind = "{model}" }}
hash_seed = 0
[delivery]
guarantee = "{guarantee}"
commit_interval_ms = {commit_interval_ms}
[snapshots]
recovery_time_s = 10
[alerts]
policy = "{alerts}"
"""

NAMED = '[worker]\ninstance = "w-0"\n'
"""As docs/scale.md has every worker: one without a name snapshots oftener."""

Say = Callable[[str], None]


class Failed(Exception):
    """A loop did not come to its end; the text says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """What one run of a loop took, and said.

    Attributes:
        digest: of its published predictions.
        outputs_n: how many there are.
    """

    figures: Figures
    digest: str
    outputs_n: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """Where loops run.

    Attributes:
        kind: of the sandbox: docker, jvm or embedded.
        servers: environment variables that lead our worker to Kafka and Redis.
        topics: None without a Kafka.
    """

    kind: str
    folder: Path
    servers: Mapping[str, str]
    topics: Topics | None
    say: Say

    @property
    def bootstrap(self) -> str:
        """Kafka's address; empty without one."""
        return self.servers.get("STREAM__KAFKA__BOOTSTRAP_SERVERS", "")

    def fill(self, model: str, n: int, *, embedded: bool) -> None:
        """Write the events of a model's loops. Raises: KafkaException, StreamError."""
        if self.topics is not None:
            self.topics.fill(_events(model), n)
        if embedded:
            self.fill_embedded(
                self.config(f"feed-{model}", model=model, client="embedded"), encoded(n)
            )

    def fill_embedded(self, config: Path, values: Iterable[bytes]) -> None:
        """Write events into the SQLite file of a configuration. Raises: StreamError."""
        pipeline = Pipeline.of(config)
        with closing(pipeline.backend.topics()) as topics:
            ready_topics(topics, pipeline.settings, pipeline.telemetry)
        with closing(pipeline.backend.feed()) as feed:
            for value in values:
                feed.send(value, key=KEY, timestamp_ms=None)
            feed.flush(timeout_s=RUN_WITHIN_S)

    def config(
        self,
        name: str,
        *,
        model: str = "lr",
        events: str | None = None,
        client: str,
        guarantee: str = "exactly-once",
        commit_interval_ms: int = 200,
        alerts: str = "raw",
        more: str = "",
    ) -> Path:
        """A configuration of ours, whose path is NAME.toml in the stage's folder.

        Args:
            name: the pipeline's.
            model: of `step.MODELS`.
            events: their topic; None: the model's.
            client: the worker's.
            guarantee: the worker's.
            commit_interval_ms: the worker's.
            alerts: the worker's policy.
            more: further tables.
        """
        text = CONFIG.format(
            name=name, client=client, events=events or _events(model), model=model,
            guarantee=guarantee, commit_interval_ms=commit_interval_ms, alerts=alerts,
        )  # fmt: skip
        if client == "embedded":
            text = text.replace("[topics]", f'path = "{self.folder / "log.sqlite3"}"\n[topics]')
        path = self.folder / f"{name}.toml"
        path.write_text(text + more)
        return path

    def run(self, loop: Loop, *, model: str, n: int, name: str) -> Ran:
        """One run of a loop, and its predictions as an outsider reads them.

        Args:
            loop: its environment is made if need be.
            model: of `step.MODELS`.
            n: how many events the model's topic holds.
            name: of the run; no other has it.

        Raises: Failed, environments.Unavailable.
        """
        ours = loop.module == "ours"
        own = self.folder / name
        own.mkdir()
        more: dict[str, str] = {}
        if ours:
            config = self.config(
                name, model=model, client=loop.variant, guarantee=loop.guarantee,
                alerts=loop.alerts, more=NAMED,
            )  # fmt: skip
            more["config"] = str(config)
        elif loop.needs_kafka:
            assert self.topics is not None
            self.topics.create(name)
        spec = Spec(
            variant=loop.variant, model=model, events_n=n, folder=str(own), name=name,
            bootstrap=self.bootstrap, topic=_events(model), more=more,
        )  # fmt: skip
        try:
            figures = self.child(loop, spec)
            if loop.module == "bare":
                told = figures.more.get("digest", "")
                return Ran(figures=figures, digest=told, outputs_n=n)
            values = list(self._predictions(name, more.get("config")))
            return Ran(
                figures=figures, digest=digest.digest(digest.read(values)), outputs_n=len(values)
            )
        finally:
            if self.topics is not None:
                self.topics.remove(name)

    def child(self, loop: Loop, spec: Spec, *, within_s: float = RUN_WITHIN_S) -> Figures:
        """Run a loop as a process of its own until it tells its figures. Raises: Failed."""
        python = environments.python(loop.environment, say=self.say)
        command = [str(python), "-m", f"tests.instruments.bench.peers.{loop.module}", spec.dumps()]
        log = self.folder / f"{spec.name}.log"
        with log.open("wb") as errors:
            child = subprocess.Popen(
                command, cwd=REPOSITORY, env=self.environment(spec), stdout=subprocess.PIPE,
                stderr=errors, text=True, start_new_session=True,
            )  # fmt: skip
            try:
                output, _ = child.communicate(timeout=within_s)
            except subprocess.TimeoutExpired as error:
                raise Failed(f"{loop.name}: no end within {within_s:.0f} s") from error
            finally:
                _end(child)
        figures = read_figures(output)
        if figures is None:
            lines = log.read_text(errors="replace").strip().splitlines() or ["it said nothing"]
            raise Failed(f"{loop.name}: exit {child.returncode}: {lines[-1]}")
        return figures

    def environment(self, spec: Spec | None = None) -> dict[str, str]:
        """Of a loop's process. `STREAM__KAFKA__CLIENT` is each configuration's own."""
        config = None if spec is None else spec.more.get("config")
        # What `stream run` begins anew with, before it works.
        workers = {} if config is None else process.environment(Pipeline.of(Path(config)).settings)
        servers = {
            name: value
            for name, value in self.servers.items()
            if name not in {"STREAM__KAFKA__CLIENT", "STREAM__KAFKA__PATH"}
        }
        return {
            **os.environ, **servers, "PYTHONHASHSEED": "0", "PYTHONPATH": str(REPOSITORY),
            "XDG_STATE_HOME": str(self.folder), **workers,
        }  # fmt: skip

    def _predictions(self, name: str, config: str | None) -> Iterator[bytes]:
        if config is None or 'client = "embedded"' not in Path(config).read_text():
            assert self.topics is not None
            yield from self.topics.read(name if config is None else f"{name}.predictions")
            return
        with closing(Pipeline.of(Path(config)).backend.reader()) as reader:
            bounds = reader.bounds(Channel.PREDICTIONS, 0)
            for batch in reader.read(Channel.PREDICTIONS, 0, bounds.start, bounds.end):
                yield from (record.value or b"" for record in batch)


@contextmanager
def opened(
    folder: Path,
    *,
    kafka: Literal["auto", "docker", "jvm", "embedded"],
    say: Say,
    jvm: Sequence[str] = JVM_BRIEF,
) -> Iterator[Stage]:
    """A throw-away Kafka and Redis for the time of a bench. Raises: Unavailable, NotReady."""
    with start(say=say, kafka=kafka, folder=folder, jvm=jvm) as sandbox:
        address = sandbox.bootstrap_servers
        yield Stage(
            kind=sandbox.kind,
            folder=folder,
            servers=sandbox.environment(),
            topics=None if address is None else Topics(address),
            say=say,
        )


def _events(model: str) -> str:
    return f"events-{model}"


def _end(process: "subprocess.Popen[str]") -> None:
    """Whatever a loop has left running; it is the leader of a session of its own."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            return
        process.poll()
        time.sleep(0.02)
