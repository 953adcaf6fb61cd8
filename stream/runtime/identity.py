"""Which snapshot it is: the one place where a header is compared with what was asked for."""

from dataclasses import dataclass
from typing import Protocol, Self

from stream.core.recipe import Recipe
from stream.core.snapshots.seal import Header


class Place(Protocol):
    """Where a snapshot stands in its fold, as its entry in the store or its header says."""

    @property
    def n(self) -> int:
        """As `stream.core.snapshots.seal.Header` has it."""

    @property
    def next_offset(self) -> int:
        """As `stream.core.snapshots.seal.Header` has it."""


def is_within(place: Place, offset: int, n: int | None) -> bool:
    """Whether it is at or before a position; the step counts too, unless nobody knows it."""
    return place.next_offset <= offset and (n is None or place.n <= n)


@dataclass(frozen=True, slots=True)
class Identity:
    """Whose snapshots a pipeline's are.

    Attributes:
        topic_id: the id of the events topic; None where any will do.
    """

    pipeline: str
    topic: str
    topic_id: str | None

    @classmethod
    def of(cls, recipe: Recipe, topic_id: str | None) -> Self:
        """That of a recipe's pipeline."""
        return cls(recipe.pipeline, recipe.events_topic, topic_id)

    def problem(self, header: Header, partition: int, place: Place) -> str | None:
        """Whether a header is that of another snapshot; None: it is the one that was asked for.

        Args:
            header: of which the signature fits.
            partition: whose the snapshot should be.
            place: as the store says, which nobody has signed.
        """
        wanted = {
            "pipeline": self.pipeline,
            "topic": self.topic,
            "topic_id": header.topic_id if self.topic_id is None else self.topic_id,
            "partition": partition,
            "n": place.n,
            "next_offset": place.next_offset,
        }
        for name, value in wanted.items():
            if (found := getattr(header, name)) != value:
                return f"it is a snapshot of something else: {name} is {found}, not {value}"
        return None
