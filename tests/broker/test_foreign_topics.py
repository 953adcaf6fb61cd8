"""Output topics that others made: narrower than ours, and no record stops its partition for it."""

import json
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from kafka import KafkaAdminClient, KafkaProducer
from kafka.admin import NewTopic

from stream.adapters.kafka_python import Connection, KafkaReader
from stream.core.event import Channel, Record
from stream.sandbox import LocalKafka, LocalRedis
from tests.commands.project import MODEL, Done, Project
from tests.contract.worlds import everything

pytestmark = pytest.mark.broker

DAY_MS = 86_400_000
NOW_MS = time.time_ns() // 1_000_000
ODD_TIMES = (
    NOW_MS, NOW_MS + DAY_MS, NOW_MS * 1000, -1, 1, 253_402_300_800_000, 2**63 - 1,
    NOW_MS - 9 * DAY_MS,
)  # fmt: skip
"""A day ahead, microseconds, none, the epoch, the year 10000, the last there is, last week."""

ANY_TIME = {
    "message.timestamp.after.max.ms": str(2**63 - 1),
    "message.timestamp.before.max.ms": str(2**63 - 1),
    "retention.ms": "-1",
}


class Pipeline:
    """A project on real servers whose topics are made by hand."""

    def __init__(self, project: Project, kafka: LocalKafka, redis_url: str, name: str) -> None:
        self.project, self.kafka, self._redis_url, self.name = project, kafka, redis_url, name
        self.configure("kafka-python")

    def configure(self, client: str, more: str = "", *, model: str = MODEL) -> None:
        """Write its configuration."""
        self.project.configure(
            f'[kafka]\nbootstrap_servers = "{self.kafka.bootstrap_servers}"\nclient = "{client}"\n'
            f'[redis]\nurl = "{self._redis_url}"\n{model}{more}',
            pipeline=self.name,
        )

    def create(self, channel: Channel, **settings: str) -> None:
        """A topic with these settings."""
        dotted = {name.replace("_", "."): value for name, value in settings.items()}
        with closing(KafkaAdminClient(bootstrap_servers=self.kafka.bootstrap_servers)) as admin:
            admin.create_topics([NewTopic(f"{self.name}.{channel}", 1, 1, topic_configs=dotted)])

    def send(self, *records: tuple[bytes | None, bytes, int | None]) -> None:
        """Events: key, value and timestamp."""
        producer = KafkaProducer(
            bootstrap_servers=self.kafka.bootstrap_servers, max_request_size=32 << 20
        )
        sent = [
            producer.send(f"{self.name}.events", value, key, None, 0, timestamp_ms)
            for key, value, timestamp_ms in records
        ]
        producer.flush(30)
        producer.close(timeout=2)
        assert all(each.succeeded() for each in sent), [each.exception for each in sent]

    def run(self) -> Done:
        """A worker, to the end of the events."""
        return self.project.stream("run", "--until-end", timeout_s=120)

    def read(self, channel: Channel) -> list[Record]:
        """All of a topic."""
        names = {each: f"{self.name}.{each}" for each in Channel}
        servers = self.kafka.bootstrap_servers
        connection = Connection(bootstrap_servers=servers, names=names, group=self.name)
        with closing(KafkaReader(connection)) as reader:
            return everything(reader, channel)


@pytest.fixture
def pipeline_(
    kafka: LocalKafka, redis_server: LocalRedis, tmp_path: Path, pipeline: str
) -> Pipeline:
    """One of this test's own."""
    return Pipeline(Project(tmp_path), kafka, redis_server.url, pipeline)


def value(i: int, *, label: Any = True) -> bytes:
    """An event."""
    return json.dumps({"features": {"x": i}, "label": label}).encode()


def own_time(record: Record) -> int:
    """The event's own timestamp, as docs/TOPICS.md says where it is."""
    told = [v for n, v in record.headers if n == "stream.timestamp"]
    return int(told[0] or b"") if told else record.timestamp_ms


def assert_only_labels_are_wrong(checked: Done) -> None:
    """The tests' own: more than a tenth of their events are sent to be refused."""
    problems = [line for line in checked.err.splitlines() if not line.startswith("stream: ")]
    told = problems or checked.err.splitlines()

    assert checked.code == 78, checked
    assert ["would be refused as bad_label" in line for line in told] == [True], checked


