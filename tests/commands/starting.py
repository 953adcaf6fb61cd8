"""What the tests of `stream init` share: a sample, and what becomes of it."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from stream.config import load
from stream.core.event import Event, Kind
from stream.core.formats.codec import Codec
from stream.runtime.commands import init
from stream.runtime.files import rows
from stream.runtime.files.layout import Columns
from stream.runtime.preparation import prepare


def starts(path: Path, tmp_path: Path, **options: Any) -> tuple[Any, Kind, list[Event]]:
    """Let it write a configuration. Returns: that, its model's task, the file's events."""
    out = tmp_path / "stream.toml"
    words: dict[str, Any] = {
        "out": out,
        "force": False,
        "label": None,
        "own_id": None,
        "pipeline": None,
    }
    init.write(path, **{**words, **options})
    settings = load(out, environ={})
    prepared = prepare(settings)
    shape = settings.events.core()
    codec = Codec(shape, settings.limits.core(), prepared.kind)
    decoded = [codec.decode(r.value) for r in rows.read(path, shape=shape, columns=Columns())]
    events = [event for event in decoded if isinstance(event, Event)]
    assert len(events) == len(decoded), decoded[0]
    return settings, prepared.kind, events


def sample_of(tmp_path: Path, lines: Iterable[str], name: str = "sample.jsonl") -> Path:
    """A file with these lines."""
    path = tmp_path / name
    path.write_text("".join(f"{line}\n" for line in lines))
    return path
