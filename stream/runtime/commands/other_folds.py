"""Snapshots that are not compared with what is committed, and why."""

from stream.core.recipe import Recipe, changes
from stream.core.snapshots.metadata import Metadata
from stream.core.snapshots.seal import Header
from stream.ports import Committed
from stream.runtime.origins import is_of


def beyond(header: Header, committed: Committed, known: Metadata, topic_id: str) -> str | None:
    """Whether a snapshot is of a state that is not committed, which no worker of ours takes.

    Args:
        header: the snapshot's.
        committed: what is committed.
        known: its metadata.
        topic_id: of the events topic as it is now.
    """
    if header.topic_id != topic_id:
        return None
    if header.next_offset > committed.offset:
        return f"it lies beyond the committed offset {committed.offset}"
    if header.next_offset == committed.offset and header.n > known.n:
        return f"it lies beyond the committed step {known.n}"
    return None


def other_fold(header: Header, known: Metadata, recipe: Recipe, topic_id: str) -> str | None:
    """Whether a snapshot is of a fold that was ended on purpose, and cannot be compared.

    Args:
        header: the snapshot's.
        known: what is committed.
        recipe: the present one.
        topic_id: of the events topic as it is now.
    """
    if header.topic_id != topic_id:
        return f"of topic {header.topic_id}, which was deleted and made again"
    if header.fingerprint != known.fingerprint:
        return f"of another recipe ({'; '.join(changes(header.recipe, recipe.parts()))})"
    if header.n == header.genesis_n:
        return "of where a fold began, which its base tells"
    if not is_of(header, known):
        return f"of a fold that began at {header.genesis}, the committed one at {known.genesis}"
    return None
