"""Quicker ways to call river's models, and ours: the same arithmetic, in the same order.

`quick` gives an estimator that does to every bit what a model does, on that model's very state. It
was compared with one river; of any other nothing is quicker, and each model keeps its own methods.
"""

from river import base
from river.__version__ import __version__ as river_version

from stream.core.compared import is_compared
from stream.core.stand_in import is_stand_in
from stream.models.fast.estimator import Quick
from stream.models.fast.pipeline import quicker, unknown, write_back_of

__all__ = ["Quick", "path", "quick"]


def quick(model: base.Estimator) -> base.Estimator:
    """A quicker estimator that stands for this one; itself, if it is one or none is known.

    Whoever has it calls it alone: what the model learned by it is in the model once `model` of the
    quick one was asked for, or it was pickled.
    """
    if is_stand_in(model):
        return model
    methods = quicker(model)
    is_known = methods is not model
    return Quick(model, methods, write_back=write_back_of(methods)) if is_known else model


def path(model: base.Estimator) -> str:
    """How a fold calls a model, for people: in a quicker way than river's own, or why not."""
    if not is_compared():
        return f"its own methods: river {river_version} was not compared with a quicker way"
    found = quick(model)
    return found.path if isinstance(found, Quick) else f"its own methods: {unknown(model)}"
