"""Linear models whose steps are fused, and what of them must be river's own."""

from collections.abc import Callable
from typing import Any

from river import compose, linear_model, optim
from river import preprocessing as pre

from stream.core.snapshots import pickling
from stream.core.stand_in import plain


def _own_weights(first: float) -> Any:
    return pre.StandardScaler() | linear_model.LinearRegression(
        loss=optim.losses.Absolute(),
        initializer=optim.initializers.Constant(first),
        clip_gradient=0.25,
        intercept_init=3,
    )


SCALED: dict[str, Callable[[], Any]] = {
    "river's defaults": lambda: pre.StandardScaler() | linear_model.LogisticRegression(),
    "a regressor": lambda: pre.StandardScaler() | linear_model.LinearRegression(),
    "rates that fall": lambda: (
        pre.StandardScaler()
        | linear_model.LogisticRegression(
            optimizer=optim.SGD(optim.schedulers.InverseScaling(0.3)),
            intercept_lr=optim.schedulers.InverseScaling(0.1),
        )
    ),
    "whole rates": lambda: (
        pre.StandardScaler()
        | linear_model.LogisticRegression(optimizer=optim.SGD(1), intercept_lr=1)
    ),
    "own weights, loss and clipping": lambda: _own_weights(0.5),
    "whole weights": lambda: _own_weights(1),
    "l2": lambda: pre.StandardScaler() | linear_model.LogisticRegression(l2=0.1),
    "l2, whole": lambda: pre.StandardScaler() | linear_model.LinearRegression(l2=1),
    "weighted classes": lambda: (
        pre.StandardScaler()
        | linear_model.LogisticRegression(loss=optim.losses.Log(weight_pos=3, weight_neg=0.2))
    ),
}
"""Behind river's scaler; to learn by plain gradient descent."""


def state(model: Any) -> bytes:
    """Of the steps, also of pipelines inside: one that was called itself keeps a cache."""
    return pickling.dumps([_steps(plain(model))])


def _steps(model: Any) -> Any:
    if isinstance(model, compose.TransformerUnion):
        return {name: _steps(part) for name, part in model.transformers.items()}
    if not isinstance(model, compose.Pipeline):
        return model
    return {name: _steps(step) for name, step in model.steps.items()}
