"""What becomes of settings on the way to a recipe."""

from pathlib import Path

import pytest

from stream.config import load
from stream.models import fast
from stream.runtime.preparation import make_recipe

FACTORY = "def make(rate=0.1, *, depth=3, name='a'):\n    from river import linear_model\n"
FACTORY += "    return linear_model.LogisticRegression()\n"


def fingerprint(folder: Path, settings: str) -> str:
    """That of a pipeline with these settings."""
    (folder / "made_with_defaults.py").write_text(FACTORY)
    (folder / "stream.toml").write_text(
        'pipeline = "p"\n[kafka]\nclient = "embedded"\npath = "log.sqlite"\n'
        f'[model]\nfactory = "made_with_defaults:make"\n{settings}'
    )
    return make_recipe(load(folder / "stream.toml", environ={})).fingerprint()


@pytest.mark.parametrize(
    ("settings", "is_same"),
    [
        ("params = { rate = 0.1, depth = 3, name = 'a' }\n", True),
        ("params = { rate = 0.2 }\n", False),
        ("params = { depth = 3.0 }\n", False),
        ("[[detectors]]\ntype = 'ADWIN'\nparams = { delta = 0.002 }\n", True),
        ("[[detectors]]\ntype = 'ADWIN'\nparams = { delta = 0.003 }\n", False),
    ],
)
def test_a_default_that_is_written_out_is_no_other_recipe(
    tmp_path: Path, settings: str, is_same: bool
) -> None:
    """Of the model's factory, and of river's detectors; 3.0 is not 3."""
    usual = "[[detectors]]\ntype = 'ADWIN'\n" if "detectors" in settings else ""

    assert (fingerprint(tmp_path, settings) == fingerprint(tmp_path, usual)) is is_same


def test_a_quicker_way_is_no_other_recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A package's files are the model, all but those that only call it quicker."""
    package = tmp_path / "made_in_parts"
    (package / "quicker").mkdir(parents=True)
    (package / "__init__.py").write_text(FACTORY)
    (package / "quicker" / "__init__.py").write_text("CALLS = 1\n")
    (package / "other.py").write_text("X = 1\n")
    (tmp_path / "stream.toml").write_text(
        'pipeline = "p"\n[kafka]\nclient = "embedded"\npath = "log.sqlite"\n'
        '[model]\nfactory = "made_in_parts:make"\n'
    )
    settings = load(tmp_path / "stream.toml", environ={})
    monkeypatch.setattr(fast, "__file__", str(package / "quicker" / "__init__.py"))
    recipe = make_recipe(settings)

    assert recipe.quicken is fast.quick
    (package / "quicker" / "__init__.py").write_text("CALLS = 2\n")
    assert make_recipe(settings) == recipe
    (package / "other.py").write_text("X = 2\n")
    assert make_recipe(settings) != recipe
