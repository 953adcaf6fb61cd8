"""The fingerprint changes with everything that decides what is computed, and with nothing else."""

import datetime as dt
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import pytest

from stream.core.labels.labels_spec import LabelsSpec
from stream.core.parts import Part
from stream.core.recipe import Recipe, changes, source_digest
from stream.core.spec import DetectorSpec, EventShape, Limits, ModelSpec

RECIPE = Recipe(
    pipeline="power",
    events_topic="power.events",
    model=ModelSpec(factory="stream.models:logistic_regression", params={"l2": 0.1, "seed": 1}),
    detectors=(DetectorSpec(name="adwin", type="ADWIN"),),
    shape=EventShape(ignore=frozenset({"a", "b", "c"})),
    limits=Limits(),
    hash_seed=7,
    source="00ff",
)


@pytest.mark.parametrize(
    ("part", "change"),
    [
        ("topics.events", {"events_topic": "other"}),
        ("model.factory", {"model": replace(RECIPE.model, factory="stream.models:naive_bayes")}),
        ("model.params.seed", {"model": replace(RECIPE.model, params={"l2": 0.1, "seed": 2})}),
        ("model.params.seed", {"model": replace(RECIPE.model, params={"l2": 0.1})}),
        ("model.params.seed", {"model": replace(RECIPE.model, params={"l2": 0.1, "seed": "1"})}),
        ("detectors.adwin", {"detectors": (replace(RECIPE.detectors[0], params={"delta": 0.1}),)}),
        ("detectors.adwin", {"detectors": (replace(RECIPE.detectors[0], signal="label"),)}),
        ("events.label", {"shape": replace(RECIPE.shape, label="target")}),
        ("events.ignore", {"shape": replace(RECIPE.shape, ignore=frozenset({"a"}))}),
        ("events.flat", {"shape": replace(RECIPE.shape, flat=True)}),
        ("events.positive", {"shape": replace(RECIPE.shape, positive="UP")}),
        ("limits.features_max", {"limits": Limits(features_max=7)}),
        ("model.hash_seed", {"hash_seed": 8}),
        ("model source", {"source": "ff00"}),
    ],
)
def test_each_part_changes_the_fingerprint_and_is_named(part: str, change: dict[str, Any]) -> None:
    """An operator who changed one thing is told that thing, before and after."""
    other = replace(RECIPE, **change)
    before, after = RECIPE.parts(), other.parts()

    (told,) = changes(before, after)

    assert other.fingerprint() != RECIPE.fingerprint()
    assert told.startswith(f"{part}: ")
    for value in (before.get(part), after.get(part)):
        assert value is None or value in told


def test_a_changed_setting_is_told_with_its_default() -> None:
    """Not as `unset`: whoever reads it wants both values, and no other setting."""
    other = replace(RECIPE, limits=Limits(features_max=7))

    assert changes(RECIPE.parts(), other.parts()) == ["limits.features_max: 256 -> 7"]
    assert changes(other.parts(), RECIPE.parts()) == ["limits.features_max: 7 -> 256"]


def test_settings_with_their_defaults_are_no_parts() -> None:
    """So a setting that a later version adds changes nobody's fingerprint."""
    usual = replace(RECIPE, shape=EventShape(), limits=Limits())
    names = usual.parts().keys()

    assert not [name for name in names if name.startswith(("limits.", "events."))]


@pytest.mark.parametrize("names", [(), ("adwin", "ddm"), ("ddm", "adwin")])
def test_the_set_and_order_of_detectors_are_parts(names: tuple[str, ...]) -> None:
    """Their alerts stand in the order of the configuration."""
    detectors = tuple(DetectorSpec(name=name, type=name.upper()) for name in names)
    other = replace(RECIPE, detectors=detectors)

    assert other.fingerprint() != RECIPE.fingerprint()
    assert any(line.startswith("detectors: ") for line in changes(RECIPE.parts(), other.parts()))


