"""What breaks together is one episode: what is found first leads, and the rest joins it.

What is found long after an episode began is another change, though the first one goes on: it has an
episode of its own, also where the feature is the same.
"""

from collections.abc import Callable, Iterable, Iterator

from stream.core.monitoring.episodes import Finding, Key

JOIN_N = 2000
"""So many steps after an episode began, or what had joined it was found last, nothing joins it."""


class Groups:
    """Who leads whom; bounded, as the features and their measures are."""

    __slots__ = ("_leaders", "_members")

    def __init__(self) -> None:
        self._leaders: dict[tuple[str, str], tuple[Key, int]] = {}  # and at which step it began
        self._members: dict[Key, tuple[Key, int]] = {}  # its leader, and when it was found last

    def joined(
        self, findings: Iterable[Finding], n: int, is_open: Callable[[Key], bool]
    ) -> Iterator[Finding]:
        """Give each of a step's findings the episode that it belongs to.

        Args:
            findings: in their order.
            n: the step's number.
            is_open: whether the episode of that key goes on.
        """
        for finding in findings:
            if not finding.is_grouped:
                yield finding
                continue
            own = finding.key
            lead = self._lead(finding, n, is_open)
            self._members[own] = lead, n
            yield finding if lead == own else finding._replace(lead=lead)

    def _lead(self, finding: Finding, n: int, is_open: Callable[[Key], bool]) -> Key:
        """The episode that it belongs to: the one it is in, one that began lately, or its own."""
        own, of = finding.key, (finding.kind, finding.direction)
        lead, last_n = self._members.get(own, (own, n))
        if is_open(lead) and (lead == own or n - last_n <= JOIN_N):
            return lead
        lead, began_n = self._leaders.get(of, (own, n))
        if began_n == n or (n - began_n <= JOIN_N and is_open(lead)):
            self._leaders[of] = lead, began_n
            return lead
        self._leaders[of] = own, n
        return own

    def key_of(self, finding: Finding) -> Key:
        """The episode of what was found before, and goes on."""
        lead, _ = self._members.get(finding.key, (finding.key, 0))
        return lead
