"""What all commands have in common: help, usage errors, and the exit codes that `run` ends with."""

import os
import re
import shlex
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from tests.commands.project import EMBEDDED, MODEL, Project, closed_port
from tests.patience import eventually

COMMANDS = ("run", "produce", "check", "status", "tail", "snapshots", "sandbox")


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_helps_with_an_example(project: Project, command: str) -> None:
    """--help shows one that can be copied, in a line of its own."""
    done = project.bare(command, "--help")

    assert done.code == 0, done
    assert f"Example:\n    stream {command}" in done.out


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("dance",),
        ("run",),
        ("run", "-c"),
        ("status", "--jason", "-c", "stream.toml"),
        ("check", "-c", "stream.toml", "more"),
        ("sandbox", "down"),
        ("sandbox", "up", "--kafka", "cloud"),
    ],
)
def test_wrong_words_are_a_usage_error(project: Project, words: tuple[str, ...]) -> None:
    """64, and one line that names where help is."""
    done = project.bare(*words)

    assert done.code == 64, done
    assert done.out == ""
    assert len(done.err.splitlines()) == 1
    assert "--help)" in done.err


@pytest.mark.parametrize("command", ["run", "check", "status", "snapshots", "produce"])
def test_a_missing_configuration_is_78(project: Project, command: str) -> None:
    """One line, no traceback."""
    more = {"snapshots": ("list",), "produce": ("events.csv",)}.get(command, ())

    done = project.bare(command, "-c", "nowhere.toml", *more)

    assert done.code == 78, done
    assert "nowhere.toml: cannot be read" in done.err
    assert len(done.err.splitlines()) == 1


@pytest.mark.parametrize(
    "words",
    [
        ("produce", "events.csv"),
        ("status",),
        ("tail", "predictions"),
        ("snapshots", "list"),
        ("snapshots", "inspect"),
        ("quarantine", "list"),
        ("quarantine", "redrive"),
    ],
)
def test_what_needs_no_model_does_not_load_river(project: Project, words: tuple[str, ...]) -> None:
    """To load it takes a second or two, which a person at a terminal waits for."""
    assert project.fed(5).code == 0
    assert project.stream("run", "--until-end").code == 0

    done = project.stream(*words, PYTHONPROFILEIMPORTTIME="1")  # says each module

    assert done.code == 0, done
    assert "stream.cli" in done.err
    assert "river.base" not in done.err


def test_only_the_chosen_client_is_loaded(project: Project) -> None:
    """A pipeline in one file needs no server's client, not even to import it."""
    assert project.fed(5).code == 0

    done = project.stream("run", "--until-end", PYTHONPROFILEIMPORTTIME="1")

    assert done.code == 0, done
    loaded = {line.rpartition("|")[2].strip() for line in done.err.splitlines()}
    assert "stream.adapters.embedded" in loaded
    assert not loaded & {"kafka", "confluent_kafka", "redis"}


def test_a_worker_with_detectors_loads_river_once(project: Project) -> None:
    """It starts again with the hash seed of its own before that, not after: a recovery waits."""
    project.configure(EMBEDDED + MODEL + '[[detectors]]\ntype = "ADWIN"\n')
    assert project.fed(5).code == 0

    done = project.stream("run", "--until-end", PYTHONPROFILEIMPORTTIME="1")

    assert done.code == 0, done
    loaded = [line.rpartition("|")[2].strip() for line in done.err.splitlines()]
    assert (loaded.count("stream.cli"), loaded.count("river.drift")) == (2, 1)


@pytest.mark.parametrize("words", [("check",), ("status", "--json"), ("snapshots", "list")])
def test_a_reader_that_leaves_changes_no_exit_code(
    project: Project, words: tuple[str, ...]
) -> None:
    """`stream check | head -1` in a pipeline that looks at exit codes."""
    assert project.fed(5).code == 0
    command = shlex.join(
        [sys.executable, "-m", "stream", words[0], "-c", "stream.toml", *words[1:]]
    )

    for end in ("| true", "| head -c 1", ">&-"):
        done = subprocess.run(
            ["bash", "-c", f"{command} {end}; exit ${{PIPESTATUS[0]}}"],
            cwd=project.folder, env=project.environment({}), capture_output=True, check=False,
        )  # fmt: skip
        assert (done.returncode, done.stderr) == (0, b""), end


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device here is always full")
@pytest.mark.parametrize("words", [("status",), ("tail", "predictions"), ("--help",)])
def test_a_full_disk_under_stdout_is_69_in_one_line(
    project: Project, words: tuple[str, ...]
) -> None:
    """`stream status > report`, on a disk that is full; no traceback, and no code of Python's."""
    assert project.fed(5).code == 0
    assert project.stream("run", "--until-end").code == 0
    config = () if words == ("--help",) else ("-c", "stream.toml")
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [sys.executable, "-m", "stream", *words, *config],
            cwd=project.folder, env=project.environment({}), stdout=full, stderr=subprocess.PIPE,
            check=False,
        )  # fmt: skip

    said = b"stream: standard output: No space left on device\n"
    assert (done.returncode, done.stderr) == (69, said)


