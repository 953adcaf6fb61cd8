"""The pipelines of the demo, and the configuration files that make them."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stream.sandbox import Sandbox

EVENTS_TOPIC = "flights.events"
HASH_SEED = 1
"""The hash seed of the workers and of the plain loop; the two models do not depend on it."""

ADWIN_DELTA = 1e-5
"""One day of flights is unlike the next: river's default of 0.002 would alarm every other day."""

RECOVERY_TIME_S = 6
"""The shortest: a worker then saves a snapshot for every 3 s of replay, several in one demo."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pipeline:
    """One model on the stream of flights.

    Attributes:
        name: what the pipeline and its consumer group are called.
        title: what people read instead of the name.
        how: one sentence about the model, for people.
        labels_wait: so long an event waits for its label, of another topic; "": it brings it.
    """

    name: str
    title: str
    how: str
    factory: str
    params: dict[str, Any] = field(default_factory=dict)
    labels_wait: str = ""


STEADY = Pipeline(
    name="flights-linear",
    title="logistic regression",
    how="keeps a weight for each word and number",
    factory="stream.models:logistic_regression",
    params={"learning_rate": 0.05},
)
VICTIM = Pipeline(
    name="flights-neighbors",
    title="nearest neighbours",
    how="asks the 15 most alike of the last 250 flights",
    factory="stream.models:k_nearest_neighbors",
    params={"n_neighbors": 15, "window_size": 250},
)
LATE = Pipeline(
    name="flights-late",
    title="labels a day late",
    how=STEADY.how,
    factory=STEADY.factory,
    params=STEADY.params,
    labels_wait="3d",
)


def write_config(pipeline: Pipeline, sandbox: Sandbox, folder: Path) -> Path:
    """Write a pipeline's configuration for this sandbox; its path."""
    path = folder / f"{pipeline.name}.toml"
    params = ", ".join(f"{name} = {json.dumps(value)}" for name, value in pipeline.params.items())
    path.write_text(
        f'pipeline = "{pipeline.name}"\n'
        f"{_servers(sandbox)}"
        f"{_inputs(pipeline)}"
        f'[model]\nfactory = "{pipeline.factory}"\nparams = {{ {params} }}\n'
        f"hash_seed = {HASH_SEED}\n"
        f'[worker]\ninstance = "{pipeline.name}-0"\n'
        f"[snapshots]\nrecovery_time_s = {RECOVERY_TIME_S}\n"
        '[alerts]\npolicy = "raw"\n'  # the report shows each firing
        '[[detectors]]\nname = "adwin"\ntype = "ADWIN"\nsignal = "error"\n'
        f"params = {{ delta = {ADWIN_DELTA} }}\n",
        encoding="utf-8",
    )
    return path


def _inputs(pipeline: Pipeline) -> str:
    """The tables of the topics that it reads."""
    if not pipeline.labels_wait:
        return f'[topics]\nevents = "{EVENTS_TOPIC}"\n[events]\nlabel = "late"\n'
    return (
        f'[topics]\nevents = "{pipeline.name}.events"\nlabels = "{pipeline.name}.labels"\n'
        # A busy machine must not look like a topic that does not answer.
        f'[labels]\nwait = "{pipeline.labels_wait}"\npatience = "30s"\n'
    )


def _servers(sandbox: Sandbox) -> str:
    if sandbox.bootstrap_servers is None or sandbox.redis_url is None:
        # JSON's strings are TOML's.
        return f'[kafka]\nclient = "embedded"\npath = {json.dumps(str(sandbox.log_path))}\n'
    return (
        f'[kafka]\nbootstrap_servers = "{sandbox.bootstrap_servers}"\n'
        f'[redis]\nurl = "{sandbox.redis_url}"\n'
    )
