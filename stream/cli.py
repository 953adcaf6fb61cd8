"""The composition root: parses the command line, builds the adapters and hands them in.

Nothing else builds an adapter, and nothing else decides how the process ends.
"""

import os
import signal
import threading
import traceback
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from stream import __version__
from stream.demo.command import demo
from stream.errors import ExitCode, Misconfigured, StreamError
from stream.runtime import commands
from stream.telemetry import Telemetry, configure_logging

if TYPE_CHECKING:
    from stream.adapters.kafka_python import Connection
    from stream.config import Settings
    from stream.core.event import Channel
    from stream.ports import Feed, Log, Reader, SnapshotStore, Topics
    from stream.runtime.clock import SystemClock


def run(arguments: Sequence[str]) -> int:
    """Run one command. Returns: the process's exit code (`stream.errors.ExitCode`)."""
    debug = "--debug" in arguments
    words = [a for a in arguments if a != "--debug"]
    configure_logging(debug=debug)
    try:
        return main.main(words, "stream", standalone_mode=False, obj=House.of) or ExitCode.OK
    except Exception as error:  # noqa: BLE001  # the last line of defence: one line and a code, always
        code, text = _ending(error)
        if debug:
            traceback.print_exc()
    for line in text.splitlines():
        click.echo(f"stream: {line}", err=True)
    return code


def _ending(error: Exception) -> tuple[int, str]:
    """The exit code, and what to say."""
    if isinstance(error, StreamError):
        return error.exit_code, str(error)
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        return ExitCode.USAGE, "name a command (see stream --help)"
    if isinstance(error, click.ClickException):
        context = error.ctx if isinstance(error, click.UsageError) else None
        path = "stream" if context is None else context.command_path
        text = " ".join(error.format_message().split())
        return ExitCode.USAGE, f"{text} (see {path} --help)"
    if isinstance(error, click.Abort):
        return 128 + signal.SIGINT, "interrupted"
    text = f"internal failure: {type(error).__name__}: {error} (--debug shows where)"
    return ExitCode.INTERNAL, text


