"""kafka-python's errors, sorted by what they are about."""

import ssl

from kafka import errors

from stream.adapters.kafka.meaning import Meaning

_CONFIGURATION = (
    errors.AuthorizationError,
    errors.SaslAuthenticationFailedError,
    errors.UnsupportedSaslMechanismError,
    errors.IllegalSaslStateError,
    errors.KafkaConfigurationError,
    errors.UnsupportedVersionError,
    errors.InvalidTransactionTimeoutError,
    errors.InvalidSessionTimeoutError,
    errors.InvalidTopicError,
    errors.InvalidPartitionsError,
    errors.InvalidReplicationFactorError,
    errors.PolicyViolationError,
    errors.UnsupportedCodecError,
    errors.UnsupportedCompressionTypeError,
    errors.InconsistentGroupProtocolError,
)
_REFUSED = (
    errors.MessageSizeTooLargeError,
    errors.RecordListTooLargeError,
    errors.InvalidTimestampError,
    errors.InvalidRecordError,
)
COORDINATOR = (
    errors.CoordinatorNotAvailableError,
    errors.CoordinatorLoadInProgressError,
    errors.NotCoordinatorError,
)
_NOT_READY = (
    *COORDINATOR,
    errors.LeaderNotAvailableError,
    errors.NotLeaderForPartitionError,
    errors.NotControllerError,
    errors.BrokerNotAvailableError,
    errors.ReplicaNotAvailableError,
    errors.KafkaStorageError,
)
_LOST = (errors.OffsetOutOfRangeError, errors.LogTruncationError, errors.NoOffsetForPartitionError)
_UNREACHABLE = (errors.KafkaTimeoutError, errors.KafkaConnectionError)

_MEANINGS = (
    (Meaning.FENCED, (errors.FencedInstanceIdError,)),
    (Meaning.CONFIGURATION, _CONFIGURATION),
    (Meaning.REFUSED, _REFUSED),
    (Meaning.LOST, _LOST),
    (Meaning.UNREACHABLE, _UNREACHABLE),
    (Meaning.NOT_READY, _NOT_READY),
)


def meaning_of(error: BaseException) -> Meaning:
    """What an error is about."""
    if _is_tls(error):
        return Meaning.CONFIGURATION
    return next(
        (meaning for meaning, classes in _MEANINGS if isinstance(error, classes)), Meaning.OTHER
    )


def _is_tls(error: BaseException) -> bool:
    """Whether an error is about TLS: a wrong certificate or key, or a peer without TLS."""
    named = isinstance(error, errors.KafkaConnectionError) and "[SSL" in str(error)
    return named or isinstance(error, ssl.SSLError | FileNotFoundError | PermissionError)
