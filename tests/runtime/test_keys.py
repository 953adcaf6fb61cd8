"""The key that a machine makes for itself."""

import os
import stat
from pathlib import Path

import pytest

from stream.config import from_mapping
from stream.runtime.keys import KEY_BYTES, key_path, snapshot_keys
from stream.telemetry import Telemetry

SETTINGS = from_mapping({"pipeline": "keys", "model": {"factory": "stream.models:no_change"}})


def test_a_key_is_for_its_owner_from_the_first_moment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not even while it is written may another user of the machine read it."""
    environ = {"XDG_STATE_HOME": str(tmp_path)}
    seen: list[int] = []
    link = os.link

    def looking(source: Path, target: Path) -> None:
        seen.append(stat.S_IMODE(source.stat().st_mode))
        link(source, target)

    monkeypatch.setattr(os, "link", looking)
    # To narrow it afterwards would be too late.
    monkeypatch.delattr(Path, "chmod")
    monkeypatch.delattr(os, "chmod")
    umask = os.umask(0)
    try:
        made = snapshot_keys(SETTINGS, environ, Telemetry())
    finally:
        os.umask(umask)

    path = key_path(SETTINGS, environ)
    assert seen == [0o600]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert len(made.signing) == 2 * KEY_BYTES
    assert snapshot_keys(SETTINGS, environ, Telemetry()) == made
    assert list(path.parent.iterdir()) == [path]
