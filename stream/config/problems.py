"""pydantic's findings in our words: `KEY: what is wrong; write X instead`."""

import json
import re
from collections.abc import Mapping
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from stream.config.checks import Entry, RefusedError, did_you_mean, nearest, quoted, show, table_of

_EXPECTED = {
    "string_type": 'a string (write it in "quotes")',
    "int_type": "a whole number",
    "float_type": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "list_type": "a list",
    "tuple_type": "a list",
    "dict_type": "a table",
    "model_type": "a table",
}
_KINDS = (  # bool before int: it is one in Python
    (bool, "true or false"),
    (str, "a string"),
    (int | float, "a number"),
    (list, "a list"),
    (Mapping, "a table"),
)
_Loc = tuple[int | str, ...]


def key_of(loc: _Loc) -> str:
    """A place as TOML writes it: `detectors[0].params.seed`, `kafka.options."sasl.password"`."""
    key = ""
    for part in loc:
        if isinstance(part, int):
            key += f"[{part}]"
            continue
        plain = part if re.fullmatch(r"[A-Za-z0-9_-]+", part) else json.dumps(part)
        key += f".{plain}" if key else plain
    return key


def under(key: str, rest: str) -> str:
    """A key below another: `rest` is a name, an index in brackets, or nothing."""
    return f"{key}.{rest}" if key and rest and not rest.startswith("[") else key + rest


def entries(error: ValidationError, root: type[BaseModel]) -> list[Entry]:
    """Every problem that pydantic found while it read a `root`, as key and text."""
    found: list[Entry] = []
    for detail in error.errors(include_url=False):
        loc = detail["loc"]
        cause = detail.get("ctx", {}).get("error")
        if isinstance(cause, RefusedError):
            found += [(under(key_of(loc), key), text) for key, text in cause.entries]
        else:
            found.append((key_of(loc), _text(detail, root)))
    return found


def field_at(root: type[BaseModel], loc: _Loc) -> tuple[type[BaseModel], FieldInfo | None]:
    """The last table on the way to a place, and the field there, if one is."""
    table = root
    if not loc:
        return root, None
    for part in loc[:-1]:
        known = table.model_fields.get(str(part))
        inner = None if known is None else table_of(known.annotation)
        if inner is None:
            return table, None
        table = inner
    return table, table.model_fields.get(str(loc[-1]))


def unknown(loc: _Loc, root: type[BaseModel]) -> str:
    """Say of a key that does not exist where it belongs, or what was meant."""
    table, _ = field_at(root, loc)
    word = str(loc[-1])
    for section, info in root.model_fields.items():
        inner = table_of(info.annotation)
        if inner is not None and word in inner.model_fields:
            return f"unknown key; did you mean {section}.{word}?"
    near = nearest(word, table.model_fields)
    if near:
        return f'unknown key; did you mean "{near}"?'
    return f"unknown key; the keys here are {quoted(table.model_fields)}"


def _text(detail: Any, root: type[BaseModel]) -> str:
    """One of pydantic's findings, by its type."""
    kind, loc, value = detail["type"], detail["loc"], detail["input"]
    if kind == "extra_forbidden":
        return unknown(loc, root)
    info = field_at(root, loc)[1]
    if kind == "value_error":
        return str(detail["ctx"]["error"])
    if kind == "missing":
        example = json.dumps(info.examples[0]) if info and info.examples else "..."
        return f"missing; write {loc[-1]} = {example}"
    if kind == "literal_error" and info:
        words = get_args(info.annotation)
        return f"{show(value)} is not one of {quoted(words)}; {did_you_mean(str(value), words)}"
    if kind in {"greater_than", "greater_than_equal", "less_than", "less_than_equal"} and info:
        size = "small" if kind.startswith("greater") else "large"
        return f"{show(value)} is too {size}; write a number {_range(info)}"
    given = next((name for each, name in _KINDS if isinstance(value, each)), type(value).__name__)
    return f"must be {_EXPECTED.get(kind, 'another value')}, not {given}"


def _range(info: FieldInfo) -> str:
    """The bounds of a number, in words."""
    words = {"ge": "from {}", "gt": "above {}", "le": "up to {}", "lt": "below {}"}
    bounds = [
        words[name].format(getattr(each, name))
        for each in info.metadata
        for name in words
        if hasattr(each, name)
    ]
    return " ".join(bounds)
