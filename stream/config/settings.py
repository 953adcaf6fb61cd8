"""The whole configuration, and the checks that look at more than one table."""

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, PrivateAttr, ValidationError

from stream.config import problems
from stream.config.alerts import Alerts
from stream.config.checks import Entry, PartSection, Section, matching
from stream.config.clients import CLIENTS
from stream.config.detectors import Detectors, severities
from stream.config.labels import Labels, Outcomes, labels_spec
from stream.config.monitors import Monitors, table
from stream.config.operation import Delivery, Outputs, Quarantine, Snapshots, Worker
from stream.config.places import FOLDER
from stream.config.reactions import Reactions
from stream.config.recipe import Events, LimitsSection, Model
from stream.config.secrets import check_redis_url, is_local, option_secrets, url_secrets
from stream.config.servers import Kafka, Redis, Topics
from stream.config.timings import SESSION_MS_MIN, Timings
from stream.core.event import ALWAYS, Channel
from stream.core.monitoring.numeric import NumericSpec
from stream.core.monitoring.reactions import ReactionsSpec
from stream.core.parts import PartSpec
from stream.errors import Misconfigured

_RECOVERY_S_MIN = SESSION_MS_MIN / 1000
_PIPELINE = r"[a-z0-9-]{1,64}"


class Settings(Section):
    """One pipeline's configuration, checked. Made by `load` or `from_mapping`, and nothing else.

    Attributes:
        detectors: None: not written, the kind of model decides; (): none at all.
    """

    pipeline: Annotated[
        str, matching(_PIPELINE, "1 to 64 lower-case letters, digits or hyphens")
    ] = Field(
        description="Is the consumer group's id; begins transactional ids, Redis keys and the "
        "default topics.",
        examples=["electricity"],
    )
    kafka: Kafka
    topics: Topics
    redis: Redis
    events: Events
    model: Model
    delivery: Delivery
    worker: Worker
    outputs: Outputs
    quarantine: Quarantine
    snapshots: Snapshots
    detectors: Detectors = None
    alerts: Alerts
    monitors: Annotated[Monitors, BeforeValidator(table)]
    reactions: Reactions = ()
    labels: Labels | None = None
    outcomes: Outcomes
    limits: LimitsSection
    _folder: Path = PrivateAttr(default_factory=Path)
    _severities: dict[str, str] = PrivateAttr(default_factory=dict)

    @property
    def folder(self) -> Path:
        """The configuration's folder: its paths begin there, and its model's module is there."""
        return self._folder

    @property
    def timings(self) -> Timings:
        """The timeouts that follow from `snapshots.recovery_time_s`."""
        return Timings.of(self.snapshots.recovery_time_s, is_named=self.worker.instance is not None)

    def parts(self) -> tuple[PartSpec, ...]:
        """The optional parts of a state that are configured."""
        sections = (getattr(self, name) for name in type(self).model_fields)
        found = (each.part() for each in sections if isinstance(each, PartSection))
        policy = self.alerts.policy_spec(self._severities)
        # Without a policy each block would tell again what holds on.
        monitors = policy and self.monitors.spec(self.alerts.budget_events)
        breaker = NumericSpec() if self.model.numeric_breaker else None
        reactions = ReactionsSpec(self.reactions) if self.reactions else None
        labels = labels_spec(self.labels, self.outcomes, has_topic=self.topics.labels is not None)
        specs = (policy, monitors, breaker, reactions, labels, self.events.seen(), *found)
        return tuple(spec for spec in specs if spec is not None)

    @property
    def channels(self) -> tuple[Channel, ...]:
        """The topics that this pipeline works with from its start."""
        has_outcomes = self.labels is not None and self.outcomes.publish != "none"
        outcomes = (Channel.OUTCOMES,) if has_outcomes else ()
        return *ALWAYS, *outcomes, *((Channel.LABELS,) if self.has_labels_topic else ())

    @property
    def has_labels_topic(self) -> bool:
        """Whether labels come in a topic of their own."""
        return self.labels is not None and self.topics.labels is not None

    @property
    def labels_topic(self) -> str | None:
        """Its name; None: labels come in events, or among them."""
        return self.topics.labels if self.has_labels_topic else None

    @property
    def silence_s(self) -> float | None:
        """How long no event may come until that is told; None: it never is."""
        return self.monitors.silence_s if self._warnings_are_told else None

    @property
    def lag_s(self) -> float | None:
        """How long a lag may grow until that is told; None: it never is."""
        return self.monitors.lag_s if self._warnings_are_told else None

    @property
    def _warnings_are_told(self) -> bool:
        return self.alerts.policy == "quiet" and self.alerts.min_severity != "critical"

    @property
    def effective_hash_seed(self) -> int:
        """`PYTHONHASHSEED` for every worker, 0 to 4294967295: as written, else from `pipeline`.

        Not by `hash`, which itself depends on that seed.
        """
        if self.model.hash_seed is not None:
            return self.model.hash_seed
        return int.from_bytes(hashlib.sha256(self.pipeline.encode()).digest()[:4], "big")

    def signing_key_bytes(self) -> bytes | None:
        """The key that signs snapshots, at least 32 bytes; None: this machine's own key does."""
        if self.snapshots.signing_key is not None:
            return self.snapshots.signing_key.get_secret_value().encode()
        if self.snapshots.signing_key_file is not None:
            return self.snapshots.signing_key_file.content
        return None

    def older_keys_bytes(self) -> tuple[bytes, ...]:
        """The earlier keys: they verify the snapshots that they have signed."""
        return tuple(file.content for file in self.snapshots.older_key_files)

    def secrets(self) -> frozenset[str]:
        """Every secret string there is, for a log that must scrub them."""
        found = set(url_secrets(self.redis.url.get_secret_value()))
        found |= option_secrets(self.kafka.options)
        signing = self.signing_key_bytes()
        keys = (signing or b"", *self.older_keys_bytes())
        found |= {key.decode(errors="replace") for key in keys if key}
        return frozenset(found)


