"""A pipeline whose labels have a topic of their own, on the embedded log."""

import json
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import Any

from stream.adapters.embedded import EmbeddedFeed, EmbeddedTopics
from stream.core.event import Channel
from stream.runtime.clock import SystemClock
from tests.commands.project import EMBEDDED, MODEL, PIPELINE, Done, Project

TOPIC = f'[topics]\nlabels = "{PIPELINE}.labels"\n'
LABELS = '[labels]\nwait = "1h"\n'
OFF = "[quarantine]\nbreaker_share = 1.0\n"
CONFIG = EMBEDDED + MODEL + TOPIC + LABELS + OFF
NAMES = {channel: f"{PIPELINE}.{channel}" for channel in Channel}
T_MS = 1_700_000_000_000

Sent = tuple[bytes | None, object, int]
"""Key, value (a document, or bytes), and how many seconds after `T_MS`."""


def configured(folder: Path, config: str = CONFIG, *, partitions: int = 1) -> Project:
    """A project with its topics for events and labels."""
    project = Project(folder)
    project.configure(config)
    make(project, Channel.EVENTS, partitions)
    make(project, Channel.LABELS, partitions)
    return project


def make(project: Project, channel: Channel, partitions: int) -> None:
    """Make a topic."""
    with closing(EmbeddedTopics(project.folder / "log.sqlite", names=NAMES)) as topics:
        topics.create(channel, partitions=partitions, retention_ms=-1)


def send(
    project: Project, channel: Channel, records: Iterable[Sent], *, partition: int | None = None
) -> None:
    """Append records."""
    path = project.folder / "log.sqlite"
    with closing(EmbeddedFeed(path, names=NAMES, clock=SystemClock(), channel=channel)) as feed:
        for key, value, second in records:
            written = value if isinstance(value, bytes) else json.dumps(value).encode()
            time_ms = T_MS + 1000 * second
            feed.send(written, key=key, timestamp_ms=time_ms, partition=partition)
        feed.flush(timeout_s=60)


def events(n: int, *, since: int = 0) -> list[Sent]:
    """So many, one a second, without labels."""
    return [
        (b"e%d" % i, {"id": f"e{i}", "features": {"x": i % 7 - 3.0}}, i)
        for i in range(since, since + n)
    ]


def labels(n: int, *, since: int = 0) -> list[Sent]:
    """And their labels, half a minute later."""
    return [
        (b"e%d" % i, {"id": f"e{i}", "label": i % 7 > 3}, i + 30) for i in range(since, since + n)
    ]


def outcomes(project: Project, partition: int = 0) -> list[dict[str, Any]]:
    """What was published of labels."""
    found = project.records(Channel.OUTCOMES, partition)
    return [json.loads(each.value or b"") for each in found]


def run(project: Project, *, on_change: str = "refuse") -> Done:
    """A worker, up to the end of all."""
    done = project.stream("run", "--until-end", STREAM__MODEL__ON_CHANGE=on_change)
    assert done.code == 0, done
    return done
