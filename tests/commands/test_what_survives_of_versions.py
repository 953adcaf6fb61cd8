"""Other programs below a model, or its own code rewritten -> what becomes of it: with the commands.

A module that Python loads before all others makes one version look like another one's; that is also
how a bug of another river would look: other answers.
"""

import json
from typing import Any

import pytest

from tests.commands.changes import (
    AFTER,
    BEFORE,
    BEFORE_N,
    MODULE,
    make,
    predicted,
    refused,
    said,
    went_on,
)
from tests.commands.project import REPOSITORY, Project
from tests.end_to_end import plain_loop

KEEP: dict[str, Any] = {"STREAM__MODEL__ON_CHANGE": "keep"}

FAKING = """
import importlib.abc, json, math, os, platform, sys, types

faked = json.loads(os.environ["FAKED"])
if "machine" in faked:
    platform.machine = lambda: faked["machine"]
if "machine's math" in faked:
    # The last bit of one function, which no model here uses.
    lgamma = math.lgamma
    math.lgamma = lambda x: lgamma(x) * (1 + 2.0**-52)

def fake(module):
    if module.__name__ in ("numpy", "river.__version__"):
        module.__version__ = faked.get(module.__name__.partition(".")[0], module.__version__)
    elif "python" in faked:
        major, minor = map(int, faked["python"].split("."))
        version = types.SimpleNamespace(major=major, minor=minor)
        module.sys = types.SimpleNamespace(version_info=version, modules=sys.modules)

class Faking(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name not in ("numpy", "river.__version__", "stream.core.recipe"):
            return None
        sys.meta_path.remove(self)
        try:
            spec = importlib.util.find_spec(name)
        finally:
            sys.meta_path.insert(0, self)
        loading = spec.loader.exec_module
        def exec_module(module):
            loading(module)
            fake(module)
        spec.loader.exec_module = exec_module
        return spec

sys.meta_path.insert(0, Faking())
"""
FAKED = {
    "river": "0.25.0",
    "python": "3.99",
    "numpy": "1.99.0",
    "machine": "riscv64",
    "machine's math": "",
}


def _faked(project: Project, *parts: str) -> dict[str, Any]:
    """The environment of a command that has others of these parts."""
    folder = project.folder / "faking"
    folder.mkdir(exist_ok=True)
    (folder / "sitecustomize.py").write_text(FAKING)
    told = json.dumps({part: FAKED[part] for part in parts})
    return {"PYTHONPATH": f"{folder}:{REPOSITORY}", "FAKED": told}


def _is_named(part: str, line: str) -> bool:
    return f"{part}: " in line and f" -> {FAKED[part]}" in line


def test_other_versions_are_refused_and_each_is_named(waiting: Project) -> None:
    """78, before anything is published."""
    line = refused(waiting, **_faked(waiting, *FAKED))

    assert "the recipe is not the one that partition 0 was committed with (river: " in line
    assert all(_is_named(part, line) for part in FAKED)
    assert 'set model.on_change = "rebuild"' in line


@pytest.mark.parametrize("part", FAKED)
def test_another_version_is_kept_after_a_trial_if_asked_for(waiting: Project, part: str) -> None:
    """Each alone: the model goes on, bit for bit."""
    environment = _faked(waiting, part)

    done = went_on(waiting, **environment, **KEEP)

    (line,) = said(done, "recipe_changed")
    assert "partition=0 on_change=keep genesis=120" in line
    assert f'what="{part}: ' in line
    assert _is_named(part, line)
    assert predicted(waiting) == plain_loop.classify(make(), BEFORE + AFTER)


def test_another_version_replays_the_log_if_asked_for(waiting: Project) -> None:
    """Under the new one, from where the fold began, and not from a snapshot of the other."""
    done = went_on(waiting, **_faked(waiting, "river"), STREAM__MODEL__ON_CHANGE="rebuild")

    (line,) = said(done, "task_restored")
    assert 'origin="untrained model at 0"' in line
    assert predicted(waiting) == plain_loop.classify(make(), BEFORE + AFTER)


# -- code of its user's ---------------------------------------------------------------------------

TIDIED = MODULE.replace("def make", "# What we use.\ndef make").replace(
    "    return preprocessing.StandardScaler() | linear_model.LogisticRegression(l2=l2)",
    "    return (\n        preprocessing.StandardScaler()  # first\n"
    "        | linear_model.LogisticRegression(l2=l2)\n    )",
)
REWRITTEN = (
    MODULE.replace("preprocessing.StandardScaler() | ", "_scaler() | ", 1)
    + """
def _scaler():
    return preprocessing.StandardScaler()
"""
)
OTHERWISE = MODULE.replace("LogisticRegression(l2=l2)", "LogisticRegression(l2=l2 + 0.5)")


def test_a_comment_in_the_model_s_module_is_no_change(waiting: Project) -> None:
    """Nor is its layout."""
    waiting.write("mine.py", TIDIED)

    done = went_on(waiting)

    assert not said(done, "recipe_changed")
    assert 'origin="snapshot at 120"' in done.err
    assert predicted(waiting) == plain_loop.classify(make(), BEFORE + AFTER)


def test_rewritten_code_is_refused_and_kept_if_asked_for(waiting: Project) -> None:
    """Nobody but its user knows that it does the same; a trial shows it."""
    waiting.write("mine.py", REWRITTEN)

    line = refused(waiting)
    done = went_on(waiting, **KEEP)

    assert "was committed with (model source: " in line
    (told,) = said(done, "recipe_changed")
    assert 'on_change=keep genesis=120 what="model source: ' in told
    assert predicted(waiting) == plain_loop.classify(make(), BEFORE + AFTER)


def test_code_that_answers_otherwise_is_not_kept_but_replayed(waiting: Project) -> None:
    """The first event that differs is named; with "rebuild" the new code learns the log."""
    waiting.write("mine.py", OTHERWISE)
    published = predicted(waiting)

    line = refused(waiting, **KEEP)
    done = went_on(waiting, STREAM__MODEL__ON_CHANGE="rebuild")

    assert "the state of partition 0 cannot be kept (" in line
    assert "on_change=rebuild genesis=0" in done.err
    again = plain_loop.classify(make(0.5), BEFORE + AFTER)
    first = next(n for n, each in enumerate(published) if each != again[n])
    assert f'does not repeat itself: event {first} was {{"prediction": ' in line
    assert predicted(waiting) == published + again[BEFORE_N:]
