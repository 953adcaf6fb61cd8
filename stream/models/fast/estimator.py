"""An estimator whose methods are quicker than those of the one it stands for."""

from collections.abc import Callable
from types import MethodType
from typing import Any

from river import base

from stream.core.stand_in import StandIn

_METHODS = ("predict_one", "predict_proba_one", "score_one")


class Quick(StandIn):
    """Does what a model does, on its very state, by methods that were bound when it was made.

    What the methods keep apart is written back whenever somebody asks for `model`: to pickle it,
    for one.

    Args:
        model: river's, or a wrapper of ours.
        methods: what does the same, quicker.
        write_back: writes what the methods keep apart into the model.

    Attributes:
        learn_one, predict_one, predict_proba_one, score_one: as far as the model has them.
        path: how it is quicker, for people.
    """

    def __init__(self, model: Any, methods: Any, *, write_back: Callable[[], None]) -> None:
        self._model, self._write_back = model, write_back
        self.path: str = methods.path
        self.learn_one: Callable[..., None] = methods.learn_one
        for name in _METHODS:
            method = getattr(methods, name, None)
            if method is not None:
                setattr(self, name, method)
            elif name == "predict_one" and isinstance(model, base.Classifier):
                # All that are quicker take the likeliest class, as river's classifiers do.
                self.predict_one = MethodType(base.Classifier.predict_one, methods)

    @property
    def model(self) -> base.Estimator:
        """What it stands for, with all that it has learned."""
        self._write_back()
        return self._model  # type: ignore[no-any-return]
