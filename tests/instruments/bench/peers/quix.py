"""Quix Streams: a StreamingDataFrame that applies the step to each event.

at-least-once, exactly-once  the model lives in the process: a crash loses what it learned
counters-in-state            the same, with one small number in Quix's state for each event
model-in-state               the pickled model is in Quix's state: what recovers it exactly-once
"""

import pickle
from typing import Any

from quixstreams import Application, State

from tests.instruments.bench import codec
from tests.instruments.bench.meter import Meter, Spec, serve
from tests.instruments.bench.peers.pace import BATCH, FETCH_WAIT_MS, INTERVAL_S
from tests.instruments.bench.step import Step


class _Application(Application):  # type: ignore[misc]  # no types in our own environment
    """Stops the clock after the last checkpoint, before the clients are closed."""

    meter: Meter

    def _run_dataframe(self, *arguments: Any, **settings: Any) -> None:
        super()._run_dataframe(*arguments, **settings)
        self.meter.stop()


def run(spec: Spec, meter: Meter) -> None:
    """One of the module's loops."""
    exactly_once = spec.variant != "at-least-once"
    app = _Application(
        broker_address=spec.bootstrap,
        consumer_group=spec.name,
        auto_offset_reset="earliest",
        commit_interval=INTERVAL_S,
        commit_every=BATCH,
        state_dir=spec.folder,
        processing_guarantee="exactly-once" if exactly_once else "at-least-once",
        consumer_extra_config={"fetch.wait.max.ms": FETCH_WAIT_MS},
        loglevel="WARNING",
    )
    app.meter = meter
    source = app.topic(spec.topic, value_deserializer="json", key_deserializer="bytes")
    target = app.topic(spec.name, value_serializer="json", key_serializer="bytes")
    step = Step(spec.model)

    def learn(event: dict[str, Any]) -> dict[str, object]:
        meter.start()
        event_id, label = event["id"], event["label"]
        return codec.prediction(event_id, label, step(event["features"], label))

    def learn_and_count(event: dict[str, Any], state: State) -> dict[str, object]:
        state.set("n", state.get("n", 0) + 1)
        return learn(event)

    def learn_from_state(event: dict[str, Any], state: State) -> dict[str, object]:
        nonlocal step
        stored = state.get_bytes("step")
        if stored is not None:
            step = pickle.loads(stored)  # noqa: S301  # our own, of a moment ago
        answer = learn(event)
        state.set_bytes("step", pickle.dumps(step, pickle.HIGHEST_PROTOCOL))
        return answer

    stateful = {"counters-in-state": learn_and_count, "model-in-state": learn_from_state}
    frame = app.dataframe(source)
    if spec.variant in stateful:
        frame = frame.apply(stateful[spec.variant], stateful=True)
    else:
        frame = frame.apply(learn)
    frame.to_topic(target)
    app.run(count=spec.events_n, collect=False)


if __name__ == "__main__":
    serve(run)
