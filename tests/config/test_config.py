"""The configuration, through files and environments as an operator writes them."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

import pytest

from stream.config import from_mapping, reference
from stream.config.clients import CLIENTS
from stream.config.reference import keys
from stream.config.servers import Kafka
from stream.core.event import Channel
from stream.core.spec import DetectorSpec, EventShape, Limits, ModelSpec
from stream.errors import Misconfigured
from tests.config.conftest import PLAIN, Load

CANARY = "canary-7f3a-canary-7f3a-canary-7f3a"


def test_of_every_client_it_is_known_what_sets_it_apart() -> None:
    """A client that is new in the configuration must say how soon it can commit again."""
    assert set(get_args(Kafka.model_fields["client"].annotation)) == CLIENTS.keys()


def test_a_pipeline_and_a_factory_are_enough(loaded: Load) -> None:
    """Every other key has the contract's default."""
    settings = loaded()

    assert settings.kafka.bootstrap_servers == "localhost:9092"
    assert settings.kafka.client == "kafka-python"
    assert settings.topics.names() == {
        c: f"electricity.{c.value}" for c in Channel if c is not Channel.LABELS
    }
    assert settings.redis.url.get_secret_value() == "redis://localhost:6379/0"
    assert settings.delivery.guarantee == "exactly-once"
    assert settings.delivery.commit_interval_ms == 200
    assert settings.snapshots.recovery_time_s == 10
    assert settings.snapshots.keep == 3
    assert settings.signing_key_bytes() is None
    assert settings.detectors is None
    assert settings.limits.core() == Limits()
    assert settings.events.core() == EventShape()
    assert settings.model.core() == ModelSpec(factory="stream.models:logistic_regression")


# Another valid value for every key of the contract, as a variable would hold it.
OTHERS: Mapping[str, tuple[str, Any]] = {
    "pipeline": ("other", "other"),
    "kafka.bootstrap_servers": ("a:1, b:2", "a:1,b:2"),
    "kafka.client": ("confluent", "confluent"),
    "kafka.options": ('{"client_id": "x"}', {"client_id": "x"}),
    "kafka.path": ("log.sqlite", "log.sqlite"),
    "topics.events": ("e", "e"),
    "topics.predictions": ("p", "p"),
    "topics.alerts": ("a", "a"),
    "topics.quarantine": ("q", "q"),
    "topics.bases": ("b", "b"),
    "topics.control": ("c", "c"),
    "topics.journal": ("j", "j"),
    "topics.ledger": ("l", "l"),
    "topics.outcomes": ("o", "o"),
    "topics.labels": ("la", "la"),
    "topics.create": ("false", False),
    "topics.start": ("latest", "latest"),
    "topics.retention_ms": ("86400000", 86_400_000),
    "redis.url": ("unix:///run/redis.sock", "unix:///run/redis.sock"),
    "events.id": ("order_id", "order_id"),
    "events.label": ("is_fraud", "is_fraud"),
    "events.positive": ("1", 1),
    "events.features": ("*", "*"),
    "events.ignore": ('["note"]', ("note",)),
    "events.extra": ("ignore", "ignore"),
    "events.missing": ("refuse", "refuse"),
    "events.require": ('["amount"]', ("amount",)),
    "events.types": ('{"amount": "number"}', {"amount": "number"}),
    "events.deduplicate": ("90m", "90m"),
    "events.deduplicate_max": ("7", 7),
    "events.weight": ("w", "w"),
    "model.factory": ("mine:make", "mine:make"),
    "model.params": ('{"n": 3}', {"n": 3}),
    "model.on_change": ("rebuild", "rebuild"),
    "model.hash_seed": ("12345", 12345),
    "model.numeric_breaker": ("false", False),
    "delivery.guarantee": ("at-least-once", "at-least-once"),
    "delivery.commit_interval_ms": ("50", 50),
    "worker.instance": ("0", "0"),
    "outputs.headers": ('["traceparent"]', ("traceparent",)),
    "quarantine.breaker_window": ("50", 50),
    "quarantine.breaker_share": ("0.25", 0.25),
    "snapshots.recovery_time_s": ("30", 30.0),
    "snapshots.keep": ("5", 5),
    "snapshots.signing_key": ("k" * 32, "k" * 32),
    "snapshots.signing_key_file": ("", ""),  # a test of its own
    "snapshots.older_key_files": ("[]", ()),
    "alerts.policy": ("quiet", "quiet"),
    "alerts.min_severity": ("info", "info"),
    "alerts.cooldown": ("15m", "15m"),
    "alerts.budget_events": ("5000", 5000),
    "monitors.inputs": ("false", False),
    "monitors.reference": ("first 2000", "first 2000"),
    "monitors.outputs": ("false", False),
    "monitors.slices": ('["carrier"]', ("carrier",)),
    "monitors.slices_max": ("5", 5),
    "monitors.silence_after": ("15m", "15m"),
    "monitors.lag_after": ("15m", "15m"),
    "labels.wait": ("24h", "24h"),
    "labels.id": ("order", "order"),
    "labels.label": ("bought", "bought"),
    "labels.pending_max": ("500", 500),
    "labels.on_expiry": ("negative", "negative"),
    "labels.early_max": ("50", 50),
    "labels.unknown": ("count", "count"),
    "labels.on_correction": ("ignore", "ignore"),
    "labels.patience": ("10s", "10s"),
    "outcomes.publish": ("all", "all"),
    "outcomes.features": ("true", True),
    "limits.value_bytes_max": ("1000", 1000),
    "limits.features_max": ("10", 10),
    "limits.name_chars_max": ("10", 10),
    "limits.string_chars_max": ("10", 10),
    "limits.magnitude_max": ("1e6", 1e6),
    "limits.distinct_features_max": ("500", 500),
    "limits.classes_max": ("20", 20),
    "limits.classes_bytes_max": ("5000", 5000),
    "limits.state_bytes_max": ("5000", 5000),
    "limits.key_and_headers_bytes_max": ("1000", 1000),
}


