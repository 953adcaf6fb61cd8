"""A state over its ceiling is told when it gets there, and each time that it has doubled."""

from pathlib import Path

import pytest
from msgspec import UNSET, UnsetType

from stream.config import from_mapping, load
from stream.core.event import Channel, Kind, Record
from stream.core.fold.alert_values import FULL
from stream.core.fold.task import Task
from stream.core.formats import canonical
from stream.core.result import AlertValue, Evidence
from stream.core.spec import Limits
from stream.ports import TopicInfo
from stream.runtime import published
from stream.runtime.capacity import largest_bytes, size_problems
from stream.runtime.ceiling import NAMES_CLOSED, STILL_GROWS, Ceiling
from stream.telemetry import LogEvent
from stream.topic_settings import Accepts
from tests.folds import PARTITION, event, recipe
from tests.instruments.simulation.doubles import Diary

LIMITS = Limits(state_bytes_max=1024)


def test_a_model_that_grows_with_closed_names_is_told_at_each_doubling() -> None:
    """And what to do: at first the names are to blame, later they are closed."""
    telemetry = Diary("w", None)
    ceiling = Ceiling(telemetry)
    task = Task(
        recipe("stream.models:logistic_regression", detectors=(), limits=LIMITS),
        partition=PARTITION,
    )
    task.step(event(0, {"a": 1.0}, label=True))
    for size in (1000, 1024, 1025, 1500, 2050, 2051, 4000, 4102, 4103):
        ceiling.weigh(task, size)
        task.admission.close_if_heavy()
    said = [fields for name, fields in telemetry.said if name is LogEvent.STATE_TOO_LARGE]
    assert [(fields["size_bytes"], fields["then"]) for fields in said] == [
        (1025, NAMES_CLOSED), (2051, STILL_GROWS), (4103, STILL_GROWS),
    ]  # fmt: skip
    assert {(f["partition"], f["names"], f["state_bytes_max"]) for f in said} == {
        (PARTITION, 1, 1024)
    }


def test_a_partition_that_comes_back_is_told_anew() -> None:
    """Its line may be in another worker's log."""
    telemetry = Diary("w", None)
    ceiling = Ceiling(telemetry)
    task = Task(recipe("stream.models:no_change", limits=LIMITS), partition=PARTITION)
    for _ in range(2):
        ceiling.weigh(task, 5000)
        ceiling.weigh(task, 5000)
        ceiling.release(PARTITION)
    assert len(telemetry.said) == 2


@pytest.mark.parametrize(("state", "offset"), [(UNSET, 7), ("firing", 7), ("resolved", None)])
def test_only_the_beginning_of_its_alert_tells_where_it_was(
    state: str | UnsetType, offset: int | None
) -> None:
    """A restore looks for it; the record of its end lies at another step."""
    alert = AlertValue(
        id="p/0/7/model:names", kind="input", detector="state_bytes", name=FULL, signal="names",
        partition=0, offset=7, event_time="", learned=7, evidence=Evidence(None, 3.0), message="",
        state=state,
    )  # fmt: skip
    record = Record(0, 0, 0, None, canonical.alert(alert))
    assert published._left_out_at(record, topic="p.events") == offset


def test_a_policy_on_alerts_needs_room_for_a_storm() -> None:
    """And for what each detector saw; without one an alert is as small as it was."""
    tree = {"pipeline": "p", "model": {"factory": "river.dummy:PriorClassifier"}}
    raw = largest_bytes(Channel.ALERTS, from_mapping({**tree, "alerts": {"policy": "raw"}}))
    quiet = largest_bytes(Channel.ALERTS, from_mapping({**tree, "alerts": {"policy": "quiet"}}))
    detectors = [{"type": "ADWIN", "name": f"a{n}"} for n in range(40)]
    more = {**tree, "alerts": {"policy": "quiet"}, "detectors": detectors}
    assert raw < quiet < largest_bytes(Channel.ALERTS, from_mapping(more)) < 1_000_000


@pytest.mark.parametrize("kind", Kind)
def test_with_the_defaults_a_topic_of_kafkas_defaults_takes_every_prediction(
    kind: Kind, tmp_path: Path
) -> None:
    """Whatever the model does; a narrower one is a problem only where labels name classes."""
    path = tmp_path / "stream.toml"
    path.write_text('pipeline = "p"\n[model]\nfactory = "river.dummy:PriorClassifier"\n')
    settings = load(path, environ={})
    usual = {Channel.PREDICTIONS: TopicInfo("p.predictions", "id", 1, accepts=Accepts(1_048_588))}
    narrow = {Channel.PREDICTIONS: TopicInfo("p.predictions", "id", 1, accepts=Accepts(200_000))}
    assert not size_problems(usual, settings, kind)
    assert bool(size_problems(narrow, settings, kind)) == (kind is Kind.MULTICLASS)
    assert largest_bytes(Channel.PREDICTIONS, settings) < 1_048_588
