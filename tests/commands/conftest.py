"""Pipelines for the tests of the commands."""

import shutil
from pathlib import Path

import pytest

from tests.commands import changes
from tests.commands.project import Project


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A pipeline on the embedded log, without an event."""
    made = Project(tmp_path)
    made.configure()
    return made


@pytest.fixture(scope="session")
def _worked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = Project(tmp_path_factory.mktemp("worked"))
    made.configure()
    for seed in (1, 2):
        fed = made.fed(300, seed=seed)
        assert fed.code == 0, fed
        ran = made.stream("run", "--until-end")
        assert ran.code == 0, ran
    return made.folder


@pytest.fixture
def worked(_worked: Path, tmp_path: Path) -> Project:
    """A pipeline that has learned 600 events, with snapshots at 300 and 600."""
    shutil.copytree(_worked, tmp_path, dirs_exist_ok=True)
    return Project(tmp_path)


@pytest.fixture(scope="session")
def _waiting(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = Project(tmp_path_factory.mktemp("waiting"))
    made.write("mine.py", changes.MODULE)
    changes.changed(made)
    changes.fed(made, changes.BEFORE)
    changes.went_on(made)
    changes.fed(made, changes.AFTER)
    return made.folder


@pytest.fixture
def waiting(_waiting: Path, tmp_path: Path) -> Project:
    """A pipeline that learned 120 events under the default settings; 60 are not done yet."""
    return changes.copied(_waiting, tmp_path)
