"""A quick model that carries a large state: what its snapshots cost is the state's, not its own.

The state is real: trained river trees, which pickle as slowly as river's do.
"""

import pickle
import threading
import time
from functools import cache
from typing import Any

from river import base

from tests.instruments.bench.events import Features, events
from tests.instruments.bench.meter import waited_s
from tests.instruments.bench.step import make_model

TRAINED = {"none": ("lr", 0), "tree": ("ht", 20_000), "forest": ("arf", 5_000)}

GAP_S_MIN = 0.001


class Gaps:
    """The pauses between events, as the model sees them; no part of any state.

    Time without a core is taken out, and so is what the worker waited for its log.
    """

    def __init__(self) -> None:
        self.long_s: list[float] = []
        """Those of at least `GAP_S_MIN`."""
        self._last: float | None = None
        self._called_s = 0.0
        self._waited_s = 0.0

    def event(self) -> None:
        """An event was learned."""
        now = time.perf_counter()
        if self._last is None:
            self._without_core_s()
        elif now - self._last >= GAP_S_MIN:
            # Looked at only here: whoever stands without a core for long has such a gap.
            gap_s = now - self._last - self._called_s - self._without_core_s()
            if gap_s >= GAP_S_MIN:
                self.long_s.append(gap_s)
        self._last = now
        self._called_s = 0.0

    def called(self, seconds: float) -> None:
        """The worker was in a call of its log."""
        if self._last is not None:
            without_s = self._without_core_s() if seconds >= GAP_S_MIN else 0.0
            self._called_s += max(0.0, seconds - without_s)
            self._last += min(seconds, without_s)

    def _without_core_s(self) -> float:
        """What this thread stood in the run queue since the last look."""
        waited = waited_s(threading.get_native_id())
        took_s, self._waited_s = waited - self._waited_s, waited
        return took_s


GAPS = Gaps()


class Laden(base.Classifier):
    """Logistic regression beside a cargo that it never touches.

    Args:
        cargo: only pickled.
        effort: how many times it learns each event; large models are slow, too.
    """

    def __init__(self, cargo: list[Any], effort: int) -> None:
        self.cargo = cargo
        self.effort = effort
        self.model = make_model("lr")

    def learn_one(self, x: Features, y: bool) -> None:  # type: ignore[override]  # river's are wider
        """As any classifier."""
        for _ in range(self.effort):
            self.model.learn_one(x, y)
        GAPS.event()

    def predict_proba_one(self, x: Features) -> dict[bool, float]:  # type: ignore[override]  # the same
        """As any classifier."""
        told: dict[bool, float] = self.model.predict_proba_one(x)
        return told


def make(kind: str, copies: int, effort: int = 1) -> Laden:
    """The factory: some copies of a trained model are the cargo."""
    cargo = [pickle.loads(_trained(kind)) for _ in range(copies)]  # noqa: S301  # our own
    return Laden(cargo, effort)


@cache
def _trained(kind: str) -> bytes:
    model, n = TRAINED[kind]
    learner = make_model(model)
    for _, features, label in events(n):
        learner.learn_one(features, label)
    return pickle.dumps(learner, pickle.HIGHEST_PROTOCOL)
