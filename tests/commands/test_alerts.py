"""`[alerts] policy = "quiet"` from outside: what is announced, shown, and kept over restarts."""

import json
from pathlib import Path
from typing import Any

from stream.core.event import Channel
from tests.commands.project import EMBEDDED, MODEL, Done, Project

QUIET = '[alerts]\npolicy = "quiet"\ncooldown = "200 events"\n'
DRIFT_AT = 900


def alerts(project: Project) -> list[dict[str, Any]]:
    """What was published."""
    return [json.loads(each.value or b"") for each in project.records(Channel.ALERTS)]


def ran(project: Project, events_n: int, *, drift_at: int | None) -> Done:
    """So many events, and a worker that does all there is."""
    assert project.fed(events_n, drift_at=drift_at).code == 0
    done = project.stream("run", "--until-end")
    assert done.code == 0, done
    return done


def test_one_drift_is_a_beginning_and_an_end_over_restarts(tmp_path: Path) -> None:
    """Each in a worker of its own; `tail` says how severe it is, and what to do."""
    project = Project(tmp_path)
    project.configure(EMBEDDED + MODEL + QUIET)
    ran(project, DRIFT_AT + 150, drift_at=DRIFT_AT)
    (firing,) = alerts(project)
    assert (firing["state"], firing["severity"]) == ("firing", "warning")
    assert firing["direction"] == "worse"
    assert DRIFT_AT - 100 <= firing["since"]["offset"] <= firing["offset"]

    (head, row) = project.stream("tail", "alerts").out.splitlines()
    assert head.split() == ["time", "kind", "message"]
    assert "drift, warning, firing" in row
    assert row.endswith(f"{firing['message']}: {firing['suggestion']}")

    ran(project, 450, drift_at=0)
    _, resolved = alerts(project)
    assert (resolved["state"], resolved["episode"]) == ("resolved", firing["episode"])
    assert resolved["id"] != firing["id"]
    assert project.stream("snapshots", "verify").code == 0


def test_turned_off_again_the_model_goes_on_and_each_firing_is_an_alert(tmp_path: Path) -> None:
    """Nothing of it is left in what is published."""
    project = Project(tmp_path)
    project.configure(EMBEDDED + MODEL + QUIET)
    ran(project, 300, drift_at=None)
    assert alerts(project) == []

    project.configure(EMBEDDED + MODEL + '[alerts]\npolicy = "raw"\n')
    done = ran(project, 600, drift_at=1)
    assert "on_change=keep" in done.err
    assert "part alerts: 2 -> unset" in done.err
    assert alerts(project)
    assert not {"state", "episode"} & {name for each in alerts(project) for name in each}
    predictions = project.records(Channel.PREDICTIONS)
    assert [json.loads(each.value or b"")["learned"] for each in predictions] == list(range(900))
