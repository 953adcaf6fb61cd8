"""A pipeline between guarded servers, used by the command; every secret comes from a file."""

import json
import secrets
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from random import Random
from typing import Any

from kafka import KafkaConsumer, KafkaProducer, TopicPartition

from stream.core.event import Channel
from tests.broker.encrypted import EncryptedKafka, EncryptedRedis
from tests.canaries import leaks
from tests.commands.project import Done, Project
from tests.patience import HANGS_AFTER_S

MODEL = """
from river import linear_model, preprocessing
def make():
    return preprocessing.StandardScaler() | linear_model.LogisticRegression()
"""
LIBRDKAFKAS = {
    "security_protocol": "security.protocol",
    "sasl_mechanism": "sasl.mechanism",
    "sasl_plain_username": "sasl.username",
    "sasl_plain_password": "sasl.password",
    "ssl_cafile": "ssl.ca.location",
}
"""librdkafka's words for kafka-python's options."""


class Guarded:
    """One pipeline, its user's permissions, its secrets.

    Args:
        client: `kafka.client`.

    Attributes:
        events: all that was fed so far.
        secrets: what must never be read anywhere.
    """

    def __init__(
        self,
        name: str,
        folder: Path,
        kafka: EncryptedKafka,
        redis: EncryptedRedis,
        *,
        client: str = "kafka-python",
    ) -> None:
        self.name = name
        self.kafka = kafka
        self.redis = redis
        self.project = Project(folder / "project")
        self.project.folder.mkdir()
        self.events: list[dict[str, Any]] = []
        signing, older = (f"signing-canary-{secrets.token_hex(16)}" for _ in range(2))
        self.secrets = [kafka.password, redis.password, signing, older]
        self._files = folder / "secrets"
        self._files.mkdir()
        contents = {"signing": signing, "older": older, "kafka": kafka.password, "url": redis.url()}
        for file, content in contents.items():
            (self._files / file).write_text(content + "\n")
        words = {} if client == "kafka-python" else LIBRDKAFKAS
        options = {words.get(key, key): value for key, value in kafka.options().items()}
        lines = "".join(f'"{key}" = "{value}"\n' for key, value in options.items())
        password = words.get("sasl_plain_password", "sasl_plain_password")
        self._password = f"STREAM__KAFKA__OPTIONS__{password.upper().replace('.', '_')}_FILE"
        self.project.write("own_model.py", MODEL)
        self.project.configure(
            f'[kafka]\nclient = "{client}"\nbootstrap_servers = "127.0.0.1:{kafka.port}"\n'
            f"[kafka.options]\n{lines}"
            '[topics]\ncreate = false\n[model]\nfactory = "own_model:make"\n'
            f'[snapshots]\nsigning_key_file = "{self._files / "signing"}"\n'
            f'older_key_files = ["{self._files / "older"}"]\n',
            pipeline=name,
        )
        with closing(kafka.admin()) as admin:
            settings = {"num_partitions": 1, "replication_factor": 1,
                        "configs": {"retention.ms": "-1"}}  # fmt: skip
            names = {f"{name}.{channel}": settings for channel in Channel}
            admin.create_topics(names, wait_for_metadata=True)
        kafka.permit(name)
        redis.permit(name)

    def feed(self, n: int) -> None:
        """Append events, as another program would."""
        random = Random(len(self.events))
        values = []
        for _ in range(n):
            x = random.uniform(-1, 1)
            event = {"features": {"x": x, "noise": random.random()}, "label": x > 0}
            self.events.append(event)
            values.append(json.dumps(event).encode())
        self.append(*values)

    def append(self, *values: bytes) -> None:
        """Append records, whatever they hold."""
        with closing(KafkaProducer(**self.kafka.administrators())) as producer:
            for value in values:
                producer.send(f"{self.name}.events", value, partition=0)
            producer.flush(30)

    def stream(self, *arguments: str, **environment: str) -> Done:
        """Run a command; its secrets come from files, unless `environment` says otherwise."""
        given = {
            self._password: str(self._files / "kafka"),
            "STREAM__REDIS__URL_FILE": str(self._files / "url"),
        }
        for name in environment:
            given.pop(f"{name}_FILE", None)
        return self.project.stream(*arguments, timeout_s=HANGS_AFTER_S, **(given | environment))

    def leaked(self, done: Done, *more: str) -> list[str]:
        """Which secret a command said, of ours and of `more`; [] = none."""
        places = {"stdout": done.out.encode(), "stderr": done.err.encode()}
        return leaks(places, [*self.secrets, *more])

    def leave_open(self) -> KafkaProducer:
        """A transaction as a worker without a name leaves it that is killed inside its commit."""
        dead = KafkaProducer(
            **self.kafka.administrators(),
            transactional_id=f"{self.name}-0123456789ab",
            transaction_timeout_ms=60_000,
        )
        dead.init_transactions()
        dead.begin_transaction()
        dead.send(f"{self.name}.predictions", b"never", partition=0)
        dead.flush(30)
        return dead

    def ongoing(self) -> list[str]:
        """The ids of the transactions that are open."""
        with closing(self.kafka.admin()) as admin:
            listed = admin.list_transactions(state_filters=["Ongoing"])
        return [each.transactional_id for of_broker in listed.values() for each in of_broker]

    def records(self, channel: Channel) -> Sequence[Any]:
        """All of a topic, aborted transactions too."""
        tp = TopicPartition(f"{self.name}.{channel}", 0)
        consumer = KafkaConsumer(**self.kafka.administrators(), enable_auto_commit=False)
        with closing(consumer):
            consumer.assign([tp])
            consumer.seek_to_beginning(tp)
            end, found = consumer.end_offsets([tp])[tp], []
            while consumer.position(tp) < end:
                for batch in consumer.poll(500).values():
                    found += batch
        return found
