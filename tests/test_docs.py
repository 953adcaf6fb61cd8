"""Documents that say what the program says."""

import json
import re
from inspect import signature
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner

from stream import models
from stream.adapters import redis
from stream.cli import main
from stream.config import reference
from stream.core.commands import LEDGERED, Command, Entry, LedgerValue, What
from stream.core.event import Reason
from stream.core.formats.commands import COMMAND, JournalValue, command_in
from stream.core.formats.quarantine import QUARANTINE_HEADERS
from stream.core.outcomes import OutcomeKind, OutcomeValue
from stream.core.result import AlertValue, PredictionValue
from stream.core.spec import EventShape
from stream.telemetry import LogEvent, Metric

REPOSITORY = Path(__file__).resolve().parents[1]
CONFIGURATION = REPOSITORY / "docs" / "CONFIGURATION.md"
TOPICS = REPOSITORY / "docs" / "TOPICS.md"


def test_the_configuration_page_is_the_configuration() -> None:
    """docs/CONFIGURATION.md holds the generated table of keys; rewrite it when a key changes."""
    assert reference().strip() in CONFIGURATION.read_text()


def test_every_metric_is_documented() -> None:
    """Each counter stands in docs/CONFIGURATION.md with its meaning."""
    page = CONFIGURATION.read_text()

    assert [m.value for m in Metric if f"`{m.value}`" not in page] == []


def test_every_log_event_is_documented() -> None:
    """Each stands in docs/CONFIGURATION.md with when it is said."""
    page = CONFIGURATION.read_text()

    assert [e.value for e in LogEvent if f"`{e.value}`" not in page] == []


def test_every_log_event_is_said_somewhere() -> None:
    """A name in the catalogue that nobody says would be waited for in vain."""
    code = "".join(path.read_text() for path in (REPOSITORY / "stream").rglob("*.py"))

    assert [e.name for e in LogEvent if f"Event.{e.name}" not in code] == []


def test_the_models_of_the_configuration_page_are_the_ready_ones() -> None:
    """Names, parameters with their defaults, and when to choose each."""
    rows = ["| name | parameters | |", "|---|---|---|"]
    for name, words in models.catalogue().items():
        parameters = signature(getattr(models, name)).parameters.values()
        shown = ", ".join(f"`{p.name} = {p.default:g}`" for p in parameters) or "-"
        rows.append(f"| `{name}` | {shown} | {words} |")

    assert "\n".join(rows) in CONFIGURATION.read_text()


def test_the_topics_page_has_every_field_reason_and_header() -> None:
    """docs/TOPICS.md: what a consumer reads instead of our code."""
    page = TOPICS.read_text()
    event, label, command, prediction, alert, quiet, outcome, ledger, journal = map(
        json.loads, re.findall(r"```json\n(.*?)```", page, re.DOTALL)
    )
    shape, told = EventShape(), set(re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE))

    assert set(event) == {shape.id, shape.label, "features"}
    assert set(label) == {shape.id, shape.label}
    assert [*outcome, "reason"] == list(OutcomeValue.__struct_fields__)
    assert set(OutcomeKind) <= told
    assert set(prediction) | {"score", "fault"} == set(PredictionValue.__struct_fields__)
    assert set(quiet) == set(AlertValue.__struct_fields__)
    assert list(alert) == list(quiet)[: len(alert)]
    assert set(quiet) - set(alert) <= told
    assert list(command) == list(Command.__struct_fields__)
    assert list(ledger) == list(LedgerValue.__struct_fields__)
    assert list(journal) == list(JournalValue.__struct_fields__)
    steps = msgspec.convert(journal["steps"], list[Entry])
    assert command_in(steps[0].record(0)).what == command["what"]
    assert [each.value for each in What if f"`{each}`" not in page] == []
    assert [each for each in LEDGERED if f"`{each}`" not in page] == []
    assert f"`{COMMAND}`" in page
    assert set(Reason) <= told
    assert set(prediction) - {"v", "id", "partition"} | {"score"} <= told
    assert [name for name in QUARANTINE_HEADERS if f"`{name}`" not in page] == []


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
    """To a file that is there, and to a heading in it."""
    pages = [
        REPOSITORY / "README.md",
        REPOSITORY / "CHANGELOG.md",
        *REPOSITORY.glob("docs/**/*.md"),
    ]
    links = [
        (page, link)
        for page in pages
        for link in re.findall(r"\]\((?!https?:)([^)\s]+)\)", page.read_text())
    ]

    assert len(links) > 30
    assert [(page.name, link) for page, link in links if not _leads_somewhere(page, link)] == []


def _leads_somewhere(page: Path, link: str) -> bool:
    name, _, anchor = link.partition("#")
    target = page.parent / name if name else page
    if not target.exists() or not anchor:
        return target.exists()
    headings = re.findall(r"^#+ (.+)$", target.read_text(), re.MULTILINE)
    return anchor in {re.sub(r"[^\w -]", "", each.lower()).replace(" ", "-") for each in headings}


FOR_DEVELOPERS = [
    *(REPOSITORY / "docs" / f"{name}.md" for name in ("ARCHITECTURE", "CONTRIBUTING", "STYLE")),
    REPOSITORY / "docs" / "security.md",
    *sorted((REPOSITORY / "docs" / "decisions").glob("*.md")),
]


@pytest.mark.parametrize("page", FOR_DEVELOPERS, ids=lambda page: page.stem)
def test_files_that_a_page_for_developers_names_exist(page: Path) -> None:
    """A file that moved is named by its new name; of the package also without `stream/`."""
    text = page.read_text()
    folders = r"tests|stream|docs|scripts|adapters|config|core|models|runtime"
    named = re.findall(rf"`((?:{folders})/[\w./-]+)`", text)

    assert named or page.name == "README.md"
    assert [each for each in named if not _exists(each)] == []


def test_the_rooms_of_the_architecture_page_exist() -> None:
    """Each line of the reading order names a file or a folder of the package."""
    page = (REPOSITORY / "docs" / "ARCHITECTURE.md").read_text()
    (rooms,) = re.findall(r"```\nstream/\n(.*?)```", page, re.DOTALL)
    named = re.findall(r"^  (\S+)", rooms, re.MULTILINE)
    beside = re.findall(r"(\w+\.py)\b", rooms)
    names = {path.name for path in (REPOSITORY / "stream").rglob("*.py")}

    assert len(named) > 25
    assert [each for each in named if not _exists(each)] == []
    assert [each for each in beside if each not in names] == []


def _exists(name: str) -> bool:
    return (REPOSITORY / name).exists() or (REPOSITORY / "stream" / name).exists()


def test_every_decision_is_one_short_page_that_the_list_names() -> None:
    """At most 60 lines, with the four headings; `docs/decisions/README.md` links to all."""
    folder = REPOSITORY / "docs" / "decisions"
    listed = (folder / "README.md").read_text()
    pages = sorted(folder.glob("*.md"))

    assert len(pages) > 10
    for page in pages:
        text = page.read_text()
        assert len(text.splitlines()) <= 60, page.name
        if page.name != "README.md":
            assert f"({page.name})" in listed
            headings = re.findall(r"^## (.+)$", text, re.MULTILINE)
            assert headings == ["Context", "Decision", "Consequences", "What else there was"]


def test_the_readme_stays_short() -> None:
    """What does not fit belongs into a page of docs/."""
    assert len((REPOSITORY / "README.md").read_text().splitlines()) <= 180