def test_versions_and_machine_are_parts() -> None:
    """Another river, Python, numpy or processor may compute other digits."""
    parts = RECIPE.parts()

    assert {"fold", "river", "python", "numpy", "machine"} <= set(parts)
    assert all(parts.values())


def test_equal_recipes_have_equal_fingerprints() -> None:
    """However their sets and tables are ordered; the pipeline's name decides no outcome."""
    same = replace(
        RECIPE,
        pipeline="another",
        model=ModelSpec(factory=RECIPE.model.factory, params={"seed": 1, "l2": 0.1}),
        shape=EventShape(ignore=frozenset({"c", "b", "a"})),
    )

    assert same.fingerprint() == RECIPE.fingerprint()
    assert len(RECIPE.fingerprint()) == 8
    assert int(RECIPE.fingerprint(), 16) >= 0


def test_every_value_of_toml_may_be_a_parameter() -> None:
    """Dates and times, nested tables, arrays, and numbers that are none."""
    params = {
        "since": dt.date(2026, 11, 20),
        "at": dt.time(12, 30),
        "when": dt.datetime(2026, 11, 20, 12, tzinfo=dt.UTC),
        "deep": {"list": [1, 2.5, "x", True], "nan": float("nan"), "inf": float("inf")},
    }
    one = replace(RECIPE, model=replace(RECIPE.model, params=params))
    two = replace(
        RECIPE, model=replace(RECIPE.model, params=params | {"since": dt.date(2026, 11, 21)})
    )

    assert one.fingerprint() == replace(one).fingerprint()
    assert one.fingerprint() != two.fingerprint()


def test_changes_name_what_came_and_went() -> None:
    """A part that only one of them has is told, too; equal recipes differ in nothing."""
    assert changes({"a": "1", "b": "2"}, {"b": "3", "c": "4"}) == [
        "b: 2 -> 3",
        "c: unset -> 4",
        "a: 1 -> unset",
    ]
    assert changes(RECIPE.parts(), RECIPE.parts()) == []


def test_comments_and_layout_are_no_change_of_the_source() -> None:
    """Only the code counts."""
    source = "def make(rate=0.1):\n    return rate * 2\n"
    commented = "# Why.\n\n\ndef make(rate = 0.1):\n    # More.\n\n    return (rate\n        * 2)\n"

    assert source_digest(commented) == source_digest(source)
    assert source_digest(source.replace("0.1", "0.2")) != source_digest(source)
    assert source_digest(source.replace("* 2", "* 3")) != source_digest(source)


@dataclass(frozen=True)
class _Marks:
    """A part with a setting that has a usual value."""

    every_n: int = 1
    name: ClassVar = "marks"
    version: ClassVar = 1

    def settings(self) -> dict[str, Any]:
        return {} if self.every_n == 1 else {"every_n": self.every_n}

    def begin(self) -> Part:
        raise NotImplementedError


@pytest.mark.parametrize(("before", "now"), [(1, 5), (5, 1), (5, 7)])
def test_a_part_that_was_set_otherwise_is_another_part(before: int, now: int) -> None:
    """Its state is of no use, whichever of the two settings is the usual one."""
    earlier = replace(RECIPE, extras=(_Marks(before),))
    recipe = replace(RECIPE, extras=(_Marks(now),))

    assert recipe.as_of(earlier.parts()).extras == ()
    assert recipe.as_of(recipe.parts()).extras == (_Marks(now),)


def test_what_becomes_of_waiting_events_is_told_with_the_change() -> None:
    """By the words of the configuration, not by those of the state."""
    spec = LabelsSpec(wait_ms=1_000)
    later, longer = (replace(RECIPE, extras=(s,)) for s in (spec, replace(spec, wait_ms=2_000)))
    assert changes(later.parts(), longer.parts()) == ["labels.wait_ms: 1000 -> 2000"]
    let_go, setting = changes(later.parts(), RECIPE.parts())
    assert let_go == "[labels] -> unset (events that wait for their labels are dropped)"
    assert setting == "labels.wait_ms: 1000 -> unset"
