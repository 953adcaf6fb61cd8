"""A pipeline with a model of its user's that is changed while no worker runs; what comes of it."""

import json
import random
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from river import base, linear_model, preprocessing

from stream.core.event import Channel
from tests.commands.project import EMBEDDED, PIPELINE, Done, Project
from tests.end_to_end.outside import without_place

MODULE = """
from river import linear_model, preprocessing

def make(l2=0.0):
    return preprocessing.StandardScaler() | linear_model.LogisticRegression(l2=l2)

def other():
    return preprocessing.MinMaxScaler() | linear_model.LogisticRegression()
"""
MODEL = '[model]\nfactory = "mine:make"\n'
EVENTS = '[events]\nextra = "ignore"\n'
ADWIN = '[[detectors]]\ntype = "ADWIN"\n'
PAGE_HINKLEY = '[[detectors]]\ntype = "PageHinkley"\n'
OUTCOMES = frozenset((Channel.PREDICTIONS, Channel.QUARANTINE))


def make(l2: float = 0.0) -> base.Estimator:
    """What the module makes."""
    return preprocessing.StandardScaler() | linear_model.LogisticRegression(l2=l2)


def other() -> base.Estimator:
    """What its other factory makes."""
    return preprocessing.MinMaxScaler() | linear_model.LogisticRegression()


def events(n: int, *, seed: int, most: float) -> list[dict[str, Any]]:
    """So many events whose label follows from `x`; `order` is no field of ours yet."""
    chance = random.Random(seed)
    made = []
    for at in range(n):
        x = round(chance.uniform(-most, most), 6)
        features = {"x": x, "noise": round(chance.uniform(0, most), 6)}
        made.append({"features": features, "label": x > 0, "order": f"order-{seed}-{at}"})
    return made


BEFORE_N = 120
BEFORE = events(BEFORE_N, seed=1, most=1.0)
AFTER = events(60, seed=2, most=0.5)
"""Unlike those before, a limit on magnitudes may let them all in."""


def changed(project: Project, settings: str = "", *, model: str = MODEL) -> None:
    """Change the settings."""
    project.configure(EMBEDDED + model + EVENTS + settings)


def fed(project: Project, documents: Iterable[dict[str, Any]]) -> None:
    """Produce these events."""
    project.write("events.jsonl", "".join(f"{json.dumps(each)}\n" for each in documents))
    done = project.stream("produce", "events.jsonl")
    assert done.code == 0, done


def went_on(project: Project, **environment: Any) -> Done:
    """Run a worker to the end, which must end well."""
    done = project.stream("run", "--until-end", **environment)
    assert done.code == 0, done
    return done


def refused(project: Project, code: int = 78, **environment: Any) -> str:
    """The one line of a worker that ends so, and has published nothing."""
    published = outcomes(project)
    done = project.stream("run", "--until-end", **environment)
    assert done.code == code, done
    assert outcomes(project) == published
    (line,) = [each for each in done.err.splitlines() if each.startswith("stream: ")]
    return line


def outcomes(project: Project) -> list[bytes | None]:
    """The bytes of all that was published of events."""
    return [record.value for channel in OUTCOMES for record in project.records(channel)]


def predicted(project: Project, partition: int = 0) -> list[dict[str, Any]]:
    """The predictions, as far as a plain loop can know them."""
    records = project.records(Channel.PREDICTIONS, partition)
    return [without_place(json.loads(each.value or b"")) for each in records]


def said(done: Done, event: str) -> list[str]:
    """The lines of its log about this."""
    return [line for line in done.err.splitlines() if f" {event} " in line]


def copied(folder: Path, to: Path) -> Project:
    """The same pipeline once more."""
    shutil.copytree(folder, to, dirs_exist_ok=True)
    return Project(to)


def lose_snapshots(project: Project) -> None:
    """What is left of a cache that was lost."""
    assert project.sql("DELETE FROM snapshots")


def delete_log(project: Project, before: int) -> None:
    """What retention does."""
    statement = "UPDATE partitions SET start_offset = ? WHERE topic = ?"
    assert project.sql(statement, before, f"{PIPELINE}.events") == 1
