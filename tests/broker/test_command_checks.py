"""`stream check`, as a worker's user, says what that may not do with topics that few need."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from kafka import TopicPartition
from kafka.structs import OffsetAndMetadata

from stream.adapters.kafka_python.connection import to_metadata
from stream.sandbox import LocalKafka, LocalRedis
from tests.commands.project import MODEL, Done, Project
from tests.instruments.faults.guarded import DESCRIBE, OUTPUTS, READ, WRITE, Guarded
from tests.patience import HANGS_AFTER_S

pytestmark = pytest.mark.broker

COMMANDED = "v1;n=3;h=00ff00ff00ff00ff;f=deadbeef;g=0;l=2;r=1;j=1;k=1"
"""Beside the offset of a fold that was given a command."""


@pytest.fixture(scope="module")
def guarded(kafka: LocalKafka, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    """One broker with an authorizer."""
    assert kafka.running  # the fixture skips where there is no Java
    with Guarded.made(tmp_path_factory.mktemp("guarded")) as broker:
        yield broker


class Limited:
    """A pipeline on it, and its worker's user."""

    def __init__(
        self, broker: Guarded, redis_url: str, folder: Path, *, name: str, client: str
    ) -> None:
        self.broker, self.name = broker, name
        self.login = broker.login(client)
        self.project = Project(folder)
        self._config = (
            f'[kafka]\nclient = "{client}"\nbootstrap_servers = "{broker.open_servers}"\n'
            f'[redis]\nurl = "{redis_url}"\n{MODEL}'
        )
        self.project.configure(self._config, pipeline=name)
        self.make("events", *OUTPUTS)
        broker.permit_worker(name)

    def make(self, *channels: str) -> None:
        """Make topics."""
        settings = {"num_partitions": 1, "replication_factor": 1, "configs": {"retention.ms": "-1"}}
        with closing(self.broker.hands()) as admin:
            admin.create_topics(
                {f"{self.name}.{channel}": settings for channel in channels}, wait_for_metadata=True
            )

    def take_labels(self) -> None:
        """Have a topic for labels, of which only its name may be known, as of what they need."""
        more = f'[topics]\nlabels = "{self.name}.labels"\n[labels]\nwait = "1h"\n'
        self.project.configure(self._config + more, pipeline=self.name)
        needed = ("outcomes", "labels", "journal")
        self.make(*needed)
        for channel in needed:
            self.broker.permit(self.name, channel, DESCRIBE)

    def be_commanded(self) -> None:
        """As after its first command."""
        at = {
            TopicPartition(f"{self.name}.events", 0): OffsetAndMetadata(
                0, to_metadata(COMMANDED), -1
            )
        }
        with closing(self.broker.hands()) as admin:
            admin.alter_group_offsets(self.name, at)

    def check(self) -> Done:
        """`stream check` as the worker's user."""
        return self.project.stream("check", timeout_s=HANGS_AFTER_S, **self.login)


@pytest.fixture(params=["kafka-python", "confluent"])
def limited(
    guarded: Guarded, redis_server: LocalRedis, tmp_path: Path, pipeline: str,
    request: pytest.FixtureRequest,
) -> Limited:  # fmt: skip
    """A pipeline whose user may do what a worker does that is never commanded."""
    return Limited(guarded, redis_server.url, tmp_path, name=pipeline, client=request.param)


def lines(done: Done, text: str) -> list[str]:
    """Those that say so."""
    return [line for line in (done.out + done.err).splitlines() if text in line]


def test_a_pipeline_that_is_never_commanded_needs_no_more(limited: Limited) -> None:
    """It is told that a worker would take no command, and all else is well."""
    done = limited.check()

    assert done.code == 0, done
    assert len(lines(done, "a worker takes none")) == 1, done
    assert lines(done, "permissions: nothing is denied")


def test_each_permission_that_is_missing_is_one_line(limited: Limited) -> None:
    """With the topic, and what must be permitted."""
    limited.make("control", "journal", "ledger")
    limited.be_commanded()
    for channel in ("control", "journal", "ledger"):
        limited.broker.permit(limited.name, channel, DESCRIBE)

    done = limited.check()

    assert done.code == 78, done
    assert lines(done, "not permitted") == [
        f"problem topics.{channel}: not permitted to {operation} {limited.name}.{channel}"
        for channel, operation in (
            ("control", "READ"), ("journal", "WRITE"), ("journal", "READ"), ("ledger", "WRITE")
        )
    ]  # fmt: skip


def test_a_labels_topic_needs_permissions_of_its_own(limited: Limited) -> None:
    """To read it, to write outcomes, and the journal; none for topics of commands."""
    limited.take_labels()

    done = limited.check()

    assert done.code == 78, done
    assert lines(done, "problem ") == [
        f"problem topics.{channel}: not permitted to {operation} {limited.name}.{channel}"
        for channel, operation in (
            ("outcomes", "WRITE"), ("labels", "READ"), ("journal", "WRITE"), ("journal", "READ")
        )
    ]  # fmt: skip
    ran = limited.project.stream("run", timeout_s=HANGS_AFTER_S, **limited.login)
    assert ran.code == 78, ran
    assert len(lines(ran, "not permitted to ")) == 4, ran

    limited.broker.permit(limited.name, "outcomes", WRITE)
    limited.broker.permit(limited.name, "labels", READ)
    limited.broker.permit(limited.name, "journal", READ, WRITE)
    done = limited.check()
    assert done.code == 0, done
    assert lines(done, f"ok journal: {limited.name}.journal")


def test_topics_that_nobody_may_make_are_named(limited: Limited) -> None:
    """`topics.create` is of no use without the right."""
    limited.make("control")
    limited.be_commanded()
    limited.broker.permit(limited.name, "control", READ)
    limited.broker.permit(limited.name, "journal", READ, WRITE)
    limited.broker.permit(limited.name, "ledger", WRITE)

    done = limited.check()

    assert done.code == 78, done
    for channel in ("journal", "ledger"):
        (line,) = lines(done, f"topics.{channel}: ")
        assert f"{limited.name}.{channel} does not exist" in line
        assert "may not be made" in line
    assert lines(done, "record 1 of the journal is gone")


def test_a_topic_that_may_not_be_seen_is_a_problem_once_it_is_needed(limited: Limited) -> None:
    """Whether it is there is not known then."""
    limited.make("control", "ledger")
    limited.be_commanded()
    limited.broker.permit(limited.name, "control", READ)
    limited.broker.permit(limited.name, "ledger", WRITE)

    done = limited.check()

    assert done.code == 78, done
    assert lines(done, f"{limited.name}.journal") == [
        f"problem topics.journal: not permitted to {operation} {limited.name}.journal"
        for operation in ("WRITE", "READ")
    ]


def test_outcomes_are_to_be_written_where_labels_come_later(limited: Limited) -> None:
    """One line, as for each other topic; permitted, nothing is said."""
    limited.make("outcomes")
    limited.broker.permit(limited.name, "outcomes", DESCRIBE)
    labels = {"STREAM__LABELS__WAIT": "1h"}

    done = limited.project.stream("check", timeout_s=HANGS_AFTER_S, **limited.login | labels)

    assert done.code == 78, done
    assert lines(done, "problem topics.") == [
        f"problem topics.outcomes: not permitted to WRITE {limited.name}.outcomes"
    ]
    assert limited.check().code == 0
