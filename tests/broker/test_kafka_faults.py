"""A broker that hangs, is away, or does not permit: every call ends, with the right error."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from kafka import KafkaConsumer, OffsetAndMetadata, TopicPartition
from kafka.errors import KafkaTimeoutError

from stream.adapters.kafka_python import KafkaFeed, KafkaReader, KafkaTopics, producing
from stream.config.timings import Timings
from stream.core.event import Channel
from stream.errors import CommitLost, Fenced, Misconfigured, Retryable, StreamError
from stream.sandbox import LocalKafka
from tests.broker import kafka_hands as hands
from tests.conftest import running_kafka
from tests.contract.kafka_world import KafkaWorld
from tests.contract.worlds import at, create, output, patiently, raws, values
from tests.patience import eventually

pytestmark = pytest.mark.broker


@pytest.fixture(scope="module")
def stoppable(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalKafka]:
    """One broker for these tests, which each leave it running."""
    yield from running_kafka(tmp_path_factory.mktemp("stoppable"))


@pytest.fixture
def world(stoppable: LocalKafka) -> Iterator[KafkaWorld]:
    """Topics of our own on it."""
    opened = KafkaWorld(stoppable)
    assert opened.connection.bootstrap_timeout_ms == 10_000
    opened.connection = replace(opened.connection, bootstrap_timeout_ms=2_000)
    yield opened
    opened.close()


def elsewhere(world: KafkaWorld, offset: int) -> None:
    """An operator sets the committed offset of partition 0."""
    consumer = KafkaConsumer(
        bootstrap_servers=world.broker.bootstrap_servers,
        group_id=world.connection.group,
        enable_auto_commit=False,
    )
    partition = TopicPartition(world.connection.names[Channel.EVENTS], 0)
    consumer.assign([partition])
    consumer.commit({partition: OffsetAndMetadata(offset, "", -1)})
    consumer.close()


@pytest.mark.parametrize("exactly_once", [True, False])
def test_a_send_that_fails_leaves_nothing_committed(world: KafkaWorld, exactly_once: bool) -> None:
    """The client commits a transaction whose delivery timed out: we look at every delivery."""
    create(world)
    log = world.log(exactly_once=exactly_once)
    hands.assigned(log, {0})
    log.commit([output(b"first")], {0: at(1)})

    with (
        hands.paused(world.broker),
        hands.takes(world.timings.call_deadline_s),
        pytest.raises(CommitLost),
    ):
        log.commit([output(b"lost")], {0: at(2)})

    assert patiently(lambda: log.committed({0}), deadline_s=20.0) == {0: at(1)}
    if exactly_once:
        reader = world.reader()
        eventually(
            lambda: values(reader, Channel.PREDICTIONS) == [b"first"], "only the first is seen"
        )
    hands.assigned_again(log, {0})
    log.commit([output(b"second")], {0: at(2)})
    assert log.committed({0}) == {0: at(2)}
    assert values(world.reader(), Channel.PREDICTIONS)[-1] == b"second"


def test_a_commit_of_offsets_alone_ends_while_the_broker_hangs(world: KafkaWorld) -> None:
    """These calls take no timeout: what ends them is the client's request timeout."""
    create(world)
    log = world.log()
    hands.assigned(log, {0})
    log.commit([], {0: at(1)})

    with (
        hands.paused(world.broker),
        hands.takes(world.timings.call_deadline_s),
        pytest.raises(CommitLost),
    ):
        log.commit([], {0: at(2)})

    # Nobody knows whether it took effect; but it is one of the two, and stays so.
    found = patiently(lambda: log.committed({0}), deadline_s=20.0)
    assert found in ({0: at(1)}, {0: at(2)})


def test_a_static_worker_whose_transaction_ran_out_stops_or_goes_on(world: KafkaWorld) -> None:
    """After a long pause the broker has ended the transaction: never both, never half."""
    create(world)
    log = world.log(instance="w-0")
    hands.assigned(log, {0})
    log.commit([output(b"first")], {0: at(1)})

    with hands.paused(world.broker), pytest.raises((CommitLost, Fenced)):
        log.commit([output(b"lost")], {0: at(2)})

    heir = world.log(instance="w-0")
    hands.assigned(heir, {0})
    assert patiently(lambda: heir.committed({0}), deadline_s=20.0) == {0: at(1)}
    assert values(world.reader(), Channel.PREDICTIONS) == [b"first"]


