"""The line beside every committed offset: what a restored state is proved by."""

import re

import msgspec

REPLACED_MAX = 16
"""So many recipes that were replaced are remembered."""


class Generation(msgspec.Struct, frozen=True):
    """Which of a pipeline's recipes this is.

    Attributes:
        number: 1 for its first, and one more with every change.
        replaced: fingerprints of those before it, the newest first.
    """

    number: int = 1
    replaced: tuple[str, ...] = ()

    def next(self, fingerprint: str, by: str) -> "Generation":
        """The generation in which the recipe `by` takes the place of this one, `fingerprint`."""
        older = (fingerprint, *(each for each in self.replaced if each not in (fingerprint, by)))
        return Generation(self.number + 1, older[:REPLACED_MAX])


FIRST = Generation()


class Reached(msgspec.Struct, frozen=True):
    """How far a topic beside the events was looked at.

    Attributes:
        offset: the first that was not; None: it never was.
        mark: of the record before it, by which a topic that was made again is told; "": not known.
    """

    offset: int | None = None
    mark: str = ""


NOWHERE = Reached()


class Metadata(msgspec.Struct, frozen=True, kw_only=True):
    """What we write beside every committed offset: enough to prove a restored state.

    Attributes:
        n, digest, genesis, genesis_n, has_base, learned: as in `stream.core.snapshots.seal.Header`.
        fingerprint: that of the recipe that folded up to here, 8 hex digits.
        learner: that of its learner's part alone; "" if it is not known.
        generation: the recipe's place among those that the pipeline had.
        is_paused: the worker stopped here on purpose, and so does the next one.
        is_stopped: a command paused it here, and one lets it go on.
        is_frozen: it predicts and does not learn.
        closed_n: the step from which on no new name is taken in; None = any is.
        journal_n: the number of the journal's last record up to here.
        genesis_journal_n: the same where the fold began, with the untrained model or a base.
        control, labels_topic: how far these were looked at.
        labels: how many events wait for theirs, and how often, in the fold's life, one expired, was
            dropped, was nobody's, and was corrected; (): there was none of it.
    """

    n: int
    digest: str
    fingerprint: str
    genesis: int
    learned: int
    learner: str = ""
    generation: Generation = FIRST
    genesis_n: int = 0
    has_base: bool = False
    is_paused: bool = False
    is_stopped: bool = False
    is_frozen: bool = False
    closed_n: int | None = None
    journal_n: int = 0
    genesis_journal_n: int = 0
    control: Reached = Reached(0)
    labels_topic: Reached = NOWHERE
    labels: tuple[int, ...] = ()

    def began_before(self, log_start: int) -> bool:
        """Whether what the fold has folded reaches back to before the log's present beginning.

        Where there were only markers, nothing was folded, and nothing of the log is needed.
        """
        return self.genesis < log_start and self.n > self.genesis_n

    @property
    def _flags(self) -> str:
        return "f" * self.is_frozen + "p" * self.is_stopped

    def encode(self) -> str:
        """ASCII, far below the broker's 4,096 bytes.

        >>> Metadata(n=3, digest="00ff" * 4, fingerprint="deadbeef", genesis=0, learned=2).encode()
        'v1;n=3;h=00ff00ff00ff00ff;f=deadbeef;g=0;l=2;r=1'
        """
        replaced = ",".join(self.generation.replaced)
        began = "b" if self.has_base else "s"
        return (
            f"v1;n={self.n};h={self.digest};f={self.fingerprint};g={self.genesis};l={self.learned}"
            f"{f';m={self.learner}' if self.learner else ''};r={self.generation.number}"
            f"{f';{began}={self.genesis_n}' if self.genesis_n or self.has_base else ''}"
            f"{f';w={replaced}' if replaced else ''}"
            f"{';p=1' if self.is_paused else ''}"
            f"{f';z={self._flags}' if self._flags else ''}"
            f"{'' if self.closed_n is None else f';c={self.closed_n}'}"
            f"{f';j={self.journal_n}' if self.journal_n else ''}"
            f"{f';i={self.genesis_journal_n}' if self.genesis_journal_n else ''}"
            f"{f';k={self.control.offset}' if self.control.offset else ''}"
            f"{f';t={self.control.mark}' if self.control.mark else ''}"
            f"{'' if self.labels_topic.offset is None else f';x={self.labels_topic.offset}'}"
            f"{f';d={self.labels_topic.mark}' if self.labels_topic.mark else ''}"
            f"{f';u={_dotted(self.labels)}' if self.labels else ''}"
        )


LABELS_N = 5


def _dotted(numbers: tuple[int, ...]) -> str:
    return ".".join(map(str, numbers))


_NUMBER, _FINGERPRINT = r"\d{1,18}", "[0-9a-f]{8}"
_METADATA = re.compile(
    rf"v1;n=({_NUMBER});h=([0-9a-f]{{16}});f=({_FINGERPRINT});g=({_NUMBER});l=({_NUMBER})"
    r"((?:;[a-z]+=[^;]*)*)",
    re.ASCII,
)
_FORMS = {
    name: re.compile(form, re.ASCII)
    for name, form in {
        "m": _FINGERPRINT, "r": _NUMBER, "s": _NUMBER, "b": _NUMBER, "p": "1", "z": "f?p?",
        "c": _NUMBER, "i": _NUMBER, "j": _NUMBER, "k": _NUMBER, "t": _FINGERPRINT,
        "x": _NUMBER, "d": _FINGERPRINT,
        "u": rf"{_NUMBER}(?:\.{_NUMBER}){{{LABELS_N - 1}}}",
        "w": f"{_FINGERPRINT}(?:,{_FINGERPRINT})*",
    }.items()
}  # fmt: skip


def parse_metadata(text: str) -> Metadata | None:
    """The metadata of a committed offset; None if it is not ours (another tool's, or older).

    Keys that are not known here are a later version's, and passed over.

    >>> parse_metadata("v1;n=3;h=00ff00ff00ff00ff;f=deadbeef;g=0;l=2;y=7;c=5").closed_n
    5
    """
    match = _METADATA.fullmatch(text)
    if match is None:
        return None
    n, digest, fingerprint, genesis, learned, rest = match.groups()
    more = dict(each.split("=", 1) for each in rest.split(";")[1:])
    known = more.keys() & _FORMS.keys()
    if any(_FORMS[name].fullmatch(more[name]) is None for name in known):
        return None
    replaced = more["w"].split(",") if "w" in more else ()
    return Metadata(
        n=int(n),
        digest=digest,
        fingerprint=fingerprint,
        genesis=int(genesis),
        learned=int(learned),
        learner=more.get("m", ""),
        generation=Generation(int(more.get("r", 1)), tuple(replaced[:REPLACED_MAX])),
        genesis_n=int(more.get("b", more.get("s", 0))),
        has_base="b" in more,
        is_paused="p" in more,
        is_stopped="p" in more.get("z", ""),
        is_frozen="f" in more.get("z", ""),
        closed_n=int(more["c"]) if "c" in more else None,
        journal_n=int(more.get("j", 0)),
        genesis_journal_n=int(more.get("i", 0)),
        control=Reached(int(more.get("k", 0)), more.get("t", "")),
        labels_topic=Reached(int(more["x"]) if "x" in more else None, more.get("d", "")),
        labels=tuple(map(int, more["u"].split("."))) if "u" in more else (),
    )
