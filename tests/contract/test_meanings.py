"""What a broker answers means the same with either client of Kafka."""

import pytest
from confluent_kafka import KafkaError
from kafka import errors

from stream.adapters.confluent import meanings as of_confluent
from stream.adapters.kafka.meaning import Meaning, our_error
from stream.adapters.kafka_python import meanings as of_kafka_python
from stream.errors import Fenced, LogLost, Misconfigured, NotReady, Retryable, StreamError

INVALID_CONFIG, DELEGATION_TOKEN = 40, 65
CODES = sorted(set(range(120)) - {INVALID_CONFIG, DELEGATION_TOKEN})
"""Without one that only a new topic's settings get, which is asked for again without them, and one
of calls that nobody makes."""

MEANINGS = {
    Meaning.FENCED: Fenced,
    Meaning.CONFIGURATION: Misconfigured,
    Meaning.REFUSED: Misconfigured,
    Meaning.LOST: LogLost,
    Meaning.UNREACHABLE: Retryable,
    Meaning.NOT_READY: NotReady,
    Meaning.OTHER: Retryable,
}


@pytest.mark.parametrize("code", CODES)
def test_both_clients_take_a_code_for_the_same(code: int) -> None:
    """Of a code that one client does not know nothing is demanded."""
    error = errors.for_code(code)
    if error is errors.UnknownError:
        pytest.skip("kafka-python has no name for it")

    assert of_confluent.meaning_of(KafkaError(code), "") is of_kafka_python.meaning_of(error("why"))


@pytest.mark.parametrize("meaning", Meaning)
def test_each_meaning_is_one_of_our_errors(meaning: Meaning) -> None:
    """And each says what was tried, in the client's words."""
    found = our_error("reading: Bad (why)", meaning, servers="here:9092")

    assert type(found) is MEANINGS[meaning]
    assert "reading: Bad (why)" in str(found)


def test_a_new_cluster_is_waited_for() -> None:
    """It calls it a wrong replication factor that no broker is there yet to hold a topic."""
    said = "creating t: INVALID_REPLICATION_FACTOR (… larger than available brokers: 0)"

    found: StreamError = our_error(said, Meaning.CONFIGURATION, servers="here:9092")

    assert isinstance(found, NotReady)
