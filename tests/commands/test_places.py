"""Paths begin in the configuration's folder, wherever a command is started; and who makes files."""

import subprocess
import sys
from pathlib import Path

import pytest

from stream.config import load
from stream.errors import Misconfigured
from tests.commands.project import EMBEDDED, Project

MODEL = """
from river import linear_model
def make():
    return linear_model.LogisticRegression()
"""
MINE = EMBEDDED + '[model]\nfactory = "mine:make"\n'


def test_a_pipeline_runs_from_any_folder(
    project: Project, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Its SQLite file, its key and its model's module are beside the configuration."""
    project.write("mine.py", MODEL)
    project.configure(MINE)
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    # A module of the same name where the command is started is not the pipeline's.
    (elsewhere / "mine.py").write_text("raise SystemExit('not this one')\n")
    (elsewhere / "events.jsonl").write_text('{"features": {"x": 1.5}, "label": true}\n' * 5)
    config = str(project.folder / "stream.toml")

    for words in (["produce", "-c", config, "events.jsonl"], ["run", "-c", config, "--until-end"]):
        done = subprocess.run(
            [sys.executable, "-m", "stream", *words],
            cwd=elsewhere, env=project.environment({}), capture_output=True, text=True,
            timeout=180, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done

    assert {"log.sqlite", "log.sqlite.commands.key"} <= {p.name for p in project.folder.iterdir()}
    assert {p.name for p in elsewhere.iterdir()} - {"__pycache__"} == {"mine.py", "events.jsonl"}
    assert len(project.records()) == 5


LOOKING = (
    "check", "status", "status --json", "snapshots list", "snapshots inspect", "snapshots verify",
    "quarantine list", "quarantine redrive --dry-run",
)  # fmt: skip


def test_whoever_only_looks_makes_no_file(project: Project) -> None:
    """No database, no key, no compiled copy of the user's module."""
    project.write("mine.py", MODEL)
    project.configure(MINE)

    for words in LOOKING:
        done = project.stream(*words.split(), timeout_s=180)
        assert done.code == (0 if words == "check" else 78), done

    assert {p.name for p in project.folder.iterdir()} == {"mine.py", "stream.toml"}


KAFKA = """
pipeline = "p"
[kafka]
client = "{client}"
options = {options}
[snapshots]
signing_key_file = "keys/signing"
older_key_files = ["keys/older", "{folder}/keys/absolute"]
[model]
factory = "stream.models:logistic_regression"
"""


@pytest.mark.parametrize(
    ("client", "options", "placed"),
    [
        ("kafka-python", '{ ssl_cafile = "ca.pem", ssl_password = "x" }', {"ssl_cafile"}),
        ("confluent", '{ "ssl.ca.location" = "probe", "ssl.key.location" = "k" }',
         {"ssl.key.location"}),
    ],
)  # fmt: skip
def test_key_files_and_certificates_are_beside_the_configuration(
    tmp_path: Path, client: str, options: str, placed: set[str]
) -> None:
    """And what a variable names as a file; absolute paths are what they are."""
    (tmp_path / "keys").mkdir()
    for name in ("signing", "older", "absolute"):
        (tmp_path / "keys" / name).write_text(name[0] * 32)
    (tmp_path / "host").write_text("broker:9092\n")
    config = tmp_path / "stream.toml"
    config.write_text(KAFKA.format(client=client, options=options, folder=tmp_path))

    settings = load(config, environ={"STREAM__KAFKA__BOOTSTRAP_SERVERS_FILE": "host"})

    assert settings.signing_key_bytes() == b"s" * 32
    assert settings.older_keys_bytes() == (b"o" * 32, b"a" * 32)
    assert settings.kafka.bootstrap_servers == "broker:9092"
    assert settings.folder == tmp_path
    for name, value in settings.kafka.options.items():
        assert (str(value).startswith(str(tmp_path))) == (name in placed)


def test_a_certificate_in_the_url_of_redis_is_beside_the_configuration(tmp_path: Path) -> None:
    """The rest of the URL is as it was written, whatever its password is made of."""
    config = tmp_path / "stream.toml"
    config.write_text(
        KAFKA.format(client="kafka-python", options="{}", folder=tmp_path)
        .replace("signing_key_file", "#").replace("older_key_files", "#")
        + '[redis]\nurl = "rediss://u:p%40ss@host:1/0?ssl_ca_certs=certs/ca%20file.pem&ssl_keyfile=/k"\n'
    )  # fmt: skip

    settings = load(config, environ={"STREAM__SNAPSHOTS__SIGNING_KEY": "s" * 32})

    assert settings.redis.url.get_secret_value() == (
        f"rediss://u:p%40ss@host:1/0?ssl_ca_certs={tmp_path}/certs/ca%20file.pem&ssl_keyfile=/k"
    )


def test_a_file_that_is_not_there_is_told_with_its_place(tmp_path: Path) -> None:
    """The message says where it was looked for."""
    config = tmp_path / "stream.toml"
    config.write_text(KAFKA.format(client="kafka-python", options="{}", folder=tmp_path))

    with pytest.raises(Misconfigured, match=f"cannot read {tmp_path}/keys/signing"):
        load(config, environ={})
