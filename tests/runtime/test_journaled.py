"""A journal that may not be read is no journal that is gone."""

from dataclasses import replace

import pytest

from stream.adapters.memory import MemoryReader
from stream.core.event import Channel
from stream.core.snapshots.metadata import Metadata, Reached
from stream.errors import Misconfigured
from stream.ports import Bounds
from stream.runtime.journaled import Journaled
from stream.runtime.resumption import Resumption
from tests.runtime.surroundings import NAMES, PIPELINE, Surroundings

COMMANDED = Metadata(
    n=3, digest="0" * 16, fingerprint="0" * 8, genesis=0, learned=2, journal_n=1,
    control=Reached(1),
)  # fmt: skip


class Denied(MemoryReader):
    """A user who may not read the journal."""

    def bounds(self, channel: Channel, partition: int) -> Bounds:
        """See `Reader.bounds`."""
        if channel is Channel.JOURNAL:
            raise Misconfigured(f"kafka: {NAMES[channel]}: TopicAuthorizationFailed")
        return super().bounds(channel, partition)


def journaled(*, is_denied: bool) -> Journaled:
    """Of a partition whose journal nobody has made."""
    around = Surroundings()
    del around.broker.topics[NAMES[Channel.JOURNAL]]
    reader = (Denied if is_denied else MemoryReader)(around.broker, names=NAMES, group=PIPELINE)
    return Journaled(replace(around.sources(), reader=reader), 0)


@pytest.mark.parametrize("known", [COMMANDED, None])
def test_a_journal_that_may_not_be_read_is_the_operators_affair(known: Metadata | None) -> None:
    """It was waited for 90 s, and then called gone: 65, and to begin untrained."""
    with pytest.raises(Misconfigured, match=r"\.journal"):
        journaled(is_denied=True).begin(known, Resumption(offset=2), committed_offset=2)


@pytest.mark.parametrize("is_denied", [True, False])
def test_a_new_pipeline_needs_no_permission_on_a_journal(*, is_denied: bool) -> None:
    """Of one that was never given a command there is none, and many a user may not even ask."""
    at = Resumption(offset=2)

    assert journaled(is_denied=is_denied).begin(None, at, committed_offset=None) == at


def test_a_journal_that_nobody_made_is_empty() -> None:
    """What it should hold is waited for, as ever."""
    at = Resumption(offset=2)

    assert journaled(is_denied=False).begin(COMMANDED, at, committed_offset=2) == at
