"""The composition root: parses the command line, builds the adapters and hands them in.

Nothing else builds an adapter, and nothing else decides how the process ends.
"""

import logging
import os
import signal
import threading
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol, TypeVar, cast

import click

from stream import __version__
from stream.demo.command import demo
from stream.errors import ExitCode, Misconfigured, StreamError
from stream.printable import escaped
from stream.probing import Connecting
from stream.runtime import signals
from stream.runtime.commands import words
from stream.runtime.patience import Patience
from stream.telemetry import LogEvent, Scrubber, Telemetry, configure_logging

if TYPE_CHECKING:
    from stream.config import Settings
    from stream.core.event import Channel
    from stream.ports import Feed, Log, Reader, SnapshotStore, Topics
    from stream.runtime.clock import SystemClock


def run(arguments: Sequence[str]) -> int:
    """Run one command. Returns: the process's exit code (`stream.errors.ExitCode`)."""
    debug = "--debug" in arguments
    asked = [a for a in arguments if a != "--debug"]
    scrubber = Scrubber()
    configure_logging(scrubber, debug=debug)
    open_pipeline = partial(Pipeline.of, scrubber=scrubber)
    try:
        return main.main(asked, "stream", standalone_mode=False, obj=open_pipeline) or ExitCode.OK
    except Exception as error:  # noqa: BLE001  # the last line of defence: one line and a code, always
        code, text = _ending(error)
        trace = traceback.format_exc()
    from stream.runtime.commands import screen  # noqa: PLC0415  # loads rich: `--help` needs none

    if debug:
        screen.write(map(escaped, scrubber.clean(trace).rstrip().split("\n")), error=True)
    for line in scrubber.clean(text).split("\n"):
        screen.say(f"stream: {line}", error=True)
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


def _say_waiting(text: str) -> None:
    click.echo(f"stream: {text}", err=True)


WORTH_A_WORD_S = 2.0


class _Connecting(Connecting):
    """Says that Kafka is waited for: a worker in its log, a command to whoever waits for it."""

    def __init__(self, telemetry: Telemetry, servers: str) -> None:
        super().__init__()
        self._telemetry = telemetry
        self._servers = servers

    def say(self, why: str, *, left_s: float) -> None:
        """See `Connecting.say`."""
        if left_s < WORTH_A_WORD_S:
            return
        context = click.get_current_context(silent=True)
        if context is not None and context.info_name == "run":
            self._telemetry.say(
                LogEvent.WAITING_FOR_KAFKA,
                level=logging.WARNING,
                servers=self._servers,
                why=why,
                giving_up_in_s=left_s,
            )
            return
        text = f"waiting for Kafka at {self._servers}, giving up in {left_s:.0f} s: {why}"
        click.echo(f"stream: {self._telemetry.clean(text)}", err=True)


_Made = TypeVar("_Made")


class _Kafka(Protocol):
    """What the package of a Kafka client has; all of them take a `Connection` first."""

    Connection: Callable[..., object]
    KafkaLog: "Callable[..., Log]"
    KafkaReader: "Callable[..., Reader]"
    KafkaTopics: "Callable[..., Topics]"
    KafkaFeed: "Callable[..., Feed]"


