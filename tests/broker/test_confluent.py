"""librdkafka against a broker that hangs, is away, or lacks what is needed: every call ends."""

import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from typing import Any, cast

import pytest
from confluent_kafka import Consumer, KafkaError, Producer, TopicPartition

from stream.adapters import confluent
from stream.adapters.confluent import KafkaLog, membership, records
from stream.adapters.confluent import log as log_module
from stream.adapters.confluent import reader as reader_module
from stream.adapters.confluent.calls import LATE_S, LEFT_MAX, Calls
from stream.core.event import Channel
from stream.errors import CommitLost, Internal, Misconfigured, Retryable
from stream.ports import Committed
from stream.sandbox import LocalKafka
from tests.broker import kafka_hands as hands
from tests.conftest import running_kafka
from tests.contract.confluent_world import ConfluentWorld, Saying
from tests.contract.worlds import at, create, output, patiently, raws, values
from tests.patience import eventually

pytestmark = pytest.mark.broker


@pytest.fixture(scope="module")
def stoppable(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalKafka]:
    """One broker for these tests, which each leave it running."""
    yield from running_kafka(tmp_path_factory.mktemp("stoppable"))


@pytest.fixture
def world(stoppable: LocalKafka) -> Iterator[ConfluentWorld]:
    """Topics of our own on it."""
    opened = ConfluentWorld(stoppable)
    opened.confluent = replace(opened.confluent, bootstrap_timeout_ms=2_000)
    yield opened
    opened.close()


def joined(world: ConfluentWorld, *, instance: str | None = None) -> KafkaLog:
    """A member that has partition 0."""
    log = cast("KafkaLog", world.log(instance=instance))
    eventually(lambda: 0 in log.poll(timeout_s=0.1, records_max=1).assigned, "the partition")
    return log


def committed_once(log: KafkaLog) -> None:
    """A commit, once it is a member again. Raises: Retryable."""
    log.poll(timeout_s=0.05, records_max=1)
    if log.committed({0}) != {0: at(2)}:
        log.commit([output(b"second")], {0: at(2)})


class _Hanging:
    """A producer whose offsets never arrive, as when the group's coordinator left the cluster."""

    def __init__(self, client: Producer) -> None:
        self._client = client
        self.released = threading.Event()
        self.ended = threading.Event()

    def send_offsets_to_transaction(self, *arguments: Any) -> None:
        self.released.wait()
        try:
            self._client.send_offsets_to_transaction(*arguments)
        finally:
            self.ended.set()

    def __len__(self) -> int:
        return len(self._client)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)


def test_offsets_that_hang_are_left_behind(world: ConfluentWorld) -> None:
    """The next producer ends their transaction; and let go at last they do no harm."""
    create(world)
    log = joined(world, instance="w-0")
    log.commit([output(b"first")], {0: at(1)})
    assert log._producer is not None
    hanging = _Hanging(log._producer.client)
    log._producer.client = cast("Producer", hanging)

    with hands.takes(world.timings.call_deadline_s), pytest.raises(CommitLost, match="hangs"):
        log.commit([output(b"lost")], {0: at(2)})
    assert log.committed({0}) == {0: at(1)}
    log.commit([output(b"second")], {0: at(2)})
    hanging.released.set()
    assert hanging.ended.wait(30.0)
    log.commit([output(b"third")], {0: at(3)})

    assert log.committed({0}) == {0: at(3)}
    assert values(world.reader(), Channel.PREDICTIONS) == [b"first", b"second", b"third"]
    log.close()