def test_the_table_of_other_values_has_every_key() -> None:
    """A new key cannot forget its override."""
    assert [key for key, _ in keys() if "[]" not in key] == list(OTHERS)


@pytest.mark.parametrize("key", [key for key in OTHERS if not key.endswith("_file")])
@pytest.mark.parametrize("by_file", [False, True])
def test_every_key_is_overridden_by_the_environment(
    loaded: Load, tmp_path: Path, key: str, *, by_file: bool
) -> None:
    """STREAM__SECTION__KEY gives a typed value, and STREAM__SECTION__KEY_FILE the file's."""
    text, expected = OTHERS[key]
    name = "STREAM__" + key.upper().replace(".", "__")
    environ = {name: text}
    # signing_key_file is a key of its own.
    if by_file and key != "snapshots.signing_key":
        (tmp_path / "value").write_text(text + "\n")
        environ = {name + "_FILE": str(tmp_path / "value")}
    if key == "kafka.path":
        environ["STREAM__KAFKA__CLIENT"] = "embedded"
    if key == "topics.labels" or (key.startswith("labels.") and key != "labels.wait"):
        environ["STREAM__LABELS__WAIT"] = "2h"  # without it there is no such table

    value: Any = loaded(PLAIN, **environ)
    for part in key.split("."):
        value = getattr(value, part)

    assert expected == (value.get_secret_value() if hasattr(value, "get_secret_value") else value)
    assert type(expected) in {type(value), str}


def test_free_tables_are_overridden_key_by_key(loaded: Load) -> None:
    """Options and params keep what the file says beside what the environment says."""
    text = PLAIN + 'params = { a = 1, b = { c = 2 } }\n[kafka]\noptions = { client_id = "x" }'
    settings = loaded(
        text,
        STREAM__MODEL__PARAMS__A="0.5",
        STREAM__MODEL__PARAMS__B__D="word",
        STREAM__KAFKA__OPTIONS__SASL_PLAIN_PASSWORD="12345",  # noqa: S106  # that of a test
        STREAM__KAFKA__OPTIONS__SSL_CHECK_HOSTNAME="false",
        HOME="/nowhere",
        STREAM_OTHER="not ours",
    )

    assert settings.model.params == {"a": 0.5, "b": {"c": 2, "d": "word"}}
    # A password of digits stays a string.
    assert settings.kafka.options == {
        "client_id": "x",
        "sasl_plain_password": "12345",
        "ssl_check_hostname": False,
    }


def test_detectors_come_from_the_environment_as_json(loaded: Load) -> None:
    """STREAM__DETECTORS holds the whole list."""
    found = loaded(PLAIN, STREAM__DETECTORS='[{"type": "ADWIN", "params": {"delta": 0.01}}]')

    assert found.detectors == (DetectorSpec(name="adwin", type="ADWIN", params={"delta": 0.01}),)
    assert loaded(PLAIN, STREAM__DETECTORS="[]").detectors == ()


