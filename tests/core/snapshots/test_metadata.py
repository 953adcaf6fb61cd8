"""The line beside a committed offset is read exactly, or not at all."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.core.snapshots.metadata import NOWHERE, Metadata, Reached, parse_metadata

COUNT = st.integers(0, 10**18 - 1)


@given(
    n=COUNT,
    learned=COUNT,
    genesis=COUNT,
    digest=st.integers(0, 2**64 - 1),
    fingerprint=st.integers(0, 2**32 - 1),
)
def test_metadata_read_back_what_they_say(
    n: int, learned: int, genesis: int, digest: int, fingerprint: int
) -> None:
    """Short ASCII, far below what the broker takes."""
    metadata = Metadata(
        n=n,
        digest=f"{digest:016x}",
        fingerprint=f"{fingerprint:08x}",
        genesis=genesis,
        learned=learned,
    )
    text = metadata.encode()

    assert parse_metadata(text) == metadata
    assert text.isascii()
    assert len(text) < 200


@pytest.mark.parametrize("at", [NOWHERE, Reached(0), Reached(12), Reached(12, "00ff00ff")])
def test_it_is_told_how_far_the_labels_topic_was_read(at: Reached) -> None:
    """Its first record is another place than none."""
    metadata = Metadata(
        n=3, digest="0" * 16, fingerprint="0" * 8, genesis=0, learned=2, labels_topic=at
    )

    assert parse_metadata(metadata.encode()) == metadata


@given(text=st.text())
def test_foreign_metadata_are_none(text: str) -> None:
    """Another tool may have committed anything."""
    assert parse_metadata(text) is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "v1",
        "v2;n=3;h=00ff00ff00ff00ff;f=deadbeef;g=0;l=2",
        "v1;n=3;h=00ff00ff00ff00ff;f=deadbeef",
        "v1;n=-3;h=00ff00ff00ff00ff;f=deadbeef;g=0;l=2",
        "v1;n=3;h=00FF00FF00FF00FF;f=deadbeef;g=0;l=2",
        "v1;n=٣;h=00ff00ff00ff00ff;f=deadbeef;g=0;l=2",
        "v1;n=3;h=00ff00ff00ff00ff;f=deadbeef;g=0;l=2\n",
        " v1;n=3;h=00ff00ff00ff00ff;f=deadbeef;g=0;l=2",
        f"v1;n={'9' * 19};h=00ff00ff00ff00ff;f=deadbeef;g=0;l=2",
        "v1;n=3;h=00ff00ff00ff00ff;f=deadbeef;g=0;l=2;c=x",
        "v1;n=3;h=00ff00ff00ff00ff;f=deadbeef;g=0;l=2;p=0",
        "v1;n=3;h=00ff00ff00ff00ff;f=deadbeef;g=0;l=2;later",
    ],
)
def test_nearly_ours_is_not_ours(text: str) -> None:
    """The line is read exactly or not at all."""
    assert parse_metadata(text) is None


@pytest.mark.parametrize(
    "more",
    [
        "", ";p=1", ";c=7", ";p=1;c=7", ";j=2;k=9", ";j=2;k=9;t=00ff00ff", ";x=0",
        ";x=12;d=00ff00ff",
    ],
)  # fmt: skip
@pytest.mark.parametrize("later", [";y=4", ";q=2;later=", ";somewhere=a/b,c:9"])
def test_a_later_versions_keys_are_passed_over(more: str, later: str) -> None:
    """Wherever they stand: in a mixed group nobody takes them for damage."""
    ours = "v1;n=3;h=00ff00ff00ff00ff;f=deadbeef;g=0;l=2"

    known = parse_metadata(ours + more)

    assert known is not None
    assert parse_metadata(ours + later + more) == parse_metadata(ours + more + later) == known
