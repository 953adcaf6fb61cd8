"""The numeric breaker from outside: what is published, logged, replayed, and how it goes on."""

import json
import random
from pathlib import Path
from typing import Any

import pytest

from stream.core.event import Channel
from stream.errors import Misconfigured
from tests.commands.project import EMBEDDED, Project

MODEL = '[model]\nfactory = "river.linear_model:LinearRegression"\n'
EVENTS_N = 200


def diverging(tmp_path: Path, more: str = "") -> Project:
    """A pipeline whose events make its model diverge, and the topics of every pipeline."""
    project = Project(tmp_path)
    project.configure(EMBEDDED + MODEL)
    drawn = random.Random(2)
    events = (
        {"features": {"hour": drawn.randrange(24), "size": drawn.uniform(0, 30)}, "label": 3 * i}
        for i in range(EVENTS_N)
    )
    lines = "".join(json.dumps(each) + "\n" for each in events)
    assert project.stream("produce", project.write("events.jsonl", lines).name).code == 0
    project.configure(EMBEDDED + MODEL + more)
    return project


def values(project: Project, channel: Channel) -> list[dict[str, Any]]:
    """What was published."""
    return [json.loads(each.value or b"") for each in project.records(channel)]


def test_a_worker_tells_its_break_in_the_ledger_and_a_replay_proves_it(tmp_path: Path) -> None:
    """The topic is made with the first record; every event has its prediction."""
    project = diverging(tmp_path)
    done = project.stream("run", "--until-end")
    assert done.code == 0, done

    (frozen,) = values(project, Channel.LEDGER)
    (alert, *_) = values(project, Channel.ALERTS)
    predictions = values(project, Channel.PREDICTIONS)
    assert (frozen["what"], frozen["by"], frozen["input"]) == ("freeze", "breaker", "events")
    assert (alert["name"], alert["severity"]) == ("model:numeric", "critical")
    assert alert["offset"] + 1 == frozen["offset"]
    assert len(predictions) == EVENTS_N
    assert abs(predictions[-1]["prediction"]) < 1e5
    assert "fold_acted" in done.err
    assert "topic_created topic=commands.ledger" in done.err
    assert project.stream("snapshots", "verify").code == 0


def test_where_there_may_be_no_ledger_only_its_record_is_missing(tmp_path: Path) -> None:
    """The worker's line says what it would have said, and why nobody is told."""
    project = diverging(tmp_path, "[topics]\ncreate = false\n")
    done = project.stream("run", "--until-end")
    assert done.code == 0, done

    assert len(values(project, Channel.PREDICTIONS)) == EVENTS_N
    assert 'untold="topics.' in done.err
    with pytest.raises(Misconfigured, match="no topic"):
        project.records(Channel.LEDGER)
