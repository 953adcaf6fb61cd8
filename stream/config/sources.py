"""Where the values come from: one TOML file, then `STREAM__SECTION__KEY` in the environment.

pydantic-settings is not used here: its environment source stops at the first value that does not
parse, passes over unknown names, and knows no `..._FILE`.
"""

import json
import tomllib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import UnionType
from typing import Any, Union, get_args, get_origin

from pydantic import ValidationError

from stream.config import problems
from stream.config.checks import Entry, RefusedError, show, table_of
from stream.config.recipe import Model
from stream.config.secrets import is_secret_option
from stream.config.settings import Settings, checked
from stream.errors import Misconfigured

PREFIX = "STREAM__"
_FILE = "_file"


def load(path: Path, *, environ: Mapping[str, str], without: Collection[str] = ()) -> Settings:
    """Read the file, lay the environment over it, check everything.

    Args:
        path: the TOML file.
        environ: usually `os.environ`; only names that begin with `STREAM__` count.
        without: tables and keys to pass over: to check `detectors` loads river, for a second.

    Raises: Misconfigured: all problems at once, one line each; never with a secret in it.
    """
    source = _laid(path, environ)
    for name in without:
        source.tree.pop(name, None)
    settings, found = checked(source.tree, folder=path.parent)
    seen = {key for key, _ in source.entries}
    entries = source.entries + [entry for entry in found if entry[0] not in seen]
    if settings is None or entries:
        raise Misconfigured(*(source.line(key, text) for key, text in entries))
    return settings


def load_model(path: Path, *, environ: Mapping[str, str]) -> Model | None:
    """The model's part of a configuration of which other parts may be wrong.

    Returns: None: that part is wrong itself, or the file cannot be read; `load` tells of both.
    """
    try:
        source = _laid(path, environ)
    except Misconfigured:
        return None
    if any(key.partition(".")[0] == "model" for key, _ in source.entries):
        return None
    try:
        return Model.model_validate(source.tree.get("model", {}))
    except ValidationError:
        return None


def _laid(path: Path, environ: Mapping[str, str]) -> "_Source":
    source = _Source(_read_toml(path), path.parent)
    for name in sorted(environ):
        if name.startswith(PREFIX):
            source.lay(name, environ[name])
    return source


def _read_toml(path: Path) -> dict[str, Any]:
    """Read the configuration file. Raises: Misconfigured: it cannot be read or parsed."""
    try:
        return tomllib.loads(path.read_bytes().decode("utf-8-sig"))
    except OSError as error:
        hint = "write the file, or name another with -c"
        raise Misconfigured(f"{path}: cannot be read: {error.strerror}; {hint}") from None
    except UnicodeDecodeError:
        raise Misconfigured(f"{path}: is not UTF-8; save it as UTF-8") from None
    except tomllib.TOMLDecodeError as error:
        raise Misconfigured(f"{path}: is not TOML: {error}; correct that line") from None
    except RecursionError:
        raise Misconfigured(f"{path}: is nested too deeply; flatten it") from None


@dataclass(slots=True)
class _Source:
    """The tree that is being put together.

    Attributes:
        tree: what TOML would give.
        folder: where the file lies, and paths begin.
        origins: key -> the variable that set it.
        contents: key -> what a file held for it, and so must not be shown.
        entries: the problems so far.
    """

    tree: dict[str, Any]
    folder: Path
    origins: dict[str, str] = field(default_factory=dict)
    contents: dict[str, str] = field(default_factory=dict)
    entries: list[Entry] = field(default_factory=list)

    def lay(self, name: str, text: str) -> None:
        """Put one variable in its place, or note why not."""
        loc = tuple(name.removeprefix(PREFIX).lower().split("__"))
        from_file = loc[-1].endswith(_FILE) and not self._is_key(loc)
        if from_file:
            loc = (*loc[:-1], loc[-1].removesuffix(_FILE))
        key = problems.key_of(loc)
        earlier = self.origins.setdefault(key, name)
        try:
            annotation = _settable(loc)
            _check_text(text)
            if from_file:
                text = _content(str(self.folder / text))
                self.contents[key] = text
            self._put(loc, _parsed(loc, text, annotation))
        except RefusedError as refused:
            self.entries += [(key, problem) for _, problem in refused.entries]
        if earlier != name:
            self.entries.append((key, f"{name} gives it too; keep one of the two"))

    def line(self, key: str, text: str) -> str:
        """One problem as it is reported; without what came from a file, which may be secret."""
        for each, name in self.origins.items():
            if key == each or key.startswith((f"{each}.", f"{each}[")):
                content = self.contents.get(each)
                # Every message that tells a value begins with it.
                if content and text.startswith((show(content), content)):
                    text = "what the file holds is not possible here; name another file"
                return f"{key}: {text} ({name})"
        return f"{key}: {text}"

    def _is_key(self, loc: tuple[str, ...]) -> bool:
        """Whether a name is a key of a free table (options, params): the file must have it."""
        annotation = _annotation(loc)
        if annotation is not Any:
            return annotation is not None
        node: Any = self.tree
        for part in loc:
            if not isinstance(node, dict) or part not in node:
                return False
            node = node[part]
        return True

    def _put(self, loc: tuple[str, ...], value: object) -> None:
        node: Any = self.tree
        for part in loc[:-1]:
            node = node.setdefault(part, {})
            if not isinstance(node, dict):
                raise RefusedError(("", f'"{part}" is not a table in the file; make it one'))
        node[loc[-1]] = value


