"""What `check` looks at where folds take more than events: the topics of commands and the journal.

That of the journal is needed for labels of a topic of their own, too.
"""

from collections.abc import Collection, Mapping

from stream.core.event import COMMANDED, Channel
from stream.core.snapshots.metadata import Metadata, parse_metadata
from stream.errors import LogLost, Misconfigured, Missing
from stream.ports import Reader, TopicInfo, Topics
from stream.runtime import journal
from stream.runtime.commands.base_checks import keeps
from stream.runtime.commands.findings import Findings
from stream.runtime.kept_topics import USED, missing
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
    name = pipeline.settings.topics.name
    found, hidden = _described(topics, COMMANDED)
    known = {
        partition: metadata
        for partition, at in reader.committed().items()
        if (metadata := parse_metadata(at.metadata)) is not None
    }
    journaled = {partition: each for partition, each in known.items() if each.journal_n}
    has_labels = pipeline.settings.has_labels_topic
    if not _is_commanded(found, known, has_labels=has_labels):
        if unseen := [each for each in hidden if each is not Channel.JOURNAL or not has_labels]:
            names = ", ".join(map(name, unseen))
            findings.note(f"commands: not permitted to see {names}: a worker takes none")
        if not has_labels:
            return  # it never was given a command
        found = {c: info for c, info in found.items() if c is Channel.JOURNAL}
        hidden = {c: why for c, why in hidden.items() if c is Channel.JOURNAL}
    wanted = {*(c for c, info in found.items() if info is not None), *hidden}
    refused = topics.refused([each for each in USED if each[0] in wanted])
    told = {channel for channel in hidden if any(f"topics.{channel}:" in line for line in refused)}
    problems = [*_missing(pipeline, findings, topics, found, events), *refused]
    problems += [problem for channel, problem in hidden.items() if channel not in told]
    for channel, why in NEEDED.items():
        info = found.get(channel)
        if info is not None:
            keeps(findings, channel, info, why, f"records, {why}")
    if Channel.JOURNAL not in hidden and not refused:
        problems += [text for p, k in journaled.items() if (text := lost_journal(reader, p, k))]
    for problem in problems:
        findings.problem(problem)
    if found.get(Channel.CONTROL) is not None and not problems:
        _say_unread(pipeline, findings, reader, known)
    if not problems and all(found.values()):
        what = "commands" if Channel.CONTROL in found else "journal"
        findings.ok(f"{what}: {', '.join(map(name, found))}")


def _is_commanded(
    found: Mapping[Channel, TopicInfo | None], known: Mapping[int, Metadata], *, has_labels: bool
) -> bool:
    """Whether a pipeline was ever given a command, as far as its topics and commits tell."""
    if found.get(Channel.CONTROL) or found.get(Channel.LEDGER):
        return True
    if any(each.control.offset for each in known.values()):
        return True
    # Without a labels topic nothing but commands makes a journal, or did when there was one.
    return not has_labels and bool(
        found.get(Channel.JOURNAL) or any(each.journal_n for each in known.values())
    )


def _described(
    topics: Topics, channels: Collection[Channel]
) -> tuple[dict[Channel, TopicInfo | None], dict[Channel, str]]:
    """What the brokers say of each topic, and of which they say nothing, and why."""
    found: dict[Channel, TopicInfo | None] = {}
    hidden: dict[Channel, str] = {}
    for channel in channels:
        try:
            found |= topics.describe((channel,))
        except Misconfigured as error:
            hidden[channel] = str(error)
    return found, hidden


def _missing(
    pipeline: Pipeline,
    findings: Findings,
    topics: Topics,
    found: Mapping[Channel, TopicInfo | None],
    events: TopicInfo,
) -> list[str]:
    """What is missing and will not be made by the next command; what it makes is a note."""
    problems = []
    for channel, info in found.items():
        for problem in missing({channel: info}, pipeline.settings, events.partitions):
            what = problem.partition(";")[0]
            if not pipeline.settings.topics.create:
                problems.append(problem)
            elif why := "" if info is not None else _unmakable(topics, channel, events):
                problems.append(
                    f"{what}, and may not be made ({why}); permit it, or make it with "
                    f"{events.partitions} partitions and retention.ms = -1"
                )
            else:
                is_next = channel is Channel.JOURNAL and pipeline.settings.has_labels_topic
                findings.note(f"{what}; the next {'start' if is_next else 'command'} makes it")
    return problems


def _unmakable(topics: Topics, channel: Channel, events: TopicInfo) -> str:
    """Why a topic could not be made now; "": it could."""
    try:
        topics.create(channel, partitions=events.partitions, retention_ms=-1, is_trial=True)
    except Misconfigured as error:
        return str(error)
    return ""


def _say_unread(
    pipeline: Pipeline, findings: Findings, reader: Reader, known: Mapping[int, Metadata]
) -> None:
    """Say which commands are gone that no worker had looked at."""
    name = pipeline.settings.topics.name(Channel.CONTROL)
    for partition, each in known.items():
        try:
            start = reader.bounds(Channel.CONTROL, partition).start
        except Missing:
            continue
        unread = each.control.offset or 0
        if unread < start:
            findings.note(
                f"commands: partition {partition} of {name}: records {unread} to "
                f"{start - 1} were deleted before a worker read them; who sent them got no answer"
            )


def lost_journal(reader: Reader, partition: int, known: Metadata) -> str:
    """Why a journal does not bring the committed fold back from where it began; "" if it does.

    Raises: Retryable, Misconfigured.
    """
    try:
        there = journal.Journal(reader, partition)
        first, last = there.first_j(), there.last_j
    except LogLost as error:
        return str(error)
    wanted = known.genesis_journal_n + 1
    if wanted > known.journal_n or (0 < first <= wanted and last >= known.journal_n):
        return ""
    gone = last + 1 if 0 < first <= wanted else wanted
    return f"state: {journal.lost(partition, gone)}"
