"""Which topic plays which role, and in whose name: the worker's side, or the redrive's."""

from dataclasses import dataclass

from stream.config import Settings
from stream.core.event import Channel

REDRIVE = "redrive"


@dataclass(frozen=True, slots=True)
class Side:
    """A side of a pipeline.

    Attributes:
        settings: the pipeline's.
        is_backwards: the quarantine is its events, and the events its quarantine.
    """

    settings: Settings
    is_backwards: bool = False

    def names(self) -> dict[Channel, str]:
        """The topic of each channel."""
        names = self.settings.topics.names()
        if self.is_backwards:
            there, back = Channel.EVENTS, Channel.QUARANTINE
            names[there], names[back] = names[back], names[there]
        return names

    def group(self) -> str:
        """The group's id: no pipeline's name has a dot."""
        return self.settings.pipeline + (f".{REDRIVE}" if self.is_backwards else "")

    def instance(self) -> str | None:
        """The stable name of this process; None: it has none.

        Of two redrives the younger takes over at once, and a dead one's transaction ends.
        """
        return REDRIVE if self.is_backwards else self.settings.worker.instance