def test_a_late_answer_is_not_taken_for_a_new_one(world: KafkaWorld) -> None:
    """The client keeps the answer to a look-up that timed out, and hands it to the next one."""
    create(world)
    log = world.log(exactly_once=False)
    hands.assigned(log, {0})
    log.commit([], {0: at(1)})
    log.close()
    # Without membership, so that somebody else may set the offset.
    log = world.log(exactly_once=False)
    assert patiently(lambda: log.committed({0}), deadline_s=20.0) == {0: at(1)}
    with hands.paused(world.broker), hands.takes(7.0), pytest.raises(Retryable):
        log.committed({0})
    futures = dict(log._consumer._coordinator._offset_fetch_futures)
    assert futures
    eventually(lambda: all(f.is_done for f in futures.values()), "the late answer comes")

    elsewhere(world, 100)

    assert patiently(lambda: log.committed({0}), deadline_s=20.0)[0].offset == 100


@pytest.mark.parametrize("instance", [None, "w-0"])
def test_closing_ends_while_the_broker_hangs(world: KafkaWorld, instance: str | None) -> None:
    """Close never hangs, and leaves no thread and no socket: nothing is delivered later."""
    create(world)
    world.timings = Timings.of(60.0)  # its requests would wait for 12 s
    threads, files_n = hands.threads(), hands.open_files_n()
    log, reader, topics, feed = (
        world.log(instance=instance), world.reader(), world.topics(), world.feed()
    )  # fmt: skip
    hands.assigned(log, {0})
    log.commit([output(b"p")], {0: at(1)})
    reader.bounds(Channel.EVENTS, 0)
    feed.send(b"{}", key=None, timestamp_ms=None)
    assert log._producer is not None
    log._producer.begin_transaction()
    log._producer.send(world.connection.names[Channel.PREDICTIONS], b"late", partition=0)
    with hands.paused(world.broker):
        feed.send(b"{}", key=None, timestamp_ms=None)
        for client in (log, reader, topics, feed):
            with hands.takes(5.0):
                client.close()
        assert hands.threads() <= threads
        assert hands.open_files_n() <= files_n


def test_a_producer_that_waits_for_a_connection_ends_at_once(world: KafkaWorld) -> None:
    """Its thread would look up only when the request times out, after 12 s."""
    producer = producing.make(
        world.connection,
        "connecting",
        transactional_id=world.connection.group,
        request_timeout_ms=12_000,
        max_block_ms=500,
    )
    with hands.paused(world.broker):
        with pytest.raises(KafkaTimeoutError):
            producer.init_transactions()
        with hands.takes(1.0):
            assert producing.discard(producer)


def test_every_client_says_in_time_that_a_broker_hangs(world: KafkaWorld) -> None:
    """Connections are accepted and nothing is answered: Retryable, within the watchdog's time."""
    create(world)
    log, reader, topics = world.log(), world.reader(), world.topics()
    hands.assigned(log, {0})
    reader.bounds(Channel.EVENTS, 0)
    reader.committed()
    deadline_s = world.timings.call_deadline_s
    clients: list[list[Callable[[], object]]] = [
        [lambda: log.committed({0})],
        [lambda: reader.bounds(Channel.EVENTS, 0), reader.committed],
        [topics.describe, topics.denied],
        [world.log],
    ]

    def ask(calls: list[Callable[[], object]]) -> None:
        for call in calls:
            with hands.takes(deadline_s), pytest.raises(Retryable):
                call()

    with hands.paused(world.broker):
        with hands.takes(2.0):
            assert not hands.poll(log).records
        with ThreadPoolExecutor(len(clients)) as threads:
            list(threads.map(ask, clients))


def test_a_refused_connection_is_retryable_for_every_client(world: KafkaWorld) -> None:
    """Nobody listens: told within 15 s, and nothing is left behind."""
    world.connection = replace(world.connection, bootstrap_servers="127.0.0.1:1")
    threads, files_n = hands.threads(), hands.open_files_n()
    for make in (KafkaReader, KafkaTopics, KafkaFeed):
        with hands.takes(15.0), pytest.raises(Retryable, match=r"127\.0\.0\.1:1"):
            make(world.connection)
    world.connection = replace(world.connection, bootstrap_timeout_ms=10_000)  # the default
    with hands.takes(15.0, at_least_s=10.0), pytest.raises(Retryable, match="was refused"):
        world.log()

    assert hands.threads() <= threads
    eventually(lambda: hands.open_files_n() <= files_n, "the files are closed")


