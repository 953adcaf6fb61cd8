"""`events.weight` and `events.deduplicate`, as a user meets them."""

from pathlib import Path

import pytest

from stream.core.event import Channel
from tests.commands.project import EMBEDDED, Project

RIVERS = """from river import linear_model, preprocessing, tree


def linear():
    return preprocessing.StandardScaler() | linear_model.LogisticRegression()


def bayes():
    from river import naive_bayes
    return naive_bayes.GaussianNB()
"""
CONFIG = EMBEDDED + '[model]\nfactory = "models:{factory}"\n[events]\n'


def test_a_model_that_takes_weights_is_given_them(tmp_path: Path) -> None:
    """A column of a CSV file; an event of weight 0 moves nothing."""
    project = Project(tmp_path)
    project.write("models.py", RIVERS)
    project.configure(CONFIG.format(factory="linear") + 'weight = "w"\n')
    rows = [(1.0, w, x > 2) for w, x in zip((1, 0, 0, 0), range(4), strict=True)]
    project.write_csv("e.csv", ("x", "w", "label"), rows)
    assert project.stream("produce", "e.csv").said("weight w (int")
    assert project.stream("check").code == 0
    done = project.stream("run", "--until-end")
    assert done.code == 0, done
    answers = [each.value or b"" for each in project.records(Channel.PREDICTIONS)]
    assert len({each.split(b'"probabilities"')[1].split(b"}")[0] for each in answers[1:]}) == 1
    assert b'"learned":3' in answers[-1]


@pytest.mark.parametrize("command", ["check", "run"])
def test_a_model_without_weights_is_refused(tmp_path: Path, command: str) -> None:
    """78, with what to do; it would learn each event as much."""
    project = Project(tmp_path)
    project.write("models.py", RIVERS)
    project.configure(CONFIG.format(factory="bayes") + 'weight = "w"\n')
    done = project.stream(command)
    assert done.code == 78, done
    assert done.said("GaussianNB learns without weights")


def test_what_was_accepted_is_refused_when_it_comes_again(tmp_path: Path) -> None:
    """Into the quarantine, and once more after a restart."""
    project = Project(tmp_path)
    project.write("models.py", RIVERS)
    project.configure(CONFIG.format(factory="linear") + 'deduplicate = "1h"\n')
    event = '{"id": "a", "features": {"x": 1.0}, "label": true}\n'
    for _ in range(2):
        assert project.stream("produce", project.write("e.jsonl", event * 2).name).code == 0
        assert project.stream("run", "--until-end").code == 0
    assert len(project.records(Channel.PREDICTIONS)) == 1
    reasons = [dict(each.headers)["stream.reason"] for each in project.records(Channel.QUARANTINE)]
    assert reasons == [b"duplicate"] * 3
    assert project.stream("snapshots", "verify").code == 0


@pytest.mark.parametrize(
    ("line", "said"),
    [('deduplicate = "0s"', "no time"), ("deduplicate_max = 0", "deduplicate_max"),
     ('weight = "label"', "events.label already")],
)  # fmt: skip
def test_what_they_cannot_be_is_said(tmp_path: Path, line: str, said: str) -> None:
    """With the key; exit 78."""
    project = Project(tmp_path)
    project.write("models.py", RIVERS)
    project.configure(CONFIG.format(factory="linear") + line + "\n")
    done = project.stream("check")
    assert done.code == 78, done
    assert done.said(said), done