def test_a_signing_key_is_read_from_its_file_once(loaded: Load, tmp_path: Path) -> None:
    """The line's end is no part of a text; a binary key may end with that byte."""
    path = tmp_path / "key"
    for content, key in (
        (b"k" * 32 + b"\n", b"k" * 32),
        (b"k" * 31 + b"\n", b"k" * 31 + b"\n"),
        (bytes(range(32)), bytes(range(32))),
    ):
        path.write_bytes(content)
        settings = loaded(PLAIN, STREAM__SNAPSHOTS__SIGNING_KEY_FILE=str(path))
        path.unlink()
        assert settings.signing_key_bytes() == key


def test_older_keys_come_from_files_too(loaded: Load, tmp_path: Path) -> None:
    """In the order of the list; each is a secret, and what is no key is refused with its place."""
    for name in ("a", "b"):
        (tmp_path / name).write_text(name * 32 + "\n")
    paths = json.dumps([str(tmp_path / "b"), str(tmp_path / "a")])
    settings = loaded(PLAIN, STREAM__SNAPSHOTS__OLDER_KEY_FILES=paths)

    assert settings.older_keys_bytes() == (b"b" * 32, b"a" * 32)
    assert {"a" * 32, "b" * 32} <= settings.secrets()
    assert "a" * 32 not in repr(settings)
    assert str(tmp_path / "a") in repr(settings)
    (tmp_path / "a").write_text("short")
    with pytest.raises(Misconfigured, match=r"older_key_files\[1\]: .* holds only 5 bytes"):
        loaded(PLAIN, STREAM__SNAPSHOTS__OLDER_KEY_FILES=paths)


def test_secrets_are_known_and_never_shown(loaded: Load) -> None:
    """`secrets` has each of them; repr and str have none."""
    settings = loaded(
        PLAIN,
        STREAM__REDIS__URL=f"redis://me:{CANARY}%40@localhost/1",
        STREAM__KAFKA__OPTIONS__SASL_PLAIN_PASSWORD=CANARY + "-p",
        STREAM__KAFKA__OPTIONS__SASL_PLAIN_USERNAME="worker",
        STREAM__KAFKA__OPTIONS__SSL_KEYFILE="/run/key.pem",
        STREAM__KAFKA__OPTIONS__SOCKS5_PROXY=f"socks5://u:{CANARY}-s@proxy:1080",
        STREAM__SNAPSHOTS__SIGNING_KEY=CANARY + "-k",
    )

    assert settings.secrets() == {
        CANARY + "@",
        CANARY + "%40",
        f"redis://me:{CANARY}%40@localhost/1",
        CANARY + "-p",
        CANARY + "-s",
        f"socks5://u:{CANARY}-s@proxy:1080",
        CANARY + "-k",
    }
    for shown in (repr(settings), str(settings), repr(settings.kafka), str(settings.redis)):
        assert CANARY not in shown
    assert "localhost/1" in repr(settings)
    assert "/run/key.pem" in repr(settings)
    assert loaded().secrets() == frozenset()


def test_timings_follow_from_the_recovery_time(loaded: Load) -> None:
    """Half for noticing, half for replay, within what brokers and clients allow."""
    timings = loaded().timings

    assert timings.session_timeout_ms == 6000
    assert timings.heartbeat_interval_ms == 600
    assert timings.transaction_timeout_ms == 5000
    assert timings.delivery_timeout_ms == 4000
    assert timings.request_timeout_ms == 2000
    assert timings.replay_budget_s == 2  # without a name 6 s of the 10 go into noticing
    assert timings.store_timeout_s == 2
    assert timings.call_deadline_s == 15
    for recovery_s, session_ms, transaction_ms in (
        (1, 6000, 3000),
        (60, 30_000, 30_000),
        (3600, 45_000, 60_000),
    ):
        environ = {"STREAM__SNAPSHOTS__RECOVERY_TIME_S": str(recovery_s)}
        timings = loaded(PLAIN, STREAM__WORKER__INSTANCE="w-0", **environ).timings
        assert timings.session_timeout_ms == session_ms
        assert timings.replay_budget_s == recovery_s / 2
        assert timings.transaction_timeout_ms == transaction_ms
        assert timings.heartbeat_interval_ms * 3 <= session_ms
        assert timings.request_timeout_ms * 2 <= timings.delivery_timeout_ms < transaction_ms


