"""`run --workers`, as far as it can be seen without a Kafka: one worker under a supervisor."""

import os
import re
import signal

import pytest

from tests.commands.project import EMBEDDED, Project, Running
from tests.patience import eventually
from tests.processes import alive, children

ENDLESS = """
import sys, time
from river import dummy
class Endless(dummy.PriorClassifier):
    def learn_one(self, x, y):
        if "a" in x:  # an event that was made up, to try the model before it counts
            return
        sys.stderr.write("here for ever\\n")
        while True:
            time.sleep(1)
"""
STARTED = r"worker_started .*worker=box-0"


def test_the_embedded_log_serves_one_worker_only(project: Project) -> None:
    """64, and what to do instead; nothing was started."""
    done = project.stream("run", "--workers", "2")

    assert done.code == 64, done
    assert done.err == (
        'stream: --workers 2: kafka.client = "embedded" is one process with one file; '
        "leave --workers out, or use a Kafka\n"
    )


@pytest.mark.parametrize("words", [("--workers", "0"), ("--workers", "many")])
def test_a_wrong_number_of_workers_is_a_usage_error(
    project: Project, words: tuple[str, ...]
) -> None:
    """64, before anything is read."""
    done = project.stream("run", *words)

    assert done.code == 64, done
    assert "write 1 or more, or auto" in done.err


def test_the_line_to_a_supervisor_is_not_for_people(project: Project) -> None:
    """Help does not name it, and without its other end it is refused."""
    helped = project.bare("run", "--help")
    assert "--workers N" in helped.out
    assert "supervised" not in helped.out

    done = project.stream("run", "--supervised", "99")
    assert done.code == 64, done
    assert "only for `stream run --workers`" in done.err


def test_what_no_restart_can_help_ends_the_supervisor_too(project: Project) -> None:
    """With the worker's exit code, after the worker's own line that says what to change."""
    project.configure(
        '[kafka]\nclient = "embedded"\npath = "log.sqlite"\n[model]\nfactory = "no:w"'
    )

    done = project.stream("run", "--workers", "auto", "--until-end")

    assert done.code == 78, done
    lines = done.err.splitlines()
    assert any(line.startswith("stream: model.factory") for line in lines)
    assert lines[-1] == "stream: a worker ended with exit code 78; its lines above say why"


def test_a_worker_comes_back_after_a_crash_and_never_outlives_its_supervisor(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SIGKILL to either; what is committed at the end is everything, once."""
    monkeypatch.setenv("STREAM__WORKER__INSTANCE_FILE", str(project.write("name", "box\n")))
    assert project.fed(400).code == 0
    with project.running("run", "-c", "stream.toml", "--workers", "1") as supervisor:
        supervisor.line(STARTED)
        os.kill(_child(supervisor), signal.SIGKILL)
        supervisor.line('worker_ended worker=box-0 how="killed by SIGKILL"')
        supervisor.line(STARTED)
        orphan = _child(supervisor)
        supervisor.process.kill()
        eventually(lambda: not alive(orphan), "the worker has ended too")
        assert "worker_stopped" in supervisor.end().err

    assert project.fed(200).code == 0
    done = project.stream("run", "--workers", "auto", "--until-end")

    assert done.code == 0, done
    assert re.search(r"workers_draining why=\"every partition is where it ended", done.err)
    (row,) = project.stream("status", "--json").json["partitions"]
    assert (row["committed_offset"], row["learned"], row["snapshot_offset"]) == (600, 600, 600)


def test_a_second_signal_ends_all_at_once(project: Project) -> None:
    """Also a worker that would never stop by itself."""
    project.write("endless.py", ENDLESS)
    project.configure(EMBEDDED + '[model]\nfactory = "endless:Endless"\n')
    with project.running("run", "-c", "stream.toml", "--workers", "1") as supervisor:
        supervisor.line("worker_started")
        assert project.fed(1).code == 0
        supervisor.line("^here for ever")
        worker = _child(supervisor)
        supervisor.process.send_signal(signal.SIGTERM)
        supervisor.line("workers_draining")
        assert alive(worker)
        done = supervisor.stop(signal.SIGTERM)

        assert done.code == 128 + signal.SIGTERM, done
        eventually(lambda: not alive(worker), "the worker is gone")


def _child(supervisor: Running) -> int:
    (child,) = children(supervisor.process.pid)
    return child
