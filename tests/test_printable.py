"""Text from elsewhere is fit for a terminal, and means what it meant."""

import json
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.printable import escaped, escaped_json

HOSTILE = "\x1b\x9b\x85\u202e\u2066\u200b\u2028\u00ad\ufeff\x7f\x00\r\n\U000e0041"
"""What moves a cursor, ends a line, turns what is read round, or cannot be seen."""


@given(st.text() | st.text(alphabet=HOSTILE))
def test_nothing_that_is_shown_has_no_shape(text: str) -> None:
    """On one line, and what can be printed stays as it is."""
    shown = escaped(text)

    assert shown.isprintable()
    assert not text.isprintable() or shown == text


@pytest.mark.parametrize("character", HOSTILE)
def test_each_of_them_is_shown_by_its_number(character: str) -> None:
    """Nothing is left out: two ids that differ in it look different."""
    assert escaped(f"a{character}b").startswith("a\\")
    assert escaped(f"a{character}b").endswith("b")


def test_no_character_of_unicode_passes() -> None:
    """Lone surrogates too, which could not even be written."""
    assert escaped("".join(map(chr, range(sys.maxunicode + 1)))).isprintable()


_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.text(alphabet=HOSTILE),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


@given(_values, st.sampled_from([None, 1]))
def test_json_keeps_its_meaning_on_one_line(value: object, indent: int | None) -> None:
    """A program reads what was published; a terminal shows nothing but shapes."""
    document = json.dumps(value, ensure_ascii=False, indent=indent)

    shown = escaped_json(document)

    assert shown.isprintable()
    assert json.loads(shown) == value
