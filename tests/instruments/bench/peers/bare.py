"""The bare river loop: decoded events in memory, predict, learn, ADWIN and DDM; nothing else."""

import gc
from typing import Any

from tests.instruments.bench.digest import Predicted, digest
from tests.instruments.bench.events import events
from tests.instruments.bench.meter import Meter, Spec, serve
from tests.instruments.bench.step import Step, make_model


def run(spec: Spec, meter: Meter) -> None:
    """`loop` is what everything is measured against; `answers` is what everything must say."""
    if spec.variant == "answers":
        _answers(spec, meter)
        return
    from river import drift  # noqa: PLC0415  # slow to import

    model = make_model(spec.model)
    data = [(features, label) for _, features, label in events(spec.events_n)]
    predict, learn = model.predict_proba_one, model.learn_one
    adwin: Any = drift.ADWIN()
    ddm: Any = drift.binary.DDM()
    errors = 0
    gc.collect()
    meter.start()
    for features, label in data:
        probabilities = predict(features)
        learn(features, label)
        prediction = max(probabilities, key=probabilities.__getitem__) if probabilities else None
        error = prediction != label
        adwin.update(error)
        ddm.update(error)
        errors += error
    meter.stop()
    meter.tell(errors=errors)


def _answers(spec: Spec, meter: Meter) -> None:
    """The digest of the bare loop's predictions; a pass of its own, for keeping them costs time."""
    step = Step(spec.model)
    meter.start()
    told, errors = [], 0
    for event_id, features, label in events(spec.events_n):
        answer = step(features, label)
        told.append(Predicted(event_id, answer.prediction, answer.p))
        errors += answer.prediction != label
    meter.stop()
    meter.tell(digest=digest(told), errors=errors)


if __name__ == "__main__":
    serve(run)
