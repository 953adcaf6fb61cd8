"""What `check` looks at in the permissions: what a worker does with its topics, may this user?"""

from collections.abc import Mapping

from stream.core.event import Channel
from stream.ports import TopicInfo, Topics
from stream.runtime.commands.findings import Findings
from stream.runtime.kept_topics import OF_LABELS


def look(findings: Findings, topics: Topics, infos: Mapping[Channel, TopicInfo | None]) -> None:
    """Say what this user may not do with the topics that there are. Raises: Retryable."""
    denied = topics.denied()
    if wanted := [each for each in OF_LABELS if infos.get(each[0]) is not None]:
        denied += topics.refused(wanted)
    for problem in denied:
        findings.problem(problem)
    if not denied:
        findings.ok("permissions: nothing is denied")
