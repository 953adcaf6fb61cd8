"""A flood of refusals paused its partition: `stream control resume` lets it go on.

On a real broker, while the worker lives: nobody starts it again.
"""

from pathlib import Path

import pytest
import redis
from river import linear_model, preprocessing

from stream.sandbox import LocalKafka, LocalRedis
from tests.end_to_end import plain_loop, streams
from tests.end_to_end.outside import Pipeline, until, without_place
from tests.end_to_end.test_equals_plain_loop import LOGISTIC

pytestmark = pytest.mark.broker

WINDOW = 50
CONFIG = f"""[events]
positive = "UP"
[model]
factory = "lr:make"
[delivery]
commit_interval_ms = 50
[quarantine]
breaker_window = {WINDOW}
breaker_share = 0.5
"""
PIECE_N = 400
FLOOD = [b'{"features": {}, "label": "UP"}'] * 40
REFUSED_N = WINDOW // 2 + 1
"""Of a flood, before it is paused; what is left of it is too little for another pause."""

FLOODS_AT = (PIECE_N, 2 * PIECE_N + len(FLOOD))


@pytest.mark.parametrize("client", ["kafka-python", "confluent"])
def test_a_command_resumes_what_a_flood_paused_and_the_worker_lives_on(
    kafka: LocalKafka, own_redis: LocalRedis, tmp_path: Path, pipeline: str, client: str
) -> None:
    """Two floods, two commands: a plain loop over the good ones, and the ledger has the places."""
    good = list(streams.elec2(3 * PIECE_N))
    values = streams.encoded(iter(good))
    flooded = Pipeline(pipeline, tmp_path, kafka, own_redis, CONFIG, {"lr": LOGISTIC})
    flooded.feed([*values[:PIECE_N], *FLOOD, *values[PIECE_N : 2 * PIECE_N], *FLOOD])
    chosen = {"STREAM__KAFKA__CLIENT": client}
    worker = flooded.start(**chosen)
    try:
        for nth, at in enumerate(FLOODS_AT, 1):
            line = f"partition_paused partition=0 next_offset={at + REFUSED_N}"
            until(lambda: line in flooded.log(1_000), timeout_s=120, what=line)  # noqa: B023
            if nth == len(FLOODS_AT):
                flooded.feed(values[2 * PIECE_N :])  # they come while it is paused
            assert len(flooded.values("predictions")) == nth * PIECE_N
            resumed = flooded.control("resume", "--within", "120s", **chosen)
            said, _ = resumed.communicate(timeout=150)
            assert resumed.returncode == 0, f"{said.decode()}: {flooded.log()}"
        until(
            lambda: len(flooded.records("predictions")) == len(good),
            timeout_s=120,
            what=f"the end: {flooded.log()}",
        )
        assert worker.poll() is None
    finally:
        worker.terminate()
        assert worker.wait(60) == 0, flooded.log()

    log = flooded.log(1_000)
    assert [log.count(f"{each} ") for each in ("worker_started", "partition_paused")] == [1, 2]
    assert log.count("partition_resumed partition=0") == len(FLOODS_AT)
    assert log.count("a command says so") == len(FLOODS_AT)
    _check(flooded, good)
    with redis.Redis.from_url(own_redis.url) as cache:
        cache.flushall()
    # From the log and the journal alone: else it would end with 65.
    flooded.run_until_end(timeout_s=120, **chosen)


def _check(flooded: Pipeline, good: list[streams.Event]) -> None:
    """What was published, and where it says that it went on."""
    model = preprocessing.StandardScaler() | linear_model.LogisticRegression()
    expected = plain_loop.classify(model, good, positive="UP")
    assert [without_place(each) for each in flooded.values("predictions")] == expected
    assert len(flooded.records("quarantine")) == len(FLOODS_AT) * len(FLOOD)
    told = [
        (each["what"], each["by"], each["offset"], each["n"]) for each in flooded.values("ledger")
    ]
    assert told == [
        ("resume", "operator:ada", at + REFUSED_N, at + REFUSED_N + commands_n)
        for commands_n, at in enumerate(FLOODS_AT)
    ]
