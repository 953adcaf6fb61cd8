"""The second client: the same outputs, through kills and through a change of client in a group."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from river import linear_model, preprocessing

from stream.sandbox import LocalKafka, LocalRedis
from tests.end_to_end import plain_loop, streams
from tests.end_to_end.outside import Pipeline, until, without_place

pytestmark = pytest.mark.broker

LOGISTIC = """
from river import linear_model, preprocessing
def make():
    return preprocessing.StandardScaler() | linear_model.LogisticRegression()
"""
REST = """
[events]
positive = "UP"
[model]
factory = "lr:make"
[worker]
instance = "w-0"
[snapshots]
recovery_time_s = 10
"""


@pytest.fixture
def moved(kafka: LocalKafka, redis_server: LocalRedis, tmp_path: Path, pipeline: str) -> Pipeline:
    """A pipeline whose client is told by the environment."""
    return Pipeline(pipeline, tmp_path, kafka, redis_server, REST, {"lr": LOGISTIC})


def _assert_exact(pipeline: Pipeline, values: Sequence[bytes]) -> None:
    model = preprocessing.StandardScaler() | linear_model.LogisticRegression()
    events = [json.loads(value) for value in values]
    expected = plain_loop.classify(model, events, positive="UP")
    published = pipeline.values("predictions")
    assert [p["offset"] for p in published] == list(range(len(values)))
    assert [without_place(p) for p in published] == expected
    errors = [int(e["prediction"] != e["label"]) for e in expected]
    drifts = [(a["name"], a["offset"]) for a in pipeline.values("alerts") if a["kind"] == "drift"]
    assert drifts == plain_loop.drifts(errors)


@pytest.mark.parametrize("guarantee", ["exactly-once", "at-least-once"])
def test_librdkafka_gives_what_the_plain_loop_gives(moved: Pipeline, guarantee: str) -> None:
    """Bit for bit, under both guarantees."""
    values = streams.encoded(streams.elec2(12_000))
    moved.feed(values)

    moved.run_until_end(STREAM__KAFKA__CLIENT="confluent", STREAM__DELIVERY__GUARANTEE=guarantee)

    _assert_exact(moved, values)


def test_a_group_moves_from_one_client_to_the_other_and_back(moved: Pipeline) -> None:
    """Nothing is lost or repeated: what is committed and snapshotted is the same to both."""
    values = streams.encoded(streams.elec2(12_000))
    clients = ("kafka-python", "confluent", "kafka-python", "confluent")
    for n, client in enumerate(clients):
        moved.feed(values[n * 3_000 : (n + 1) * 3_000])
        moved.run_until_end(STREAM__KAFKA__CLIENT=client)

    _assert_exact(moved, values)


def test_kills_change_nothing_with_librdkafka_either(moved: Pipeline) -> None:
    """SIGKILL at three moments; the stable instance takes over at once each time."""
    values = streams.encoded(streams.elec2(40_000))
    moved.feed(values)
    for _ in range(3):
        before = moved.predicted_n() if "task_" in _log(moved) else 0
        worker = moved.start(STREAM__KAFKA__CLIENT="confluent")

        def goes_on(before: int = before) -> bool:
            return "task_" in _log(moved) and moved.predicted_n() > before

        until(goes_on, timeout_s=240, what="new predictions")
        worker.kill()
        worker.wait()

    moved.run_until_end(STREAM__KAFKA__CLIENT="confluent")

    _assert_exact(moved, values)


def _log(pipeline: Pipeline) -> str:
    path = pipeline.folder / "worker.log"
    return path.read_text() if path.exists() else ""
