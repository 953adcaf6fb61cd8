"""What commands look at in the topic of bases: is there a place, and what folds began with?"""

from stream.core.event import Channel
from stream.core.recipe import Recipe
from stream.core.snapshots.metadata import Metadata
from stream.core.snapshots.seal import Header
from stream.ports import Bounds, Reader, TopicInfo, Topics
from stream.runtime.commands.findings import Findings
from stream.runtime.keeping import uses_bases, writes_bases
from stream.runtime.kept_topics import missing
from stream.runtime.pipeline import Pipeline
from stream.runtime.topics import bases_narrow


def look(
    pipeline: Pipeline,
    findings: Findings,
    *,
    topics: Topics,
    reader: Reader,
    events: TopicInfo,
    recipe: Recipe,
) -> None:
    """Look at the topic where it is used, or will be. Raises: Retryable, Misconfigured."""
    settings = pipeline.settings
    committed, on_change = reader.committed(), settings.model.on_change
    if not uses_bases(recipe, committed, on_change):
        return
    found = topics.describe((Channel.BASES,))
    info, problems = found[Channel.BASES], missing(found, settings, events.partitions)
    if problems and not settings.topics.create:
        findings.problem(problems[0])
    elif info is None:
        findings.note(f"topics.bases: {settings.topics.bases} does not exist; the next start "
                      "makes it")  # fmt: skip
    else:
        then = f"; the next start makes it {events.partitions}" if problems else ""
        findings.ok(f"topics.bases: {info.name}, partitions: {info.partitions}{then}")
    if info is None:
        return
    if narrow := bases_narrow(info):
        is_written = writes_bases(recipe, committed, on_change)
        (findings.problem if is_written else findings.note)(narrow)
    keeps(findings, Channel.BASES, info, "and they are what states begin with", "parts of a state")


def keeps(
    findings: Findings, channel: Channel, info: TopicInfo, why: str, what: str = "records"
) -> None:
    """Say it where a topic does not keep its records for ever.

    Args:
        findings: takes it.
        channel: what the topic is.
        info: what the broker says of it.
        why: it has to.
        what: a cleanup would remove.
    """
    if info.retention_ms is not None and info.retention_ms >= 0:
        findings.problem(
            f"topics.{channel}: {info.name} does not keep its records for ever, {why}; set "
            "retention.ms = -1"
        )
    if info.cleanup_policy not in (None, "delete"):
        findings.problem(
            f"topics.{channel}: cleanup.policy of {info.name} is {info.cleanup_policy}, which "
            f"removes {what}; set it to delete"
        )


def lost_beginning(known: Metadata, base: Header | None, events: Bounds, *, topic: str) -> str:
    """Why a fold cannot be had again from where it began; "" if it can.

    Args:
        known: what was committed.
        base: what it began with, if that is there.
        events: what the log holds of its partition.
        topic: that of the bases.
    """
    if known.has_base and base is None:
        return f"what it began with at offset {known.genesis} is not in {topic}"
    if known.began_before(events.start):
        return f"began at offset {known.genesis}, the log starts at {events.start}"
    return ""
