"""The line beside every committed offset: what a restored state is proved by."""

import re

import msgspec


class Metadata(msgspec.Struct, frozen=True, kw_only=True):
    """What we write beside every committed offset: enough to prove a restored state.

    Attributes:
        n, digest, genesis, learned: as in `stream.core.snapshot.Header`.
        fingerprint: that of the recipe that folded up to here, 8 hex digits.
        is_paused: the worker stopped here on purpose, and so does the next one.
        closed_n: the step from which on no new name is taken in; None = any is.
    """

    n: int
    digest: str
    fingerprint: str
    genesis: int
    learned: int
    is_paused: bool = False
    closed_n: int | None = None

    def encode(self) -> str:
        """ASCII, far below the broker's 4,096 bytes.

        >>> Metadata(n=3, digest="00ff" * 4, fingerprint="deadbeef", genesis=0, learned=2).encode()
        'v1;n=3;h=00ff00ff00ff00ff;f=deadbeef;g=0;l=2'
        """
        return (
            f"v1;n={self.n};h={self.digest};f={self.fingerprint};g={self.genesis};l={self.learned}"
            f"{';p=1' if self.is_paused else ''}"
            f"{'' if self.closed_n is None else f';c={self.closed_n}'}"
        )


_NUMBER = r"\d{1,18}"
_METADATA = re.compile(
    rf"v1;n=({_NUMBER});h=([0-9a-f]{{16}});f=([0-9a-f]{{8}});g=({_NUMBER});l=({_NUMBER})"
    r"((?:;[a-z]+=[^;]*)*)",
    re.ASCII,
)
_CLOSED, _PAUSED = re.compile(_NUMBER, re.ASCII), re.compile("1")


def parse_metadata(text: str) -> Metadata | None:
    """The metadata of a committed offset; None if it is not ours (another tool's, or older).

    Keys that are not known here are a later version's, and passed over.

    >>> parse_metadata("v1;n=3;h=00ff00ff00ff00ff;f=deadbeef;g=0;l=2;j=7;c=5").closed_n
    5
    """
    match = _METADATA.fullmatch(text)
    if match is None:
        return None
    n, digest, fingerprint, genesis, learned, rest = match.groups()
    more = dict(each.split("=", 1) for each in rest.split(";")[1:])
    closed_n, paused = more.get("c"), more.get("p")
    for value, form in ((closed_n, _CLOSED), (paused, _PAUSED)):
        if value is not None and form.fullmatch(value) is None:
            return None
    return Metadata(
        n=int(n),
        digest=digest,
        fingerprint=fingerprint,
        genesis=int(genesis),
        learned=int(learned),
        is_paused=paused is not None,
        closed_n=None if closed_n is None else int(closed_n),
    )