def test_a_log_that_cannot_be_opened_is_78_and_leaves_nothing(project: Project) -> None:
    """As `check` says it; no folder and no key are made for it."""
    project.configure('[kafka]\nclient = "embedded"\npath = "new/log.sqlite"\n' + MODEL)
    before = sorted(project.folder.rglob("*"))

    checked, ran = project.stream("check"), project.stream("run", "--until-end")

    assert (checked.code, ran.code) == (78, 78), ran
    assert "new/log.sqlite: cannot be opened" in checked.out + checked.err
    assert "new/log.sqlite: cannot be opened" in ran.err
    assert sorted(project.folder.rglob("*")) == before


def test_debug_shows_the_traceback(project: Project) -> None:
    """Anywhere among the words."""
    done = project.bare("status", "--debug", "-c", "nowhere.toml")

    assert done.code == 78, done
    assert "Traceback (most recent call last)" in done.err


@pytest.mark.parametrize("command", ["run", "status"])
def test_three_mistakes_are_told_at_once(project: Project, command: str) -> None:
    """78, one line for each."""
    project.configure(
        EMBEDDED + '[model]\nfactory = "nothing"\n[topics]\nstart = "never"\n[limit]\nx = 1\n'
    )

    done = project.stream(command)

    assert done.code == 78, done
    keys = sorted(line.split(":")[1].strip() for line in done.err.splitlines())
    assert keys == ["limit", "model.factory", "topics.start"]


def test_run_without_kafka_is_69_soon(project: Project) -> None:
    """A supervisor comes back later; it must not wait long to learn that."""
    port = closed_port()
    project.configure(f'[kafka]\nbootstrap_servers = "127.0.0.1:{port}"\n' + MODEL)

    done = project.stream("run")

    assert done.code == 69, done
    assert str(port) in done.err.splitlines()[-1]


def test_run_ends_well_on_a_signal(project: Project) -> None:
    """SIGTERM: what was folded is committed and snapshotted, then 0."""
    assert project.fed(50).code == 0

    with project.running("run", "-c", "stream.toml") as running:
        running.line("task_fresh")
        eventually(lambda: _committed(project) == 50, "50 events committed")
        done = running.stop(signal.SIGTERM)

    assert done.code == 0, done
    (row,) = project.stream("status", "--json").json["partitions"]
    assert (row["committed_offset"], row["snapshot_offset"]) == (50, 50)


@pytest.mark.parametrize("more", [(), ("--workers", "1")], ids=["alone", "supervised"])
def test_a_signal_in_the_first_moments_ends_well_too(
    project: Project, more: tuple[str, ...]
) -> None:
    """Before the configuration is read, and the interpreter started again with its environment."""
    project.configure()

    with project.running("run", "-c", "stream.toml", *more) as worker:
        status = Path(f"/proc/{worker.process.pid}/status")
        eventually(lambda: _holds(status, signal.SIGTERM), "it keeps SIGTERM", every_s=0.001)
        ended = worker.stop()

    assert ended.code == 0, ended.err


def _holds(status: Path, number: signal.Signals) -> bool:
    blocked = re.search(r"^SigBlk:\s*(\w+)", status.read_text(), re.MULTILINE)
    assert blocked is not None
    return bool(int(blocked[1], 16) >> (number - 1) & 1)


def test_a_second_worker_on_one_file_is_75(project: Project) -> None:
    """The embedded log serves one; the other says who was first."""
    assert project.fed(5).code == 0

    with project.running("run", "-c", "stream.toml") as running:
        running.line("partitions_assigned")
        done = project.stream("run", "--until-end")

    assert done.code == 75, done
    assert "another worker of pipeline" in done.err


def test_a_log_that_lost_committed_records_is_65(worked: Project) -> None:
    """No restart can help, so it is no 70."""
    assert worked.sql("UPDATE partitions SET end_offset = 500 WHERE topic = 'commands.events'")

    done = worked.stream("run", "--until-end")

    assert done.code == 65, done
    assert "offset 600 was committed, the log ends at 500" in done.err


def test_what_nobody_foresaw_is_70(worked: Project) -> None:
    """One line, and no traceback unless asked for."""
    worked.sql("DROP TABLE committed")

    done = worked.stream("status")

    assert done.code == 70, done
    assert len(done.err.splitlines()) == 1
    assert "no such table" in done.err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_sandbox_lives_until_a_signal(project: Project, number: signal.Signals) -> None:
    """It prints where it is as soon as it is up; a signal removes it, and it ends with 0."""
    words = ("sandbox", "-c", "nowhere.toml", "up", "--kafka", "embedded")
    with project.running(*words) as running:
        line = running.line("export STREAM__KAFKA__PATH=", of="out")
        folder = Path(line.strip().partition("=")[2]).parent
        running.line("sandbox: up", of="out")
        there = folder.is_dir()
        done = running.stop(number)

    assert there
    assert (done.code, done.out) == (0, "sandbox: removed\n"), done
    assert not folder.exists()


def test_help_comes_at_once(project: Project) -> None:
    """No heavy library is loaded to say which commands there are."""
    before = os.times()
    done = project.bare("--help")
    after = os.times()

    # Processor time: on a busy machine the clock on the wall says little.
    assert after.children_user - before.children_user < 2
    assert all(f"\n  {command} " in done.out for command in COMMANDS)


def _committed(project: Project) -> int:
    with closing(sqlite3.connect(project.folder / "log.sqlite")) as connection:
        row = connection.execute("SELECT next_offset FROM committed").fetchone()
    return 0 if row is None else int(row[0])
