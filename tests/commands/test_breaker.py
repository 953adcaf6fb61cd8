"""The breaker on quarantine from outside: what an operator sees of it, and does about it."""

import json
import signal
from typing import Any

from river import linear_model, preprocessing

from stream.core.event import Channel
from tests.commands.project import EMBEDDED, HASH_SEED, MODEL, Project
from tests.commands.test_commanded_worker import MINE
from tests.patience import eventually

BREAKER = """
[quarantine]
breaker_window = 20
breaker_share = 0.5
"""
JUNK = '{"features": {"x": [1]}, "label": true}\n'
NO_FEATURES = '{"features": {}, "label": true}\n'
GOOD = '{"features": {"x": 0.5}, "label": true}\n'


def _flooded(project: Project, *, junk: int = 60) -> None:
    project.configure(EMBEDDED + MODEL + BREAKER)
    project.write("events.jsonl", GOOD * 30 + JUNK * junk)
    assert project.stream("produce", "events.jsonl").code == 0


def test_a_job_ends_with_bad_input_and_says_how_to_go_on(project: Project) -> None:
    """65, the alarm on stderr; a second try consumes nothing; the status and the health say it."""
    _flooded(project)

    first = project.stream("run", "--until-end")
    second = project.stream("run", "--until-end")
    status = project.stream("status", "--json")
    table = project.stream("status")
    health = project.stream("status", "--progress-within", "1")

    assert (first.code, second.code) == (65, 65), (first, second)
    assert "ERROR partition_paused partition=0 next_offset=41" in first.err
    assert "11 of the last 20 records refused (11 bad_feature)" in first.err
    assert "20 of the next 20 records would be refused again" in second.err
    assert first.err.splitlines()[-1].startswith(
        "stream: too much was refused, so this is paused: partition 0 at offset 41; nothing more"
    )
    (row,) = status.json["partitions"]
    assert (row["paused"], row["committed_offset"], row["lag"]) == (True, 41, 49)
    assert "49 (paused)" in table.out
    assert (health.code, health.out) == (0, "no lag, but partition 0 is paused\n"), health
    assert len(project.records(Channel.QUARANTINE)) == 11


def test_a_worker_stays_up_paused_and_a_share_of_one_goes_on(project: Project) -> None:
    """What was given as the way out is one: all is refused, nothing is lost, nothing paused."""
    _flooded(project)
    with project.running("run", "-c", "stream.toml") as worker:
        worker.line("partition_paused partition=0 next_offset=41")
        stopped = worker.stop(signal.SIGTERM)

    done = project.stream("run", "--until-end", STREAM__QUARANTINE__BREAKER_SHARE="1")
    status = project.stream("status", "--json")

    assert stopped.code == 0, stopped
    assert "partitions_paused_total=1" in stopped.err
    assert done.code == 0, done
    assert "partition_resumed partition=0 next_offset=41" in done.err
    assert status.json["partitions"][0]["paused"] is False
    assert len(project.records(Channel.QUARANTINE)) == 60


def test_a_job_that_refused_nearly_everything_warns_of_it(project: Project) -> None:
    """It ends well, below the breaker's window: an operator yet reads a warning with the reason."""
    project.configure(EMBEDDED + MODEL)
    project.write("events.jsonl", GOOD * 2 + NO_FEATURES * 8 + JUNK * 30)
    assert project.stream("produce", "events.jsonl").code == 0

    done = project.stream("run", "--until-end")

    assert done.code == 0, done
    *_, warned, stopped = done.err.splitlines()
    assert "worker_stopped" in stopped
    assert "WARNING mostly_refused" in warned
    assert "38 of 40 records (95 %) were refused, most often as bad_feature (30)" in warned
    assert "stream quarantine list" in warned


def test_a_restart_after_the_cause_was_mended_goes_on(project: Project) -> None:
    """The next records are mostly good: no more is asked."""
    _flooded(project, junk=13)
    project.write("good.jsonl", GOOD * 20)
    with project.running("run", "-c", "stream.toml") as worker:
        worker.line("partition_paused partition=0 next_offset=41")
        assert project.stream("produce", "good.jsonl").code == 0

    with project.running("run", "-c", "stream.toml") as worker:
        worker.line("partition_resumed partition=0 next_offset=41")
        eventually(
            lambda: len(project.records(Channel.PREDICTIONS)) == 50, "the good ones are learned"
        )
        assert worker.stop().code == 0

    assert len(project.records(Channel.QUARANTINE)) == 13


def test_a_command_lets_it_go_on_while_the_worker_lives(project: Project) -> None:
    """No restart: a plain loop over the good ones, and the ledger has the place."""
    project.write("mine.py", MINE)
    own = f'[model]\nfactory = "mine:make"\nhash_seed = {HASH_SEED}\n'
    project.configure(EMBEDDED + own + BREAKER)
    good: list[dict[str, Any]] = [
        {"features": {"x": n % 7 - 3.0, "y": n % 3}, "label": n % 7 > 3} for n in range(90)
    ]
    lines = [f"{json.dumps(each)}\n" for each in good]
    project.write("flood.jsonl", "".join(lines[:30]) + JUNK * 13 + "".join(lines[30:60]))
    project.write("later.jsonl", "".join(lines[60:]))
    assert project.stream("produce", "flood.jsonl").code == 0

    with project.running("run", "-c", "stream.toml") as worker:
        worker.line("partition_paused partition=0 next_offset=41")
        assert project.stream("produce", "later.jsonl").code == 0
        assert len(project.records(Channel.PREDICTIONS)) == 30
        done = project.stream("control", "resume", "--why", "mended", "--by", "ada")
        eventually(lambda: len(project.records(Channel.PREDICTIONS)) == 90, "it goes on")
        stopped = worker.stop()

    assert (done.code, stopped.code) == (0, 0), (done, stopped)
    assert "partition_resumed partition=0 next_offset=41" in stopped.err
    model, expected = preprocessing.StandardScaler() | linear_model.LogisticRegression(), []
    for each in good:
        expected.append(model.predict_proba_one(each["features"])[True])
        model.learn_one(each["features"], each["label"])
    published = [json.loads(r.value or b"") for r in project.records(Channel.PREDICTIONS)]
    assert [each["probabilities"]["true"] for each in published] == expected
    (told,) = (json.loads(r.value or b"") for r in project.records(Channel.LEDGER))
    assert (told["what"], told["by"], told["offset"]) == ("resume", "operator:ada", 41)
    assert len(project.records(Channel.QUARANTINE)) == 13
    assert project.stream("run", "--until-end").code == 0


def test_by_default_a_thousand_records_are_looked_at(project: Project) -> None:
    """Nine of ten may be refused."""
    project.write("events.jsonl", (GOOD + JUNK) * 700 + JUNK * 1_000)
    assert project.stream("produce", "events.jsonl").code == 0

    assert project.stream("run", "--until-end").code == 65

    (row,) = project.stream("status", "--json").json["partitions"]
    assert row["committed_offset"] == 2201
