"""The options of a Kafka client that are the worker's, and why they are not the operator's.

The rest goes to the client as it is written.
"""

from typing import Any

from stream.config.checks import Entry, RefusedError, quoted, show
from stream.config.clients import CLIENTS
from stream.config.secrets import is_secret_option
from stream.errors import Misconfigured

_OWN_KEY = "it has a key of its own"
_DERIVED = "it follows from snapshots.recovery_time_s"
_EXACTLY_ONCE = "exactly-once depends on it, and the worker sets it"
_BYTES = "events are bytes for the codec to read"
_CYCLE = "the worker's commit cycle sets it"
_PARTITIONS = "output partition = input partition depends on it"

# Names as kafka-python writes them; librdkafka's are the same with dots, or follow further below.
RESERVED: dict[str, str] = {
    "bootstrap_servers": f"{_OWN_KEY}; write kafka.bootstrap_servers",
    "group_id": f"{_OWN_KEY}; write pipeline",
    "group_instance_id": f"{_OWN_KEY}; write worker.instance",
    "auto_offset_reset": f"{_OWN_KEY}; write topics.start",
    "transactional_id": _EXACTLY_ONCE,
    "enable_auto_commit": _EXACTLY_ONCE,
    "auto_commit_interval_ms": _EXACTLY_ONCE,
    "default_offset_commit_callback": _EXACTLY_ONCE,
    "isolation_level": _EXACTLY_ONCE,
    "acks": _EXACTLY_ONCE,
    "enable_idempotence": _EXACTLY_ONCE,
    "max_in_flight_requests_per_connection": _EXACTLY_ONCE,
    "retries": _EXACTLY_ONCE,
    "partition_assignment_strategy": _EXACTLY_ONCE,
    "session_timeout_ms": _DERIVED,
    "heartbeat_interval_ms": _DERIVED,
    "transaction_timeout_ms": _DERIVED,
    "delivery_timeout_ms": _DERIVED,
    "request_timeout_ms": _DERIVED,
    "max_poll_interval_ms": _CYCLE,
    "max_poll_records": _CYCLE,
    "consumer_timeout_ms": _CYCLE,
    "allow_auto_create_topics": f"{_OWN_KEY}; write topics.create",
    "partitioner": _PARTITIONS,
    "key_serializer": _BYTES,
    "value_serializer": _BYTES,
    "key_deserializer": _BYTES,
    "value_deserializer": _BYTES,
    # librdkafka's other words for the same
    "metadata_broker_list": f"{_OWN_KEY}; write kafka.bootstrap_servers",
    "enable_auto_offset_store": _EXACTLY_ONCE,
    "request_required_acks": _EXACTLY_ONCE,
    "max_in_flight": _EXACTLY_ONCE,
    "message_send_max_retries": _EXACTLY_ONCE,
    "enable_gapless_guarantee": _EXACTLY_ONCE,
    "group_protocol": _EXACTLY_ONCE,
    "group_remote_assignor": _EXACTLY_ONCE,
    "message_timeout_ms": _DERIVED,
    "request_timeout": _DERIVED,
    "enable_partition_eof": _CYCLE,
}

# Where librdkafka has other words, or values, than kafka-python, but means the same.
_TRANSLATED: dict[str, str] = {
    "security.protocol": "security_protocol",
    "sasl.mechanism": "sasl_mechanism",
    "sasl.mechanisms": "sasl_mechanism",
    "sasl.username": "sasl_plain_username",
    "sasl.password": "sasl_plain_password",
    "ssl.ca.location": "ssl_cafile",
    "ssl.certificate.location": "ssl_certfile",
    "ssl.key.location": "ssl_keyfile",
    "ssl.key.password": "ssl_password",
    "ssl.crl.location": "ssl_crlfile",
    "ssl.endpoint.identification.algorithm": "ssl_check_hostname",
}
_COMPRESSION = ("compression_type", "compression_codec")
_CODECS = ("none", "gzip", "snappy", "lz4", "zstd")

_SECURITY = ("security.", "sasl.", "ssl.", "enable.ssl.", "enable.sasl.", "https.")


def normalised(options: dict[str, Any], *, client: str) -> dict[str, Any]:
    """Write librdkafka's names with dots, however they were written.

    TOML reads an unquoted `sasl.password` as nested tables, and an environment variable's name
    cannot hold a dot; no name of librdkafka's has an underscore, so nothing is ambiguous.
    """
    if client != "confluent":
        return options
    flat: dict[str, Any] = {}
    for name, value in options.items():
        if isinstance(value, dict):
            inner = normalised(value, client=client)
            flat.update({f"{name.replace('_', '.')}.{rest}": each for rest, each in inner.items()})
        else:
            flat[name.replace("_", ".")] = value
    return flat


def check(options: dict[str, Any], *, client: str) -> None:
    """Refuse what is the worker's, secrets that are no strings, and codecs that there are not.

    Raises: RefusedError.
    """
    entries: list[Entry] = []
    for name, value in options.items():
        reason = RESERVED.get(name.replace(".", "_"))
        key = f'"{name}"' if "." in name else name
        if reason:
            entries.append((key, f"cannot be set here: {reason}"))
        elif isinstance(value, dict):
            hint = "kafka-python's names have underscores, not dots"
            entries.append((key, f"a table is no option; write one value ({hint})"))
        elif not isinstance(value, str) and is_secret_option(name):
            entries.append((key, "must be a string; write it in quotes"))
        elif name.replace(".", "_") in _COMPRESSION and value not in _CODECS:
            entries.append((key, f"{show(value)} is no codec; write one of {quoted(_CODECS)}"))
    if entries and CLIENTS[client].has_servers:
        raise RefusedError(*entries)


def for_kafka_python(options: dict[str, Any]) -> dict[str, Any]:
    """What librdkafka's options for reaching a cluster are called by kafka-python.

    What only concerns speed is left out.

    Raises: Misconfigured: kafka-python cannot reach a cluster that is secured in this way.
    """
    found: dict[str, Any] = {}
    for name, value in options.items():
        if name in _TRANSLATED:
            found[_TRANSLATED[name]] = value
        elif name.startswith(_SECURITY):
            raise Misconfigured(f'kafka.options."{name}": kafka-python has no such option')
    if "security_protocol" in found:
        found["security_protocol"] = str(found["security_protocol"]).upper()
    if "ssl_check_hostname" in found:
        found["ssl_check_hostname"] = found["ssl_check_hostname"] != "none"
    return found
