"""The composition root: parses the command line, opens a pipeline and hands it to a command.

Nothing else decides how the process ends.
"""

import logging
import os
import signal
import threading
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from stream import __version__
from stream.deferred import scipy_deferred
from stream.demo.command import demo
from stream.errors import ExitCode, StreamError
from stream.printable import escaped
from stream.probing import Connecting
from stream.runtime import signals
from stream.runtime.clock import SystemClock
from stream.runtime.commands import control_words, produce_words, words
from stream.runtime.patience import Patience
from stream.telemetry import LogEvent, Scrubber, Telemetry, configure_logging

if TYPE_CHECKING:
    from stream.config import Settings
    from stream.runtime.pipeline import Backend


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


@dataclass(frozen=True)
class Pipeline:
    """One pipeline's settings, and who serves it."""

    settings: "Settings"
    telemetry: Telemetry
    stopping: threading.Event
    backend: "Backend"

    @classmethod
    def of(cls, path: Path, *, scrubber: Scrubber | None = None) -> "Pipeline":
        """Read the configuration; `scrubber` learns its secrets. Raises: Misconfigured."""
        # `--help` and `--version` stay quick.
        from stream.backends import chosen  # noqa: PLC0415
        from stream.config import load  # noqa: PLC0415

        with scipy_deferred():  # a detector's check loads river
            settings = load(path, environ=os.environ)
        scrubber = scrubber or Scrubber()
        scrubber.learn(settings.secrets())
        telemetry, stopping = Telemetry(scrubber), threading.Event()
        backend = chosen(
            settings,
            clock=SystemClock(stopping),
            patience=Patience(_say_waiting),
            connecting=_Connecting(telemetry, settings.kafka.bootstrap_servers),
        )
        return cls(settings, telemetry, stopping, backend)

    @property
    def environ(self) -> Mapping[str, str]:
        """The process's environment."""
        return os.environ

    def clock(self) -> SystemClock:
        """Real time, ended early by a stop signal."""
        return SystemClock(self.stopping)


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
    produce_words.produce,
    words.check,
    words.status,
    words.tail,
    words.snapshots,
    words.quarantine,
    control_words.control,
    control_words.ledger,
    sandbox,
    demo,
):
    main.add_command(_command)
    # click would cut it where a line of 80 characters ends.
    _command.short_help = (_command.help or "").partition("\n\n")[0]
