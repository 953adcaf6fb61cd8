"""Log and snapshots in one SQLite file: there is no server, so nothing to wait for."""

from pathlib import Path

from stream.adapters import embedded
from stream.backends.side import Side
from stream.config import Settings
from stream.core.event import Channel
from stream.ports import Clock


class OneFile:
    """See `stream.runtime.pipeline.Backend`."""

    def __init__(self, settings: Settings, *, clock: Clock, is_backwards: bool = False) -> None:
        self._settings = settings
        self._clock = clock
        self._side = Side(settings, is_backwards)

    @property
    def _path(self) -> Path:
        path = self._settings.kafka.path
        assert path is not None  # noqa: S101  # the configuration checked it
        return self._settings.folder / path

    def backwards(self) -> "OneFile":
        """See `Backend.backwards`."""
        return OneFile(self._settings, clock=self._clock, is_backwards=True)

    def log(self, *, record_bytes_max: int | None = None) -> embedded.EmbeddedLog:  # noqa: ARG002
        """See `Backend.log`; a row may be of any size."""
        return embedded.EmbeddedLog(
            self._path, names=self._side.names(), group=self._side.group(), clock=self._clock
        )

    def reader(self) -> embedded.EmbeddedReader:
        """See `Backend.reader`."""
        return embedded.EmbeddedReader(
            self._path, names=self._side.names(), group=self._side.group(), clock=self._clock
        )

    def topics(self) -> embedded.EmbeddedTopics:
        """See `Backend.topics`."""
        return embedded.EmbeddedTopics(self._path, names=self._side.names())

    def feed(self, *, channel: Channel = Channel.EVENTS) -> embedded.EmbeddedFeed:
        """See `Backend.feed`."""
        return embedded.EmbeddedFeed(
            self._path, names=self._side.names(), clock=self._clock, channel=channel
        )

    def snapshots(self) -> embedded.EmbeddedSnapshots:
        """See `Backend.snapshots`."""
        return embedded.EmbeddedSnapshots(
            self._path, pipeline=self._settings.pipeline, clock=self._clock
        )

    def ask_snapshots(self) -> None:
        """See `Backend.ask_snapshots`."""
        self.snapshots().close()

    def is_idle(self) -> bool:
        """See `Backend.is_idle`."""
        return False

    def end_patience(self) -> None:
        """See `Backend.end_patience`."""
