"""Rules of the house that no linter knows."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
PACKAGE = sorted((REPOSITORY / "stream").rglob("*.py"))
ALL = [
    *PACKAGE,
    *sorted((REPOSITORY / "tests").rglob("*.py")),
    *(REPOSITORY / "scripts").glob("*.py"),
]
FUNCTION_LINES_MAX = 70
MODULE_LINES_MAX, TEST_LINES_MAX = 300, 400
UNEXPLAINED_LINES_MAX = 8


def _functions(path: Path) -> Iterator[ast.FunctionDef]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef):
            yield node


def _body_lines(function: ast.FunctionDef) -> int:
    first = function.body[0]
    is_doc = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant)
    doc = (first.end_lineno or 0) - first.lineno + 1 if is_doc else 0
    return (function.end_lineno or 0) - function.lineno + 1 - doc


@pytest.mark.parametrize("path", ALL, ids=lambda p: str(p.relative_to(REPOSITORY)))
def test_modules_and_functions_stay_readable(path: Path) -> None:
    """No function over 70 lines without its docstring, no module over 300 (tests: 400)."""
    long = [
        f"{f.name}: {n}" for f in _functions(path) if (n := _body_lines(f)) > FUNCTION_LINES_MAX
    ]

    most = MODULE_LINES_MAX if path in PACKAGE else TEST_LINES_MAX

    assert long == []
    assert len(path.read_text().splitlines()) <= most


@pytest.mark.parametrize("path", PACKAGE, ids=lambda p: str(p.relative_to(REPOSITORY)))
def test_nothing_is_left_unfinished_or_printed(path: Path) -> None:
    """No marker of unfinished work, no print in the package."""
    text = path.read_text()

    assert not re.search(r"\b(TODO|FIXME|XXX|HACK)\b", text)
    assert not re.search(r"^\s*print\(", text, re.MULTILINE)


def test_every_test_says_its_rule() -> None:
    """Each test has a docstring."""
    silent = [
        f"{path.relative_to(REPOSITORY)}:{f.lineno}"
        for path in (REPOSITORY / "tests").rglob("test_*.py")
        for f in _functions(path)
        if f.name.startswith("test_") and ast.get_docstring(f) is None
    ]

    assert silent == []


@pytest.mark.parametrize("path", PACKAGE, ids=lambda p: str(p.relative_to(REPOSITORY)))
def test_every_longer_private_function_says_what_it_does(path: Path) -> None:
    """A private function of nine lines or more has a docstring; dunders explain themselves."""
    silent = [
        f"{f.lineno}: {f.name}"
        for f in _functions(path)
        if f.name.startswith("_")
        and not f.name.startswith("__")
        and _body_lines(f) > UNEXPLAINED_LINES_MAX
        and ast.get_docstring(f) is None
    ]

    assert silent == []


def test_only_the_composition_root_builds_adapters() -> None:
    """No room but the backends imports from stream.adapters (their own packages aside)."""
    guilty = [
        str(path.relative_to(REPOSITORY))
        for path in PACKAGE
        if "stream.adapters" in path.read_text() and not {"adapters", "backends"} & set(path.parts)
    ]

    assert guilty == []


_SOMEBODYS = re.compile(
    r"/(?:home|Users)/[\w.-]+/"  # a home
    r"|(?<![\w.])/root/"
    r"|--(?:extra-)?index-url|\bindex-url *[=:]"  # where somebody's packages come from
    r"|https?://\S+/(?:simple|maven2?)\b"
)


def test_nothing_names_somebodys_machine() -> None:
    """No home, no folder that the repository lies in, no address of an index of packages."""
    texts = {".py", ".md", ".toml", ".txt", ".yml", ".yaml", ""}
    published = [
        p
        for p in REPOSITORY.rglob("*")
        if p.is_file()
        and p.suffix in texts
        and p != Path(__file__).resolve()  # it has examples, below
        and not any(
            part.startswith(".") and part != ".ci" for part in p.relative_to(REPOSITORY).parts
        )
    ]
    # One name below the root may be a folder in an image, which documents tell of.
    here = f"{REPOSITORY}/" if len(REPOSITORY.parts) > 2 else "\0"
    guilty = [
        str(p.relative_to(REPOSITORY))
        for p in published
        if (text := p.read_text(errors="ignore")) and (here in text or _SOMEBODYS.search(text))
    ]

    assert guilty == []


@pytest.mark.parametrize(
    "text",
    ["see /home/ann/stream", "/Users/ann/x", "in /root/x", "pip install --index-url x",
     "index-url = x", "https://host/simple", "http://host:81/maven2/org"],
)  # fmt: skip
def test_such_names_are_seen(text: str) -> None:
    """The pattern finds what it is for."""
    assert _SOMEBODYS.search(text)


def test_importing_the_package_has_no_effect() -> None:
    """`import stream` imports nothing but itself."""
    code = (
        "import sys; before = set(sys.modules); import stream; "
        "print(sorted(m for m in set(sys.modules) - before if not m.startswith('stream')))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=REPOSITORY, check=True
    )

    assert done.stdout.strip() == "[]"
