"""`[alerts] policy = "quiet"` from outside: what is announced, shown, and kept over restarts."""

import json
import random
from pathlib import Path
from typing import Any

from stream.core.event import Channel
from tests.commands.project import EMBEDDED, MODEL, Done, Project
from tests.patience import eventually

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
    assert "part alerts: 3 -> unset" in done.err
    assert alerts(project)
    assert not {"state", "episode"} & {name for each in alerts(project) for name in each}
    predictions = project.records(Channel.PREDICTIONS)
    assert [json.loads(each.value or b"")["learned"] for each in predictions] == list(range(900))


def test_what_was_told_is_resolved_under_other_settings(tmp_path: Path) -> None:
    """A cooldown that is another one by then; the model goes on, and all is proved."""
    project = Project(tmp_path)
    project.configure(EMBEDDED + MODEL + QUIET)
    ran(project, DRIFT_AT + 150, drift_at=DRIFT_AT)
    (firing,) = alerts(project)

    project.configure(EMBEDDED + MODEL + QUIET.replace("200", "300") + 'min_severity = "info"\n')
    done = ran(project, 450, drift_at=0)
    assert "on_change=keep" in done.err
    found = [each for each in alerts(project) if each["episode"] == firing["episode"]]
    assert [each["state"] for each in found] == ["firing", "resolved"]
    assert found[1]["offset"] >= firing["offset"] + 300
    predictions = project.records(Channel.PREDICTIONS)
    assert json.loads(predictions[-1].value or b"")["learned"] == len(predictions) - 1
    assert project.stream("snapshots", "verify").code == 0


def test_silence_is_told_and_its_end(tmp_path: Path) -> None:
    """By a worker that waits; no offset moves with it, and the log proves as before."""
    project = Project(tmp_path)
    project.configure(EMBEDDED + MODEL + '[monitors]\nsilence_after = "1s"\n')
    ran(project, 300, drift_at=None)
    with project.running("run", "-c", "stream.toml") as worker:
        eventually(lambda: len(alerts(project)) == 1, "silence is told")
        assert project.fed(100, seed=2).code == 0
        eventually(lambda: len(alerts(project)) >= 2, "its end is told")
        assert worker.stop().code == 0
    firing, resolved = alerts(project)[:2]
    episode = "commands/0/flow/silence/events/300"
    assert (firing["state"], firing["id"]) == ("firing", f"{episode}/300")
    assert (resolved["state"], resolved["id"]) == ("resolved", f"{episode}/300/resolved")
    assert firing["episode"] == resolved["episode"] == episode
    assert (firing["kind"], firing["detector"]) == ("flow", "silence")
    assert project.stream("snapshots", "verify").code == 0
    assert "no event for 1 s" in project.stream("tail", "alerts").out


def test_a_feature_that_breaks_is_told_without_any_setting(tmp_path: Path) -> None:
    """By default; killed and restarted in the middle it is the same alert."""
    project = Project(tmp_path)
    project.configure(EMBEDDED + MODEL)
    done = ran(project, 5400, drift_at=None)
    assert "features_watched partition=0 features=2 not_watched=0 not_monitorable=-" in done.err
    (row,) = project.stream("status", "--json").json["partitions"]
    assert row["alerts"] == 0
    chance = random.Random(3)
    rows = [(x := round(chance.uniform(-1, 1), 6), x > 0) for _ in range(600)]
    project.write_csv("broken.csv", ("x", "label"), rows)
    assert project.stream("produce", "broken.csv").code == 0
    assert project.stream("run", "--until-end").code == 0
    (alert,) = [each for each in alerts(project) if each["kind"] == "input"]
    assert (alert["detector"], alert["signal"]) == ("missing", "feature:noise")
    assert alert["evidence"]["feature"] == "noise"
    assert alert["evidence"]["before"] == 0.0
    assert 5400 < alert["offset"] < 6000
    (row,) = project.stream("status", "--json").json["partitions"]
    assert row["alerts"] == len(
        {each["episode"] for each in alerts(project) if each["state"] == "firing"}
    )
    assert project.stream("snapshots", "verify").code == 0


def test_features_are_compared_with_a_file(tmp_path: Path) -> None:
    """From the first event on; a file that the pipeline would refuse is told by `check`."""
    project = Project(tmp_path)
    project.configure(EMBEDDED + MODEL + '[monitors]\nreference = "file:usual.csv"\n')
    chance = random.Random(4)
    usual = [(chance.gauss(0, 1), chance.random()) for _ in range(2500)]
    project.write_csv("usual.csv", ("x", "noise"), usual)
    rows = [(x := chance.gauss(3, 1), chance.random(), x > 3) for _ in range(600)]
    project.write_csv("moved.csv", ("x", "noise", "label"), rows)
    assert project.stream("produce", "moved.csv").code == 0
    assert project.stream("run", "--until-end").code == 0
    (alert,) = [each for each in alerts(project) if each["kind"] == "input"]
    assert (alert["signal"], alert["evidence"]["before_n"]) == ("feature:x", 2500)
    assert alert["offset"] < 500

    project.write_csv("usual.csv", ("x", "noise"), usual[:100])
    done = project.stream("check")
    assert done.code == 78
    assert done.said("usual.csv holds 100 events; 500 are the least")
    (tmp_path / "usual.csv").unlink()
    assert project.stream("run", "--until-end").code == 78
