"""A configuration from its text."""

from collections.abc import Callable
from pathlib import Path

import pytest

from stream.config import Settings, load

Load = Callable[..., Settings]

PLAIN = """
pipeline = "electricity"
[model]
factory = "stream.models:logistic_regression"
"""


@pytest.fixture
def loaded(tmp_path: Path) -> Load:
    """Load a configuration from its text, and an environment."""

    def load_text(text: str = PLAIN, /, **environ: str) -> Settings:
        path = tmp_path / "stream.toml"
        path.write_text(text)
        return load(path, environ=environ)

    return load_text
