"""What monitors are shown: events, and labels that came later than theirs."""

from collections.abc import Mapping
from typing import Any

from stream.core.event import Feature

Row = tuple[Mapping[str, Feature], Any, Any, float | None, float | None]
"""Of one event: features, label, the prediction's value, what detectors on "prediction" are told of
it, and its error; None: it has no label."""

LabelRow = tuple[Mapping[str, Feature], Any, float | None, float, Any]
"""Of a label that came later: the event's features, the label, what detectors on "prediction" were
told of it, the error, and the last label that had come when it was predicted."""
