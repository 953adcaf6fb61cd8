"""The key that signs snapshots is changed under a pipeline's feet, in the order of security.md."""

import pytest

from stream.core.snapshots.seal import key_id
from tests.commands.project import EMBEDDED, MODEL, Project

OLD, NEW = b"old-key-" * 4, b"new-key-" * 4


def keyed(project: Project, signing: str | None, *older: str) -> None:
    """Configure keys by their files."""
    lines = [] if signing is None else [f'signing_key_file = "{signing}"']
    names = ", ".join(f'"{name}"' for name in older)
    project.configure(
        f"{EMBEDDED}{MODEL}[snapshots]\nolder_key_files = [{names}]\n" + "\n".join(lines)
    )


def worked_on(project: Project) -> str:
    """Feed and run once more. Returns: what the worker said."""
    assert project.fed(100).code == 0
    ran = project.stream("run", "--until-end")
    assert ran.code == 0, ran
    return ran.err


def ids(project: Project) -> list[str]:
    """Which key signed each snapshot, newest first; or what is wrong with it."""
    found = project.stream("snapshots", "inspect", "--json").json["snapshots"]
    return [s["header"]["key_id"] if s["header"] else s["problem"] for s in found]


@pytest.fixture
def rotating(project: Project) -> Project:
    """With both keys lying about."""
    project.write("old", OLD)
    project.write("new", NEW)
    return project


def test_a_rotation_costs_no_replay(rotating: Project) -> None:
    """At each step what the step before signed is used."""
    keyed(rotating, "old")
    worked_on(rotating)
    keyed(rotating, "old", "new")
    assert 'origin="snapshot at 100"' in worked_on(rotating)
    keyed(rotating, "new", "old")
    assert 'origin="snapshot at 200"' in worked_on(rotating)
    assert ids(rotating) == [key_id(NEW), key_id(OLD), key_id(OLD)]
    # A worker that was not restarted yet signs with the old key; the new ones take that, too.
    keyed(rotating, "old", "new")
    assert 'origin="snapshot at 300"' in worked_on(rotating)
    keyed(rotating, "new", "old")
    assert 'origin="snapshot at 400"' in worked_on(rotating)
    verified = rotating.stream("snapshots", "verify")
    assert verified.code == 0, verified


def test_a_key_that_is_withdrawn_opens_nothing(rotating: Project) -> None:
    """Its snapshots are refused and counted, the log is replayed, and the state is proved."""
    keyed(rotating, "old")
    worked_on(rotating)
    keyed(rotating, "new")

    said = worked_on(rotating)
    assert "snapshot_rejected partition=0 n=100 next_offset=100" in said
    assert f"another key than {key_id(NEW)}" in said
    assert "snapshots_rejected_total=1" in said
    assert 'origin="untrained model at 0"' in said
    assert "records_replayed_total=100" in said


def test_a_machines_own_key_can_be_left_behind_too(rotating: Project) -> None:
    """From no configuration at all to a configured key."""
    keyed(rotating, None)
    assert "snapshot_key_made" in worked_on(rotating)
    keyed(rotating, "new", "log.sqlite.commands.key")

    said = worked_on(rotating)

    assert 'origin="snapshot at 100"' in said