def _annotation(loc: tuple[str, ...]) -> Any:
    """The type of a key; Any inside a free table; None where there is no such key."""
    node: Any = Settings
    for part in loc:
        table = table_of(node)
        if table is not None:
            info = table.model_fields.get(part)
            node = info.annotation if info else None
        else:
            return Any if get_origin(node) is dict and all(loc) else None
    return node


_LISTS = {
    "detectors": '[{"type": "ADWIN"}]',
    "reactions": '[{"when": "drift", "do": "reset"}]',
}
"""Lists of tables, each with an example as JSON."""


def _settable(loc: tuple[str, ...]) -> Any:
    """The type of a key that a variable may set.

    Raises: RefusedError: there is no such key, or it is a whole table.
    """
    annotation = _annotation(loc)
    if annotation is None and loc[0] in _LISTS:
        name = f"{PREFIX}{loc[0].upper()}"
        raise RefusedError(("", f"unknown key; write the whole list as JSON in {name}"))
    if annotation is None:
        raise RefusedError(("", problems.unknown(loc, Settings)))
    if table_of(annotation) is not None:
        raise RefusedError(("", f"a table; set its keys one by one: {PREFIX}{loc[0].upper()}__KEY"))
    return annotation


def _content(path: str) -> str:
    """A file's text without the line's end.

    Raises: RefusedError: cannot be read.
    """
    try:
        return Path(path).read_bytes().decode().removesuffix("\n").removesuffix("\r")
    except OSError as error:
        raise RefusedError(
            ("", f"cannot read {path}: {error.strerror}; name a readable file")
        ) from None
    except UnicodeDecodeError:
        raise RefusedError(("", f"{path} is not UTF-8 text; name a text file")) from None


def _parsed(loc: tuple[str, ...], text: str, annotation: Any) -> object:
    """The text as JSON where the key is no plain string and it is JSON; else as it is."""
    if annotation is Any:
        # A password of digits is still a password.
        plain = loc[0] == "kafka" and (is_secret_option(loc[-1]) or "user" in loc[-1])
    else:
        plain = not _members(annotation) & {bool, int, float, dict, list, tuple}
    if plain:
        return text
    try:
        return json.loads(text)
    except ValueError as error:
        if _members(annotation) & {dict, list, tuple} and str not in _members(annotation):
            raise RefusedError(("", _no_json(loc, error))) from None
        return text
    except RecursionError:
        raise RefusedError(("", "is nested too deeply; flatten it")) from None


def _no_json(loc: tuple[str, ...], error: ValueError) -> str:
    """Say that a list or a table is no JSON, without its text, which may be secret."""
    example = _LISTS.get(loc[0], '["NAME"] or {"NAME": "VALUE"}')
    return f"the variable is no JSON: {error}; write it as JSON, for example {example}"


def _check_text(text: str) -> None:
    """Python keeps bytes of the environment that are not UTF-8 as surrogates.

    Raises: RefusedError: there are some.
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        raise RefusedError(("", "is not UTF-8; write it as UTF-8")) from None


def _members(annotation: Any) -> set[Any]:
    """The types of a union, without their parameters."""
    if get_origin(annotation) in {Union, UnionType}:
        return set().union(*(_members(each) for each in get_args(annotation)))
    return {get_origin(annotation) or annotation}
