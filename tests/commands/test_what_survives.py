"""What a user sets otherwise -> what becomes of the model: with the commands, on the embedded log.

Where it is kept, the predictions are a plain loop's over all events, bit for bit.
"""

import random
from collections.abc import Callable
from typing import Any

import pytest
from river import anomaly, base, linear_model, preprocessing

from tests.commands.changes import (
    ADWIN,
    AFTER,
    BEFORE,
    BEFORE_N,
    EVENTS,
    MODEL,
    PAGE_HINKLEY,
    changed,
    events,
    fed,
    make,
    other,
    predicted,
    refused,
    said,
    went_on,
)
from tests.commands.project import EMBEDDED, Project
from tests.end_to_end import plain_loop

Loop = Callable[[Any, list[dict[str, Any]]], list[dict[str, Any]]]

# -- settings that the model does not see ---------------------------------------------------------


def test_a_limit_that_learned_events_are_over_keeps_the_model(waiting: Project) -> None:
    """Nobody has to say so, and no prediction is another one."""
    changed(waiting, "[limits]\nmagnitude_max = 0.6\n")

    done = went_on(waiting)

    (line,) = said(done, "recipe_changed")
    assert "partition=0 on_change=keep genesis=120" in line
    assert "limits.magnitude_max: 1000000000000000.0 -> 0.6" in line
    assert predicted(waiting) == plain_loop.classify(make(), BEFORE + AFTER)


def test_what_decides_no_outcome_is_no_change(waiting: Project) -> None:
    """Delivery, cadence, the breaker, where outputs go: not even a line."""
    changed(
        waiting,
        '[delivery]\nguarantee = "at-least-once"\ncommit_interval_ms = 50\n'
        '[snapshots]\nrecovery_time_s = 60\nkeep = 1\n[topics]\nalerts = "elsewhere"\n'
        "[quarantine]\nbreaker_share = 1.0\n",
    )

    done = went_on(waiting)

    assert not said(done, "recipe_changed")
    assert 'origin="snapshot at 120"' in done.err
    assert predicted(waiting) == plain_loop.classify(make(), BEFORE + AFTER)


REGRESSOR = """
from river import linear_model, preprocessing
def make():
    return preprocessing.StandardScaler() | linear_model.LinearRegression()
"""
SCORER = """
from river import anomaly
def make():
    return anomaly.HalfSpaceTrees(n_trees=5, height=4, window_size=20, seed=3)
"""


def _regressor() -> base.Estimator:
    return preprocessing.StandardScaler() | linear_model.LinearRegression()


def _scorer() -> base.Estimator:
    return anomaly.HalfSpaceTrees(n_trees=5, height=4, window_size=20, seed=3)


KINDS: dict[str, tuple[str, str, Callable[[], base.Estimator], Loop]] = {
    "regression": (REGRESSOR, 'type = "PageHinkley"', _regressor, plain_loop.regress),
    "anomaly": (SCORER, 'type = "PageHinkley"\nsignal = "prediction"', _scorer, plain_loop.score),
}


@pytest.mark.parametrize("kind", KINDS)
def test_another_detector_keeps_every_kind_of_model(project: Project, kind: str) -> None:
    """A regressor's errors and a score are watched by another one, and nothing else is new."""
    module, detector, model, loop = KINDS[kind]
    chance = random.Random(3)
    drawn = [(round(chance.random(), 6), round(chance.random(), 6)) for _ in range(180)]
    every = [{"features": {"x": x, "y": y}, "label": 2 * x - y} for x, y in drawn]
    project.write("mine.py", module)
    changed(project)
    fed(project, every[:BEFORE_N])
    went_on(project)
    fed(project, every[BEFORE_N:])
    changed(project, f"[[detectors]]\n{detector}\n")

    done = went_on(project)

    (line,) = said(done, "recipe_changed")
    assert "on_change=keep genesis=120" in line
    assert predicted(project) == loop(model(), every)


# -- settings that the model is made of -----------------------------------------------------------

ALL_OF_EVENTS = (
    '[events]\nid = "order"\nlabel = "y"\npositive = "UP"\nfeatures = "*"\nignore = ["note"]\n'
    'missing = "refuse"\n'
)
ASKED = {
    "(model.params.l2: unset -> 0.5)": MODEL + "params = { l2 = 0.5 }\n" + EVENTS,
    "(model.factory: mine:make -> mine:other)": MODEL.replace("make", "other") + EVENTS,
    "(model.hash_seed: 284555134 -> 7)": MODEL + "hash_seed = 7\n" + EVENTS,
    '(events.id: "id" -> "order")': MODEL + EVENTS + 'id = "order"\n',
    '(events.id: "id" -> "order"; events.label: "label" -> "y"; events.positive: null -> "UP"; '
    'events.flat: false -> true; events.ignore: [] -> ["note"]; events.missing: "absent" -> '
    '"refuse"; events.extra: "ignore" -> "refuse")': MODEL + ALL_OF_EVENTS,
}


