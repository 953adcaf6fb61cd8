"""`check` and a first `run` refuse a model that does not repeat itself; and what if one got in."""

import pytest

from tests.commands.project import EMBEDDED, Project

DRAWS = """
import random
from river import base
class Model(base.Regressor):
    def learn_one(self, x, y):
        pass
    def predict_one(self, x):
        return random.random()
"""
NOISY = """
import os
from river import base
class Model(base.Regressor):
    def learn_one(self, x, y):
        pass
    def predict_one(self, x):
        return float(os.environ["NOISE"])
"""
SLOW_S = 180.0
"""A bound on hanging: of two interpreters that load river, on a machine that is busy."""

MINE = EMBEDDED + '[model]\nfactory = "mine:Model"\n'


@pytest.mark.parametrize("words", ["check", "run --until-end"])
@pytest.mark.parametrize("events_n", [0, 30])
def test_a_model_that_draws_at_random_is_refused(
    project: Project, words: str, events_n: int
) -> None:
    """By the first events of the log, or by made-up ones; no key was made."""
    project.write("mine.py", DRAWS)
    project.configure(MINE)
    if events_n:
        project.write_csv("events.csv", ("x", "label"), [(n, n) for n in range(events_n)])
        assert project.stream("produce", "events.csv").code == 0

    done = project.stream(*words.split(), timeout_s=SLOW_S)

    assert done.code == 78, done
    assert done.said("mine:Model does not repeat itself: two processes folded the same events")
    assert done.said("of event 1 (partition 0, offset 0) the prediction is 0.")
    assert done.said("random.Random(1)")
    assert not list(project.folder.glob("*.key"))


def test_a_failed_proof_names_the_model_and_its_way_out_works(project: Project) -> None:
    """What two processes agree on may yet differ later; then "fresh" goes on, untrained."""
    project.write("mine.py", NOISY)
    project.configure(MINE)
    project.write_csv("events.csv", ("x", "label"), [(n, n) for n in range(200)])
    assert project.stream("produce", "events.csv").code == 0
    ran = project.stream("run", "--until-end", NOISE="1", timeout_s=SLOW_S)
    assert ran.code == 0, ran
    project.sql("DELETE FROM snapshots")

    failed = project.stream("run", "--until-end", NOISE="2", timeout_s=SLOW_S)
    project.configure(MINE + 'on_change = "fresh"\n')
    fresh = project.stream("run", "--until-end", NOISE="2", timeout_s=SLOW_S)
    project.configure(MINE)
    again = project.stream("run", "--until-end", NOISE="2", timeout_s=SLOW_S)

    assert failed.code == 65, failed
    assert "or the model does not repeat itself: `stream check` tries the model" in failed.err
    assert 'set model.on_change = "fresh"' in failed.err
    assert fresh.code == 0, fresh
    assert "recipe_changed partition=0 on_change=fresh genesis=200" in fresh.err
    assert again.code == 0, again
