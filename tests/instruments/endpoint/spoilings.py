"""What can happen to a call: each spoiling is one or two rules for the proxy.

"Refused": the broker never sees the call, and the client is told an error code. "Told": the broker
did it, and the client is told that it did not. The others answer nothing, or too late.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from tests.instruments.endpoint import wire
from tests.instruments.endpoint.codes import Code
from tests.instruments.faults.proxy import Rule

APIS = {
    "InitProducerId": wire.INIT_PRODUCER_ID,
    "FindCoordinator": wire.FIND_COORDINATOR,
    "AddPartitionsToTxn": wire.ADD_PARTITIONS,
    "Produce": wire.PRODUCE,
    "AddOffsetsToTxn": wire.ADD_OFFSETS,
    "TxnOffsetCommit": wire.TXN_OFFSET_COMMIT,
    "EndTxn": wire.END_TXN,
}
"""Every call of a transaction, in the order in which a commit makes them."""

PARTIAL = ("AddPartitionsToTxn", "Produce", "TxnOffsetCommit")
"""Calls for several partitions: one may fail and the others not."""

REPEATED = ("Produce",)
"""Calls that a commit makes more than once, if its client sends each partition's records apart."""

NAMED_IN_ROW_20 = (48, 49, 47, 90, 120, 25, 22, 82, 27, 14, 16, 51, 7, 53, 30, 12, -1)
MORE = (3, 6, 10, 15, 19, 20, 29, 45, 50, 55, 59, 88)
CODES = tuple(Code(code) for code in (*NAMED_IN_ROW_20, *MORE))

SHORT_S = 0.2
"""A delay that no timeout of a case minds."""

How = Literal[
    "refused", "told", "request cut", "answer cut", "request hangs", "answer hangs", "slow", "late",
    "overtaken",
]  # fmt: skip
SILENT: tuple[How, ...] = (
    "request cut", "answer cut", "request hangs", "answer hangs", "slow", "late", "overtaken",
)  # fmt: skip

OVERTAKEN_BY = {
    "InitProducerId": "EndTxn",
    "AddPartitionsToTxn": "EndTxn",
    "Produce": "EndTxn",
    "AddOffsetsToTxn": "EndTxn",
    "TxnOffsetCommit": "EndTxn",
    "EndTxn": "TxnOffsetCommit",
}
"""Before which call of the next commit an overtaken one arrives: where it could do most harm."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Spoiling:
    """One way to spoil one call of a commit.

    Attributes:
        api: a key of `APIS`.
        how: see the module; "slow" is within every timeout, "late" past them. "overtaken": the
            connection breaks, and the call arrives in the middle of the next commit (KAFKA-17754).
        code: what is told, where something is.
        first, last: which of these calls, counted from 1; `last` None: all from `first` on.
        one_part: only for the first partition of the call the client is told an error.
    """

    api: str
    how: How
    code: Code | None = None
    first: int = 1
    last: int | None = 1
    one_part: bool = False

    @property
    def is_endless(self) -> bool:
        """Whether it lasts until somebody heals it."""
        return self.last is None

    def __str__(self) -> str:
        told = "" if self.code is None else f" {self.code.name}"
        times = "from then on" if self.is_endless else "once"
        which = "" if self.first == 1 else f" (call {self.first})"
        return f"{self.api}{which} {self.how}{told}{', one partition' * self.one_part}, {times}"

    def rule(self, *, late_s: float) -> Rule:
        """For the proxy; `late_s` is longer than the client waits for an answer."""
        api, last = APIS[self.api], 1 << 60 if self.last is None else self.last
        if self.code is not None:
            change = _refusal(self) if self.how == "refused" else _telling(self)
            if self.how == "refused":
                return Rule(api=api, do="answer", side="request", first=self.first, last=last,
                            change=change)  # fmt: skip
            return Rule(api=api, do="change", first=self.first, last=last, change=change)
        if self.how == "overtaken":
            return Rule(api=api, do="hold", side="request", first=self.first, last=last)
        if self.how in ("slow", "late"):
            delay_s = SHORT_S if self.how == "slow" else late_s
            return Rule(api=api, do="delay", side="request", first=self.first, last=last,
                        delay_s=delay_s)  # fmt: skip
        side: Literal["request", "response"] = (
            "request" if self.how.startswith("request") else "response"
        )
        do: Literal["cut", "hang"] = "cut" if self.how.endswith("cut") else "hang"
        return Rule(api=api, do=do, side=side, first=self.first, last=last)

    def arrival(self) -> Rule:
        """For the next commit of an overtaken call: it arrives now."""
        by = APIS[OVERTAKEN_BY[self.api]]
        return Rule(api=by, do="release", side="request", last=1)


def _refusal(spoiling: Spoiling) -> Callable[[int, bytes], bytes]:
    assert spoiling.code is not None
    code = spoiling.code

    def made(_version: int, frame: bytes) -> bytes:
        request = wire.asked(frame)
        response = wire.agreeing(request)
        wire.spoil(request.api, response, code)
        return wire.answer(request, response)[wire.LENGTH.size :]

    return made


def _telling(spoiling: Spoiling) -> Callable[[int, bytes], bytes]:
    assert spoiling.code is not None
    api, code = APIS[spoiling.api], spoiling.code

    def made(version: int, frame: bytes) -> bytes:
        response = wire.answered(api, version, frame)
        wire.spoil(api, response, code, first_only=spoiling.one_part)
        (correlation,) = wire.LENGTH.unpack_from(frame)
        request = wire.Asked(api, version, correlation, None)
        return wire.answer(request, response)[wire.LENGTH.size :]

    return made


def everything() -> list[Spoiling]:
    """The whole matrix: API x (code x how | silence) x when."""
    made = []
    for api in APIS:
        for code in CODES:
            made += [
                Spoiling(api=api, how="refused", code=code),
                Spoiling(api=api, how="refused", code=code, last=None),
                Spoiling(api=api, how="told", code=code),
            ]
            if api in REPEATED:
                made.append(Spoiling(api=api, how="refused", code=code, first=2, last=2))
            if api in PARTIAL:
                made.append(Spoiling(api=api, how="told", code=code, one_part=True))
        for how in SILENT:
            if how != "overtaken" or api in OVERTAKEN_BY:
                made.append(Spoiling(api=api, how=how))
            if how not in ("slow", "late", "overtaken"):
                made.append(Spoiling(api=api, how=how, last=None))
    return made
