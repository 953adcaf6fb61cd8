"""`stream tail` from outside, on the embedded log."""

import json
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from stream.core.event import Channel
from tests.commands.project import EMBEDDED, MODEL, PIPELINE, Project, closed_port, unreachable

OFF = "\n[quarantine]\nbreaker_share = 1.0\n"
REFUSED = '{"features": {"x": [1]}, "label": true}'


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Some predictions, alerts, and three refused records; only to be looked at."""
    project = Project(tmp_path_factory.mktemp("told"))
    project.configure(EMBEDDED + MODEL + OFF)
    assert project.fed(1500, drift_at=900).code == 0
    project.write("bad.jsonl", f"{REFUSED}\n" * 3)
    assert project.stream("produce", "bad.jsonl").code == 0
    assert project.stream("run", "--until-end").code == 0
    return project


@pytest.fixture
def own(told: Project, tmp_path: Path) -> Project:
    """The same, of this test alone."""
    shutil.copytree(told.folder, tmp_path, dirs_exist_ok=True)
    return Project(tmp_path)


@pytest.mark.parametrize("what", ["predictions", "alerts"])
def test_programs_get_the_records_as_they_were_published(told: Project, what: str) -> None:
    """A line each, byte for byte, so that `jq` and a comparison work; ten by default."""
    published = [r.value or b"" for r in told.records(Channel(what))]

    ten = told.stream("tail", what, "--json")
    every = told.stream("tail", what, "--json", "--last", "1000000")

    assert (ten.code, ten.err) == (0, ""), ten
    assert [line.encode() for line in ten.out.splitlines()] == published[-10:]
    assert [line.encode() for line in every.out.splitlines()] == published


def test_programs_get_refused_records_with_their_reasons(told: Project) -> None:
    """An object each: where it lies, why, and what it was."""
    done = told.stream("tail", "quarantine", "--json", "-n", "2")

    first, second = map(json.loads, done.out.splitlines())
    assert (first["partition"], first["offset"], second["offset"]) == (0, 1, 2)
    assert (first["reason"], first["key"], first["value"]) == ("bad_feature", None, REFUSED)
    assert first["detail"] == 'feature "x" is a JSON array'
    assert first["event"] == f"{PIPELINE}.events-0-1501"


def test_people_see_whether_a_prediction_was_right(told: Project) -> None:
    """Beside its label; the place stands in for an id that the sender did not give."""
    *_, published = [json.loads(r.value or b"") for r in told.records(Channel.PREDICTIONS)]

    head, *rows = told.stream("tail", "predictions", "--last", "3").out.splitlines()

    assert head.split() == [
        "part", "offset", "time", "id", "prediction", "prob", "label", "result",
    ]  # fmt: skip
    part, offset, _, _, own_id, prediction, probability, label, result = rows[-1].split()
    assert (part, offset, own_id) == ("0", "1499", "-")
    assert prediction == str(published["prediction"]).lower()
    assert probability == f"{published['probabilities'][prediction]:.3f}"
    assert label == str(published["label"]).lower()
    assert result == ("right" if prediction == label else "wrong")


def test_people_see_alerts_and_refusals_whole(told: Project) -> None:
    """The message; the reason, its detail, and the record's own bytes, escaped once."""
    (*_, alert) = told.stream("tail", "alerts").out.splitlines()
    (*_, refused) = told.stream("tail", "quarantine").out.splitlines()

    assert json.loads(told.records(Channel.ALERTS)[-1].value or b"")["message"] in alert
    assert 'bad_feature  commands.events-0-1502  feature "x" is a JSON array' in refused
    assert refused.endswith(REFUSED)


def test_values_of_a_regressor_show_how_far_off_they_are(project: Project) -> None:
    """Right or wrong is nothing that a number is."""
    project.configure(EMBEDDED + '[model]\nfactory = "stream.models:running_mean"\n')
    lines = [json.dumps({"id": f"e{n}", "features": {"x": n}, "label": n}) for n in range(4)]
    project.write("events.jsonl", "\n".join(lines))
    assert project.stream("produce", "events.jsonl").code == 0
    assert project.stream("run", "--until-end").code == 0

    (*_, row) = project.stream("tail", "predictions").out.splitlines()

    assert row.split()[4:] == ["e3", "1", "-", "3", "off", "by", "2"]


