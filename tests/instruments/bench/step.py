"""What is done with an event, the same in every loop: predict, learn, look for drift."""

from typing import Any, NamedTuple

from tests.instruments.bench.events import Features

MODELS = {"lr": "logistic regression", "ht": "Hoeffding tree", "arf": "adaptive random forest 10"}


def make_model(kind: str) -> Any:
    """An untrained model, with river's defaults."""
    from river import forest, linear_model, preprocessing, tree  # noqa: PLC0415  # slow to import

    if kind == "lr":
        return preprocessing.StandardScaler() | linear_model.LogisticRegression()
    if kind == "ht":
        return tree.HoeffdingTreeClassifier()
    assert kind == "arf"
    return forest.ARFClassifier(n_models=10, seed=1)


class Answer(NamedTuple):
    """What a step gives.

    Attributes:
        p: the probability of true.
        prediction: the likeliest label; None as long as the model knows none.
        drift: whether a detector saw one.
    """

    p: float
    prediction: bool | None
    drift: bool


class Step:
    """Model and detectors: all that a loop carries from event to event."""

    __slots__ = ("adwin", "ddm", "model", "n")

    def __init__(self, kind: str) -> None:
        from river import drift  # noqa: PLC0415  # slow to import

        self.model = make_model(kind)
        self.adwin: Any = drift.ADWIN()
        self.ddm: Any = drift.binary.DDM()
        self.n = 0

    def __call__(self, features: Features, label: bool) -> Answer:
        """Predict, then learn."""
        probabilities: dict[bool, float] = self.model.predict_proba_one(features)
        self.model.learn_one(features, label)
        prediction = max(probabilities, key=probabilities.__getitem__) if probabilities else None
        error = prediction != label
        adwin, ddm = self.adwin, self.ddm
        adwin.update(error)
        ddm.update(error)
        self.n += 1
        drift = adwin.drift_detected or ddm.drift_detected
        return Answer(probabilities.get(True, 0.0), prediction, drift)
