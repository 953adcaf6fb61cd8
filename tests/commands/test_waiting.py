"""A Kafka that is away: what is said while it is waited for, and how the wait ends."""

import signal
import time

import pytest

from tests.commands.project import MODEL, Project, closed_port


@pytest.fixture(params=["kafka-python", "confluent"])
def waiting(project: Project, request: pytest.FixtureRequest) -> Project:
    """A pipeline whose Kafka does not run."""
    address = f'bootstrap_servers = "127.0.0.1:{closed_port()}"'
    project.configure(f'[kafka]\nclient = "{request.param}"\n{address}\n' + MODEL)
    return project


def test_a_command_says_that_it_waits_and_for_how_long(waiting: Project) -> None:
    """Soon, once, on stderr; and at the end what nobody could be reached for."""
    done = waiting.stream("status")

    assert done.code == 69, done
    first, last = done.err.splitlines()
    assert first.startswith("stream: waiting for Kafka at 127.0.0.1:")
    assert "giving up in " in first
    assert "the connection was refused: nothing listens there" in last


def test_a_worker_that_waits_for_kafka_stops_at_once_on_a_signal(waiting: Project) -> None:
    """It holds nothing yet: 0, and not 69 when it would have given up."""
    with waiting.running("run", "-c", "stream.toml") as running:
        running.line("waiting_for_kafka")
        began_s = time.monotonic()
        done = running.stop(signal.SIGTERM)

    assert done.code == 0, done
    assert time.monotonic() - began_s < 5.0