def test_the_hash_seed_is_the_same_on_every_machine(loaded: Load) -> None:
    """Derived from the pipeline's name, unless written."""
    assert loaded().effective_hash_seed == 2_927_673_732
    assert loaded(PLAIN, STREAM__PIPELINE="other").effective_hash_seed != 2_927_673_732
    assert loaded(PLAIN, STREAM__MODEL__HASH_SEED="0").effective_hash_seed == 0


def test_flat_events_and_full_detectors_reach_the_core(loaded: Load) -> None:
    """The core gets plain values, never pydantic's."""
    text = (
        PLAIN
        + """
    [events]
    features = "*"
    ignore = ["note"]
    positive = "UP"
    [[detectors]]
    name = "nsw"
    type = "KSWIN"
    signal = "feature:nswprice"
    params = { seed = 7 }
    """
    )
    settings = loaded(text)

    assert settings.events.core() == EventShape(
        flat=True, ignore=frozenset({"note"}), positive="UP"
    )
    assert settings.detectors == (
        DetectorSpec(name="nsw", type="KSWIN", signal="feature:nswprice", params={"seed": 7}),
    )


def test_our_own_detector_is_written_like_rivers(loaded: Load) -> None:
    """With its parameters; a default that is written out is none."""
    params = "{ threshold = 10000, warm_up = 1000 }"
    found = loaded(f'{PLAIN}\n[[detectors]]\ntype = "ECUSUM"\nparams = {params}')

    assert found.detectors == (
        DetectorSpec(name="ecusum", type="ECUSUM", params={"threshold": 10_000}),
    )


def test_librdkafka_options_have_dots_however_they_are_written(loaded: Load) -> None:
    """Quoted, as nested tables, or from a variable: one name, and the environment wins."""
    text = (
        PLAIN + '[kafka]\nclient = "confluent"\n[kafka.options]\nsasl.password = "a"\n"ssl.x" = 1'
    )
    settings = loaded(
        text,
        STREAM__KAFKA__OPTIONS__SASL_PASSWORD="b",  # noqa: S106  # that of a test
        STREAM__KAFKA__OPTIONS__SASL_USERNAME="u",
    )

    assert settings.kafka.options == {"sasl.password": "b", "ssl.x": 1, "sasl.username": "u"}
    assert settings.secrets() == {"b"}


def test_librdkafka_options_in_the_words_of_kafka_python(loaded: Load) -> None:
    """What reaches a cluster is translated; the rest is of no use; what cannot be is refused."""
    text = (
        PLAIN
        + """
[kafka]
client = "confluent"
[kafka.options]
security.protocol = "sasl_ssl"
sasl.mechanisms = "SCRAM-SHA-512"
sasl.username = "u"
sasl.password = "p"
"ssl.ca.location" = "/ca.pem"
"ssl.endpoint.identification.algorithm" = "none"
"socket.keepalive.enable" = true
"""
    )
    assert loaded(text).kafka.for_kafka_python() == {
        "security_protocol": "SASL_SSL",
        "sasl_mechanism": "SCRAM-SHA-512",
        "sasl_plain_username": "u",
        "sasl_plain_password": "p",
        "ssl_cafile": "/ca.pem",
        "ssl_check_hostname": False,
    }
    kerberos = loaded(text + 'sasl.kerberos.keytab = "/k"\n').kafka
    with pytest.raises(Misconfigured, match=r'"sasl.kerberos.keytab": kafka-python has no such'):
        kerberos.for_kafka_python()


def test_settings_cannot_be_changed(loaded: Load) -> None:
    """Frozen, so what was checked stays."""
    settings = loaded()
    for target, name in ((settings, "pipeline"), (settings.snapshots, "keep")):
        with pytest.raises(ValueError, match="frozen"):
            setattr(target, name, None)


def test_a_program_makes_settings_from_a_mapping() -> None:
    """The same checks, without a file."""
    tree = {"pipeline": "demo", "model": {"factory": "stream.models:logistic_regression"}}

    assert from_mapping(tree).topics.events == "demo.events"
    with pytest.raises(Misconfigured, match="pipeline: missing"):
        from_mapping({"model": tree["model"]})


def test_the_reference_tells_every_key() -> None:
    """One row a key, with its default and a meaning."""
    rows = [line for line in reference().splitlines() if line.startswith("| `")]

    assert len(rows) == len(list(keys()))
    for (key, info), row in zip(keys(), rows, strict=True):
        assert row.startswith(f"| `{key}` |")
        assert info.description
