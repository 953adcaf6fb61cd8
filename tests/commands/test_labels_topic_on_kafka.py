"""Labels in a topic of their own on a real Kafka, with each of its clients."""

import json
from contextlib import closing
from pathlib import Path

import pytest
from kafka import KafkaAdminClient, KafkaProducer
from kafka.admin import NewTopic

from stream.sandbox import LocalKafka, LocalRedis
from tests.commands.project import MODEL, Project

pytestmark = pytest.mark.broker

N = 150
T_S = 1_700_000_000


@pytest.fixture(params=["kafka-python", "confluent"])
def labelled(
    kafka: LocalKafka, redis_server: LocalRedis, tmp_path: Path, pipeline: str,
    request: pytest.FixtureRequest,
) -> Project:  # fmt: skip
    """A pipeline of this test's own on the real servers."""
    project = Project(tmp_path)
    project.configure(
        f'[kafka]\nclient = "{request.param}"\nbootstrap_servers = "{kafka.bootstrap_servers}"\n'
        f'[redis]\nurl = "{redis_server.url}"\n{MODEL}'
        f'[topics]\nlabels = "{pipeline}.labels"\n[labels]\nwait = "1h"\n', pipeline=pipeline,
    )  # fmt: skip
    return project


def kinds(project: Project) -> list[str]:
    """What became of labels so far."""
    lines = project.stream("tail", "outcomes", "--last", "10000", "--json").out.splitlines()
    return [json.loads(line)["kind"] for line in lines]


def test_labels_are_sent_learned_and_sent_again(
    labelled: Project, kafka: LocalKafka, pipeline: str
) -> None:
    """Each lies in the partition of its event, whatever the client; a refused one comes back."""
    topics = [
        NewTopic(f"{pipeline}.{each}", 3, 1, topic_configs={"retention.ms": -1})
        for each in ("events", "labels")
    ]
    with closing(KafkaAdminClient(bootstrap_servers=kafka.bootstrap_servers)) as admin:
        admin.create_topics(topics, wait_for_metadata=True)
    producer = KafkaProducer(bootstrap_servers=kafka.bootstrap_servers)
    producer.send(f"{pipeline}.labels", b'{"id": "e0"}', key=b"e0").get(timeout=30)
    producer.close()
    rows = [(f"e{i}", T_S + i, i % 7 - 3.0, i % 7 > 3, f"{i % 50}s") for i in range(N)]
    labelled.write_csv("events.csv", ("id", "at", "x", "good", "after"), rows)
    fed = labelled.stream(
        "produce", "events.csv", "--label", "good", "--time", "at", "--delay", "after"
    )
    assert fed.said(f"{N} events and {N} labels acknowledged"), fed

    checked = labelled.stream("check")
    assert checked.code == 0, checked
    assert checked.said(f"ok labels: {N} of the last {N + 1} lie where their event does"), checked
    before = labelled.stream("status", "--json").json["partitions"]
    assert sum(each["labels"]["lag"] for each in before) == N + 1
    ran = labelled.stream("run", "--until-end")
    assert ran.code == 0, ran
    assert kinds(labelled) == ["labeled"] * N

    redriven = labelled.stream("quarantine", "redrive")
    assert redriven.out == f"1 records (1 bad_label) sent to {pipeline}.labels\n", redriven
    assert labelled.stream("run", "--until-end").code == 0
    after = labelled.stream("status", "--json").json["partitions"]
    assert [each["labels"]["lag"] for each in after] == [0, 0, 0]  # a transaction's marker is none
    assert sum(each["learned"] for each in after) == N
    assert labelled.stream("snapshots", "verify").code == 0
    listed = labelled.stream("quarantine", "list", "--json").json
    assert listed["reasons"] == {"bad_label": {"refused": 2, "waiting": 1}}
