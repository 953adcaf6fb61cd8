"""The composition root: parses the command line, builds the adapters and hands them in.

Nothing else builds an adapter, and nothing else decides how the process ends.
"""

import os
import signal
import sys
import threading
import traceback
from collections.abc import Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from stream import __version__
from stream.errors import ExitCode, Misconfigured, StreamError
from stream.telemetry import Event, Telemetry, configure_logging

if TYPE_CHECKING:
    from stream.adapters.kafka_python import Connection
    from stream.config import Settings
    from stream.core.event import Channel
    from stream.ports import Feed, Log, Reader, SnapshotStore, Topics
    from stream.runtime.clock import SystemClock

_config = click.option(
    "-c", "--config", "path", required=True, type=click.Path(path_type=Path),
    help="The pipeline's TOML file.",
)  # fmt: skip


def run(arguments: Sequence[str]) -> int:
    """Run one command. Returns: the process's exit code (`stream.errors.ExitCode`)."""
    debug = "--debug" in arguments
    configure_logging(debug=debug)
    try:
        main.main([a for a in arguments if a != "--debug"], "stream", standalone_mode=False)
    except click.exceptions.Exit as end:
        return end.exit_code
    except click.Abort:
        return _say("interrupted", 128 + signal.SIGINT, debug=debug)
    except click.ClickException as error:
        hint = f" (see {error.ctx.command_path} --help)" if _has_context(error) else ""
        return _say(f"{error.format_message()}{hint}", ExitCode.USAGE, debug=debug)
    except StreamError as error:
        return _say(str(error), error.exit_code, debug=debug)
    except Exception as error:  # the process's last line of defence: one line and a code, always
        text = f"internal failure: {type(error).__name__}: {error} (--debug shows where)"
        return _say(text, ExitCode.INTERNAL, debug=debug)
    return ExitCode.OK


def _has_context(error: click.ClickException) -> bool:
    return isinstance(error, click.UsageError) and error.ctx is not None


def _say(text: str, code: int, *, debug: bool) -> int:
    if debug:
        traceback.print_exc()
    for line in text.splitlines():
        click.echo(f"stream: {line}", err=True)
    return code


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
        return RedisSnapshots(url, pipeline=self.settings.pipeline, clock=self.clock())

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


def _with_hash_seed(settings: "Settings") -> None:
    """Go on under the pipeline's PYTHONHASHSEED: some river models iterate over sets of strings."""
    seed = str(settings.effective_hash_seed)
    if os.environ.get("PYTHONHASHSEED") != seed:
        sys.stdout.flush()
        os.environ["PYTHONHASHSEED"] = seed
        os.execv(sys.executable, [sys.executable, "-m", "stream", *sys.argv[1:]])  # noqa: S606


def _stop_on_signals(stopping: threading.Event) -> None:
    def stop(number: int, _frame: object) -> None:
        if stopping.is_set():
            os._exit(128 + number)  # the second signal: at once
        stopping.set()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="stream")
def main() -> None:
    """Online learning on event streams, in production: predict, learn, detect drift, exactly once.

    Every command takes --debug, which shows tracebacks and the clients' own logs.
    """


@main.command("run")
@_config
@click.option("--until-end", is_flag=True, help="Stop once the events there are at start are done.")
def run_worker(path: Path, *, until_end: bool) -> None:
    """Run a worker until SIGTERM or Ctrl-C.

    \b
    Example:
      stream run -c stream.toml
    """
    house = House.of(path)
    _with_hash_seed(house.settings)
    _stop_on_signals(house.stopping)
    _work(house, until_end=until_end)


def _work(house: House, *, until_end: bool) -> None:
    from stream.runtime import preparation  # noqa: PLC0415
    from stream.runtime.assembly import assemble  # noqa: PLC0415

    settings, telemetry = house.settings, house.telemetry
    recipe = preparation.make_recipe(settings)
    key = preparation.signing_key(settings, os.environ, telemetry)
    with ExitStack() as stack:
        with closing(house.topics()) as topics:
            events = preparation.ready_topics(topics, settings, telemetry)
        reader = stack.enter_context(closing(house.reader()))
        store = stack.enter_context(closing(house.snapshots()))
        log = stack.enter_context(closing(house.log()))
        worker = assemble(
            settings, recipe=recipe, key=key, events=events, log=log, reader=reader, store=store,
            clock=house.clock(), telemetry=telemetry, stopping=house.stopping, until_end=until_end,
        )  # fmt: skip
        telemetry.say(
            Event.WORKER_STARTED,
            pipeline=settings.pipeline,
            client=settings.kafka.client,
            guarantee=settings.delivery.guarantee,
            fingerprint=recipe.fingerprint(),
        )
        worker.run()
    telemetry.say(Event.WORKER_STOPPED, **{m.value: n for m, n in telemetry.counters.items()})
