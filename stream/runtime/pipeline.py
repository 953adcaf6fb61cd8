"""What a command gets from the command line: a pipeline's settings, and who serves it."""

import threading
from collections.abc import Mapping
from typing import Protocol

from stream.config import Settings
from stream.core.event import Channel
from stream.ports import Clock, Feed, Log, Reader, SnapshotStore, Topics
from stream.telemetry import Telemetry


class Backend(Protocol):
    """Opens what serves a pipeline's ports; whoever opens closes.

    All raise Retryable, Misconfigured.
    """

    def backwards(self) -> "Backend":
        """The same pipeline as the quarantine's redrive sees it, in a group of its own.

        Its events are the quarantine, and its quarantine is the events topic.
        """
        ...

    def log(self, *, record_bytes_max: int | None = None) -> Log:
        """A group member with its writer, whose batches fit topics that take no larger records."""
        ...

    def reader(self) -> Reader:
        """The topics as an outsider sees them."""
        ...

    def topics(self) -> Topics:
        """The topics as an administrator sees them."""
        ...

    def feed(self, *, channel: Channel = Channel.EVENTS) -> Feed:
        """The way in which an upstream appends events, or an operator commands."""
        ...

    def snapshots(self) -> SnapshotStore:
        """The snapshots' store."""
        ...

    def ask_snapshots(self) -> str | None:
        """Reach the snapshots' store; what an operator should know of it, None if all is well."""
        ...

    def is_idle(self) -> bool:
        """Whether it only waits for a server, and nobody has joined the group yet."""
        ...

    def end_patience(self) -> None:
        """From now on no call waits for a server that has just started (see `patience`)."""
        ...


class Pipeline(Protocol):
    """One pipeline."""

    @property
    def settings(self) -> Settings:
        """The configuration, checked."""
        ...

    @property
    def environ(self) -> Mapping[str, str]:
        """The process's environment."""
        ...

    @property
    def telemetry(self) -> Telemetry:
        """What this process says of itself."""
        ...

    @property
    def stopping(self) -> threading.Event:
        """Set by a stop signal, where the command listens to them."""
        ...

    @property
    def backend(self) -> Backend:
        """Opens its log, its topics and its snapshots."""
        ...

    def clock(self) -> Clock:
        """Real time, ended early by a stop signal."""
        ...
