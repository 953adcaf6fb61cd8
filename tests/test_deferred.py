"""River without half of scipy: the same results, and nobody but river sees a stand-in."""

import json
import subprocess
import sys
from pathlib import Path

from tests.commands.project import EMBEDDED, Project

ASKED = """
import json, math, sys
if sys.argv[1] == "deferred":
    from stream.deferred import load_river
    load_river()
from river import drift, metrics, proba, tree
import stream.core.fold.task, stream.models
loaded_by_river = sorted(n for n in ("scipy.integrate", "scipy.stats") if n in sys.modules)
stand_ins = sorted(
    f"{name}.{key}" for name, module in list(sys.modules.items())
    for key, value in list(vars(module).items()) if type(value).__name__.startswith("Deferred")
    and not name.startswith("stream.deferred")
)
kswin = drift.KSWIN(seed=1)
alarms = []
for n in range(900):
    kswin.update(math.sin(n) + (n > 500))
    if kswin.drift_detected:
        alarms.append(n)
gaussian = proba.MultivariateGaussian(seed=1)
sgt = tree.SGTClassifier(grace_period=20)
auc, mean = metrics.ROCAUC(), metrics.GeometricMean()
scores = []
for n in range(400):
    x = {"a": math.sin(n), "b": math.cos(3 * n)}
    y = x["a"] > 0.3
    gaussian.update(x)
    scores.append(sgt.predict_proba_one(x).get(True, 0.0))
    sgt.learn_one(x, y)
    auc.update(y, scores[-1])
    mean.update(y, scores[-1] > 0.5)
import scipy.stats
print(json.dumps({
    "loaded by river": loaded_by_river, "stand-ins": stand_ins,
    "scipy is": type(scipy.stats).__name__,
    "found": [
        alarms, gaussian({"a": 0.1, "b": 0.2}), sum(scores), sgt.height, auc.get(), mean.get()
    ],
}))
"""

EARLY = """
import sys
from stream.deferred import scipy_deferred
with scipy_deferred():
    from river import drift
    kswin = drift.KSWIN(seed=1)
    for n in range(300):
        kswin.update(n)
    import scipy.stats
print(type(scipy.stats).__name__, kswin.p_value)
"""


def _said(program: str, *words: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", program, *words], capture_output=True, text=True, check=True
    )
    return done.stdout


def test_what_river_computes_with_scipy_is_the_same_to_the_last_bit() -> None:
    """Each module of river that holds a stand-in gives what it gives with the real thing."""
    deferred, plain = (json.loads(_said(ASKED, how)) for how in ("deferred", "plain"))
    assert deferred["found"] == plain["found"]
    assert deferred["found"][0]  # it compared distributions, and found one that is another
    assert deferred["found"][3]  # the tree split, so it asked for F's distribution
    assert plain["loaded by river"] == ["scipy.integrate", "scipy.stats"]
    assert plain["stand-ins"] == []


def test_stand_ins_are_in_river_and_nowhere_else() -> None:
    """What a user imports of scipy, and what scipy imports itself, is the real one."""
    found = json.loads(_said(ASKED, "deferred"))
    assert found["loaded by river"] == []
    assert found["scipy is"] == "module"
    assert found["stand-ins"] == [
        "river.drift.kswin.stats",
        "river.metrics.geometric_mean.stats",
        "river.metrics.roc_auc.integrate",
        "river.proba.gaussian.multivariate_normal",
        "river.tree.stochastic_gradient_tree.f_dist",
    ]


def test_a_stand_in_may_be_called_while_river_is_loaded() -> None:
    """A detector is tried where the configuration is read: it gets the real function."""
    kind, p_value = _said(EARLY).split()
    assert kind == "module"
    assert 0 <= float(p_value) <= 1


SPY = """
import os, sys
from river import linear_model

def model():
    with open("seen.txt", "a") as seen:
        seen.write(f"{os.getpid()} {'scipy.stats' in sys.modules}\\n")
    return linear_model.LogisticRegression()
"""


def test_a_worker_of_a_linear_model_never_loads_scipys_distributions(tmp_path: Path) -> None:
    """Neither where it runs, nor in the process that tries its model before the first event."""
    project = Project(tmp_path)
    project.configure(EMBEDDED + '[model]\nfactory = "spy:model"\n')
    project.write("spy.py", SPY)
    assert project.fed(50).code == 0
    with project.running("run", "-c", "stream.toml", "--until-end") as worker:
        assert worker.end().code == 0
    seen = [line.split() for line in (tmp_path / "seen.txt").read_text().splitlines()]
    assert len({process for process, _ in seen}) > 1
    assert {loaded for _, loaded in seen} == {"False"}