def test_scores_of_an_anomaly_detector_are_scores(project: Project) -> None:
    """They are neither right nor wrong."""
    project.configure(EMBEDDED + '[model]\nfactory = "stream.models:half_space_trees"\n')
    assert project.fed(3).code == 0
    assert project.stream("run", "--until-end").code == 0

    (*_, row) = project.stream("tail", "predictions").out.splitlines()

    assert row.split()[5] == "score"
    assert row.split()[-1] == "-"


def test_of_a_topic_that_pipelines_share_only_ones_own_is_shown(own: Project) -> None:
    """Alerts and refused records say whose they are."""
    text = (own.folder / "stream.toml").read_text().replace(PIPELINE, "another")
    shared = '\n[topics]\nalerts = "commands.alerts"\nquarantine = "commands.quarantine"\n'
    own.write("stream.toml", text + shared)

    for what in ("alerts", "quarantine"):
        done = own.stream("tail", what)
        assert (done.code, done.out) == (0, ""), done
        assert done.err == f"stream: nothing in commands.{what} yet\n"


def test_following_shows_what_comes_and_ends_well(own: Project) -> None:
    """Each once, in order, while a worker runs; Ctrl-C is 0."""
    there = len(own.records(Channel.PREDICTIONS))
    words = ("tail", "-c", "stream.toml", "predictions", "--follow", "--json", "--last", "2")
    with own.running(*words) as following:
        following.line(f'"offset":{there - 1},', of="out")
        assert own.fed(700, seed=8).code == 0
        assert own.stream("run", "--until-end").code == 0
        *_, last = [json.loads(r.value or b"") for r in own.records(Channel.PREDICTIONS)]
        seen: list[int] = []
        while not seen or seen[-1] != last["offset"]:
            seen.append(json.loads(following.line("^{", of="out"))["offset"])
        done = following.stop(signal.SIGINT)

    assert (done.code, done.out, done.err) == (0, "", ""), done
    offsets = [json.loads(r.value or b"")["offset"] for r in own.records(Channel.PREDICTIONS)]
    assert seen == offsets[there:]


def test_following_ends_when_nobody_reads(told: Project) -> None:
    """`stream tail --follow | head -1`: no traceback, and no process that stays."""
    command = shlex.join(
        [sys.executable, "-m", "stream", "tail", "-c", "stream.toml", "predictions", "-f"]
    )

    done = subprocess.run(
        ["bash", "-c", f"{command} | head -1; exit ${{PIPESTATUS[0]}}"],
        cwd=told.folder, env=told.environment({}), capture_output=True, check=False, timeout=30,
    )  # fmt: skip

    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.startswith(b"part  offset")


def test_before_a_first_worker_it_says_what_makes_the_topic(project: Project) -> None:
    """78, one line; an empty topic is nothing wrong."""
    early, other = project.stream("tail", "alerts"), project.stream("tail", "outcomes")
    assert project.fed(3).code == 0
    empty = project.stream("tail", "alerts")

    assert other.said("does not exist; the first `stream run` with [labels] makes it"), other
    assert early.code == 78, early
    assert "does not exist; the first `stream run` makes it" in early.err
    assert len(early.err.splitlines()) == 1
    assert (empty.code, empty.out) == (0, ""), empty
    assert empty.err == "stream: nothing in commands.alerts yet\n"


@pytest.mark.parametrize("more", [(), ("--follow",)])
def test_without_kafka_it_is_69(project: Project, more: tuple[str, ...]) -> None:
    """Nobody answers."""
    project.configure(unreachable(closed_port()) + MODEL)

    done = project.stream("tail", "predictions", *more)

    assert done.code == 69, done
    assert len(done.err.splitlines()) == 1


@pytest.mark.parametrize(
    "words",
    [(), ("events",), ("predictions", "--last", "-1"), ("predictions", "--last", "many"),
     ("predictions", "--last", "1000001")],
)  # fmt: skip
def test_wrong_words_are_a_usage_error(project: Project, words: tuple[str, ...]) -> None:
    """64 and one line."""
    done = project.stream("tail", *words)

    assert done.code == 64, done
    assert len(done.err.splitlines()) == 1
