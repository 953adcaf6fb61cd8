"""The commands on a real Kafka and a real Redis."""

import json
import signal
from pathlib import Path

import pytest
from kafka import KafkaAdminClient
from kafka.admin import NewTopic

from stream.sandbox import LocalKafka, LocalRedis
from tests.commands.project import MODEL, Project, closed_port

pytestmark = pytest.mark.broker


@pytest.fixture
def servers(kafka: LocalKafka, redis_server: LocalRedis, tmp_path: Path, pipeline: str) -> Project:
    """A pipeline of this test's own on the real servers; two partitions of events."""
    made = Project(tmp_path)
    made.configure(_servers(kafka, redis_server.url) + MODEL, pipeline=pipeline)
    admin = KafkaAdminClient(bootstrap_servers=kafka.bootstrap_servers)
    admin.create_topics([NewTopic(f"{pipeline}.events", 2, 1, topic_configs={"retention.ms": -1})])
    admin.close()
    return made


def _servers(kafka: LocalKafka, redis_url: str) -> str:
    return (
        f'[kafka]\nbootstrap_servers = "{kafka.bootstrap_servers}"\n[redis]\nurl = "{redis_url}"\n'
    )


def test_a_pipeline_can_be_fed_run_looked_at_and_verified(servers: Project) -> None:
    """Every event arrives once, both partitions reach the end, and their snapshots reproduce it."""
    rows = [(f"k{i % 10}", i / 1000, i % 3 == 0) for i in range(2000)]
    servers.write_csv("events.csv", ("id", "x", "label"), rows)

    fed = servers.stream("produce", "events.csv")
    lagging = servers.stream("status", "--progress-within", "1")
    ran = servers.stream("run", "--until-end")
    status = servers.stream("status", "--json")
    verified = servers.stream("snapshots", "verify")
    listed = servers.stream("snapshots", "list", "--json", "--partition", "1")

    assert (fed.code, lagging.code, ran.code) == (0, 69, 0), (fed, lagging, ran)
    assert fed.out.startswith("2000 events acknowledged in ")
    assert verified.code == 0, verified.out
    assert (status.code, listed.code) == (0, 0), (status, listed)
    partitions = status.json["partitions"]
    assert sum(p["learned"] for p in partitions) == 2000
    assert [p["lag"] for p in partitions] == [0, 0]
    assert [p["score"]["metric"] for p in partitions] == ["accuracy", "accuracy"]
    assert verified.out.splitlines()[-1] == "2 snapshots verified"
    assert listed.json["snapshots"][0]["next_offset"] == partitions[1]["committed_offset"]
    assert servers.stream("status", "--progress-within", "1").out == "no lag\n"


def test_a_sound_pipeline_on_real_servers_is_ok(servers: Project) -> None:
    """On a cluster without access control nothing is denied."""
    assert servers.fed(10).code == 0

    done = servers.stream("check")

    assert (done.code, done.err) == (0, ""), done
    assert "ok permissions: nothing is denied" in done.out
    assert "ok model: predicts and learns the first event of the log" in done.out
    assert "ok model: the pipeline's steps are called directly" in done.out


def test_a_compacted_events_topic_is_a_problem(
    servers: Project, kafka: LocalKafka, pipeline: str
) -> None:
    """Compaction removes events that a state is made of."""
    topic = f"{pipeline}.compacted"
    admin = KafkaAdminClient(bootstrap_servers=kafka.bootstrap_servers)
    admin.create_topics([NewTopic(topic, 1, 1, topic_configs={"cleanup.policy": "compact"})])
    admin.close()
    text = (servers.folder / "stream.toml").read_text()
    servers.write("stream.toml", f'{text}[topics]\nevents = "{topic}"\n')

    done = servers.stream("check")

    assert done.code == 78, done
    assert f"cleanup.policy of {topic} is compact" in done.err


