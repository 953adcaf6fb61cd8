"""What the checks of single values share: refusals, spelling help, and the base of a section."""

import difflib
import json
import re
from collections.abc import Iterable, Iterator
from types import UnionType
from typing import Any, ClassVar, Union, get_args, get_origin

from pydantic import AfterValidator, BaseModel, ConfigDict

from stream.core.parts import PartSpec

_SHOWN_CHARS_MAX = 80  # enough to recognise a value, and still one line of a terminal

Entry = tuple[str, str]
"""A key relative to where it is raised (`"params.seed"`, `"[0].name"`, `""`), and its problem."""


class RefusedError(ValueError):
    """Several problems found by one check; pydantic carries it, `problems.entries` unpacks it."""

    def __init__(self, *entries: Entry) -> None:
        super().__init__("; ".join(text for _, text in entries))
        self.entries = entries


class Section(BaseModel):
    """A table of the configuration: typed without coercion, frozen, no unknown keys.

    Strict, because what coercion guesses ("yes" for true, 1 for true, "3" for 3) hides mistakes.
    """

    model_config: ClassVar[ConfigDict] = ConfigDict(
        frozen=True,
        extra="forbid",
        strict=True,
        allow_inf_nan=False,
        hide_input_in_errors=True,
        protected_namespaces=(),
    )

    def shown(self) -> dict[str, Any]:
        """The keys and values as anybody may see them; sections with secrets mask them."""
        return {name: getattr(self, name) for name in type(self).model_fields}

    def __repr_args__(self) -> Iterator[tuple[str, Any]]:
        yield from self.shown().items()


def table_of(annotation: Any) -> type[BaseModel] | None:
    """The table that a field holds, be it one that may be absent; None: it holds another value."""
    is_union = get_origin(annotation) in (Union, UnionType)
    for each in get_args(annotation) if is_union else (annotation,):
        if isinstance(each, type) and issubclass(each, BaseModel):
            return each
    return None


class PartSection(Section):
    """A table that configures an optional part of a state: see `stream.core.parts`."""

    def part(self) -> PartSpec | None:
        """The part, as the core wants it; None: it is not configured, and so not there."""
        raise NotImplementedError


def show(value: object) -> str:
    """A value as one line of a message: JSON, cut."""
    text = json.dumps(value, ensure_ascii=False, default=lambda other: type(other).__name__)
    return text if len(text) <= _SHOWN_CHARS_MAX else text[:_SHOWN_CHARS_MAX] + "..."


def quoted(words: Iterable[str]) -> str:
    """`"a", "b", "c"`."""
    return ", ".join(f'"{word}"' for word in words)


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known name that was probably meant: case and punctuation don't count."""
    plain = {re.sub(r"[^a-z0-9]", "", name.lower()): name for name in known}
    found = difflib.get_close_matches(re.sub(r"[^a-z0-9]", "", word.lower()), plain, n=1)
    return plain[found[0]] if found else None


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`did you mean "x"?`, or the list of what is known."""
    names = list(known)
    near = nearest(word, names)
    return f'did you mean "{near}"?' if near else f"write one of {quoted(names)}"


def matching(pattern: str, words: str) -> AfterValidator:
    """A string must match `pattern` as a whole; `words` say it to people."""

    def check(value: str | None) -> str | None:
        if value is not None and not re.fullmatch(pattern, value):
            raise ValueError(f"{show(value)} is not possible; write {words}")
        return value

    return AfterValidator(check)
