"""The keys that sign and verify snapshots: configured, or this machine's own."""

import os
import secrets
from collections.abc import Mapping
from pathlib import Path

from stream.config import Settings
from stream.core.snapshots.seal import Keys
from stream.errors import BadInput
from stream.telemetry import LogEvent, Telemetry

KEY_BYTES = 32


def snapshot_keys(settings: Settings, environ: Mapping[str, str], telemetry: Telemetry) -> Keys:
    """The key that signs and those that still verify.

    Raises: BadInput: this machine's own key is there, but too short or unreadable.
    """
    signing = _signing_key(settings, environ, telemetry)
    return Keys(signing, tuple(key for key in settings.older_keys_bytes() if key != signing))


def _signing_key(settings: Settings, environ: Mapping[str, str], telemetry: Telemetry) -> bytes:
    """The configured key; else one of this machine's own, made at the first start.

    Without a configured key the configuration allows only a Redis on this machine (or none), so a
    key that never leaves it is enough.

    Raises: BadInput: the key's file is there, but too short or unreadable.
    """
    key = settings.signing_key_bytes()
    if key is not None:
        return key
    path = key_path(settings, environ)
    try:
        return _read_key(path)
    except FileNotFoundError:
        pass
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_suffix(f".{os.getpid()}")
    # For its owner only from the first moment on; to change the mode later leaves a gap.
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(secrets.token_hex(KEY_BYTES).encode())
    try:
        os.link(fresh, path)  # of two workers that start at once the first one's key counts
    except FileExistsError:
        return _read_key(path)
    finally:
        fresh.unlink()
    telemetry.say(LogEvent.SNAPSHOT_KEY_MADE, path=path)
    return _read_key(path)


def key_path(settings: Settings, environ: Mapping[str, str]) -> Path:
    """Where this machine's own key is kept: beside the state, never in the store."""
    if not settings.kafka.traits.has_servers:
        return settings.folder / f"{settings.kafka.path}.{settings.pipeline}.key"
    state = environ.get("XDG_STATE_HOME") or str(Path("~/.local/state").expanduser())
    return Path(state) / "streamfold" / f"{settings.pipeline}.key"


def _read_key(path: Path) -> bytes:
    """Read this machine's own key. Raises: FileNotFoundError; BadInput: it cannot be used."""
    try:
        key = path.read_bytes().strip()
    except FileNotFoundError:
        raise
    except OSError as error:
        raise BadInput(f"the snapshots' key {path} is unreadable: {error.strerror}") from error
    if len(key) < KEY_BYTES:
        raise BadInput(f"the snapshots' key {path} is too short; delete it, and one is made")
    return key
