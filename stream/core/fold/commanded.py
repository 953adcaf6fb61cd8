"""What commands have made of a fold: whether it learns, whether it goes on, and which are done."""

from typing import Any

from stream.core.commands import IDS_MAX, MAIN, Predicts

PINNED_MAX = 10
"""So many states from before a reset are kept."""


class Commanded:
    """A part of the state of every fold; before the first command it takes no byte of a snapshot.

    Attributes:
        is_frozen: it predicts and does not learn.
        is_frozen_by_command: a command said so last, whatever had frozen it before.
        is_paused: nothing more of its partition is consumed.
        version: which version of the model predicts, from 1.
        journal_n: the number of the last record of its partition's journal that it has folded.
        genesis_journal_n: the same where the fold began, with the untrained model or a base.
        pinned: steps whose snapshots stay: the last before the model was reset.
        ids: of the last commands, the oldest first.
        folded_n: of the fold's steps so many are no events: commands, repeated ones too, and labels
            that came later; the others are events, valid or not.
        unlearned_n: labelled events that the model has not learned: it was frozen, or went back, or
            another one has.
    """

    __slots__ = (
        "folded_n", "genesis_journal_n", "ids", "is_frozen", "is_frozen_by_command", "is_paused",
        "journal_n", "pinned", "unlearned_n", "version",
    )  # fmt: skip

    def __init__(self) -> None:
        self.is_frozen = self.is_frozen_by_command = self.is_paused = False
        self.version = 1
        self.journal_n = self.genesis_journal_n = 0
        self.folded_n = self.unlearned_n = 0
        self.ids: list[str] = []
        self.pinned: list[int] = []

    def begin_at(self, journal_n: int) -> None:
        """Let an untrained state begin behind so many records of the journal."""
        self.journal_n = self.genesis_journal_n = journal_n

    def kept(self) -> dict[str, Any]:
        """What a snapshot keeps: plain values, and none where there was no command."""
        if not (self.ids or self.journal_n or self.is_frozen or self.version > 1 or self.folded_n):
            return {}
        return {name: getattr(self, name) for name in self.__slots__}

    def load(self, kept: dict[str, Any]) -> None:
        """Take over what `kept` gave."""
        for name in self.__slots__:
            if name in kept:
                setattr(self, name, kept[name])

    def reset_at(self, n: int) -> None:
        """Another version predicts from step `n` on; what was there before it is kept."""
        self.renew()
        self.pinned = [*self.pinned, n][-PINNED_MAX:]

    def renew(self) -> None:
        """Another version predicts."""
        self.version += 1

    @property
    def predicts(self) -> Predicts:
        """What predicts now."""
        return Predicts(MAIN, self.version)

    def is_known(self, command_id: str) -> bool:
        """Whether a command was folded before."""
        return command_id in self.ids

    def is_new(self, command_id: str) -> bool:
        """Whether a command comes for the first time; it is known from now on."""
        if self.is_known(command_id):
            return False
        self.ids.append(command_id)
        del self.ids[:-IDS_MAX]
        return True
