"""What moves together is one episode: the first feature of a block leads, the others join it."""

from collections.abc import Callable, Iterable, Iterator

from stream.core.monitoring.episodes import Finding

_GROUPED = "input"


class Groups:
    """Who leads whom; bounded, as the features that are watched are."""

    __slots__ = ("_leads",)

    def __init__(self) -> None:
        self._leads: dict[str, str] = {}

    def joined(
        self, findings: Iterable[Finding], is_open: Callable[[Finding], bool]
    ) -> Iterator[Finding]:
        """Give the findings of one step the signal of the episode that they belong to.

        Args:
            findings: in their order.
            is_open: whether the episode of a finding goes on.
        """
        leads, new = self._leads, None
        for finding in findings:
            if finding.kind != _GROUPED:
                yield finding
                continue
            own = finding.signal
            led = finding._replace(signal=leads.get(own, own))
            if not is_open(led):
                new = new or own
                leads[own] = new
                led = finding._replace(signal=new)
            yield led
