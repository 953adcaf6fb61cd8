"""An estimator that does what another one does, in a way of its own, on that one's very state.

The fold calls the one and keeps the other: whatever is pickled, copied, looked at or written down
is the model that is stood for, as if it had been called itself. Who makes such estimators
(`stream.models.fast`) the core does not know; a recipe brings the function (`Recipe.quicken`).
"""

import copy
from abc import abstractmethod
from typing import Any

from river import base

from stream.core.recipe import itself


class StandIn(base.Estimator):
    """Stands for another estimator. Pickled or copied, it is that one."""

    @property
    @abstractmethod
    def model(self) -> base.Estimator:
        """What it stands for, with all that it has learned: asked for, it is up to date.

        What is learned later is in there once somebody asks again.
        """

    @property
    def _last_step(self) -> base.Estimator:
        """What river asks a pipeline for: `isinstance` goes by it."""
        return self.model

    @property
    def _supervised(self) -> bool:
        return bool(self.model._supervised)  # noqa: SLF001  # river's tag

    def clone(
        self, new_params: dict[str, Any] | None = None, include_attributes: bool = False
    ) -> Any:
        """A clone of the model; river's own way to make one."""
        return self.model.clone(new_params, include_attributes)

    def __copy__(self) -> Any:
        return copy.copy(self.model)

    def __reduce_ex__(self, protocol: Any) -> Any:
        # Its model's own reduction is for objects of that class alone: pickle looks.
        return itself, (self.model,)

    def __repr__(self) -> str:
        return repr(self.model)

    def __str__(self) -> str:
        return str(self.model)


def is_stand_in(value: object) -> bool:
    """Whether it stands for another; a pipeline that ends in one does not."""
    return issubclass(type(value), StandIn)


def plain(model: Any) -> Any:
    """What a model stands for, up to date; any other model itself."""
    return model.model if is_stand_in(model) else model
