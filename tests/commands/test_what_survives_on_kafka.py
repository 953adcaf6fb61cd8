"""What happens around a pipeline -> what becomes of the model, on a real Kafka and a real Redis."""

import json
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import redis
from kafka import TopicPartition
from kafka.admin import ConfigResource, ConfigResourceType
from kafka.structs import OffsetAndMetadata

from stream.sandbox import LocalKafka, LocalRedis
from tests.commands.project import Project
from tests.end_to_end.outside import Pipeline, until, without_place
from tests.patience import HANGS_AFTER_S

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
        self.pipeline.config = MODEL + SOON + settings
        self.pipeline.configure()

    def feed(self, n: int, partition: int = 0) -> None:
        """So many more events."""
        start = self._fed[partition]
        self._fed[partition] += n
        self.pipeline.feed((partition, _event(at)) for at in range(start, start + n))

    def fed_and_predicted(self, n: int) -> None:
        """So many more events to each partition, whose predictions are waited for."""
        # Before the first worker has made the topics nobody could read them.
        up = "partitions_assigned"
        until(lambda: up in self.pipeline.log(999), timeout_s=HANGS_AFTER_S, what="a worker is up")
        partitions = range(self.pipeline.partitions)
        for partition in partitions:
            self.feed(n, partition)
        until(
            lambda: all(self.pipeline.has_predicted(self._fed[p], p) for p in partitions),
            timeout_s=HANGS_AFTER_S, what=f"{n} more predictions\n{self.pipeline.log()}",
        )  # fmt: skip

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
        with self.pipeline.administrator() as admin:
            admin.delete_records({tp: before})

    def begin_again(self) -> None:
        """The next events are the first ones again."""
        self._fed = [0] * self.pipeline.partitions

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


def test_events_made_again_are_65_until_the_offset_is_set(story: Story) -> None:
    """Whatever changed beside it: Kafka forgot the offsets with the topic; the outcomes tell.

    What the line says is done: the new events are predicted, by a model that begins with them.
    """
    pipeline = story.pipeline
    tp, published = TopicPartition(f"{pipeline.name}.events", 0), story.predictions()
    with pipeline.administrator() as admin:
        admin.delete_topics([tp.topic])
        until(lambda: tp.topic not in admin.list_topics(), timeout_s=60, what="the topic is gone")
        settings = {"num_partitions": 1, "replication_factor": 1}
        admin.create_topics({tp.topic: settings}, wait_for_metadata=True)
    story.begin_again()
    story.feed(MORE_N)
    story.configure(PAGE_HINKLEY)

    code, line = story.refused()
    with pipeline.administrator() as admin:
        admin.alter_group_offsets(pipeline.name, {tp: OffsetAndMetadata(0, "", -1)})
    story.run(STREAM__MODEL__ON_CHANGE="rebuild")

    assert code == 65, line
    assert "no offset is committed, yet there are outcomes up to the event before 200" in line
    assert f"none of them is of an event of {tp.topic}, which was made again" in line
    assert f"set the group's offset of {tp.topic} partition 0 to 0 and, for one start, " in line
    assert story.predictions() == published + published[:MORE_N]


def test_a_topic_of_bases_that_takes_only_small_records(
    story: Story, unchanged: list[dict[str, Any]]
) -> None:
    """`check` and the worker name it, before anything is written; wide enough, it is kept."""
    pipeline = story.pipeline
    name = f"{pipeline.name}.bases"
    with pipeline.administrator() as admin:
        configs = {"max.message.bytes": "100000", "retention.ms": "-1"}
        topic = {"num_partitions": 1, "replication_factor": 1, "configs": configs}
        admin.create_topics({name: topic}, wait_for_metadata=True)
    story.configure(PAGE_HINKLEY)
    story.feed(MORE_N)
    lacking = f"topics.bases: {name} takes records of 100000 bytes, a part of a state can have"

    checked = Project(pipeline.folder).stream("check")
    code, line = story.refused()
    with pipeline.administrator() as admin:
        resource = ConfigResource(ConfigResourceType.TOPIC, name, {"max.message.bytes": "1048588"})
        admin.alter_configs([resource])
    story.run()

    assert checked.code == 78, checked
    assert f"problem {lacking} 904096: raise its max.message.bytes" in checked.err
    assert code == 78, line
    assert line.startswith(f"stream: {lacking}")
    assert "recipe_changed" in pipeline.log()
    assert story.predictions() == unchanged[: FIRST_N + MORE_N]


def test_a_rolling_deploy_leaves_older_workers_75_where_a_newer_one_has_been(
    kafka: LocalKafka, redis_server: LocalRedis, tmp_path: Path, pipeline: str,
    unchanged: list[dict[str, Any]],
) -> None:  # fmt: skip
    """The model goes on; an older one that is started again meanwhile takes nothing back."""
    stage = Pipeline(pipeline, tmp_path, kafka, redis_server, MODEL + SOON, partitions=2)
    story = Story(stage)
    workers = [stage.start()]
    try:
        story.fed_and_predicted(FIRST_N)
        story.configure(PAGE_HINKLEY)
        workers.append(stage.start())
        until(lambda: stage.log(999).count("worker_started") == 2, timeout_s=HANGS_AFTER_S,
              what="a newer one beside it")  # fmt: skip
        workers[0].kill()
        story.fed_and_predicted(MORE_N)
        story.configure("")
        workers.append(stage.start())  # as a supervisor does, in the middle of the deploy
        code = workers[2].wait(HANGS_AFTER_S)
        last = stage.log(1_000)
        story.fed_and_predicted(MORE_N)
        workers[1].terminate()
        stopped = workers[1].wait(HANGS_AFTER_S)
    finally:
        for worker in workers:
            worker.kill()

    assert code == 75, last
    assert "was folded with a newer recipe (generation 2, " in last
    assert 'to go back to this recipe, stop them first, or set model.on_change = "keep"' in last
    assert stopped == 0, stage.log()
    assert stage.log(1_000).count("recipe_changed partition=0 on_change=keep") >= 1
    assert stage.log(1_000).count("recipe_changed partition=1 on_change=keep") >= 1
    assert story.predictions(0) == story.predictions(1) == unchanged
