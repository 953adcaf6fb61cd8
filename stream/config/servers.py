"""`[kafka]`, `[topics]` and `[redis]`: where the log and the snapshots are."""

import re
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, SecretStr, ValidationInfo, field_validator

from stream.config import client_options
from stream.config.checks import Section, matching, show
from stream.config.clients import CLIENTS, Traits
from stream.config.places import placed_options, placed_url
from stream.config.secrets import check_redis_url, mask_options, mask_url
from stream.core.event import Channel

_INT64_MAX = 2**63 - 1
"""What a broker and SQLite can hold."""

_SERVER = re.compile(r"([A-Z_]+://)?(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+)(:.*)?")
_PORT_MAX = 65_535


def _joined(value: object) -> object:
    """A list of servers becomes the comma-separated string that every client takes."""
    if isinstance(value, list) and all(isinstance(each, str) for each in value):
        return ",".join(value)
    return value


def _check_server(server: str, value: str) -> None:
    """Refuse what no client could connect to. Raises: ValueError."""
    found = _SERVER.fullmatch(server)
    if found is None:
        raise ValueError(f"{show(value)} is no list of servers; write host:port,host:port")
    if not (found[3] or "").removeprefix(":"):
        example = f"{server.removesuffix(':')}:9092"
        raise ValueError(
            f"{show(value)}: {server} has no port; write HOST:PORT, for example {example}"
        )
    port = found[3].removeprefix(":")
    if not (re.fullmatch(r"[0-9]{1,5}", port) and 1 <= int(port) <= _PORT_MAX):
        raise ValueError(
            f"{show(value)}: the port {port} cannot be; write HOST:PORT, with a PORT from 1 to "
            f"{_PORT_MAX}"
        )


class Kafka(Section):
    """Where the log is."""

    bootstrap_servers: Annotated[str, BeforeValidator(_joined)] = Field(
        default="localhost:9092",
        description="Brokers to ask first: `host:port` (no port is assumed), several with "
        "commas or as a list.",
    )
    client: Literal["kafka-python", "confluent", "embedded"] = Field(
        default="kafka-python",
        description="`kafka-python`, `confluent` (librdkafka; needs `streamfold[confluent]`) or "
        "`embedded` (log and snapshots in one SQLite file, one process, no server).",
    )
    options: dict[str, Any] = Field(
        default_factory=dict,
        description="`security_protocol`, `sasl_...`, `ssl_...`, `compression_type` (of outputs) "
        "and others, in the client's own words; not for `embedded`.",
    )
    path: str | None = Field(
        default=None,
        description='The SQLite file; only with `client = "embedded"`, and needed there. Its '
        "folder must be writable, even to read: SQLite makes files beside it.",
        validate_default=True,
    )

    @field_validator("bootstrap_servers")
    @classmethod
    def _servers(cls, value: str) -> str:
        servers = [each.strip() for each in value.split(",")]
        for server in servers:
            _check_server(server, value)
        return ",".join(servers)

    @field_validator("options")
    @classmethod
    def _not_the_workers(cls, value: dict[str, Any], info: ValidationInfo) -> dict[str, Any]:
        client = info.data.get("client", "kafka-python")
        options = client_options.normalised(value, client=client)
        client_options.check(options, client=client)
        return placed_options(options, info)

    @field_validator("path")
    @classmethod
    def _path_without_servers(cls, value: str | None, info: ValidationInfo) -> str | None:
        """Require a file for the embedded client, and refuse one for every other client."""
        if "client" not in info.data:
            return value
        if not CLIENTS[info.data["client"]].has_servers:
            if not value:
                raise ValueError(
                    'missing; write path = "FILE" (client = "embedded" keeps all in it)'
                )
            if "\0" in value:
                raise ValueError("has a NUL in it; write a file's name")
        elif value is not None:
            raise ValueError('only for client = "embedded"; remove it, or write that client')
        return value

    @property
    def traits(self) -> Traits:
        """What sets the chosen client apart."""
        return CLIENTS[self.client]

    def for_kafka_python(self) -> dict[str, Any]:
        """The options in kafka-python's words. Raises: Misconfigured: it has none for one."""
        if self.client != "confluent":
            return self.options
        return client_options.for_kafka_python(self.options)

    def shown(self) -> dict[str, Any]:
        """See `Section.shown`; secret options are masked."""
        return super().shown() | {"options": mask_options(self.options)}


