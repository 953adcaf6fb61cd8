"""What happens around a pipeline -> what becomes of the model, on a real Kafka and a real Redis."""

import json
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import redis
from kafka import KafkaAdminClient, TopicPartition

from stream.sandbox import LocalKafka, LocalRedis
from tests.end_to_end.outside import Pipeline, until, without_place

pytestmark = pytest.mark.broker

MODEL = '[model]\nfactory = "stream.models:logistic_regression"\n'
SOON = "[snapshots]\nrecovery_time_s = 6\n"
PAGE_HINKLEY = '[[detectors]]\ntype = "PageHinkley"\n'
ADWIN = '[[detectors]]\ntype = "ADWIN"\n'
FIRST_N, MORE_N = 200, 100


class Story:
    """A pipeline that is changed, and what it would have predicted if nobody had changed it."""

    def __init__(self, pipeline: Pipeline) -> None:
        self.pipeline = pipeline
        self._fed = [0] * pipeline.partitions

    def configure(self, settings: str) -> None:
        """Change the settings."""
        pipeline = self.pipeline
        pipeline.config = MODEL + SOON + settings
        (pipeline.folder / "stream.toml").write_text(
            f'pipeline = "{pipeline.name}"\n'
            f'[kafka]\nbootstrap_servers = "{pipeline.kafka.bootstrap_servers}"\n'
            f'[redis]\nurl = "{pipeline.redis.url}"\n{pipeline.config}'
        )

    def feed(self, n: int, partition: int = 0) -> None:
        """So many more events."""
        start = self._fed[partition]
        self._fed[partition] += n
        self.pipeline.feed((partition, _event(at)) for at in range(start, start + n))

    def run(self, **environment: str) -> None:
        """Work to the end, which must end well."""
        self.pipeline.run_until_end(timeout_s=150, **environment)

    def refused(self, **environment: str) -> tuple[int, str]:
        """How a worker ends that cannot go on, and its last line."""
        worker = self.pipeline.start("--until-end", **environment)
        try:
            return worker.wait(150), self.pipeline.log(1)
        finally:
            worker.kill()

    def delete_log(self, before: int, partition: int = 0) -> None:
        """What retention does."""
        tp = TopicPartition(f"{self.pipeline.name}.events", partition)
        with closing(
            KafkaAdminClient(bootstrap_servers=self.pipeline.kafka.bootstrap_servers)
        ) as a:
            a.delete_records({tp: before})

    def lose_redis(self) -> None:
        """Nothing is left of the pipeline's keys."""
        with closing(redis.Redis.from_url(self.pipeline.redis.url)) as client:
            for key in client.scan_iter(f"streamfold:{{{self.pipeline.name}}}*"):
                client.delete(key)

    def predictions(self, partition: int = 0) -> list[dict[str, Any]]:
        """All that were published, without where."""
        return [without_place(each) for each in self.pipeline.values("predictions", partition)]


def _event(at: int) -> bytes:
    x = (at * 37 % 101) / 50 - 1
    return json.dumps({"features": {"x": x, "y": at % 3}, "label": x > 0}).encode()


@pytest.fixture(scope="session")
def unchanged(
    kafka: LocalKafka, redis_server: LocalRedis, tmp_path_factory: pytest.TempPathFactory
) -> list[dict[str, Any]]:
    """What a partition's first 400 predictions are if nothing happens."""
    folder = tmp_path_factory.mktemp("unchanged")
    story = Story(Pipeline(f"unchanged-{folder.parent.name}-{folder.parent.parent.name}"[:60],
                           folder, kafka, redis_server, MODEL + SOON))  # fmt: skip
    story.feed(400)
    story.run()
    return story.predictions()


@pytest.fixture
def story(kafka: LocalKafka, redis_server: LocalRedis, tmp_path: Path, pipeline: str) -> Story:
    """A pipeline that has learned 200 events."""
    made = Story(Pipeline(pipeline, tmp_path, kafka, redis_server, MODEL + SOON))
    made.feed(FIRST_N)
    made.run()
    return made


def test_retention_and_a_lost_redis_and_changes_of_settings(
    story: Story, unchanged: list[dict[str, Any]]
) -> None:
    """Each alone, then both: with a base nothing else is needed."""
    story.lose_redis()
    story.configure(PAGE_HINKLEY)
    story.feed(MORE_N)
    story.run()
    first = story.pipeline.log()
    story.delete_log(FIRST_N)
    story.lose_redis()
    story.configure(ADWIN)
    story.feed(MORE_N)
    story.run()

    assert "on_change=keep genesis=" in first
    assert 'origin="untrained model at 0"' in first
    assert 'origin="base at ' in story.pipeline.log()
    assert story.predictions() == unchanged


def test_retention_and_a_lost_redis_without_a_base_are_65(story: Story) -> None:
    """Nothing has the model any more: the line says so, and how to go on."""
    story.delete_log(FIRST_N)
    story.lose_redis()
    story.configure(PAGE_HINKLEY)

    code, line = story.refused()

    assert code == 65, line
    assert "no snapshot from there to the committed offset" in line
    assert 'model.on_change = "fresh"' in line


def test_events_made_again_are_65(story: Story) -> None:
    """Whatever changed beside it: Kafka forgot the offsets with the topic; the outcomes tell."""
    name = f"{story.pipeline.name}.events"
    with closing(KafkaAdminClient(bootstrap_servers=story.pipeline.kafka.bootstrap_servers)) as a:
        a.delete_topics([name])
        until(lambda: name not in a.list_topics(), timeout_s=60, what="the topic is gone")
        settings = {"num_partitions": 1, "replication_factor": 1}
        a.create_topics({name: settings}, wait_for_metadata=True)
    story.configure(PAGE_HINKLEY)

    code, line = story.refused()

    assert code == 65, line
    assert "no offset is committed, yet there are outcomes up to the event before 200" in line
