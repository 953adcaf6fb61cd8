"""A partition's last alerts, as they were published: the newest, and how many began lately."""

from typing import Any

import msgspec

from stream.core.event import Channel, Record
from stream.ports import Reader, TopicInfo
from stream.runtime import recent
from stream.runtime.pipeline import Pipeline

ALERTS_MAX = 1_000
"""The last alerts that are counted: more come only where the policy is another one."""


def last_alerts(
    pipeline: Pipeline, reader: Reader, alerts: TopicInfo | None, partition: int
) -> list[dict[str, Any]]:
    """Find this partition's last alerts within reach, oldest first; where each firing is one, one.

    Raises: Retryable, Misconfigured, LogLost.
    """
    if alerts is None or partition >= alerts.partitions:
        return []
    key = f"{pipeline.settings.pipeline}/{partition}".encode()  # pipelines may share a topic

    def take(record: Record) -> dict[str, Any] | None:
        if record.key != key:
            return None
        try:
            return msgspec.json.decode(record.value or b"", type=dict[str, Any])
        except msgspec.DecodeError:
            return None

    n = ALERTS_MAX if pipeline.settings.alerts.policy == "quiet" else 1
    return recent.last(reader, Channel.ALERTS, partition, n=n, take=take)


def episodes_n(pipeline: Pipeline, alerts: list[dict[str, Any]], offset: int) -> int | None:
    """How many episodes of a warning and more began not long before an offset."""
    settings = pipeline.settings.alerts
    if settings.policy != "quiet":
        return None
    since = offset - settings.budget_events
    return len(
        {
            each.get("episode")
            for each in alerts
            if each.get("state") == "firing"
            and each.get("severity") in {"warning", "critical"}
            and isinstance(at := each.get("offset"), int)
            and at >= since
        }
    )
