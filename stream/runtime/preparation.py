"""From settings to what a worker folds with: the recipe, the topics, the signing key."""

import os
import secrets
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from stream.config import Settings
from stream.core import detectors, learner
from stream.core.event import Channel, Kind
from stream.core.recipe import Recipe, source_digest
from stream.core.snapshot import Keys
from stream.errors import BadInput, Misconfigured
from stream.ports import TopicInfo, Topics
from stream.telemetry import Event, Telemetry

KEY_BYTES = 32

DetectorKind = Literal["classifier", "regressor", "anomaly"]
_DETECTOR_KINDS: Mapping[Kind, DetectorKind] = {
    Kind.BINARY: "classifier",
    Kind.MULTICLASS: "classifier",
    Kind.REGRESSION: "regressor",
    Kind.ANOMALY: "anomaly",
}


def make_recipe(settings: Settings) -> Recipe:
    """Build the model once, refuse what could not be repeated, and write down the recipe.

    Raises: Misconfigured: no such factory, unseeded, or a detector that its signal cannot feed.
    """
    # A module of the user's, beside the configuration that names it.
    if "" not in sys.path and str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    spec = settings.model.core()
    model = learner.build(spec)
    kind = learner.kind_of(model)
    problems = [
        f"model.params: {where} is None, so two replays would differ; set a seed "
        f"(for example model.params.seed = 42, handed on by {spec.factory})"
        for where in learner.unseeded(model)
    ]
    specs = settings.detectors
    if specs is None:
        specs = detectors.default_specs(_DETECTOR_KINDS[kind])
    else:
        problems += detectors.problems(specs, _DETECTOR_KINDS[kind])
    if problems:
        raise Misconfigured(*problems)
    return Recipe(
        pipeline=settings.pipeline,
        events_topic=settings.topics.events,
        model=spec,
        detectors=tuple(specs),
        shape=settings.events.core(),
        limits=settings.limits.core(),
        hash_seed=settings.effective_hash_seed,
        source=_source(spec.factory.partition(":")[0]),
    )


def _source(module: str) -> str:
    """Digest of the factory's module; of a package, all its files: they are the model too."""
    loaded = sys.modules.get(module)
    path = getattr(loaded, "__file__", None)
    if path is None or not path.endswith(".py"):
        return ""
    files = sorted(Path(path).parent.rglob("*.py")) if hasattr(loaded, "__path__") else [Path(path)]
    return source_digest("\n".join(f.read_text(encoding="utf-8") for f in files))


def ready_topics(topics: Topics, settings: Settings, telemetry: Telemetry) -> TopicInfo:
    """Make the missing topics, if allowed, and hold the outputs to the events' partitions.

    Returns: the events topic.
    Raises: Misconfigured: one is missing or does not fit; Retryable.
    """
    found = topics.describe()
    missing = [channel for channel in Channel if found[channel] is None]
    if missing and not settings.topics.create:
        raise Misconfigured(
            *(
                f"topics.{channel}: {settings.topics.name(channel)} does not exist; create it, or "
                "set topics.create = true"
                for channel in missing
            )
        )
    events = found[Channel.EVENTS]
    for channel in missing:
        partitions = 1 if events is None else events.partitions
        topics.create(channel, partitions=partitions, retention_ms=settings.topics.retention_ms)
        telemetry.say(
            Event.TOPIC_CREATED, topic=settings.topics.name(channel), partitions=partitions
        )
        if channel is Channel.EVENTS:
            events = topics.describe()[Channel.EVENTS]
    if missing:
        found = topics.describe()
    events = found[Channel.EVENTS]
    if events is None:
        raise Misconfigured(f"topics.events: {settings.topics.events} was deleted meanwhile")
    problems = partition_problems(found, events)
    if problems:
        raise Misconfigured(*problems)
    return events


def partition_problems(found: Mapping[Channel, TopicInfo | None], events: TopicInfo) -> list[str]:
    """An output record goes to the partition of its event: there must be as many."""
    return [
        f"topics.{channel}: {info.name} has {info.partitions} partitions, {events.name} has "
        f"{events.partitions}; add partitions to it, or name another topic"
        for channel, info in found.items()
        if info is not None and channel is not Channel.EVENTS
        and info.partitions < events.partitions
    ]  # fmt: skip


def snapshot_keys(settings: Settings, environ: Mapping[str, str], telemetry: Telemetry) -> Keys:
    """The key that signs and those that still verify.

    Raises: BadInput: this machine's own key is there, but too short or unreadable.
    """
    signing = _signing_key(settings, environ, telemetry)
    return Keys(signing, tuple(key for key in settings.older_keys_bytes() if key != signing))


def _signing_key(settings: Settings, environ: Mapping[str, str], telemetry: Telemetry) -> bytes:
    """The configured key; else one of this machine's own, made at the first start.

    Without a configured key the configuration allows only a Redis on this machine (or none), so a
    key that never leaves it is enough.

    Raises: BadInput: the key's file is there, but too short or unreadable.
    """
    key = settings.signing_key_bytes()
    if key is not None:
        return key
    path = key_path(settings, environ)
    try:
        return _read_key(path)
    except FileNotFoundError:
        pass
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_suffix(f".{os.getpid()}")
    fresh.write_bytes(secrets.token_hex(KEY_BYTES).encode())
    fresh.chmod(0o600)
    try:
        os.link(fresh, path)  # of two workers that start at once the first one's key counts
    except FileExistsError:
        return _read_key(path)
    finally:
        fresh.unlink()
    telemetry.say(Event.SNAPSHOT_KEY_MADE, path=path)
    return _read_key(path)


def key_path(settings: Settings, environ: Mapping[str, str]) -> Path:
    """Where this machine's own key is kept: beside the state, never in the store."""
    if settings.kafka.client == "embedded":
        return Path(f"{settings.kafka.path}.{settings.pipeline}.key")
    state = environ.get("XDG_STATE_HOME") or str(Path("~/.local/state").expanduser())
    return Path(state) / "streamfold" / f"{settings.pipeline}.key"


def _read_key(path: Path) -> bytes:
    try:
        key = path.read_bytes().strip()
    except FileNotFoundError:
        raise
    except OSError as error:
        raise BadInput(f"the snapshots' key {path} is unreadable: {error.strerror}") from error
    if len(key) < KEY_BYTES:
        raise BadInput(f"the snapshots' key {path} is too short; delete it, and one is made")
    return key
