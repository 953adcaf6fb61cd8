"""What a person sees: on 80 columns, and whatever a record holds."""

import json
import re

import pytest

from stream.core.event import Channel
from tests.commands.project import EMBEDDED, MODEL, PIPELINE, Project
from tests.commands.terminal import on_terminal

OFF = "\n[quarantine]\nbreaker_share = 1.0\n"

SCREENS = [
    ("status",), ("snapshots", "list"), ("snapshots", "inspect"), ("check",),
    ("quarantine", "list"), ("tail", "predictions"), ("tail", "alerts"), ("tail", "quarantine"),
]  # fmt: skip

HOSTILE = "\x1b[31m\x1b]0;title\x07\x9b2J\x85\u202e\u2066\u200b\u2028\x7f\r\n [red]x[/red]"
"""Moves the cursor, renames the window, ends a line, turns round what is read, is not seen."""


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A pipeline whose upstream puts that everywhere: ids, names, labels, keys, and refused."""
    project = Project(tmp_path_factory.mktemp("hostile"))
    model = '\n[model]\nfactory = "stream.models:softmax_regression"\n'
    project.configure(EMBEDDED + model + OFF)
    events: list[object] = [
        {"id": f"{n}{HOSTILE}", "features": {HOSTILE: n, "text": HOSTILE}, "label": f"{HOSTILE}"}
        for n in range(40)
    ]
    events += [
        {"features": {HOSTILE: [HOSTILE]}}, {"features": {"x": 1}, HOSTILE: 1}, [HOSTILE],
        {"features": {"x": 1}, "label": [HOSTILE]}, {"id": [HOSTILE], "features": {"x": 1}},
    ]  # fmt: skip
    values = [json.dumps(each, ensure_ascii=False).encode() for each in events]
    project.write("first.jsonl", '{"features": {"x": 1}, "label": "a string, as all labels here"}')
    assert project.stream("produce", "first.jsonl").code == 0
    end = project.end()
    for n, value in enumerate([*values, HOSTILE.encode(), b"\xff\x9b", b"\x9b" * 70]):
        project.sql(
            "INSERT INTO records SELECT (id << 40) + ?, 1, ?, ?, NULL FROM partitions"
            " WHERE topic = ?",
            end + n, HOSTILE.encode(), value, f"{PIPELINE}.events",
        )  # fmt: skip
    project.sql(
        "UPDATE partitions SET end_offset = ? WHERE topic = ?",
        end + len(values) + 3, f"{PIPELINE}.events",
    )  # fmt: skip
    ran = project.stream("run", "--until-end")
    assert ran.code == 0, ran
    assert len(project.records(Channel.QUARANTINE)) >= 7
    assert len(project.records(Channel.PREDICTIONS)) >= 40
    # Whoever may write to the alerts' topic may put it there too.
    alert = {"kind": HOSTILE, "name": HOSTILE, "offset": 1, "message": HOSTILE}
    project.sql(
        "INSERT INTO records SELECT (id << 40), 1, ?, ?, NULL FROM partitions WHERE topic = ?",
        f"{PIPELINE}/0".encode(), json.dumps(alert, ensure_ascii=False).encode(),
        f"{PIPELINE}.alerts",
    )  # fmt: skip
    project.sql("UPDATE partitions SET end_offset = 1 WHERE topic = ?", f"{PIPELINE}.alerts")
    return project


@pytest.mark.parametrize(
    "screen", [*SCREENS, *((*s, "--json") for s in SCREENS if s[0] in {"tail", "quarantine"})],
    ids=" ".join,
)  # fmt: skip
def test_nothing_from_a_record_reaches_the_terminal(
    hostile: Project, screen: tuple[str, ...]
) -> None:
    """Every character that is shown has a shape; JSON means what the record says."""
    done = hostile.stream(*screen)

    assert done.code in (0, 78), done
    shown = (done.out + done.err).split("\n")
    assert [line for line in shown if not line.isprintable()] == []
    if screen[-1] == "--json":
        documents = [json.loads(line) for line in done.out.splitlines()]
        if "quarantine" in screen or "predictions" in screen:
            assert HOSTILE[:5] in json.dumps(documents, ensure_ascii=False).replace(
                "\\u001b", "\x1b"
            )


def test_a_markup_of_ours_is_text_too(hostile: Project) -> None:
    """`[red]` in an id is shown, not obeyed."""
    done = on_terminal(hostile, "tail", "-c", "stream.toml", "predictions", columns=80)

    assert "[red]x[/red]" in done.out


@pytest.fixture(scope="module")
def long(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A pipeline with a name, alerts, ids and refusals as long as real ones."""
    project = Project(tmp_path_factory.mktemp("long"))
    project.configure(EMBEDDED + MODEL + OFF)
    assert project.fed(3000, drift_at=1500).code == 0
    lines = [
        {"id": "order-2026-11-29-000017", "features": {"x": 0.5}, "label": "moon"},
        {"features": {"x": list(range(30))}, "label": True},
        {"features": {"x": 0.5}, "label": True, "colour": "red"},
    ]
    project.write("bad.jsonl", "".join(f"{json.dumps(line)}\n" for line in lines))
    assert project.stream("produce", "bad.jsonl").code == 0
    assert project.stream("run", "--until-end").code == 0
    return project


@pytest.mark.parametrize("screen", SCREENS, ids=" ".join)
def test_on_a_terminal_no_word_is_broken(long: Project, screen: tuple[str, ...]) -> None:
    """What a pipe gets in long lines is all there, in lines that fit, word for word."""
    piped = long.stream(*screen)
    columns = 80
    shown = on_terminal(long, screen[0], "-c", "stream.toml", *screen[1:], columns=columns)

    lines = shown.out.rpartition("\r")[2].splitlines()  # a progress bar was there before
    assert shown.code == piped.code == 0, shown
    assert max(map(len, lines)) <= columns
    words = {word for word in piped.out.split() if len(word) <= columns - 4}
    assert {word for word in words if not _is_measured(word)} <= set(shown.out.split())


def _is_measured(word: str) -> bool:
    """Ages and sizes change from one look to the next."""
    return re.fullmatch(r"[0-9.]+", word) is not None


def test_a_refusal_says_what_to_do_to_its_end(long: Project) -> None:
    """The half of the detail that helps is the last one; and the value is escaped once."""
    done = on_terminal(long, "quarantine", "-c", "stream.toml", "list", columns=80)

    text = " ".join(done.out.split())
    assert "this model knows true and false (events.positive names another value)" in text
    assert '{"id": "order-2026-11-29-000017", "features": {"x": 0.5}, "label": "moon"}' in text


@pytest.mark.parametrize("columns", [60, 80])
def test_the_help_says_whole_sentences(project: Project, columns: int) -> None:
    """Of each command; none ends in dots."""
    done = on_terminal(project, "--help", columns=columns)

    assert "..." not in done.out.partition("Commands:")[2]
    text = " ".join(done.out.split())
    assert "say all problems at once." in text
    assert "or send them back to the events topic once the cause is mended." in text


def test_a_long_error_is_broken_between_words(project: Project) -> None:
    """On a terminal; elsewhere an error is one line."""
    project.configure(EMBEDDED + '[model]\nfactory = "nothing, and a long way to say so"\n')

    piped = project.stream("status")
    shown = on_terminal(project, "status", "-c", "stream.toml", columns=60, errors=True)

    assert len(piped.err.splitlines()) == 1
    assert max(map(len, shown.out.splitlines())) <= 60
    assert shown.out.split() == piped.err.split()
