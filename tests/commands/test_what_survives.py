"""What a user changes -> what becomes of the model: with the commands, on the embedded log.

Each row is compared with a run in which nobody changed anything, bit for bit.
"""

import random
import shutil
from pathlib import Path
from typing import Any

import pytest

from stream.core.event import Channel
from tests.commands.project import EMBEDDED, MODEL, Done, Project

TINY_N = 100


def tiny(project: Project, *, n: int = TINY_N) -> None:
    """Produce events that a limit on magnitudes lets in, unlike the ones before."""
    chance = random.Random(5)
    rows = [(x := round(chance.uniform(-0.5, 0.5), 6), 0.1, x > 0) for _ in range(n)]
    project.write_csv("events.csv", ("x", "noise", "label"), rows)
    assert project.stream("produce", "events.csv").code == 0


def predictions(project: Project) -> list[bytes | None]:
    """All that were published."""
    return [record.value for record in project.records(Channel.PREDICTIONS)]


def copied(project: Project, folder: Path) -> Project:
    """The same pipeline once more."""
    shutil.copytree(project.folder, folder, dirs_exist_ok=True)
    return Project(folder)


def went_on(project: Project, **environment: Any) -> Done:
    """Run a worker to the end, which must end well."""
    done = project.stream("run", "--until-end", **environment)
    assert done.code == 0, done
    return done


@pytest.fixture(scope="session")
def _waiting(_worked: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = copied(Project(_worked), tmp_path_factory.mktemp("waiting"))
    tiny(made)
    return made.folder


@pytest.fixture
def waiting(_waiting: Path, tmp_path: Path) -> Project:
    """A pipeline that learned 600 events under the default settings; 100 are not done yet."""
    return copied(Project(_waiting), tmp_path)


@pytest.fixture(scope="session")
def unchanged(_waiting: Path, tmp_path_factory: pytest.TempPathFactory) -> list[bytes | None]:
    """What is published if nobody changes anything."""
    made = copied(Project(_waiting), tmp_path_factory.mktemp("unchanged"))
    went_on(made)
    return predictions(made)


# -- settings -------------------------------------------------------------------------------------

KEPT = {"a limit that learned events are over": "[limits]\nmagnitude_max = 0.6\n"}


@pytest.mark.parametrize("settings", KEPT.values(), ids=KEPT)
def test_other_settings_keep_the_model(
    waiting: Project, settings: str, unchanged: list[bytes | None]
) -> None:
    """Nobody has to say so, and no prediction is another one."""
    waiting.configure(EMBEDDED + MODEL + settings)

    done = went_on(waiting)

    assert "recipe_changed partition=0 on_change=keep genesis=600" in done.err
    assert predictions(waiting) == unchanged


ASKED = {'events.label: "label" -> "y"': MODEL + '[events]\nlabel = "y"\n'}


@pytest.mark.parametrize("what", ASKED)
def test_what_makes_another_model_has_to_be_asked_for(waiting: Project, what: str) -> None:
    """78, one line that says what changed, and nothing is published."""
    published = predictions(waiting)
    waiting.configure(EMBEDDED + ASKED[what])

    done = waiting.stream("run", "--until-end")

    assert done.code == 78, done
    (line,) = [each for each in done.err.splitlines() if each.startswith("stream: ")]
    assert what in line
    assert 'set model.on_change = "rebuild"' in line
    assert predictions(waiting) == published
