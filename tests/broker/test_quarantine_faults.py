"""Redrive and breaker on a real Kafka: killed, doubled, and for longer than a session."""

import signal
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from kafka import KafkaAdminClient, KafkaConsumer, TopicPartition
from kafka.admin import NewTopic

from stream.sandbox import LocalKafka, LocalRedis
from tests.commands.project import MODEL, Project
from tests.patience import eventually

pytestmark = pytest.mark.broker

RECORDS_N = 6_000
OFF = "[quarantine]\nbreaker_share = 1.0\n"


class Site:
    """A pipeline with two partitions on real servers, and a view on its topics.

    Attributes:
        seen: the events topic's end offsets as an uncommitted reader sees them.
    """

    def __init__(self, project: Project, kafka: LocalKafka, redis_url: str, pipeline: str) -> None:
        self.project = project
        self.kafka = kafka
        self._redis_url = redis_url
        self.pipeline = pipeline
        self.partitions = [TopicPartition(f"{pipeline}.events", p) for p in range(2)]
        self._looking = KafkaConsumer(bootstrap_servers=kafka.bootstrap_servers)
        self.configure(OFF)

    def configure(self, more: str) -> None:
        """Write the configuration."""
        servers = (
            f'[kafka]\nbootstrap_servers = "{self.kafka.bootstrap_servers}"\n'
            f'[redis]\nurl = "{self._redis_url}"\n[snapshots]\nrecovery_time_s = 6\n'
        )
        self.project.configure(servers + MODEL + more, pipeline=self.pipeline)

    def end(self) -> int:
        """All there is in the events topic, of open transactions too."""
        ends: dict[TopicPartition, int] = self._looking.end_offsets(self.partitions)
        return sum(ends.values())

    def keys(self, topic: str) -> list[bytes]:
        """Of all committed records, in order within a partition."""
        with closing(
            KafkaConsumer(
                bootstrap_servers=self.kafka.bootstrap_servers,
                isolation_level="read_committed",
                auto_offset_reset="earliest",
                consumer_timeout_ms=1_500,
            )
        ) as consumer:
            consumer.assign([TopicPartition(topic, p) for p in range(2)])
            return [record.key for record in consumer]

    def forget_group(self) -> None:
        """What Kafka does by itself a week after the last member."""
        group = f"{self.pipeline}.redrive"
        with closing(KafkaAdminClient(bootstrap_servers=self.kafka.bootstrap_servers)) as admin:
            # Not before the session of the last member, which has a stable name, has ended.
            eventually(lambda: admin.delete_groups([group])[group] == "OK", "the group is deleted")

    def close(self) -> None:
        """Look no more."""
        self._looking.close()


@pytest.fixture
def site(
    kafka: LocalKafka, redis_server: LocalRedis, tmp_path: Path, pipeline: str
) -> Iterator[Site]:
    """A pipeline of this test's own."""
    admin = KafkaAdminClient(bootstrap_servers=kafka.bootstrap_servers)
    admin.create_topics([NewTopic(f"{pipeline}.events", 2, 1, topic_configs={"retention.ms": -1})])
    admin.close()
    made = Site(Project(tmp_path), kafka, redis_server.url, pipeline)
    yield made
    made.close()


def _refused(site: Site) -> list[bytes]:
    """Feed events that are refused, each with a key of its own, and let a worker refuse them."""
    rows = [(f"k{i}", i / 7, "moon") for i in range(RECORDS_N)]
    site.project.write_csv("events.csv", ("id", "x", "label"), rows)
    assert site.project.stream("produce", "events.csv").code == 0
    ran = site.project.stream("run", "--until-end")
    assert ran.code == 0, ran
    return [f"k{i}".encode() for i in range(RECORDS_N)]


def test_a_killed_redrive_sends_each_once(site: Site) -> None:
    """SIGKILL as soon as something is written; and even without the group's offsets in the end."""
    keys = _refused(site)
    halves = 0
    for _ in range(3):
        began = site.end()
        with site.project.running("quarantine", "-c", "stream.toml", "redrive") as running:
            eventually(
                lambda: site.end() > began or running.process.poll() is not None,  # noqa: B023
                "something is written",
                within_s=60,
            )
            halves += running.stop(signal.SIGKILL).code == -signal.SIGKILL

    done = site.project.stream("quarantine", "redrive")
    again = site.project.stream("quarantine", "redrive")

    assert done.code == again.code == 0, (done, again)
    assert halves >= 1
    assert again.out.startswith("0 records sent"), again
    seen = Counter(site.keys(f"{site.pipeline}.events"))
    assert seen == Counter(dict.fromkeys(keys, 2))

    site.forget_group()
    forgotten = site.project.stream("quarantine", "redrive")

    assert forgotten.code == 0, forgotten
    assert forgotten.out.startswith("0 records sent"), forgotten


def test_of_two_redrives_the_younger_takes_over(site: Site) -> None:
    """The older one is fenced (75, or 69 in the middle of a commit); each is sent once."""
    keys = _refused(site)
    began = site.end()
    with site.project.running("quarantine", "-c", "stream.toml", "redrive") as older:
        eventually(lambda: site.end() > began, "something is written", within_s=60)
        older.process.send_signal(signal.SIGSTOP)
        younger = site.project.stream("quarantine", "redrive")
        older.process.send_signal(signal.SIGCONT)
        ended = older.end()

    assert younger.code == 0, younger
    assert ended.code in (69, 75), ended
    assert "internal failure" not in ended.err
    seen = Counter(site.keys(f"{site.pipeline}.events"))
    assert seen == Counter(dict.fromkeys(keys, 2))


def test_a_paused_partition_costs_the_worker_nothing_else(site: Site) -> None:
    """Longer than a session the other one goes on; a restart consumes nothing of the flood."""
    site.configure("[quarantine]\nbreaker_window = 100\nbreaker_share = 0.5\n")
    project = site.project
    good = [(f"g{i}", "1", i / 7, i % 2 == 0) for i in range(400)]
    columns = ("id", "part", "x", "label")

    def status() -> list[dict[str, object]]:
        rows: list[dict[str, object]] = project.stream("status", "--json").json["partitions"]
        return rows

    # One key each, so that the flood lies in one partition and the good ones in the other.
    project.write_csv("flood.csv", columns, [(f"f{i}", "2", i, "moon") for i in range(500)])
    project.write_csv("good.csv", columns, good)
    assert project.stream("produce", "flood.csv", "--key", "part").code == 0
    with project.running("run", "-c", "stream.toml") as worker:
        worker.line("partition_paused .* why=.51 of the last 100 records refused")
        (flooded,) = [row for row in status() if row["paused"]]
        deadline = time.monotonic() + 9.0  # the session is 6 s
        while time.monotonic() < deadline:
            assert project.stream("produce", "good.csv", "--key", "part").code == 0
        eventually(
            lambda: [r["lag"] for r in status() if not r["paused"]] == [0],
            "the other partition is at its end",
        )
        held = [row for row in status() if row["paused"]]
        assert worker.stop().code == 0
    with project.running("run", "-c", "stream.toml") as worker:
        worker.line("partition_paused .* why=.100 of the next 100 records would be refused again")
        assert worker.stop().code == 0

    (after,) = [row for row in status() if row["paused"]]
    assert held[0]["committed_offset"] == flooded["committed_offset"] == 51
    assert after["committed_offset"] == 51
    assert len(site.keys(f"{site.pipeline}.quarantine")) == 51
