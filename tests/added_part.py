"""A copy of the package with the part added to it that docs/CONTRIBUTING.md shows."""

import re
import shutil
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
PAGE = REPOSITORY / "docs" / "CONTRIBUTING.md"
_BLOCK = re.compile(r"\*\*(stream/[\w/]+\.py)\*\*[^`]*?\n\n```(python|diff)\n(.*?)```", re.DOTALL)


def shown() -> dict[str, tuple[str, str]]:
    """File -> what kind of block the page has for it, and what that says."""
    return {name: (kind, text) for name, kind, text in _BLOCK.findall(PAGE.read_text())}


def grown(folder: Path) -> Path:
    """Copy the package into a folder, and do what the page says. Returns: the folder."""
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(REPOSITORY / "stream", folder / "stream", ignore=ignored)
    for name, (kind, text) in shown().items():
        path = folder / name
        if kind == "python":
            assert not path.exists()
            path.write_text(text)
        else:
            path.write_text(_with_lines(path.read_text(), text))
    return folder


def _with_lines(source: str, diff: str) -> str:
    """Put each line that begins with `+` behind the one above it in the block."""
    lines, at = source.splitlines(), -1
    for line in diff.splitlines():
        if line.startswith("+"):
            at += 1
            lines.insert(at, line[1:])
        else:
            at = lines.index(line[1:], at + 1)
    return "\n".join([*lines, ""])