@pytest.mark.parametrize("client", ["kafka-python", "confluent"])
def test_topics_of_ours_take_any_time(pipeline_: Pipeline, client: str) -> None:
    """A record a day ahead or in microseconds is predicted, or refused, with its own time."""
    pipeline_.configure(client)
    pipeline_.project.write("one.jsonl", value(0))
    assert pipeline_.project.stream("produce", "one.jsonl").code == 0  # makes the topics
    pipeline_.send(*((b"k", value(i, label="?"), at) for i, at in enumerate(ODD_TIMES)))
    pipeline_.send(*((b"k", value(i), at) for i, at in enumerate(ODD_TIMES)))

    ran, checked = pipeline_.run(), pipeline_.project.stream("check")

    assert ran.code == 0, ran
    assert "timestamp" not in checked.out
    assert_only_labels_are_wrong(checked)
    for channel, skipped in ((Channel.PREDICTIONS, 1), (Channel.QUARANTINE, 0)):
        out = pipeline_.read(channel)[skipped:]
        assert [r.timestamp_ms for r in out[:-2]] == list(ODD_TIMES[:-2])
        assert abs(out[-2].timestamp_ms - ODD_TIMES[-2]) <= 1  # next to a -1 its client is one off
        assert not any(name == "stream.timestamp" for r in out for name, _ in r.headers)


@pytest.mark.parametrize("client", ["kafka-python", "confluent"])
@pytest.mark.parametrize(
    "settings",
    [
        {},  # Kafka's own: an hour ahead
        {"message_timestamp_before_max_ms": str(DAY_MS), "retention_ms": "-1"},
        {"message_timestamp_type": "LogAppendTime"},
    ],
    ids=["kafka's own", "before", "append time"],
)
def test_at_others_topics_an_events_own_time_is_in_a_header(
    pipeline_: Pipeline, client: str, settings: dict[str, str]
) -> None:
    """The output's time is the nearest that the topic takes; `check` says it."""
    pipeline_.configure(client)
    pipeline_.create(Channel.EVENTS, **ANY_TIME)
    pipeline_.create(Channel.PREDICTIONS, **settings)
    pipeline_.create(Channel.QUARANTINE, **settings)
    pipeline_.send(*((b"k", value(i), at) for i, at in enumerate(ODD_TIMES)))
    pipeline_.send(*((b"k", value(i, label="?"), at) for i, at in enumerate(ODD_TIMES)))

    ran, checked = pipeline_.run(), pipeline_.project.stream("check")

    assert ran.code == 0, ran
    assert_only_labels_are_wrong(checked)
    assert "an event's own is in the header stream.timestamp" in checked.out
    for channel in (Channel.PREDICTIONS, Channel.QUARANTINE):
        out = pipeline_.read(channel)
        assert [own_time(r) for r in out[-2:]] == list(ODD_TIMES[-2:])
        assert {own_time(r) for r in out} <= set(ODD_TIMES)
    listed = pipeline_.project.stream("quarantine", "list", "--json").json
    assert listed["reasons"]["bad_label"]["refused"] == len(pipeline_.read(Channel.QUARANTINE))


@pytest.mark.parametrize("client", ["kafka-python", "confluent"])
def test_a_value_over_the_quarantine_topics_own_limit_is_cut(
    pipeline_: Pipeline, client: str
) -> None:
    """It says so, to `check` too, and good events around it are predicted."""
    pipeline_.configure(client, "[limits]\nvalue_bytes_max = 4000000\n")
    pipeline_.create(Channel.EVENTS, max_message_bytes="5000000")
    pipeline_.create(Channel.QUARANTINE, max_message_bytes="9000")
    bad = [b"{" + b"x" * n for n in (0, 8_000, 9_000, 100_000, 3_999_000, 4_500_000)]
    pipeline_.send((b"k", value(1), None), *((b"k" * 50_000, each, None) for each in bad))
    pipeline_.send(*((b"k", each, None) for each in bad), (b"k", value(2), None))
    pipeline_.send(*((None, b"{" + b"y" * 300, None) for _ in range(500)))

    checked, ran = pipeline_.project.stream("check"), pipeline_.run()

    assert ran.code == 0, ran
    assert "takes records of 9000 bytes; larger ones are cut" in checked.out
    assert len(pipeline_.read(Channel.PREDICTIONS)) == 2
    refused = pipeline_.read(Channel.QUARANTINE)
    assert len(refused) == 2 * len(bad) + 500
    for record, whole in zip(refused, bad * 2, strict=False):
        detail = dict(record.headers)["stream.detail"] or b""
        assert whole.startswith(record.value or b"")
        was_cut = len(record.value or b"") < len(whole) or len(record.key or b"") > 1
        assert (b"cut to its first" in detail) == was_cut
        assert len(record.value or b"") >= min(len(whole), 3_000)
    listed = pipeline_.project.stream("quarantine", "list", "--json").json
    assert sum(n["refused"] for n in listed["reasons"].values()) == len(refused)


