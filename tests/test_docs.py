"""Documents that say what the program says."""

import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from stream.adapters import redis
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


def test_the_permissions_of_the_redis_user_are_the_adapters() -> None:
    """One list of commands, wherever it is written; a command more than needed is one too many."""
    shown = (REPOSITORY / "docs" / "DEPLOYMENT.md").read_text()
    users = [re.search(r"ACL SETUSER .*?((?:\s\+[a-z|]+)+)", text, re.DOTALL)
             for text in (redis.__doc__ or "", shown)]  # fmt: skip

    assert all(users)
    documented, deployed = ({*user[1].split()} for user in users if user)
    assert documented == deployed


def test_links_between_the_documents_lead_somewhere() -> None:
    """Files that are named in docs/security.md exist."""
    page = (REPOSITORY / "docs" / "security.md").read_text()
    path = r"`((?:tests|stream|docs)/[a-z_/]+\.(?:py|md))`|\((docs/[A-Za-z]+\.md)\)"
    named = re.findall(path, page)

    assert len(named) > 5
    assert [a or b for a, b in named if not (REPOSITORY / (a or b)).is_file()] == []
