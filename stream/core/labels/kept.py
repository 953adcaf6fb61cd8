"""What is kept of an event, and how that is packed into bytes."""

from typing import Any, Final, NamedTuple

import msgspec

from stream.core.result import StepResult

Label = bool | int | float | str


class Kept(msgspec.Struct, array_like=True, gc=False):
    """What is kept of an event.

    Attributes:
        time_ms: its timestamp.
        key, value: its bytes; its features are read from them again.
        id: None: it brought none.
        prediction, probabilities: of what was published, as JSON.
        known: the last label that had come when it was predicted: the baseline of no change.
        label: its own, once that has come; since_ms: the fold's time then. They stand elsewhere
            than the rest, of which no byte ever changes.
        features: as the model saw them, of an event that has just come; nobody may change them.
    """

    time_ms: int
    key: bytes | None
    value: bytes
    id: str | None
    prediction: bytes
    probabilities: bytes | None
    known: Label | None
    label: Label | None = None
    since_ms: int = 0
    features: dict[str, Any] | None = None

    @property
    def is_labelled(self) -> bool:
        """Whether its label has come, or was made up when it expired."""
        return self.label is not None

    def packed(self) -> bytes:
        """All but the label; whoever unpacks it gets one without."""
        return _pack(
            (self.time_ms, self.key, self.value, self.id, self.prediction, self.probabilities,
             self.known)
        )  # fmt: skip


class Early(NamedTuple):
    """A label whose event has not come yet."""

    label: Label
    offset: int
    timestamp_ms: int
    key: bytes | None
    since_ms: int


class _Answer(msgspec.Struct, gc=False):
    """What a prediction's record says that an outcome repeats."""

    prediction: msgspec.Raw = msgspec.Raw(b"null")
    probabilities: msgspec.Raw = msgspec.Raw()


class Head(msgspec.Struct, array_like=True, gc=False):
    """By what an event that was packed is found: its time, and its id."""

    time_ms: int
    key: msgspec.Raw
    value: msgspec.Raw
    id: str | None


_pack: Final = msgspec.msgpack.Encoder().encode
unpacked: Final = msgspec.msgpack.Decoder(Kept).decode
head_of: Final = msgspec.msgpack.Decoder(Head).decode
_answer: Final = msgspec.json.Decoder(_Answer).decode


def kept_of(result: StepResult, event_id: str | None, known: Label | None = None) -> Kept:
    """What is kept of an event that was predicted; `event_id` is None where it brought none."""
    record, answer = result.record, _answer(result.canonical)
    return Kept(
        record.timestamp_ms, record.key, record.value or b"", event_id,
        bytes(answer.prediction), bytes(answer.probabilities) or None, known,
    )  # fmt: skip
