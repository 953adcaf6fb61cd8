"""`stream init` on samples that are not as they were meant: what it says, and what it writes."""

import json
from pathlib import Path
from typing import Any

import pytest

from stream.config import load
from stream.core.event import Kind
from stream.errors import BadInput
from stream.runtime.commands import init
from stream.runtime.files import rows
from stream.runtime.files.layout import Columns
from tests.commands.starting import sample_of, starts

EMPTY_LABELS: list[tuple[str, list[str], str | None, str]] = [
    ("a.csv", ["id,x,z,label", "1,2,5,", "2,3,6,"], None, "label"),
    ("a.csv", ["id,x,label", "1,2,", "2,3,"], None, "label"),
    ("a.csv", ["id,x,z,label", "1,2,5,", "2,3,6,"], "label", "label"),
    ("a.csv", ["id,target,x,z", "1,,2,5", "2,,2,0"], None, "target"),
    ("a.csv", ["id,x,late,label", "1,2,true,", "2,3,false,"], None, "label"),
    ("a.csv", ["id,x,z,churn_90", "1,2,5,NA", "2,3,6,NA"], "churn_90", "churn_90"),
    ("a.jsonl", ['{"x": 1, "label": null}', '{"x": 2, "label": null}'], None, "label"),
    ("a.jsonl", ['{"x": 1, "n": null}', '{"x": 2, "n": null}'], "n", "n"),
    ("a.jsonl", ['{"x": 1, "z": 2}', '{"x": 2, "z": 3}'], "label", "label"),
    ("a.jsonl", ['{"features": {"x": 1}}', '{"features": {"x": 2}}'], "label", "label"),
    ("a.jsonl", ['{"features": {"x": 1}, "label": null}'], None, "label"),
]


@pytest.mark.parametrize("case", EMPTY_LABELS)
def test_a_label_that_comes_later_is_still_the_label(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], case: tuple[str, list[str], Any, str]
) -> None:
    """Empty in the whole sample, it is no reason to take a feature for it; and it is said."""
    name, lines, named, label = case
    settings, kind, events = starts(sample_of(tmp_path, lines, name), tmp_path, label=named)

    assert (settings.events.label, kind) == (label, Kind.BINARY)
    assert settings.events.positive is None
    assert settings.model.factory == "stream.models:logistic_regression"
    assert label not in settings.events.ignore
    assert all(event.label is None and label not in event.features for event in events)
    for text in (capsys.readouterr().out, (tmp_path / "stream.toml").read_text()):
        assert "; the sample has no value of it" in text
        assert f'no event has the label "{label}" yet, which is taken for true or false' in text


def test_a_misspelled_label_of_json_is_told_though_labels_may_come_later(tmp_path: Path) -> None:
    """Where a field is called almost so."""
    path = sample_of(tmp_path, ['{"x": 1, "label": true}'])

    with pytest.raises(BadInput, match='no field "lable" in the sample; did you mean "label"'):
        starts(path, tmp_path, label="lable")


@pytest.mark.parametrize("name", ["d.csv", "d.jsonl"])
def test_labels_that_mean_the_same_are_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    """True, true, 1 and yes of several upstreams are seven classes where two were meant."""
    labels = ["True", "true", "1", "yes", "false", "0", "no"] * 3
    rows_ = [f"{n},{label}" for n, label in enumerate(labels)]
    objects = [json.dumps({"a": n, "label": label}) for n, label in enumerate(labels)]

    starts(sample_of(tmp_path, objects if "json" in name else ["a,label", *rows_], name), tmp_path)

    said = 'the labels "True", "true", "1", "yes", "false" and 2 more differ only in case or'
    for text in (capsys.readouterr().out, (tmp_path / "stream.toml").read_text()):
        assert said in text
        assert "are different classes as they stand: write each in one way" in text


def test_a_ragged_table_is_to_be_mended_before_it_is_produced(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`produce` sends nothing of it, so it is not simply what comes next."""
    out = tmp_path / "s.toml"
    words: dict[str, Any] = {"force": True, "label": None, "own_id": None, "pipeline": None}
    table = sample_of(tmp_path, ["a,b,label", "1,2,3", "1,2", "1,2,3,4", "4,5,6"], "a.csv")

    init.write(table, out=out, **words)
    told = capsys.readouterr().out

    assert "`stream produce` refuses the whole file until it is mended" in told
    assert f"Next, when {table} is mended (line 3: 2 cells, the header has 3):" in told
    with pytest.raises(BadInput, match="line 3: 2 cells, the header has 3; mend the row"):
        list(rows.read(table, shape=load(out, environ={}).events.core(), columns=Columns()))

    german = sample_of(tmp_path, ["a;b;label", "1;2", "1;2;3;4", "1,5;2;3"], "b.csv")
    init.write(german, out=out, **words)
    assert "(line 2: 2 cells, the header has 3):" in capsys.readouterr().out

    init.write(sample_of(tmp_path, ['{"a": 1, "label": true}', '{"a": 1e400}']), out=out, **words)
    told = capsys.readouterr().out
    assert "refuses the whole file" not in told
    assert "\nNext:\n" in told


def test_three_hundred_columns_are_within_the_limits_that_it_writes(tmp_path: Path) -> None:
    """More features than an event may have by default: else all would be quarantined."""
    names = [f"f{n}" for n in range(300)]
    table = [",".join([*names, "label"]), *[",".join([*map(str, range(300)), "true"])] * 3]
    nested = json.dumps({"features": dict.fromkeys(names, 1), "label": True})

    for path in (sample_of(tmp_path, table, "a.csv"), sample_of(tmp_path, [nested], "a.jsonl")):
        settings, _, events = starts(path, tmp_path, force=True)
        assert settings.limits.features_max == 300
        assert len(events[0].features) == 300
    few = sample_of(tmp_path, ["a,label", "1,true"], "few.csv")
    starts(few, tmp_path, force=True)
    assert "[limits]" not in (tmp_path / "stream.toml").read_text()


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl", "nested.jsonl"])
def test_numbers_as_people_write_them_are_told_to_be_text(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    """A decimal comma, thousands, a currency, percent; a code with zeros in front is none."""
    first = {"price": "1,5", "sum": "1,234.5", "fee": "$5", "share": "3 %"}
    first |= {"zip": "007", "v": "1,5"}
    second = {**first, "price": "2", "v": "UP"}
    lines = [
        json.dumps({**({"features": x} if "nested" in name else x), "label": True})
        for x in (first, second)
    ]
    table = [";".join([*first, "label"]), *(";".join([*x.values(), "1"]) for x in (first, second))]

    starts(sample_of(tmp_path, table if "csv" in name else lines, name), tmp_path)

    said = '"price" ("1,5"), "sum" ("1,234.5"), "fee" ("$5"), "share" ("3 %"): looks like numbers'
    for text in (capsys.readouterr().out, (tmp_path / "stream.toml").read_text()):
        assert said in text.replace('\\"', '"')