def test_a_process_in_which_calls_hang_again_and_again_begins_anew() -> None:
    """Each of them keeps what a client keeps; a call that returned does not count."""
    calls, over = Calls(), threading.Event()
    for _ in range(LEFT_MAX):
        calls.check()
        with pytest.raises(CommitLost, match="hangs"):
            calls.within(-LATE_S, over.wait, "sending the offsets")
    with pytest.raises(Internal, match="restarts"):
        calls.check()

    over.set()
    for thread in threading.enumerate():
        if thread.name == "sending the offsets":
            thread.join(60.0)
    calls.check()
    with pytest.raises(ZeroDivisionError):
        calls.within(5.0, lambda: 1 // 0, "sending the offsets")


def test_a_commit_into_a_broker_that_hangs_is_lost_and_found_again(world: ConfluentWorld) -> None:
    """It ends in time; then nothing or all of it is there, and the next commit works."""
    create(world)
    log = joined(world, instance="w-0")
    log.commit([output(b"first")], {0: at(1)})

    with (
        hands.paused(world.broker),
        hands.takes(world.timings.call_deadline_s),
        pytest.raises(CommitLost),
    ):
        log.commit([output(b"lost")], {0: at(2)})

    def asked() -> dict[int, Committed]:
        # As a worker asks: a member whose session ended meanwhile is one again when it polls.
        log.poll(timeout_s=0.05, records_max=1)
        return log.committed({0})

    assert patiently(asked, deadline_s=30.0) == {0: at(1)}
    patiently(lambda: committed_once(log), deadline_s=30.0)
    assert values(world.reader(), Channel.PREDICTIONS) == [b"first", b"second"]


def test_what_a_dead_nameless_worker_left_open_is_ended_by_its_successor(
    world: ConfluentWorld,
) -> None:
    """Its id is known to nobody, and its transaction would stay for a minute."""
    world.timings = replace(world.timings, transaction_timeout_ms=60_000)
    create(world)
    dead = joined(world)
    client = dead._ready_producer().client
    client.begin_transaction()
    dead._ready_producer().send([output(b"never")])
    offsets = [TopicPartition(world.connection.names[Channel.EVENTS], 0, 5)]
    client.send_offsets_to_transaction(offsets, dead._metadata, 5.0)
    world.kill(dead)
    time.sleep(world.timings.session_timeout_ms / 2000 + 0.1)
    world.expire(dead)
    heir = joined(world)

    with hands.takes(3.0):
        assert heir.committed({0}) == {}

    heir.commit([output(b"mine")], {0: at(1)})
    assert values(world.reader(), Channel.PREDICTIONS) == [b"mine"]


def test_a_member_that_was_thrown_out_commits_nothing(world: ConfluentWorld) -> None:
    """Kafka does not fence a commit without a generation: the zombie must not send one."""
    create(world)
    zombie = joined(world)
    world.expire(zombie)
    heir = joined(world)
    heir.commit([], {0: at(100)})

    with pytest.raises(CommitLost):
        zombie.commit([output(b"zombie")], {0: at(3)})
    zombie.poll(timeout_s=0.1, records_max=1)
    if not zombie._membership.owned:
        with pytest.raises(CommitLost):
            zombie.commit([output(b"zombie")], {0: at(3)})

    assert heir.committed({0}) == {0: at(100)}
    assert values(world.reader(), Channel.PREDICTIONS) == []


def test_a_log_that_starts_late_is_not_read_before_the_worker_says_where(
    world: ConfluentWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An assigned partition is paused at once, but the client's own thread may be quicker."""

    class SlowToPause(Consumer):
        def pause(self, partitions: list[TopicPartition]) -> None:
            time.sleep(1.0)
            super().pause(partitions)

    monkeypatch.setattr(membership, "Consumer", SlowToPause)
    create(world)
    world.append(raws(b"gone", b"gone", b"kept"))
    world.delete_before(Channel.EVENTS, 0, 2)

    log = joined(world)
    until = time.monotonic() + 1.0
    while time.monotonic() < until:
        assert not log.poll(timeout_s=0.05, records_max=10).records
    log.seek(0, 2)

    seen: list[bytes | None] = []

    def came() -> bool:
        seen.extend(r.value for r in log.poll(timeout_s=0.1, records_max=9).records.get(0, ()))
        return bool(seen)

    eventually(came, "the record that is left")
    assert seen == [b"kept"]


def test_records_beside_an_error_are_delivered_once(
    world: ConfluentWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The client has moved on behind them: dropped with the error they would never come again."""
    create(world)
    log, sent = joined(world), raws(b"a", b"b", b"c")
    world.append(sent)
    log.seek(0, 0)
    spoiled: list[int] = []

    def spoiling(*arguments: Any, **more: Any) -> list[Any]:
        found: list[Any] = records.polled(*arguments, **more)
        if any(message.error() is None for message in found) and not spoiled:
            spoiled.append(1)
            return [found[0], Saying(KafkaError._RESOLVE), *found[1:]]
        return found

    monkeypatch.setattr(log_module, "polled", spoiling)
    seen: list[bytes | None] = []
    troubles: list[Retryable] = []

    def read() -> bool:
        try:
            polled = log.poll(timeout_s=0.1, records_max=10)
        except Retryable as error:
            troubles.append(error)
        else:
            seen.extend(record.value for record in polled.records.get(0, ()))
        return len(seen) >= 3 and bool(troubles)

    eventually(read, "three records and the error")

    assert seen == [b"a", b"b", b"c"]
    assert len(troubles) == 1


def test_what_a_rebalance_did_is_told_though_the_poll_fails(
    world: ConfluentWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker that never hears of a loss would go on with what is another's."""
    create(world)
    log = joined(world)
    asked: list[int] = []

    def away(*_: object) -> int:
        asked.append(1)
        raise Retryable("no broker answers")

    monkeypatch.setattr(log_module, "partitions", away)
    monkeypatch.setattr(log_module, "MISSING_S", -1.0)
    world.expire(log)
    revoked: set[int] = set()

    def told() -> bool:
        try:
            # Not for long: within one call the client may lose a partition and win it back.
            revoked.update(log.poll(timeout_s=0.0, records_max=1).revoked)
        except Retryable:
            monkeypatch.setattr(log_module, "MISSING_S", 60.0)
        return 0 in revoked

    eventually(told, "the loss of partition 0")

    assert asked


def test_a_read_that_breaks_off_begins_again_where_it_stood(
    world: ConfluentWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A replay with a hole in it would give another digest."""
    create(world)
    world.append(raws(*(b"%d" % n for n in range(20))))
    reader = world.reader()
    broken: list[int] = []

    def breaking(*arguments: Any, **more: Any) -> list[Any]:
        found: list[Any] = records.polled(*arguments, **(more | {"records_max": 7}))
        if found and len(broken) < 2:
            broken.append(1)
            return [*found, Saying(KafkaError._RESOLVE)]
        return found

    monkeypatch.setattr(reader_module, "polled", breaking)
    batches, seen = reader.read(Channel.EVENTS, 0, 0, 20), list[bytes | None]()

    def read() -> bool:
        with suppress(Retryable):
            seen.extend(record.value for record in next(batches, ()))
        return len(seen) >= 20

    eventually(read, "twenty records")

    assert seen == [b"%d" % n for n in range(20)]
    assert len(broken) == 2


def test_a_missing_output_topic_is_misconfigured(world: ConfluentWorld) -> None:
    """Soon, with the key and what makes it; librdkafka itself would wait for 30 s."""
    world.topics().create(Channel.EVENTS, partitions=1, retention_ms=-1)
    log = joined(world)

    with (
        hands.takes(world.timings.call_deadline_s),
        pytest.raises(Misconfigured, match=r"topics.predictions: .* does not exist; create it"),
    ):
        log.commit([output(b"p")], {0: at(1)})

    assert log.committed({0}) == {}


def test_a_missing_events_topic_is_misconfigured(world: ConfluentWorld) -> None:
    """The group has nothing to assign then; the worker is told."""
    log = world.log()

    def told() -> bool:
        try:
            log.poll(timeout_s=0.1, records_max=1)
        except Misconfigured as error:
            assert "does not exist" in str(error)  # noqa: PT017  # only some polls raise
            return True
        return False

    eventually(told, "the missing topic is noticed")


@pytest.mark.parametrize("make", ["KafkaReader", "KafkaTopics", "KafkaFeed"])
def test_a_refused_connection_is_retryable(world: ConfluentWorld, make: str) -> None:
    """Nobody listens: told with the address, within the bootstrap's time."""
    away = replace(world.confluent, bootstrap_servers="127.0.0.1:1")

    with hands.takes(8.0), pytest.raises(Retryable, match=r"127\.0\.0\.1:1"):
        getattr(confluent, make)(away)


@pytest.mark.parametrize(
    "options",
    [
        {"no.such.option": 1},
        {"security.protocol": "SSL", "ssl.ca.location": "no-such-file.pem"},
        {"security.protocol": "SASL_PLAINTEXT", "sasl.mechanism": "NONE-SUCH"},
    ],
    ids=["unknown", "no certificate", "no mechanism"],
)
def test_options_that_the_client_does_not_take_are_misconfigured(
    world: ConfluentWorld, options: dict[str, object]
) -> None:
    """Whatever the client makes of them: an operator is told."""
    with hands.takes(8.0), pytest.raises(Misconfigured, match="kafka"):
        confluent.KafkaReader(replace(world.confluent, options=options))


def test_closing_ends_while_the_broker_hangs(world: ConfluentWorld) -> None:
    """Leaving the group cannot be told to anybody then."""
    create(world)
    log = joined(world)
    log.commit([output(b"p")], {0: at(1)})
    world.kill(log)  # closed here, not by the world

    with hands.paused(world.broker), hands.takes(world.timings.call_deadline_s):
        log.close()
