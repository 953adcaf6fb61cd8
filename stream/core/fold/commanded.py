"""What commands have made of a fold: whether it learns, whether it goes on, and which are done."""

from typing import Any

from stream.core.commands import IDS_MAX, MAIN, Predicts


class Commanded:
    """A part of the state of every fold; before the first command it takes no byte of a snapshot.

    Attributes:
        is_frozen: it predicts and does not learn.
        is_paused: nothing more of its partition is consumed.
        version: which version of the model predicts, from 1.
        journal_n: how many records its partition's journal has.
        ids: of the last commands, the oldest first.
    """

    __slots__ = ("ids", "is_frozen", "is_paused", "journal_n", "version")

    def __init__(self) -> None:
        self.is_frozen = self.is_paused = False
        self.version = 1
        self.journal_n = 0
        self.ids: list[str] = []

    def kept(self) -> dict[str, Any]:
        """What a snapshot keeps: plain values, and none where there was no command."""
        if not self.ids and self.version == 1 and not self.is_frozen and not self.journal_n:
            return {}
        return {name: getattr(self, name) for name in self.__slots__}

    def load(self, kept: dict[str, Any]) -> None:
        """Take over what `kept` gave."""
        for name in self.__slots__:
            if name in kept:
                setattr(self, name, kept[name])

    @property
    def predicts(self) -> Predicts:
        """What predicts now."""
        return Predicts(MAIN, self.version)

    def is_new(self, command_id: str) -> bool:
        """Whether a command comes for the first time; it is known from now on."""
        if command_id in self.ids:
            return False
        self.ids.append(command_id)
        del self.ids[:-IDS_MAX]
        return True