def test_options_that_no_client_takes_are_misconfigured(world: KafkaWorld) -> None:
    """Whatever the client makes of them: an operator is told, and nothing is left behind."""
    create(world)
    threads, files_n = hands.threads(), hands.open_files_n()
    for options in (
        {"no_such_option": 1},
        {"security_protocol": "SSL"},
        {"security_protocol": "SSL", "ssl_cafile": "no-such-file.pem"},
        {"security_protocol": "SASL_PLAINTEXT", "sasl_mechanism": "PLAIN",
         "sasl_plain_username": "u", "sasl_plain_password": "p"},
    ):  # fmt: skip
        connection = replace(world.connection, options=options)
        for make in (KafkaReader, KafkaTopics, KafkaFeed):
            with pytest.raises(Misconfigured, match="kafka"):
                make(connection)

    assert hands.threads() <= threads
    # What a test before this one left to a thread of its own may end, or begin to, meanwhile.
    eventually(lambda: hands.open_files_n() <= files_n, "all files are closed")


def test_a_worker_lives_through_a_restart_of_the_broker(world: KafkaWorld) -> None:
    """Killed and started again: polls go on, a commit is lost at most, nothing is made anew."""
    create(world)
    log = world.log()
    hands.assigned(log, {0})
    log.seek(0, 0)
    log.commit([output(b"before")], {0: at(1)})
    world.broker.kill()
    with hands.takes(world.timings.call_deadline_s):
        polls = [patiently(lambda: hands.poll(log), deadline_s=10.0) for _ in range(5)]
    assert not any(polled.records for polled in polls)
    with hands.takes(world.timings.call_deadline_s), pytest.raises(Retryable):
        log.committed({0})

    world.broker.start()

    world.append(raws(b"a"))
    seen: list[bytes | None] = []

    def comes() -> bool:
        try:
            polled = hands.poll(log)
            for partition in polled.assigned:
                log.seek(partition, 0)
        except Retryable:
            return False
        seen.extend(record.value for record in polled.records.get(0, ()))
        return seen == [b"a"]

    eventually(comes, "the record")
    assert patiently(lambda: log.committed({0}), deadline_s=20.0) == {0: at(1)}

    def commits() -> bool:
        try:
            log.commit([output(b"after")], {0: at(2)})
        except CommitLost:
            return log.committed({0}) == {0: at(2)}
        return True

    eventually(commits, "a commit")
    assert values(world.reader(), Channel.PREDICTIONS) == [b"before", b"after"]


def test_a_static_member_that_cannot_join_is_not_taken_for_fenced(world: KafkaWorld) -> None:
    """While it tries to join it has no heartbeats, as a fenced one."""
    create(world)
    log = world.log(instance="w-0")
    hands.assigned(log, {0})
    world.broker.kill()
    log._consumer._coordinator.request_rejoin()
    for _ in range(10):
        patiently(lambda: hands.poll(log), deadline_s=10.0)

    world.broker.start()

    hands.assigned_again(log, {0})
    patiently(lambda: log.commit([output(b"p")], {0: at(1)}), deadline_s=20.0)
    assert values(world.reader(), Channel.PREDICTIONS) == [b"p"]


def test_a_commit_outlasts_a_broker_that_is_away_for_a_while(world: KafkaWorld) -> None:
    """Refused connections: the client tries on; it ends when the broker is back, all or nothing."""
    create(world)
    log = world.log()
    hands.assigned(log, {0})
    log.commit([output(b"before")], {0: at(1)})
    outcome: list[StreamError | None] = []

    def commit() -> None:
        try:
            log.commit([output(b"during")], {0: at(2)})
        except StreamError as error:
            outcome.append(error)
        else:
            outcome.append(None)

    world.broker.kill()
    thread = threading.Thread(target=commit, daemon=True)
    thread.start()
    world.broker.start()
    thread.join(240.0)

    assert not thread.is_alive()
    (error,) = outcome
    assert error is None or isinstance(error, CommitLost)
    found = patiently(lambda: log.committed({0}), deadline_s=20.0)
    expected = [b"before"] if found == {0: at(1)} else [b"before", b"during"]
    assert found in ({0: at(1)}, {0: at(2)})
    reader = world.reader()
    eventually(lambda: values(reader, Channel.PREDICTIONS) == expected, "all or nothing")
