"""Two ways to read events and write predictions: as tutorials do it, and as fast as it goes."""

import json
from collections.abc import Callable

from tests.instruments.bench.events import Features
from tests.instruments.bench.step import Answer

Decode = Callable[[bytes], tuple[str, Features, bool]]
Encode = Callable[[str, bool, Answer], bytes]


def decode(value: bytes | str) -> tuple[str, Features, bool]:
    """Id, features and label of an event, with the standard library."""
    event = json.loads(value)
    return event["id"], event["features"], event["label"]


def prediction(event_id: str, label: bool, answer: Answer) -> dict[str, object]:
    """What is published of an event."""
    return {
        "id": event_id,
        "p": answer.p,
        "prediction": answer.prediction,
        "label": label,
        "drift": answer.drift,
    }


def encode(event_id: str, label: bool, answer: Answer) -> bytes:
    """The same as bytes, with the standard library."""
    return json.dumps(prediction(event_id, label, answer)).encode()


def expert() -> tuple[Decode, Encode]:
    """Typed msgspec, for environments that have it: a quarter of the time."""
    import msgspec  # noqa: PLC0415  # the peers' environments do without

    class Event(msgspec.Struct, gc=False):
        id: str
        features: dict[str, float]
        label: bool

    class Prediction(msgspec.Struct, gc=False):
        id: str
        p: float
        prediction: bool | None
        label: bool
        drift: bool

    read, write = msgspec.json.Decoder(Event).decode, msgspec.json.Encoder().encode

    def decode(value: bytes) -> tuple[str, Features, bool]:
        event = read(value)
        return event.id, event.features, event.label

    def encode(event_id: str, label: bool, answer: Answer) -> bytes:
        return write(Prediction(event_id, answer.p, answer.prediction, label, answer.drift))

    return decode, encode
