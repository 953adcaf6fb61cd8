"""Tables as lines: what does not fit beside the rest goes below it, and no word is broken."""

import re
from collections.abc import Iterator, Sequence

from rich.cells import cell_len, set_cell_size

from stream.printable import escaped

GAP = "  "
INDENT = "    "
"""Before what stands below its row."""

LINE_CHARS_MIN = 20
"""Narrower is no terminal."""

_WORDS = re.compile(r"\s*\S+")
_PARTS = re.compile(r".+?(?:[,;)}\]]+(?=[^\s\d])|$)")


class Columns:
    """Where the cells of a row stand: on one line, or below each other where that is too long.

    The heads of the columns are laid out as most rows are, so that each stands above its cells.

    Args:
        names: the heads of the columns.
        rows: they decide how wide each column is; a wider cell of a later row moves the rest.
        line_chars: how long a line may be; None: there is no limit, a row is a line.
    """

    def __init__(
        self, names: Sequence[str], rows: Sequence[Sequence[str]], *, line_chars: int | None
    ) -> None:
        self._chars = None if line_chars is None else max(line_chars, LINE_CHARS_MIN)
        sizes = [[cell_len(escaped(cell)) for cell in row] for row in rows]
        fitting = [row for row in sizes if self._fits(row)]
        # One row that is too long for a line is folded; most of them, and all rows are.
        deciding = fitting if 2 * len(fitting) >= len(sizes) else sizes
        self._widths = [max(column) for column in zip(map(cell_len, names), *deciding, strict=True)]
        self.head = self.lines(names)
        """The lines of the heads."""

    def lines(self, row: Sequence[str]) -> list[str]:
        """Write a row as lines."""
        cells = [escaped(cell) for cell in row]
        widths = [max(n, cell_len(cell)) for n, cell in zip(self._widths, cells, strict=True)]
        found: list[str] = []
        for number, (*others, last) in enumerate(self._laid_out(widths)):
            before = INDENT if number else ""
            before += "".join(set_cell_size(cells[i], widths[i]) + GAP for i in others)
            if self._chars is None:
                found.append((before + cells[last]).rstrip())
                continue
            parts = wrapped(cells[last], self._chars - cell_len(before))
            after = " " * cell_len(before)
            found += [f"{after if n else before}{part}".rstrip() for n, part in enumerate(parts)]
        # A row begins with its first line; of what stands below it nothing may be nothing.
        return [found[0], *(line for line in found[1:] if line)]

    def _fits(self, sizes: Sequence[int]) -> bool:
        return self._chars is None or sum(sizes) + len(GAP) * (len(sizes) - 1) <= self._chars

    def _laid_out(self, widths: Sequence[int]) -> list[list[int]]:
        """Decide which columns stand on which line."""
        lines: list[list[int]] = [[]]
        used = 0
        for index, width in enumerate(widths):
            if self._chars is not None and lines[-1] and used + width > self._chars:
                lines.append([])
                used = len(INDENT)
            lines[-1].append(index)
            used += width + len(GAP)
        return lines


def wrapped(text: str, chars: int) -> list[str]:
    """The text in lines of so many characters at most, broken between words.

    Only what is too long for a whole line is broken elsewhere: after a comma or a bracket if it has
    one there (JSON without spaces), else where the line ends.

    >>> wrapped("the accuracy of the model", 12)
    ['the accuracy', 'of the model']
    >>> wrapped('{"a":1,"b":2}', 8)
    ['{"a":1,', '"b":2}']
    """
    lines = [""]
    for piece in _pieces(text, chars):
        if cell_len(lines[-1] + piece.rstrip()) <= chars:
            lines[-1] += piece
        else:
            lines.append(piece.lstrip())
    return [line.rstrip() for line in lines]


def _pieces(text: str, chars: int) -> Iterator[str]:
    """Split a text into pieces that may not be broken."""
    for word in _WORDS.findall(text):
        if cell_len(word.strip()) <= chars:
            yield word
            continue
        for part in _PARTS.findall(word):
            while cell_len(part) > chars:
                cut = next(n for n in range(chars, 0, -1) if n == 1 or cell_len(part[:n]) <= chars)
                yield part[:cut]
                part = part[cut:]  # noqa: PLW2901  # what is left of it
            yield part
