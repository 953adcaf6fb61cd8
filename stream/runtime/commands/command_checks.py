"""What `check` looks at where a pipeline is given commands: its topics, and what its folds need."""

from stream.core.event import COMMANDED, Channel
from stream.core.snapshots.metadata import Metadata, parse_metadata
from stream.errors import LogLost
from stream.ports import Reader, TopicInfo, Topics
from stream.runtime import journal
from stream.runtime.commands.base_checks import keeps
from stream.runtime.commands.findings import Findings
from stream.runtime.kept_topics import missing
from stream.runtime.pipeline import Pipeline

NEEDED = {
    Channel.JOURNAL: "which states are made again with",
    Channel.LEDGER: "which tell who changed what",
}
"""The records that are to be kept for ever, and why."""


def look(
    pipeline: Pipeline, findings: Findings, *, topics: Topics, reader: Reader, events: TopicInfo
) -> None:
    """Look at topics that are there, or that a fold needs. Raises: Retryable, Misconfigured."""
    found = topics.describe(COMMANDED)
    known = {
        partition: metadata
        for partition, at in reader.committed().items()
        if (metadata := parse_metadata(at.metadata)) is not None and metadata.journal_n
    }
    if not known and not any(found.values()):
        return  # it never was given a command
    problems = missing(found, pipeline.settings, events.partitions)
    if pipeline.settings.topics.create and not (known and found[Channel.JOURNAL] is None):
        for problem in problems:
            findings.note(f"{problem.partition(';')[0]}; the next command makes it")
    else:
        for problem in problems:
            findings.problem(problem)
    for channel, why in NEEDED.items():
        info = found[channel]
        if info is not None:
            keeps(findings, channel, info, why, f"records, {why}")
    lost = [text for p, each in known.items() if (text := lost_journal(reader, p, each))]
    for text in lost:
        findings.problem(text)
    if not problems and not lost:
        findings.ok(f"commands: {', '.join(pipeline.settings.topics.name(c) for c in COMMANDED)}")


def lost_journal(reader: Reader, partition: int, known: Metadata) -> str:
    """Why a journal does not bring the committed fold back from where it began; "" if it does.

    Raises: Retryable, Misconfigured.
    """
    try:
        there = journal.load(reader, partition)
    except LogLost as error:
        return str(error)
    first = known.genesis_journal_n + 1
    if known.has_base:
        return ""  # how much of it is behind the base, only the base tells
    gone = [j for j in range(first, known.journal_n + 1) if j not in there]
    return f"state: {journal.lost(partition, gone[0])}" if gone else ""
