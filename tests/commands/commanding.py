"""Somebody who answers commands as a worker does: with records of the ledger, by hand."""

from collections.abc import Mapping
from contextlib import closing
from typing import Any

from stream.adapters.embedded import EmbeddedFeed, EmbeddedTopics
from stream.core.commands import LedgerValue, Predicts
from stream.core.event import Channel, iso
from stream.core.formats.commands import COMMAND, written
from stream.runtime.clock import SystemClock
from tests.commands.project import PIPELINE, Project

NAMES = {channel: f"{PIPELINE}.{channel}" for channel in Channel}
NOON_MS = 1_767_268_800_000


def made(project: Project, channel: Channel = Channel.EVENTS, *, partitions: int = 2) -> None:
    """Make a topic."""
    with closing(EmbeddedTopics(project.folder / "log.sqlite", names=NAMES)) as topics:
        topics.create(channel, partitions=partitions, retention_ms=-1)


def told(what: str = "freeze", **others: Any) -> LedgerValue:
    """A record of the ledger, with other values for some of its fields."""
    n, partition = others.get("n", 1340), others.get("partition", 0)
    fields: dict[str, Any] = {
        "n": n, "input": "control", "id": f"{PIPELINE}/{partition}/{n}/{what}", "what": what,
        "partition": partition, "offset": 1337, "event_time": iso(NOON_MS), "by": "operator:ada",
        "why": "bad upstream deploy", "before": Predicts("main", 1), "after": Predicts("main", 1),
    }  # fmt: skip
    return LedgerValue(**{**fields, **others})


def refused(command: str, reason: str, **others: Any) -> LedgerValue:
    """A record of the ledger that says that a command was not done."""
    return told("refused", evidence={"command": command, "reason": reason}, **others)


def publish(
    project: Project, *records: tuple[int, bytes, str | None], timestamp_ms: int = NOON_MS
) -> None:
    """Add to the ledger: the partition, the value, and the id of the command that it answers."""
    path = project.folder / "log.sqlite"
    feed = EmbeddedFeed(path, names=NAMES, clock=SystemClock(), channel=Channel.LEDGER)
    with closing(feed):
        for partition, value, answered in records:
            headers = () if answered is None else ((COMMAND, answered.encode()),)
            feed.send(
                value, key=None, timestamp_ms=timestamp_ms, headers=headers, partition=partition
            )
        feed.flush(timeout_s=60)


def answer(project: Project, own_id: str, values: Mapping[int, LedgerValue]) -> None:
    """Answer a command in some partitions."""
    publish(project, *((p, written(value), own_id) for p, value in values.items()))
