"""`stream ledger` from outside; what it lists is written by hand."""

import json

import msgspec
import pytest

from stream.core.commands import LedgerValue, Predicts
from stream.core.event import Channel, iso
from stream.core.formats.commands import written
from tests.commands.commanding import NOON_MS, made, publish, refused, told
from tests.commands.project import PIPELINE, Project
from tests.commands.terminal import on_terminal

HOSTILE = "\x1b[31m\x1b]0;title\x07\x9b2J\u202e\u200b\u2028\r\n"


@pytest.fixture
def kept(project: Project) -> Project:
    """A pipeline with a ledger of two partitions, in which nothing is."""
    made(project)
    made(project, Channel.LEDGER)
    return project


def at(second: int, n: int, partition: int = 0, what: str = "freeze") -> LedgerValue:
    """A record of the ledger of that second after noon."""
    return told(what, event_time=iso(NOON_MS + 1000 * second), n=n, partition=partition)


def add(project: Project, *values: LedgerValue) -> None:
    """Publish records, each in its partition."""
    publish(project, *((value.partition, written(value), None) for value in values))


@pytest.mark.parametrize("has_topic", [True, False])
def test_an_empty_ledger_is_no_error(project: Project, *, has_topic: bool) -> None:
    """Nor is one that nobody has made yet; programs get no line then."""
    if has_topic:
        made(project, Channel.LEDGER)

    shown = project.stream("ledger")
    as_json = project.stream("ledger", "--json")

    assert (shown.code, shown.out, shown.err) == (0, "nothing yet\n", ""), shown
    assert (as_json.code, as_json.out, as_json.err) == (0, "", "nothing yet\n"), as_json


def test_programs_get_the_records_as_they_were_published_by_time(kept: Project) -> None:
    """A line each, byte for byte: by time, then by partition, and each partition in its order."""
    values = [at(1, 1), at(5, 2), at(3, 3), at(9, 4), at(2, 1, 1), at(5, 2, 1), at(9, 3, 1)]
    more = written(values[0]).replace(b"{", b'{ "later": 1.50, ', 1)
    publish(kept, (0, more, None))
    add(kept, *values[1:])

    done = kept.stream("ledger", "--json")

    assert (done.code, done.err) == (0, ""), done
    lines = done.out.encode().splitlines()
    assert lines[0] == more
    assert lines[1] == written(values[4])
    # The clock of who sent the third one was wrong: it comes after the second one all the same.
    order = [(line["partition"], line["n"]) for line in map(json.loads, lines)]
    assert order == [(0, 1), (1, 1), (0, 2), (0, 3), (1, 2), (0, 4), (1, 3)]


def test_people_see_what_was_done_why_and_what_predicts(kept: Project) -> None:
    """A row each; the evidence is cut short, and what predicts is told as a change."""
    reset = msgspec.structs.replace(
        at(3661, 1341, 1, "reset"), after=Predicts("main", 2), evidence={"events": 1337}
    )
    add(
        kept,
        at(1, 1340),
        reset,
        refused("promote", "nothing to promote", n=1341, event_time=iso(NOON_MS + 2000)),
    )

    done = kept.stream("ledger")

    assert (done.code, done.err) == (0, ""), done
    head, *rows = [[c.strip() for c in line.split("  ") if c] for line in done.out.splitlines()]
    assert head == ["time", "part", "n", "offset", "what", "by", "predicts", "why", "evidence"]
    why = "bad upstream deploy"
    assert rows == [
        ["2026-01-01 12:00:01", "0", "1340", "1337", "freeze", "operator:ada", "main 1", why, "-"],
        ["2026-01-01 12:00:02", "0", "1341", "1337", "refused", "operator:ada", "main 1", why,
         "command=promote, reason=nothing to promote"],
        ["2026-01-01 13:01:01", "1", "1341", "1337", "reset", "operator:ada", "main 1 -> 2", why,
         "events=1337"],
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("--partition", "1"), [4]),
        (("--what", "freeze"), [1, 4]),
        (("--what", "unfreeze", "--what", "refused"), [2, 3]),
        (("--what", "freeze", "--partition", "0"), [1]),
        (("--what", "promote"), []),
        (("--partition", "0", "--partition", "1"), [1, 2, 3, 4]),
    ],
)
def test_only_what_is_asked_for_is_listed(
    kept: Project, words: tuple[str, ...], expected: list[int]
) -> None:
    """Each choice may be given several times."""
    add(kept, at(1, 1), at(2, 2, what="unfreeze"), at(3, 3, what="refused"), at(4, 4, 1))

    done = kept.stream("ledger", "--json", *words)

    assert done.code == 0, done
    assert [json.loads(line)["n"] for line in done.out.splitlines()] == expected


def test_choices_that_are_not_there_are_64(kept: Project) -> None:
    """A partition that the ledger has not, and a word that it does not know."""
    partition = kept.stream("ledger", "--partition", "2")
    word = kept.stream("ledger", "--what", "thaw")

    assert (partition.code, word.code) == (64, 64), (partition, word)
    assert f"{PIPELINE}.ledger has no partition 2" in partition.err
    assert "thaw" in word.err


def test_what_is_no_record_of_this_ledger_is_passed_over_and_counted(kept: Project) -> None:
    """Other bytes, another pipeline's, none at all."""
    publish(kept, (0, b"\xff", None), (1, b'{"v": 1}', None), (1, b"", None))
    add(kept, told(id="another/0/1/freeze"), at(1, 1))

    done = kept.stream("ledger", "--json")

    assert done.code == 0, done
    assert len(done.out.splitlines()) == 1
    assert done.err == (
        f"stream: 4 records of {PIPELINE}.ledger are none of this pipeline's ledger: passed over\n"
    )


def test_a_long_ledger_is_listed_whole(kept: Project) -> None:
    """Over several batches, in one order, under one head."""
    add(kept, *(at(n, n, n % 2) for n in range(2_500)))

    rows = kept.stream("ledger").out.splitlines()
    lines = kept.stream("ledger", "--json").out.splitlines()

    assert [json.loads(line)["n"] for line in lines] == list(range(2_500))
    assert [int(row.split()[3]) for row in rows[1:]] == list(range(2_500))


@pytest.mark.parametrize("columns", [80, 40])
def test_a_terminal_gets_lines_that_fit(kept: Project, columns: int) -> None:
    """And nothing that a record holds can move its cursor."""
    hostile = told(
        why=HOSTILE, by=f"operator:{HOSTILE}", event_time=HOSTILE, what=HOSTILE,
        before=Predicts(HOSTILE, 1), evidence={HOSTILE: HOSTILE},
    )  # fmt: skip
    add(kept, at(1, 1), refused("promote", "late " * 100, why="w" * 1_000), hostile)

    done = on_terminal(kept, "ledger", "-c", "stream.toml", columns=columns)
    as_json = kept.stream("ledger", "--json")

    assert done.code == 0, done
    lines = done.out.splitlines()
    assert all(len(line) <= columns for line in lines), lines
    assert all(line.isprintable() for line in lines), lines
    assert all(line.isprintable() for line in as_json.out.splitlines())
    assert any(json.loads(line)["why"] == HOSTILE for line in as_json.out.splitlines())
