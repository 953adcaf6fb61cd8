"""What cannot be done stops at once, with one line and the right exit code."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from stream.sandbox import LocalKafka, Unavailable
from tests.conftest import skip_or_fail
from tests.end_to_end.outside import REPOSITORY
from tests.patience import HANGS_AFTER_S

CONFIG = 'pipeline = "refused"\n[model]\nfactory = "stream.models:logistic_regression"\n'


def _run(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    home = {"PYTHONPATH": str(REPOSITORY), "XDG_STATE_HOME": str(folder)}
    return subprocess.run(
        [sys.executable, "-m", "stream", *arguments],
        cwd=folder, env=os.environ | home | environment, capture_output=True, text=True,
        timeout=HANGS_AFTER_S, check=False,
    )  # fmt: skip


def test_three_mistakes_in_a_configuration_are_said_at_once(tmp_path: Path) -> None:
    """One line for each, with its key, and exit 78."""
    (tmp_path / "stream.toml").write_text(
        'pipeline = "Bad Name"\n[delivery]\nguarantee = "twice"\n[model]\nfactory = "nowhere"\n'
    )

    done = _run(tmp_path, "run", "-c", "stream.toml")

    assert done.returncode == 78
    lines = done.stderr.splitlines()
    assert [line.split(":")[1].strip() for line in lines] == [
        "pipeline",
        "model.factory",
        "delivery.guarantee",
    ]


def test_no_kafka_is_said_in_one_line_and_soon(tmp_path: Path) -> None:
    """Nothing listens at the address: exit 69, so that a supervisor comes back.

    It is no run that waits for its Kafka: nobody stops it.
    """
    (tmp_path / "stream.toml").write_text(CONFIG)

    done = _run(
        tmp_path, "run", "-c", "stream.toml", STREAM__KAFKA__BOOTSTRAP_SERVERS="127.0.0.1:1"
    )

    assert done.returncode == 69, done.stderr
    assert "Traceback" not in done.stderr
    assert "127.0.0.1:1" in done.stderr.splitlines()[-1]


@pytest.mark.broker
def test_a_user_without_permissions_is_told_what_is_missing(tmp_path: Path) -> None:
    """A real authorizer: exit 78, one line, no traceback, and no password in it."""
    with LocalKafka.secured(folder=tmp_path / "kafka") as broker:
        try:
            broker.start()
        except Unavailable as error:
            skip_or_fail("kafka", error)
        options = broker.client_options("limited")
        (tmp_path / "stream.toml").write_text(CONFIG)

        done = _run(
            tmp_path, "run", "-c", "stream.toml",
            STREAM__KAFKA__BOOTSTRAP_SERVERS=broker.bootstrap_servers,
            **{f"STREAM__KAFKA__OPTIONS__{k.upper()}": v for k, v in options.items()},
        )  # fmt: skip

    assert done.returncode == 78, done.stderr
    assert len(done.stderr.splitlines()) <= 4, done.stderr
    assert "Traceback" not in done.stderr
    assert "permi" in done.stderr.lower() or "authoriz" in done.stderr.lower(), done.stderr
    assert options["sasl_plain_password"] not in done.stderr


def test_an_unreadable_file_is_not_sent(tmp_path: Path) -> None:
    """Garbage named .csv.gz: exit 65, one line, nothing appended."""
    (tmp_path / "stream.toml").write_text(
        CONFIG + '[kafka]\nclient = "embedded"\npath = "log.db"\n'
    )
    (tmp_path / "bad.csv.gz").write_bytes(b"no gzip at all")

    done = _run(tmp_path, "produce", "-c", "stream.toml", "--label", "y", "bad.csv.gz")

    assert done.returncode == 65, done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert "bad.csv.gz" in done.stderr
    status = _run(tmp_path, "status", "-c", "stream.toml", "--json")
    if status.returncode == 0:
        assert all(p["end_offset"] == 0 for p in json.loads(status.stdout)["partitions"])
