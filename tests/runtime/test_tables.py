"""Tables fit the line they are given, and no word is broken."""

from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from stream.runtime.commands.tables import LINE_CHARS_MIN, Columns, wrapped

_words = st.text(alphabet="abcdeé漢", min_size=1, max_size=9)
_cells = st.lists(_words, min_size=1, max_size=8).map(" ".join)
_tables = st.integers(1, 6).flatmap(
    lambda n: st.lists(st.lists(_cells, min_size=n, max_size=n), min_size=1, max_size=5)
)


@given(_tables, st.integers(LINE_CHARS_MIN, 120))
def test_every_word_stands_whole_on_a_line_that_fits(rows: list[list[str]], chars: int) -> None:
    """At any width all cells are there, in order, no line is too long and no word in two."""
    names = [f"name {n}" for n in range(len(rows[0]))]

    columns = Columns(names, rows, line_chars=chars)
    lines = [columns.head, *(columns.lines(row) for row in rows)]

    for shown, row in zip(lines, [names, *rows], strict=True):
        assert " ".join(shown).split() == " ".join(row).split()
        assert all(cell_len(line) <= chars for line in shown), shown


@given(_tables)
def test_without_a_limit_a_row_is_a_line_and_columns_are_in_line(rows: list[list[str]]) -> None:
    """What a pipe gets: for `grep` and `awk`."""
    columns = Columns(["x"] * len(rows[0]), rows, line_chars=None)

    assert all(len(columns.lines(row)) == 1 for row in rows)
    (head,) = columns.head
    assert head.split() == ["x"] * len(rows[0])


@given(st.text(), st.integers(2, 90))
def test_wrapping_loses_nothing_but_spaces(text: str, chars: int) -> None:
    """Also of a value without a single space: it is broken where the line ends, never cut."""
    lines = wrapped(text, chars)

    assert "".join("".join(lines).split()) == "".join(text.split())
    assert all(cell_len(line) <= chars for line in lines)


def test_heads_stand_above_their_cells_where_a_row_is_folded() -> None:
    """The same columns are on the same line, at the same place."""
    row = ["0", "2504", "accuracy 0.6010", "drift adwin at 1919"]
    columns = Columns(["partition", "committed", "score", "last alert"], [row], line_chars=40)

    (first, second), (above, below) = columns.head, columns.lines(row)

    assert first.index("committed") == above.index("2504")
    assert second.index("last alert") == below.index("drift adwin")


def test_one_row_that_is_too_long_does_not_fold_the_others() -> None:
    """An id of a hundred characters among short ones."""
    rows = [["a-1", "true"], ["a-2", "true"], ["x" * 60, "true"]]
    columns = Columns(["id", "label"], rows, line_chars=40)

    assert [len(columns.lines(row)) for row in rows] == [1, 1, 3]