def test_without_redis_the_status_is_said_all_the_same(
    servers: Project, kafka: LocalKafka, pipeline: str
) -> None:
    """What only Redis knows is null, with one line on stderr, and the code is 0."""
    assert servers.fed(10).code == 0
    assert servers.stream("run", "--until-end").code == 0
    away = f"redis://127.0.0.1:{closed_port()}/0"
    servers.configure(_servers(kafka, away) + MODEL, pipeline=pipeline)

    done = servers.stream("status", "--json")
    listed = servers.stream("snapshots", "list")

    assert done.code == 0, done
    assert len(done.err.splitlines()) == 1
    assert done.err.startswith("stream: snapshots unknown: Redis is not reachable")
    for row in done.json["partitions"]:
        assert row["lag"] == 0
        assert (row["snapshot_offset"], row["snapshot_age_s"]) == (None, None)
    assert listed.code == 69, listed


def test_lines_of_json_arrive_as_they_are(
    servers: Project, kafka: LocalKafka, pipeline: str
) -> None:
    """On Kafka too not a byte is changed."""
    from kafka import KafkaConsumer  # noqa: PLC0415

    line = json.dumps({"features": {"x": 1.50}, "label": True}, indent=None)
    servers.write("events.jsonl", f"{line}\n\n{line}\n")

    done = servers.stream("produce", "events.jsonl")

    assert done.out.startswith("2 events acknowledged in "), done
    consumer = KafkaConsumer(
        f"{pipeline}.events",
        bootstrap_servers=kafka.bootstrap_servers,
        auto_offset_reset="earliest",
        consumer_timeout_ms=10_000,
    )
    values = [next(consumer).value for _ in range(2)]
    consumer.close()
    assert values == [line.encode()] * 2


@pytest.mark.parametrize("client", ["kafka-python", "confluent"])
def test_what_came_out_can_be_followed_with_every_client(
    servers: Project, pipeline: str, kafka: LocalKafka, client: str
) -> None:
    """Each prediction of both partitions once; what a transaction took back is never shown."""
    pytest.importorskip("confluent_kafka")
    text = (servers.folder / "stream.toml").read_text()
    servers.write("stream.toml", text.replace("[kafka]", f'[kafka]\nclient = "{client}"'))
    rows = [(f"k{i % 10}", i / 1000, i % 3 == 0) for i in range(600)]
    servers.write_csv("events.csv", ("id", "x", "label"), rows)
    assert servers.stream("produce", "events.csv").code == 0
    words = ("tail", "-c", "stream.toml", "predictions", "--follow", "--json")
    with servers.running(*words) as following:
        following.line("waiting for")
        assert servers.stream("run", "--until-end", timeout_s=200).code == 0
        _aborted(kafka, f"{pipeline}.predictions")
        seen = [json.loads(following.line("^{", of="out")) for _ in range(600)]
        done = following.stop(signal.SIGINT)
    last = servers.stream("tail", "predictions", "--json", "--last", "100000")

    assert (done.code, done.out) == (0, ""), done
    for partition in (0, 1):
        offsets = [each["offset"] for each in seen if each["partition"] == partition]
        assert offsets == list(range(len(offsets)))
    assert len({(each["partition"], each["offset"]) for each in seen}) == 600
    assert sorted(map(json.dumps, map(json.loads, last.out.splitlines()))) == sorted(
        map(json.dumps, seen)
    )


def _aborted(kafka: LocalKafka, topic: str) -> None:
    """Write a prediction in a transaction, and take it back."""
    from kafka import KafkaProducer  # noqa: PLC0415

    producer = KafkaProducer(
        bootstrap_servers=kafka.bootstrap_servers, transactional_id=f"{topic}-of-another"
    )
    producer.init_transactions()
    producer.begin_transaction()
    producer.send(topic, b'{"offset": 1000000, "partition": 0}', partition=0).get(timeout=20)
    producer.abort_transaction()
    producer.close()