def from_mapping(tree: Mapping[str, Any]) -> Settings:
    """Settings from what TOML would give: `{"pipeline": "x", "model": {"factory": ...}}`.

    Raises: Misconfigured: all problems at once.
    """
    settings, entries = checked(tree)
    if settings is None:
        raise Misconfigured(*(f"{key}: {text}" for key, text in entries))
    return settings


def checked(
    tree: Mapping[str, Any], *, folder: Path | None = None
) -> tuple[Settings | None, list[Entry]]:
    """The settings, or every problem as (key, text).

    Args:
        tree: what TOML would give.
        folder: where its paths begin; None: in the current one.
    """
    folder = folder or Path()
    filled = _filled(tree)
    entries = _across(filled)
    try:
        settings = Settings.model_validate(filled, context={FOLDER: folder})
    except ValidationError as error:
        return None, problems.entries(error, Settings) + entries
    settings._folder = folder  # noqa: SLF001  # no key of the configuration
    settings._severities = severities(filled.get("detectors"))  # noqa: SLF001  # see there
    return (None if entries else settings), entries


def _filled(tree: Mapping[str, Any]) -> dict[str, Any]:
    """Add the tables that are missing, and the topics' names that follow from the pipeline's."""
    sections: dict[str, Any] = {
        name: {}
        for name, info in Settings.model_fields.items()
        if isinstance(info.annotation, type) and issubclass(info.annotation, Section)
    }
    filled = sections | dict(tree)
    if isinstance(filled["topics"], dict):
        # A pipeline's name that is refused has no topics to be refused again.
        given = filled.get("pipeline")
        prefix = given if isinstance(given, str) and re.fullmatch(_PIPELINE, given) else "pipeline"
        names = {channel.value: f"{prefix}.{channel}" for channel in Channel}
        del names[Channel.LABELS]  # there is one only where it is named
        filled["topics"] = names | filled["topics"]
    return filled


def _across(tree: dict[str, Any]) -> list[Entry]:
    """The problems that only two tables together show.

    It looks at values as they were written, for the rest of a table need not be valid.
    """

    def value(section: str, key: str) -> Any:
        table = tree[section]
        return table.get(key) if isinstance(table, dict) else None

    entries: list[Entry] = []
    if value("topics", "labels") is not None and tree.get("labels") is None:
        text = 'there is no [labels]: write it, with wait = "24h", say, or no topics.labels'
        entries.append(("topics.labels", text))
    if tree.get("labels") is not None and value("delivery", "guarantee") == "at-least-once":
        text = "labels are learned once each; write exactly-once (the default), or no [labels]"
        entries.append(("delivery.guarantee", text))
    traits = CLIENTS.get(str(value("kafka", "client")))
    if traits is not None and not traits.has_servers:
        return entries
    recovery_s = value("snapshots", "recovery_time_s")
    short = isinstance(recovery_s, int | float) and 1 <= recovery_s < _RECOVERY_S_MIN
    if short and value("worker", "instance") is None:
        text = (
            f"{recovery_s} is too small: without worker.instance a broker waits at least "
            f"{_RECOVERY_S_MIN:g} s for a dead worker; write {_RECOVERY_S_MIN:g} or more, "
            "or give the worker an instance"
        )
        entries.append(("snapshots.recovery_time_s", text))
    signed = value("snapshots", "signing_key") or value("snapshots", "signing_key_file")
    if not signed and _is_remote(value("redis", "url")):
        text = (
            "missing: Redis is on another machine, and who writes there could run code here; "
            'write signing_key_file = "FILE" with at least 32 bytes in it, the same on every worker'
        )
        entries.append(("snapshots.signing_key_file", text))
    return entries


def _is_remote(url: object) -> bool:
    """Whether this is a Redis URL that can be read and leaves the machine."""
    if not isinstance(url, str):
        return False
    try:
        check_redis_url(url)
    except ValueError:
        return False
    return not is_local(url)