@dataclass(frozen=True)
class House:
    """One pipeline's settings, and the adapters that they choose."""

    settings: "Settings"
    telemetry: Telemetry
    stopping: threading.Event

    @classmethod
    def of(cls, path: Path) -> "House":
        """Read the configuration. Raises: Misconfigured."""
        from stream.config import load  # noqa: PLC0415  # `--help` and `--version` stay quick

        settings = load(path, environ=os.environ)
        if settings.kafka.client == "confluent":
            raise Misconfigured('kafka.client: "confluent" is not built yet; use "kafka-python"')
        return cls(settings, Telemetry(settings.secrets()), threading.Event())

    @property
    def environ(self) -> Mapping[str, str]:
        """The process's environment."""
        return os.environ

    @property
    def embedded(self) -> bool:
        """Whether log and snapshots are one SQLite file."""
        return self.settings.kafka.client == "embedded"

    def log(self) -> "Log":
        """A group member with its writer."""
        from stream.adapters import embedded, kafka_python  # noqa: PLC0415

        settings = self.settings
        exactly_once = settings.delivery.guarantee == "exactly-once"
        if self.embedded:
            return embedded.EmbeddedLog(
                self._file(), names=self._names(), group=settings.pipeline, clock=self.clock()
            )
        return kafka_python.KafkaLog(
            self._connection(),
            timings=settings.timings,
            instance=settings.worker.instance,
            exactly_once=exactly_once,
        )

    def reader(self) -> "Reader":
        """The topics as an outsider sees them."""
        from stream.adapters import embedded, kafka_python  # noqa: PLC0415

        if self.embedded:
            return embedded.EmbeddedReader(
                self._file(),
                names=self._names(),
                group=self.settings.pipeline,
                clock=self.clock(),
            )
        return kafka_python.KafkaReader(self._connection())

    def topics(self) -> "Topics":
        """The topics as an administrator sees them."""
        from stream.adapters import embedded, kafka_python  # noqa: PLC0415

        if self.embedded:
            return embedded.EmbeddedTopics(self._file(), names=self._names())
        return kafka_python.KafkaTopics(self._connection())

    def feed(self) -> "Feed":
        """An upstream's way in."""
        from stream.adapters import embedded, kafka_python  # noqa: PLC0415

        if self.embedded:
            return embedded.EmbeddedFeed(self._file(), names=self._names(), clock=self.clock())
        return kafka_python.KafkaFeed(self._connection())

    def snapshots(self) -> "SnapshotStore":
        """The snapshots' store."""
        from stream.adapters import embedded  # noqa: PLC0415
        from stream.adapters.redis import RedisSnapshots  # noqa: PLC0415

        if self.embedded:
            return embedded.EmbeddedSnapshots(
                self._file(), pipeline=self.settings.pipeline, clock=self.clock()
            )
        url = self.settings.redis.url.get_secret_value()
        return RedisSnapshots(
            url,
            pipeline=self.settings.pipeline,
            clock=self.clock(),
            call_timeout_s=self.settings.timings.store_timeout_s,
        )

    def ask_snapshots(self) -> str | None:
        """Reach the snapshots' store; what an operator should know of it, None if all is well."""
        from stream.adapters.redis import RedisSnapshots  # noqa: PLC0415

        with closing(self.snapshots()) as store:
            return store.ping() if isinstance(store, RedisSnapshots) else None

    def clock(self) -> "SystemClock":
        """Real time, ended early by a stop signal."""
        from stream.runtime.clock import SystemClock  # noqa: PLC0415

        return SystemClock(self.stopping)

    def _names(self) -> "dict[Channel, str]":
        from stream.core.event import Channel  # noqa: PLC0415

        return {channel: self.settings.topics.name(channel) for channel in Channel}

    def _file(self) -> Path:
        assert self.settings.kafka.path is not None  # noqa: S101  # the configuration checked it
        return Path(self.settings.kafka.path)

    def _connection(self) -> "Connection":
        from stream.adapters.kafka_python import Connection  # noqa: PLC0415

        kafka = self.settings.kafka
        return Connection(
            bootstrap_servers=kafka.bootstrap_servers,
            options=kafka.options,
            names=self._names(),
            group=self.settings.pipeline,
        )


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="stream")
def main() -> None:
    """Online learning on event streams, in production: predict, learn, detect drift, exactly once.

    Every command takes --debug, which shows tracebacks and the clients' own logs.
    """


for _command in (commands.produce, commands.check, commands.status, commands.snapshots, demo):
    main.add_command(_command)


@main.command("run")
@commands.config
@click.option("--until-end", is_flag=True, help="Stop once the events there are at start are done.")
def run_worker(path: Path, *, until_end: bool) -> None:
    """Run a worker until SIGTERM or Ctrl-C.

    \b
    Example:
      stream run -c stream.toml
    """  # noqa: D301  # click reads the \b
    from stream.runtime import process, running  # noqa: PLC0415

    house = House.of(path)
    process.with_hash_seed(house.settings)
    process.stop_on_signals(house.stopping)
    running.work(house, until_end=until_end)


@main.command
@click.option("-c", "--config", expose_value=False, help="Not needed: every pipeline can use it.")
@click.argument("what", type=click.Choice(["up"]))
@click.option(
    "--kafka", type=click.Choice(["auto", "docker", "jvm", "embedded"]), default="auto",
    help="Containers, a local JVM, no server at all, or the first that can be had.",
)  # fmt: skip
def sandbox(what: str, kafka: Literal["auto", "docker", "jvm", "embedded"]) -> None:  # noqa: ARG001
    """Bring up a throw-away Kafka and Redis in the foreground; Ctrl-C removes them.

    \b
    Example:
      stream sandbox up
    """  # noqa: D301  # click reads the \b
    from stream.runtime import process  # noqa: PLC0415
    from stream.sandbox import serve  # noqa: PLC0415

    stopping = threading.Event()
    process.stop_on_signals(stopping)
    serve(say=click.echo, stop=stopping, kafka=kafka)
