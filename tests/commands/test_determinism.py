"""Whatever the environment is, a pipeline folds under one seed; what has none is refused."""

import json

import pytest

from stream.core.event import Channel
from tests.commands.project import EMBEDDED, Project

HASHING = """
from river import base
class Hashing(base.Regressor):
    def learn_one(self, x, y):
        pass
    def predict_one(self, x):
        return float(hash("a feature's name") % 1_000_003)
"""
UNSEEDED = """
from river import forest
def make():
    return forest.ARFClassifier(seed=None)
"""


def test_the_hash_seed_is_the_pipelines_whatever_the_environment_has(project: Project) -> None:
    """River iterates over sets of names: live, restored and verified they come in one order."""
    project.write("own.py", HASHING)
    project.configure(EMBEDDED + '[model]\nfactory = "own:Hashing"\n')
    for seed in ("0", "1", "random"):
        project.write_csv("events.csv", ("x", "label"), [(n, n) for n in range(20)])
        assert project.stream("produce", "events.csv").code == 0
        ran = project.stream("run", "--until-end", PYTHONHASHSEED=seed)
        assert ran.code == 0, ran
    verified = project.stream("snapshots", "verify", PYTHONHASHSEED="2")
    assert verified.code == 0, verified

    published = [json.loads(r.value or b"") for r in project.records(Channel.PREDICTIONS)]
    assert len(published) == 60
    assert len({each["prediction"] for each in published}) == 1


@pytest.mark.parametrize("words", ["check", "run --until-end"])
def test_an_unseeded_model_is_refused(project: Project, words: str) -> None:
    """Two replays of it would differ; the message says which parameter to set."""
    project.write("own.py", UNSEEDED)
    project.configure(EMBEDDED + '[model]\nfactory = "own:make"\n')

    done = project.stream(*words.split())

    assert done.code == 78, done
    assert done.said("ARFClassifier.seed is None, so two replays would differ")
