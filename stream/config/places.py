"""Where a relative path begins: in the configuration's folder, wherever a command is started."""

import re
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

from pydantic import ValidationInfo

FOLDER = "folder"
"""The key, in the context of a validation, of the folder that the configuration lies in."""

_FILE_OPTION = re.compile(r"(file|location|path|keytab)$")
_URL_FILE = re.compile(r"(?<=[?&])(ssl_ca_certs|ssl_ca_path|ssl_certfile|ssl_keyfile)=([^&#]+)")
_NO_FILES = frozenset({"", "probe"})
"""`ssl.ca.location = "probe"` lets librdkafka look for it."""


def placed(path: str, info: ValidationInfo) -> str:
    """A path as it is to be opened."""
    folder: Path = (info.context or {}).get(FOLDER, Path())
    return str(folder / path) if path else path


def placed_url(url: str, info: ValidationInfo) -> str:
    """A URL of Redis, with the paths of files that its options name as they are to be opened."""
    return _URL_FILE.sub(
        lambda found: f"{found[1]}={quote(placed(unquote(found[2]), info), safe='/')}", url
    )


def placed_options(options: dict[str, Any], info: ValidationInfo) -> dict[str, Any]:
    """A Kafka client's options, with the paths of files as they are to be opened."""
    return {
        name: placed(value, info)
        if isinstance(value, str) and value not in _NO_FILES and _FILE_OPTION.search(name)
        else value
        for name, value in options.items()
    }