def test_a_large_key_is_refused_and_its_partition_goes_on(pipeline_: Pipeline) -> None:
    """A key of 1.2 MB passed every limit, and then no commit succeeded."""
    for client in ("kafka-python", "confluent"):
        pipeline_.configure(client)
        if client == "kafka-python":
            pipeline_.create(Channel.EVENTS, max_message_bytes="5000000")
        pipeline_.send((b"k" * 1_200_000, value(1), None), (b"k" * 65_536, value(2), None))
        assert pipeline_.run().code == 0

    predicted, refused = (pipeline_.read(c) for c in (Channel.PREDICTIONS, Channel.QUARANTINE))
    assert [len(r.key or b"") for r in predicted] == [65_536] * 2
    assert [len(r.key or b"") for r in refused] == [65_536] * 2
    assert {dict(r.headers)["stream.reason"] for r in refused} == {b"too_large"}


def test_a_predictions_topic_too_narrow_for_a_key_is_a_problem(pipeline_: Pipeline) -> None:
    """It would take most events and stop at the first one with a large key: 78 before that."""
    pipeline_.create(Channel.EVENTS)
    pipeline_.create(Channel.PREDICTIONS, max_message_bytes="60000")

    checked, ran = pipeline_.project.stream("check"), pipeline_.run()

    assert (checked.code, ran.code) == (78, 78), (checked, ran)
    for done in (checked, ran):
        assert "takes records of 60000 bytes" in done.err.splitlines()[-1]
        assert "raise its max.message.bytes" in done.err.splitlines()[-1]
    pipeline_.configure("kafka-python", "[limits]\nkey_and_headers_bytes_max = 20000\n")
    assert pipeline_.run().code == 0


@pytest.mark.parametrize("client", ["kafka-python", "confluent"])
def test_classes_whose_names_no_prediction_could_hold_stop_no_partition(
    pipeline_: Pipeline, client: str
) -> None:
    """Order ids as labels: each prediction names them all, and a narrow topic took none any more.

    `check` and the first start say what to set; from there on a label too many is refused.
    """
    narrow = "[limits]\nkey_and_headers_bytes_max = 20000\n"
    prior = '[model]\nfactory = "river.dummy:PriorClassifier"\n'
    pipeline_.configure(client, narrow, model=prior)
    pipeline_.create(Channel.EVENTS)
    pipeline_.create(Channel.PREDICTIONS, max_message_bytes="60000")
    labels = [f"{n:03}" + "\x01" * 250 for n in range(60)]
    pipeline_.send(*((b"k", value(i, label=each), None) for i, each in enumerate(labels)))

    checked, ran = pipeline_.project.stream("check"), pipeline_.run()
    assert (checked.code, ran.code) == (78, 78), (checked, ran)
    for done in (checked, ran):
        assert (
            "raise its max.message.bytes, or set limits.classes_bytes_max = 11296 (or less)"
            in (done.err.splitlines()[-1])
        )
    pipeline_.configure(client, narrow + "classes_bytes_max = 11296\n", model=prior)
    pipeline_.send((b"k" * 19_000, value(60, label=labels[0]), None))
    ran = pipeline_.run()

    assert ran.code == 0, ran
    predicted, refused = (pipeline_.read(c) for c in (Channel.PREDICTIONS, Channel.QUARANTINE))
    assert len(predicted) == 8
    assert len(json.loads(predicted[-1].value or b"")["probabilities"]) == 7
    assert len(refused) == 53
    for record in refused:
        headers = dict(record.headers)
        assert headers["stream.reason"] == b"bad_label"
        assert b"of at most 11296 (limits.classes_bytes_max)" in (headers["stream.detail"] or b"")
