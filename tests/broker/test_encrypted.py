"""Between guarded servers: TLS, SCRAM-SHA-512 and permissions on Kafka, TLS and an ACL on Redis."""

import json
import time
from contextlib import closing
from pathlib import Path

import pytest
from river import linear_model, preprocessing

from stream.core.event import Channel
from tests.broker.encrypted import Authority, EncryptedKafka, EncryptedRedis
from tests.broker.guarded_pipeline import Guarded
from tests.end_to_end import plain_loop
from tests.end_to_end.outside import without_place

pytestmark = pytest.mark.broker


@pytest.fixture
def client() -> str:
    """What most tests use."""
    return "kafka-python"


with_each_client = pytest.mark.parametrize("client", ["kafka-python", "confluent"])


@pytest.fixture
def guarded(
    pipeline: str,
    tmp_path: Path,
    encrypted_kafka: EncryptedKafka,
    encrypted_redis: EncryptedRedis,
    client: str,
) -> Guarded:
    """A pipeline of its own."""
    return Guarded(pipeline, tmp_path, encrypted_kafka, encrypted_redis, client=client)


@with_each_client
def test_a_worker_runs_end_to_end(guarded: Guarded) -> None:
    """It predicts as the plain loop does, snapshots, and comes back from its snapshot."""
    guarded.feed(300)
    checked = guarded.stream("check")
    assert checked.code == 0, checked
    first = guarded.stream("run", "--until-end")
    assert first.code == 0, first
    guarded.feed(200)
    second = guarded.stream("run", "--until-end")
    assert second.code == 0, second

    assert 'origin="snapshot at 300"' in second.err
    model = preprocessing.StandardScaler() | linear_model.LogisticRegression()
    expected = plain_loop.classify(model, guarded.events)
    published = [json.loads(r.value) for r in guarded.records(Channel.PREDICTIONS)]
    assert [without_place(each) for each in published] == expected
    status = guarded.stream("status", "--json").json
    (row,) = status["partitions"]
    assert (row["lag"], row["snapshot_offset"]) == (0, row["committed_offset"]), row
    verified = guarded.stream("snapshots", "verify")
    assert verified.code == 0, verified
    assert "2 snapshots verified" in verified.out


@with_each_client
def test_what_was_refused_can_be_listed_and_sent_again(guarded: Guarded) -> None:
    """Each with the permissions that are documented for it, and no less."""
    guarded.feed(20)
    guarded.append(b"oops")
    ran = guarded.stream("run", "--until-end", "--debug")
    assert ran.code == 0, ran
    guarded.kafka.permit_quarantine(guarded.name)
    listed = guarded.stream("quarantine", "list", "--debug")
    assert listed.code == 0, listed
    forbidden = guarded.stream("quarantine", "redrive", "--debug")
    assert forbidden.code == 78, forbidden
    guarded.kafka.permit_redrive(guarded.name)

    tried = guarded.stream("quarantine", "redrive", "--dry-run", "--debug")
    sent = guarded.stream("quarantine", "redrive", "--debug")

    assert tried.said("1 records (1 not_json) would be sent"), tried
    assert sent.said("1 records (1 not_json) sent"), sent
    assert [each.value for each in guarded.records(Channel.EVENTS)].count(b"oops") == 2
    for done in (ran, listed, forbidden, tried, sent):
        assert guarded.leaked(done) == []


@with_each_client
def test_a_dead_nameless_workers_transaction_is_ended(guarded: Guarded) -> None:
    """The permissions that are documented are enough for it, and so are the client's options."""
    guarded.feed(20)
    with closing(guarded.leave_open()):
        time.sleep(3.2)  # half of a session, or its owner might live
        assert guarded.ongoing() == [f"{guarded.name}-0123456789ab"]

        ran = guarded.stream("run", "--until-end")

        assert ran.code == 0, ran
        assert guarded.ongoing() == []


def test_a_broker_of_another_authority_gets_no_password(guarded: Guarded, tmp_path: Path) -> None:
    """Exit 69 or 78 with one line; the name must fit as well as the signature."""
    other = Authority.made(tmp_path / "other")
    wrong = guarded.stream("check", STREAM__KAFKA__OPTIONS__SSL_CAFILE=str(other.ca))
    name = guarded.stream(
        "check", STREAM__KAFKA__BOOTSTRAP_SERVERS=f"localhost:{guarded.kafka.port}"
    )

    for refused in (wrong, name):
        assert refused.code in {69, 78}, refused
        assert refused.said("certificate verify failed"), refused
    assert name.said("localhost"), name


def test_a_redis_of_another_authority_is_only_a_cache_that_is_away(
    guarded: Guarded, tmp_path: Path
) -> None:
    """`check` says so; a worker goes on without snapshots, and says so too."""
    guarded.feed(50)
    other = Authority.made(tmp_path / "other")
    for url in (guarded.redis.url(ca=other.ca), guarded.redis.url(host="localhost")):
        checked = guarded.stream("check", STREAM__REDIS__URL=url)
        assert checked.code == 78, checked
        assert checked.said("certificate verify failed"), checked

    ran = guarded.stream("run", "--until-end", STREAM__REDIS__URL=guarded.redis.url(ca=other.ca))

    assert ran.code == 0, ran
    assert "snapshots_unreachable" in ran.err
    assert len(guarded.records(Channel.PREDICTIONS)) == 50
    with guarded.redis.raw() as raw:
        assert list(raw.scan_iter(f"*{guarded.name}*")) == []


def test_a_worker_sees_no_other_pipelines_snapshots(guarded: Guarded) -> None:
    """The documented user may not even look."""
    guarded.redis.permit("another")

    listed = guarded.stream("snapshots", "list", "--partition", "0")

    assert listed.code == 78, listed
    assert listed.said("No permissions to access a key"), listed
