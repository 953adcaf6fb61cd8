"""Monitors on a real broker: killed and restarted, they tell what they would have told."""

import json
import signal
from pathlib import Path
from typing import Any

import pytest

from stream.cli import Pipeline as Configured
from stream.core.event import Channel, Record
from stream.core.fold.task import Task
from stream.core.formats.records import Writer
from stream.runtime.preparation import make_recipe
from stream.sandbox import LocalKafka, LocalRedis
from tests.end_to_end import streams
from tests.end_to_end.outside import Pipeline, until

pytestmark = pytest.mark.broker

CONFIG = """[events]
positive = "UP"
[model]
factory = "stream.models:logistic_regression"
[worker]
instance = "w-0"
[delivery]
commit_interval_ms = 50
[snapshots]
recovery_time_s = 1
"""
EVENTS_N, BREAKS_AT, MENDED_AT = 24_000, 9_000, 13_000
KILLED_AT = (2_000, 9_100, 9_600, 15_000)


def _broken() -> list[bytes]:
    """A stream whose feature `transfer` is missing for a while."""
    made: list[dict[str, Any]] = list(streams.elec2(EVENTS_N))
    for each in made[BREAKS_AT:MENDED_AT]:
        del each["features"]["transfer"]
    return streams.encoded(iter(made))


def _uninterrupted(pipeline: Pipeline) -> list[tuple[bytes | None, bytes | None]]:
    """Key and value of each alert of a fold over the very records, in one go."""
    recipe = make_recipe(Configured.of(pipeline.folder / "stream.toml").settings)
    task, writer, found = Task(recipe, partition=0), Writer(recipe), []
    for each in pipeline.records("events"):
        record = Record(0, each.offset, each.timestamp, each.key, each.value)
        outputs = writer.outputs([task.step(record)])
        found += [(o.key, o.value) for o in outputs if o.channel is Channel.ALERTS]
    return found


def test_what_monitors_tell_survives_kills_bit_for_bit(
    kafka: LocalKafka, own_redis: LocalRedis, tmp_path: Path, pipeline: str
) -> None:
    """Four times SIGKILL: before the reference is whole, while a feature breaks, in its episode."""
    watched = Pipeline(pipeline, tmp_path, kafka, own_redis, CONFIG, alerts="")
    watched.feed(_broken())
    for at in KILLED_AT:
        worker = watched.start()
        until(lambda at=at: watched.predicted_n() > at, timeout_s=120, what=f"event {at}")  # type: ignore[misc]
        worker.kill()
        assert worker.wait() == -signal.SIGKILL, watched.log()

    watched.run_until_end()

    published = [(each.key, each.value) for each in watched.records("alerts")]
    assert published == _uninterrupted(watched)
    told = [json.loads(value) for _, value in published]
    missing = [each for each in told if each["signal"] == "feature:transfer"]
    assert [each["state"] for each in missing if each["detector"] == "missing"][:1] == ["firing"]
    assert missing[-1]["state"] == "resolved"
    assert BREAKS_AT < missing[0]["offset"] <= BREAKS_AT + 1_000
