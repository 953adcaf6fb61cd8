"""What was written by an earlier run, in the present format, is still read, and gives the same."""

import json
import platform
from pathlib import Path
from typing import Any

import pytest
from river.__version__ import __version__ as river_version

from stream.core.fold.task import Task
from stream.core.probe import math_digest
from stream.core.snapshots.metadata import parse_metadata
from stream.core.snapshots.seal import unseal
from tests.golden.recordings import (
    FOLDER,
    GENESIS,
    KEYS,
    MODELS,
    PARTITION,
    ROOT,
    folded,
    log,
    recipe,
)

FOLDERS = sorted(path for path in ROOT.iterdir() if path.is_dir() and path.name.startswith("SFS"))
HINT = "results changed: if that is wanted, say so in CHANGELOG.md and run python -m tests.golden"


def _proof(folder: Path, name: str) -> dict[str, Any]:
    proof: dict[str, Any] = json.loads((folder / f"{name}.json").read_text())
    if proof["versions"]["machine"] != platform.machine():
        pytest.skip(f"recorded on {proof['versions']['machine']}: bits are promised on one machine")
    if proof["versions"]["machine's math"] != math_digest():
        pytest.skip("recorded where the C library's functions give other bits")
    return proof


def test_the_installed_river_has_its_recording() -> None:
    """A new river is supported once its golden files are there."""
    assert FOLDER in FOLDERS, (
        f"no golden files for river {river_version}; run python -m tests.golden"
    )


@pytest.mark.parametrize("name", MODELS)
def test_a_recorded_log_gives_the_recorded_digest(name: str) -> None:
    """Replayed from its beginning: outcomes, counts and fingerprint are what they were."""
    proof = _proof(FOLDER, name)
    task = folded(
        Task(recipe(name, proof["versions"]), partition=PARTITION, genesis=GENESIS), log(FOLDER)
    )

    assert [task.next_offset, task.metadata().encode()] == proof["end"], HINT


@pytest.mark.parametrize("name", MODELS)
def test_a_recorded_snapshot_goes_on_to_the_recorded_digest(name: str) -> None:
    """It verifies, is unpickled under all restrictions, and folds the rest of the log."""
    proof = _proof(FOLDER, name)
    header, payload = unseal((FOLDER / f"{name}.snapshot").read_bytes(), KEYS)
    task = Task(recipe(name, proof["versions"]), partition=PARTITION, payload=payload)

    assert [header.next_offset, task.metadata().encode()] == proof["snapshot"]
    assert (header.fingerprint, header.digest) == (proof["fingerprint"], task.metadata().digest)
    assert header.recipe == recipe(name, proof["versions"]).parts()
    folded(task, log(FOLDER))
    assert [task.next_offset, task.metadata().encode()] == proof["end"], HINT


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda path: path.name)
@pytest.mark.parametrize("name", MODELS)
def test_every_recording_still_says_what_it_is(folder: Path, name: str) -> None:
    """Of an earlier river too: header and committed line are read, so that a change is told."""
    proof = json.loads((folder / f"{name}.json").read_text())
    header, _ = unseal((folder / f"{name}.snapshot").read_bytes(), KEYS)
    committed = parse_metadata(proof["end"][1])

    assert folder.name == f"SFS2-river-{header.recipe['river']}"
    assert committed is not None
    assert committed.fingerprint == header.fingerprint