@dataclass(frozen=True)
class Pipeline:
    """One pipeline's settings, and the adapters that they choose."""

    settings: "Settings"
    telemetry: Telemetry
    stopping: threading.Event
    is_backwards: bool = False
    patience: Patience = field(default_factory=lambda: Patience(_say_waiting))
    connecting: Connecting = field(default_factory=Connecting)
    _joined: threading.Event = field(default_factory=threading.Event)

    @classmethod
    def of(cls, path: Path, *, scrubber: Scrubber | None = None) -> "Pipeline":
        """Read the configuration; `scrubber` learns its secrets. Raises: Misconfigured."""
        from stream.config import load  # noqa: PLC0415  # `--help` and `--version` stay quick

        settings = load(path, environ=os.environ)
        scrubber = scrubber or Scrubber()
        scrubber.learn(settings.secrets())
        telemetry, servers = Telemetry(scrubber), settings.kafka.bootstrap_servers
        connecting = _Connecting(telemetry, servers)
        return cls(settings, telemetry, threading.Event(), connecting=connecting)

    @property
    def environ(self) -> Mapping[str, str]:
        """The process's environment."""
        return os.environ

    @property
    def embedded(self) -> bool:
        """Whether log and snapshots are one SQLite file."""
        return self.settings.kafka.client == "embedded"

    def is_idle(self) -> bool:
        """Whether it only waits for Kafka, and nobody has joined the group yet."""
        is_waiting = self.connecting.is_waiting or self.patience.is_waiting
        return is_waiting and not self._joined.is_set()

    def backwards(self) -> "Pipeline":
        """The same pipeline as the quarantine's redrive sees it."""
        return replace(self, is_backwards=True)

    def log(self, *, record_bytes_max: int | None = None) -> "Log":
        """A group member with its writer, whose batches fit topics that take no larger records."""
        from stream.adapters import embedded  # noqa: PLC0415

        settings = self.settings
        exactly_once = settings.delivery.guarantee == "exactly-once"
        if self.embedded:
            return embedded.EmbeddedLog(
                self._file(), names=self._names(), group=self._group, clock=self.clock()
            )
        kafka, connection = self._kafka()
        log = kafka.KafkaLog(
            connection,
            timings=settings.timings,
            # Of two redrives the younger takes over at once, and a dead one's transaction ends.
            instance="redrive" if self.is_backwards else settings.worker.instance,
            exactly_once=exactly_once or self.is_backwards,
            end_abandoned=self._end_abandoned,
            record_bytes_max=record_bytes_max,
        )
        self._joined.set()
        return log

    def _end_abandoned(self, own_id: str) -> None:
        """What dead nameless workers left open, with the only client that can ask for it."""
        from stream.adapters import kafka_python  # noqa: PLC0415

        options = self.settings.kafka.for_kafka_python()
        connection = self._connection(kafka_python.Connection, options)
        kafka_python.end_abandoned(connection, self.settings.timings, own_id=own_id)

    def reader(self) -> "Reader":
        """The topics as an outsider sees them."""
        from stream.adapters import embedded  # noqa: PLC0415

        if self.embedded:
            return embedded.EmbeddedReader(
                self._file(),
                names=self._names(),
                group=self._group,
                clock=self.clock(),
            )
        kafka, connection = self._kafka()
        return self.patience.through(self.patience.ask(lambda: kafka.KafkaReader(connection)))

    def topics(self) -> "Topics":
        """The topics as an administrator sees them."""
        from stream.adapters import embedded  # noqa: PLC0415

        if self.embedded:
            return embedded.EmbeddedTopics(self._file(), names=self._names())
        kafka, connection = self._kafka()
        return self.patience.through(self.patience.ask(lambda: kafka.KafkaTopics(connection)))

    def feed(self) -> "Feed":
        """An upstream's way in."""
        from stream.adapters import embedded  # noqa: PLC0415

        if self.embedded:
            return embedded.EmbeddedFeed(self._file(), names=self._names(), clock=self.clock())
        kafka, connection = self._kafka()
        return kafka.KafkaFeed(connection)

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
            if not isinstance(store, RedisSnapshots):
                return None
            return self.patience.ask(store.ping)

    def end_patience(self) -> None:
        """From now on no call waits for a server that has just started."""
        self.patience.end()

    def clock(self) -> "SystemClock":
        """Real time, ended early by a stop signal."""
        from stream.runtime.clock import SystemClock  # noqa: PLC0415

        return SystemClock(self.stopping)

    def _names(self) -> "dict[Channel, str]":
        from stream.core.event import Channel  # noqa: PLC0415

        names = {channel: self.settings.topics.name(channel) for channel in Channel}
        if self.is_backwards:
            there, back = Channel.EVENTS, Channel.QUARANTINE
            names[there], names[back] = names[back], names[there]
        return names

    @property
    def _group(self) -> str:
        # No pipeline's name has a dot.
        return self.settings.pipeline + (".redrive" if self.is_backwards else "")

    def _file(self) -> Path:
        assert self.settings.kafka.path is not None  # noqa: S101  # the configuration checked it
        return self.settings.folder / self.settings.kafka.path

    def _kafka(self) -> "tuple[_Kafka, object]":
        """The client's package, and its connection. Raises: Misconfigured: it is not installed."""
        kafka = self.settings.kafka
        name = kafka.client.replace("-", "_")
        try:
            client = cast("_Kafka", import_module(f"stream.adapters.{name}"))
        except ModuleNotFoundError as error:
            raise Misconfigured(
                f'kafka.client: "{kafka.client}" needs {error.name}, which is not installed '
                f"(pip install 'streamfold[{kafka.client}]')"
            ) from error
        return client, self._connection(client.Connection, kafka.options)

    def _connection(self, make: Callable[..., _Made], options: Mapping[str, object]) -> _Made:
        return make(
            bootstrap_servers=self.settings.kafka.bootstrap_servers,
            options=options,
            names=self._names(),
            group=self._group,
            connecting=self.connecting,
        )


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="stream")
def main() -> None:
    """Online learning on event streams, in production: predict, learn, detect drift, exactly once.

    Every command takes --debug, which shows tracebacks and the clients' own logs.
    """


@click.command
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
    from stream.sandbox import serve  # noqa: PLC0415

    stopping = threading.Event()
    signals.listen(stopping)
    serve(say=click.echo, stop=stopping, kafka=kafka)


for _command in (
    words.init,
    words.run,
    words.produce,
    words.check,
    words.status,
    words.tail,
    words.snapshots,
    words.quarantine,
    sandbox,
    demo,
):
    main.add_command(_command)
    # click would cut it where a line of 80 characters ends.
    _command.short_help = (_command.help or "").partition("\n\n")[0]