TopicName = Annotated[
    str,
    # "." and ".." are refused by the broker too: they would be folders of its data.
    matching(
        r"(?!\.{1,2}$)[a-zA-Z0-9._-]{1,249}",
        "1 to 249 letters, digits, dots, underscores or hyphens (Kafka's rule)",
    ),
]


def _topic(channel: Channel, description: str) -> Any:
    return Field(description=description, json_schema_extra={"shown": f"PIPELINE.{channel}"})


class Topics(Section):
    """The topics by role, and how missing ones are made."""

    events: TopicName = _topic(Channel.EVENTS, "What comes in.")
    predictions: TopicName = _topic(Channel.PREDICTIONS, "One record for each valid event.")
    alerts: TopicName = _topic(Channel.ALERTS, "What the drift detectors found.")
    quarantine: TopicName = _topic(Channel.QUARANTINE, "Refused records, untouched.")
    bases: TopicName = _topic(
        Channel.BASES, "States that folds began with after a change of settings; made when used."
    )
    control: TopicName = _topic(
        Channel.CONTROL, "Commands to running workers (`stream control`); made when used."
    )
    journal: TopicName = _topic(
        Channel.JOURNAL, "Which commands were folded, and where; made when used."
    )
    ledger: TopicName = _topic(
        Channel.LEDGER,
        "What commands did, and each change of what predicts or whether it learns; made when used.",
    )
    outcomes: TopicName = _topic(
        Channel.OUTCOMES, "What became of events whose labels come later; made with `[labels]`."
    )
    labels: TopicName | None = Field(
        default=None,
        description="Labels that come later, with the partitions of the events; absent: they come "
        "among the events.",
        examples=["electricity.labels"],
    )
    create: bool = Field(
        default=True,
        description="Make missing topics; outputs get as many partitions as events.",
    )
    start: Literal["earliest", "latest"] = Field(
        default="earliest",
        description="`earliest` or `latest`: where a partition without a committed offset begins.",
    )
    retention_ms: int = Field(
        default=-1,
        description="`retention.ms` of topics that we make; -1 = for ever. Retention goes by "
        "event time, so a replayed history is deleted at once under a short one.",
    )

    @field_validator(
        "predictions", "alerts", "quarantine", "bases", "control", "journal", "ledger", "outcomes",
        "labels",
    )  # fmt: skip
    @classmethod
    def _differ(cls, value: str | None, info: ValidationInfo) -> str | None:
        """Refuse the name of another topic, or what Kafka takes for the same."""
        if value is None:
            return None
        for channel in Channel:
            other = info.data.get(channel)
            # Kafka refuses a topic that differs from another only in "." and "_".
            if isinstance(other, str) and other.replace("_", ".") == value.replace("_", "."):
                raise ValueError(f"{show(value)} collides with topics.{channel}; write another")
        return value

    @field_validator("retention_ms")
    @classmethod
    def _for_ever_or_some(cls, value: int) -> int:
        if value != -1 and value < 1:
            raise ValueError(f"{value} is too small; write -1 (for ever) or milliseconds above 0")
        if value > _INT64_MAX:
            raise ValueError(f"{value} is too large; write -1 (for ever) or up to {_INT64_MAX}")
        return value

    def name(self, channel: Channel) -> str:
        """The topic that plays this role."""
        return str(getattr(self, channel.value))

    def names(self) -> dict[Channel, str]:
        """The topics of all roles that this pipeline has."""
        given = {channel: getattr(self, channel.value) for channel in Channel}
        return {channel: name for channel, name in given.items() if name is not None}


class Redis(Section):
    """Where the snapshots are."""

    url: SecretStr = Field(
        default=SecretStr("redis://localhost:6379/0"),
        description="`redis://`, `rediss://` (TLS) or `unix://`. Anywhere but loopback or a unix "
        "socket needs a signing key.",
    )

    @field_validator("url")
    @classmethod
    def _readable(cls, value: SecretStr, info: ValidationInfo) -> SecretStr:
        check_redis_url(value.get_secret_value())
        return SecretStr(placed_url(value.get_secret_value(), info))

    def shown(self) -> dict[str, Any]:
        """See `Section.shown`; the URL is without user and password."""
        return {"url": mask_url(self.url.get_secret_value())}
