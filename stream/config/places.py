"""Where a relative path begins: in the configuration's folder, wherever a command is started."""

import re
from pathlib import Path
from typing import Any

from pydantic import ValidationInfo

FOLDER = "folder"
"""The key, in the context of a validation, of the folder that the configuration lies in."""

_FILE_OPTION = re.compile(r"(file|location|path|keytab)$")
_NO_FILES = frozenset({"", "probe"})
"""`ssl.ca.location = "probe"` lets librdkafka look for it."""


def placed(path: str, info: ValidationInfo) -> str:
    """A path as it is to be opened."""
    folder: Path = (info.context or {}).get(FOLDER, Path())
    return str(folder / path) if path else path


def placed_options(options: dict[str, Any], info: ValidationInfo) -> dict[str, Any]:
    """A Kafka client's options; those that name a file, by its place."""
    return {
        name: placed(value, info)
        if isinstance(value, str) and value not in _NO_FILES and _FILE_OPTION.search(name)
        else value
        for name, value in options.items()
    }
