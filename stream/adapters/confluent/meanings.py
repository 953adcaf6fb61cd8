"""librdkafka's errors, sorted by what they are about."""

from confluent_kafka import KafkaError

from stream.adapters.kafka.meaning import Meaning

CONFIGURATION = frozenset({
    KafkaError.TOPIC_AUTHORIZATION_FAILED,
    KafkaError.GROUP_AUTHORIZATION_FAILED,
    KafkaError.CLUSTER_AUTHORIZATION_FAILED,
    KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
    KafkaError.SASL_AUTHENTICATION_FAILED,
    KafkaError.UNSUPPORTED_SASL_MECHANISM,
    KafkaError.ILLEGAL_SASL_STATE,
    KafkaError.UNSUPPORTED_VERSION,
    KafkaError.UNSUPPORTED_COMPRESSION_TYPE,
    KafkaError.INVALID_TRANSACTION_TIMEOUT,
    KafkaError.INVALID_SESSION_TIMEOUT,
    KafkaError.INVALID_PARTITIONS,
    KafkaError.INVALID_REPLICATION_FACTOR,
    KafkaError.INVALID_CONFIG,
    KafkaError.INCONSISTENT_GROUP_PROTOCOL,
    KafkaError.POLICY_VIOLATION,
    KafkaError.TOPIC_EXCEPTION,
    KafkaError._AUTHENTICATION,
    KafkaError._SSL,
    KafkaError._INVALID_ARG,
    KafkaError._NOT_IMPLEMENTED,
    KafkaError._UNSUPPORTED_FEATURE,
})  # fmt: skip
_REFUSED = frozenset({
    KafkaError.MSG_SIZE_TOO_LARGE,
    KafkaError.RECORD_LIST_TOO_LARGE,
    KafkaError.INVALID_TIMESTAMP,
    KafkaError.INVALID_RECORD,
})  # fmt: skip
_LOST = frozenset({
    KafkaError.OFFSET_OUT_OF_RANGE,
    KafkaError._AUTO_OFFSET_RESET,
    KafkaError._LOG_TRUNCATION,
    KafkaError._NO_OFFSET,
})  # fmt: skip
_UNREACHABLE = frozenset({
    KafkaError._TRANSPORT,
    KafkaError._TIMED_OUT,
    KafkaError._ALL_BROKERS_DOWN,
    KafkaError._RESOLVE,
})  # fmt: skip
_NOT_READY = frozenset({
    KafkaError.COORDINATOR_NOT_AVAILABLE,
    KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
    KafkaError.NOT_COORDINATOR,
    KafkaError.LEADER_NOT_AVAILABLE,
    KafkaError.NOT_LEADER_FOR_PARTITION,
    KafkaError.NOT_CONTROLLER,
    KafkaError.BROKER_NOT_AVAILABLE,
    KafkaError.REPLICA_NOT_AVAILABLE,
    KafkaError.KAFKA_STORAGE_ERROR,
    KafkaError._WAIT_COORD,
})  # fmt: skip

_FENCED_MEMBER = "fenced by other consumer with same group.instance.id"

_MEANINGS = (
    (Meaning.CONFIGURATION, CONFIGURATION),
    (Meaning.REFUSED, _REFUSED),
    (Meaning.LOST, _LOST),
    (Meaning.UNREACHABLE, _UNREACHABLE),
    (Meaning.NOT_READY, _NOT_READY),
)


def meaning_of(error: KafkaError, said: str) -> Meaning:
    """What an error is about; `said` is its text."""
    code = error.code()
    # A member that polls is told _FATAL, and why only in the text.
    if code == KafkaError.FENCED_INSTANCE_ID or _FENCED_MEMBER in said:
        return Meaning.FENCED
    return next((meaning for meaning, codes in _MEANINGS if code in codes), Meaning.OTHER)
