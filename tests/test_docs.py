"""Documents that say what the program says."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from stream.cli import main
from stream.config import reference
from stream.telemetry import Metric

REPOSITORY = Path(__file__).resolve().parents[1]
CONFIGURATION = REPOSITORY / "docs" / "CONFIGURATION.md"


def test_the_configuration_page_is_the_configuration() -> None:
    """docs/CONFIGURATION.md holds the generated table of keys; rewrite it when a key changes."""
    assert reference().strip() in CONFIGURATION.read_text()


def test_every_metric_is_documented() -> None:
    """Each counter stands in docs/CONFIGURATION.md with its meaning."""
    page = CONFIGURATION.read_text()

    assert [m.value for m in Metric if f"`{m.value}`" not in page] == []


@pytest.mark.parametrize("command", sorted(main.commands))
def test_every_command_helps_with_an_example_and_is_in_the_documents(command: str) -> None:
    """`--help` ends well and shows an example; the README or docs/OPERATING.md names it."""
    helped = CliRunner().invoke(main, [command, "--help"])

    assert helped.exit_code == 0
    assert f"stream {command}" in helped.output
    assert "Example" in helped.output
    pages = (REPOSITORY / "README.md", REPOSITORY / "docs" / "OPERATING.md")
    assert any(f"stream {command}" in page.read_text() for page in pages)
