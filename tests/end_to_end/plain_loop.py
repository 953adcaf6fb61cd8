"""The answer: river in a plain loop. Imports nothing of `stream`, on purpose.

For each event in order: predict, then learn, then the detectors. What it gives is what the worker
must publish, bit for bit, whatever was killed in between.
"""

from collections.abc import Iterable
from typing import Any

from river import drift

Event = dict[str, Any]


def classify(model: Any, events: Iterable[Event], *, positive: Any = None) -> list[dict[str, Any]]:
    """What a classifier's prediction records say, without ids and offsets."""
    expected = []
    learned = 0
    for event in events:
        features, label = event["features"], event.get("label")
        if positive is not None and label is not None:
            label = label == positive
        probabilities = model.predict_proba_one(features)
        one: dict[str, Any] = {
            "prediction": model.predict_one(features),
            "probabilities": {
                ("true" if c is True else "false" if c is False else str(c)): p
                for c, p in probabilities.items()
            },
            "learned": learned,
        }
        if label is not None:
            one["label"] = label
            model.learn_one(features, label)
            learned += 1
        expected.append(one)
    return expected


def regress(model: Any, events: Iterable[Event]) -> list[dict[str, Any]]:
    """What a regressor's prediction records say."""
    expected = []
    for learned, event in enumerate(events):
        prediction = model.predict_one(event["features"])
        expected.append({"prediction": prediction, "label": event["label"], "learned": learned})
        model.learn_one(event["features"], event["label"])
    return expected


def score(model: Any, events: Iterable[Event]) -> list[dict[str, Any]]:
    """What an anomaly detector's prediction records say; it learns without the label."""
    expected = []
    for learned, event in enumerate(events):
        one = {"score": model.score_one(event["features"]), "learned": learned}
        if event.get("label") is not None:
            one["label"] = event["label"]
        expected.append(one)
        model.learn_one(event["features"])
    return expected


def drifts(errors: Iterable[int]) -> list[tuple[str, int]]:
    """(detector, index) of every drift that ADWIN and DDM see in 0/1 errors."""
    detectors: dict[str, Any] = {"adwin": drift.ADWIN(), "ddm": drift.binary.DDM()}
    seen = []
    for index, error in enumerate(errors):
        for name, detector in detectors.items():
            detector.update(error)
            if detector.drift_detected:
                seen.append((name, index))
    return seen
