"""Bad records among good ones: each is told why, and the good ones don't notice."""

import json
from pathlib import Path

import pytest
from river import linear_model, preprocessing

from stream.sandbox import LocalKafka, LocalRedis
from tests.end_to_end import plain_loop, streams
from tests.end_to_end.outside import Pipeline, without_place

pytestmark = pytest.mark.broker

POISONED = """
from river import linear_model, preprocessing

class Fussy(linear_model.LogisticRegression):
    def learn_one(self, x, y):
        super().learn_one(x, y)      # the weights have moved when it raises
        if "poison" in x:
            raise ValueError("cannot learn from poison")

def make():
    return preprocessing.StandardScaler() | Fussy()
"""

GOOD = {"a": 1.5}
BAD: dict[str, bytes | None] = {
    "not_json": b"{oops",
    "not_utf8": b'{"features": {"a": 1}, "label": true, "id": "\xff"}',
    "not_an_object": b"[1, 2]",
    "missing_features": b'{"label": true}',
    "bad_feature": b'{"features": {"a": [1]}, "label": true}',
    "not_finite": b'{"features": {"a": NaN}, "label": true}',
    "out_of_range": b'{"features": {"a": 2e15}, "label": true}',
    "bad_label": b'{"features": {"a": 1}, "label": "yes"}',
    "too_large": b'{"features": {"a": 1}, "id": "' + b"x" * 70_000 + b'"}',
    "too_many_features": json.dumps({"features": {f"f{i}": 1 for i in range(257)}}).encode(),
    "unknown_field": b'{"features": {"a": 1}, "label": true, "surprise": 1}',
    "model_error": b'{"features": {"poison": 1, "a": 7.0}, "label": true}',
}


def test_every_bad_kind_is_quarantined_with_its_reason_and_bytes(
    kafka: LocalKafka, redis_server: LocalRedis, tmp_path: Path, pipeline: str
) -> None:
    """One of each reason among 3,000 good events, whose outputs are as if it had never been."""
    mixed = Pipeline(
        pipeline, tmp_path, kafka, redis_server, '[model]\nfactory = "fussy:make"\n',
        {"fussy": POISONED},
    )  # fmt: skip
    good = [{"features": e["features"], "label": e["label"] == "UP"} for e in streams.elec2(3_000)]
    values: list[bytes] = []
    for n, event in enumerate(good):
        if n % 200 == 100 and n // 200 < len(BAD):
            values.append(list(BAD.values())[n // 200] or b"")
        values.append(json.dumps(event).encode())
    mixed.feed(values)

    mixed.run_until_end()

    model = preprocessing.StandardScaler() | linear_model.LogisticRegression()
    expected = plain_loop.classify(model, good)
    assert [without_place(p) for p in mixed.values("predictions")] == expected
    refused = mixed.records("quarantine")
    headers = [dict(r.headers) for r in refused]
    assert [h["stream.reason"].decode() for h in headers] == list(BAD)
    for record, header, (reason, value) in zip(refused, headers, BAD.items(), strict=True):
        assert value is not None
        assert record.value == (value[:65_536] if reason == "too_large" else value)
        offset = int(header["stream.offset"])
        assert values[offset] == value
        assert record.key == f"k{offset}".encode()
        assert header["stream.topic"].decode() == f"{pipeline}.events"
        assert (header["stream.partition"], header["stream.pipeline"]) == (b"0", pipeline.encode())
        assert header["stream.detail"]
