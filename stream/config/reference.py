"""The keys written out for people; docs/CONFIGURATION.md is made of it."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import SecretStr
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from stream.config.checks import Section, table_of
from stream.config.detectors import Detector
from stream.config.reactions import Reaction
from stream.config.settings import Settings

_LISTS: Mapping[str, type[Section]] = {"detectors": Detector, "reactions": Reaction}


def reference() -> str:
    """Every key, its default and its meaning, as one Markdown table."""
    rows = ["| key | default | meaning |", "|---|---|---|"]
    rows += [f"| `{key}` | {_default(info)} | {_meaning(info)} |" for key, info in keys()]
    return "\n".join(rows) + "\n"


def keys() -> Iterator[tuple[str, FieldInfo]]:
    """Every key there is, in the order of the file."""
    for name, info in Settings.model_fields.items():
        inner = table_of(info.annotation)
        if name in _LISTS:
            for key, each in _LISTS[name].model_fields.items():
                yield f"{name}[].{key}", each
        elif inner is not None:
            for key, each in inner.model_fields.items():
                yield f"{name}.{key}", each
        else:
            yield name, info


def _default(info: FieldInfo) -> str:
    """A setting's default as the reference shows it: its text in code style, or "required"."""
    extra = info.json_schema_extra
    if isinstance(extra, dict) and "shown" in extra:
        return str(extra["shown"])
    value: Any = info.get_default(call_default_factory=True)
    if value is PydanticUndefined:
        return "required"
    if isinstance(value, SecretStr):
        value = value.get_secret_value()  # a default is no secret
    return "-" if value is None else f"`{json.dumps(value)}`"


def _meaning(info: FieldInfo) -> str:
    """The description, and the bounds of a number."""
    signs = {"ge": ">=", "gt": ">", "le": "<=", "lt": "<"}
    bounds = [
        f"{sign} {getattr(each, name)}"
        for each in info.metadata
        for name, sign in signs.items()
        if hasattr(each, name)
    ]
    text = (info.description or "").replace("|", "\\|")
    return f"{text} ({', '.join(bounds)})" if bounds else text