@pytest.mark.parametrize("what", ASKED)
def test_what_makes_another_model_has_to_be_asked_for(waiting: Project, what: str) -> None:
    """78, one line that says what changed, and nothing is published."""
    waiting.configure(EMBEDDED + ASKED[what])

    line = refused(waiting)

    assert line == (
        "stream: model: the recipe is not the one that partition 0 was committed with "
        f'{what}; set it back, or set model.on_change = "rebuild" (replay the log under the new '
        'one) or "fresh" (untrained from here)'
    )


def test_to_keep_a_model_under_other_parameters_is_refused(waiting: Project) -> None:
    """It would not have them, whatever the configuration says."""
    waiting.configure(EMBEDDED + MODEL + "params = { l2 = 0.5 }\n" + EVENTS)

    line = refused(waiting, STREAM__MODEL__ON_CHANGE="keep")

    assert 'model.on_change = "keep": model.params.l2 changed, so partition 0 needs' in line


def test_rebuild_replays_the_log_under_the_new_model(waiting: Project) -> None:
    """What was published stays; what follows is by a model that has learned it all."""
    published = predicted(waiting)
    waiting.configure(EMBEDDED + MODEL.replace("make", "other") + EVENTS)

    done = went_on(waiting, STREAM__MODEL__ON_CHANGE="rebuild")

    (line,) = said(done, "recipe_changed")
    assert "on_change=rebuild genesis=0" in line
    again = plain_loop.classify(other(), BEFORE + AFTER)
    assert predicted(waiting) == published + again[BEFORE_N:]


def test_fresh_goes_on_untrained(waiting: Project) -> None:
    """What was published stays; what follows is by a model that has learned nothing."""
    published = predicted(waiting)
    waiting.configure(EMBEDDED + MODEL + "params = { l2 = 0.5 }\n" + EVENTS)

    done = went_on(waiting, STREAM__MODEL__ON_CHANGE="fresh")

    (line,) = said(done, "recipe_changed")
    assert "on_change=fresh genesis=120" in line
    assert predicted(waiting) == published + plain_loop.classify(make(0.5), AFTER)


# -- a detector changed twice, and back -----------------------------------------------------------


def _announced(project: Project) -> None:
    """What `check` says before a changed detector's first start."""
    checked = project.stream("check")
    assert checked.code == 0, checked
    assert "note state: partition 0: only settings changed, the learner is kept (" in checked.out


def _told(project: Project, n: int, *, began: int) -> None:
    """What `snapshots verify` and `status` say after so many events, `began` of an earlier fold."""
    verified = project.stream("snapshots", "verify")
    (row,) = project.stream("status", "--json").json["partitions"]
    assert verified.code == 0, verified
    assert f"partition 0 offset {n}: ok, 0 records replayed" in verified.out
    assert f"partition 0 offset {began}: of another recipe (detectors: " in verified.out
    told = "committed_offset", "end_offset", "lag", "learned", "snapshot_offset", "snapshot_n"
    assert tuple(row[name] for name in told) == (n, n, 0, n, n, n)


def test_a_detector_changed_twice_and_back(waiting: Project) -> None:
    """Each time `check` announces it, and `verify` and `status` say the truth afterwards."""
    every, n = BEFORE + AFTER, len(BEFORE)
    for stage, settings in enumerate((PAGE_HINKLEY, PAGE_HINKLEY + ADWIN, "")):
        began, n = n, len(every)
        changed(waiting, settings)
        _announced(waiting)
        if stage == 0:
            verified = waiting.stream("snapshots", "verify")
            assert verified.code == 78, verified
            assert "was committed with another recipe" in verified.err
        (line,) = said(went_on(waiting), "recipe_changed")
        assert f"partition=0 on_change=keep genesis={began} " in line
        _told(waiting, n, began=began)
        more = events(30, seed=10 + stage, most=1.0)
        fed(waiting, more)
        every += more

    done = went_on(waiting)
    checked = waiting.stream("check")

    assert not said(done, "recipe_changed")
    assert 'origin="snapshot at 240"' in done.err
    assert checked.code == 0, checked
    assert "ok state: every partition can be rebuilt from the log and its bases" in checked.out
    assert predicted(waiting) == plain_loop.classify(make(), every)
