"""`stream init`: what it writes fits the sample, passes `check` and runs at once."""

import csv
import json
import tomllib
from collections.abc import Callable, Iterable, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from river import datasets

from stream.core.event import Kind
from stream.core.spec import EventShape
from stream.errors import BadInput, Usage
from stream.runtime.commands import init, samples
from stream.runtime.commands.guesses import guess
from stream.runtime.files import rows
from stream.runtime.files.layout import Columns
from tests import data
from tests.commands.project import REPOSITORY, Project
from tests.commands.starting import sample_of, starts

Rows = Iterable[Mapping[str, Any]]
FLIGHTS = REPOSITORY / "stream" / "demo" / "data" / "flights.csv.gz"


def _of_river(dataset: Any, label: str) -> Callable[[], Rows]:
    return lambda: ({**x, label: y} for x, y in dataset)


STREAMS: dict[str, tuple[Callable[[], Rows], str, Kind, Any]] = {
    "elec2": (lambda: data.rows("elec2"), "class", Kind.BINARY, "UP"),
    "airline_hflights": (lambda: data.rows("airline_hflights"), "Delay", Kind.BINARY, 1),
    "sine1_101": (lambda: data.rows("sine1_101"), "class", Kind.BINARY, "p"),
    "smtp": (lambda: data.rows("smtp"), "label", Kind.BINARY, 1),
    "bike_sharing_hour": (lambda: data.rows("bike_sharing_hour"), "cnt", Kind.REGRESSION, None),
    "phishing": (
        _of_river(datasets.Phishing(), "is_phishing"), "is_phishing", Kind.BINARY, None,
    ),
    "bananas": (_of_river(datasets.Bananas(), "y"), "y", Kind.BINARY, None),
    "segments": (
        _of_river(datasets.ImageSegments(), "category"), "category", Kind.MULTICLASS, None,
    ),
    "trump": (
        _of_river(datasets.TrumpApproval(), "approval"), "approval", Kind.REGRESSION, None,
    ),
}  # fmt: skip
"""A stream, its label, what there is to do, and what is true."""


def _written(tmp_path: Path, name: str, rows_: Rows, *, as_json: bool = False) -> Path:
    """The first of a stream as a file."""
    first = list(islice(rows_, 2500))
    path = tmp_path / f"{name}.{'jsonl' if as_json else 'csv'}"
    with path.open("w", newline="") as file:
        if as_json:
            file.writelines(json.dumps(row, default=str) + "\n" for row in first)
        else:
            writer = csv.DictWriter(file, list(first[0]))
            writer.writeheader()
            writer.writerows(first)
    return path


@pytest.mark.parametrize("name", STREAMS)
def test_what_it_writes_takes_every_event_of_the_sample(tmp_path: Path, name: str) -> None:
    """Its label, its task and its positive value are found; no event would be refused."""
    stream, label, kind, positive = STREAMS[name]
    path = _written(tmp_path, name, stream())

    settings, found, events = starts(path, tmp_path)

    assert (settings.events.label, found) == (label, kind)
    assert settings.events.positive == positive
    assert settings.pipeline == name.replace("_", "-")
    assert all(event.label is not None for event in events)
    assert settings.kafka.client == "embedded"


@pytest.mark.parametrize("name", ["elec2", "phishing", "trump"])
def test_lines_of_json_do_too(tmp_path: Path, name: str) -> None:
    """Flat objects; only where no name and no type tells the label it must be named."""
    stream, label, kind, _ = STREAMS[name]
    path = _written(tmp_path, name, stream(), as_json=True)

    settings, found, events = starts(path, tmp_path, label=label)

    assert (settings.events.label, found) == (label, kind)
    assert settings.events.features == "*"
    assert events


def test_what_is_known_only_with_the_label_is_no_feature(tmp_path: Path) -> None:
    """A delay in minutes tells whether there was one; two counts add up to the third."""
    for name, leaking in (
        ("airline_hflights", {"ArrDelay"}), ("bike_sharing_hour", {"casual", "registered"}),
    ):  # fmt: skip
        path = _written(tmp_path, name, STREAMS[name][0]())
        settings, _, events = starts(path, tmp_path, force=True)

        assert leaking <= set(settings.events.ignore)
        assert not leaking & set(events[0].features)


def test_the_shape_of_the_contract_is_recognised(tmp_path: Path) -> None:
    """An object of features, an id, a label; or features under another name."""
    for name in ("features", "payload"):
        lines = [{"id": f"a-{n}", name: {"x": n, "w": "a"}, "label": n % 2 > 0} for n in range(9)]
        path = _written(tmp_path, "contract", lines, as_json=True)

        settings, kind, events = starts(path, tmp_path, force=True)

        assert (settings.events.features, kind) == (name, Kind.BINARY)
        assert (events[3].id, events[3].features, events[3].label) == ("a-3", {"x": 3, "w": "a"}, 1)


def test_events_without_labels_get_an_anomaly_detector_or_a_question(tmp_path: Path) -> None:
    """Nothing beside the features: nothing to learn from; else the label must be named."""
    nested = [{"features": {"x": n}} for n in range(9)]
    _, kind, _ = starts(_written(tmp_path, "bare", nested, as_json=True), tmp_path)
    flat = _written(tmp_path, "flat", [{"x": n, "y2": n / 2} for n in range(9)], as_json=True)

    assert kind is Kind.ANOMALY
    with pytest.raises(BadInput, match=r'name it with --label: one of "x", "y2"'):
        starts(flat, tmp_path, force=True)


def test_a_misspelled_field_is_told_with_the_nearest(tmp_path: Path) -> None:
    """And nothing is written."""
    path = _written(tmp_path, "flights", data_of_flights())

    with pytest.raises(BadInput, match='no field "lat" in the sample; did you mean "late"'):
        starts(path, tmp_path, label="lat")
    assert not (tmp_path / "stream.toml").exists()


def data_of_flights() -> Rows:
    """What the package brings."""
    shape = EventShape(id="\x00", label="\x01", flat=True)
    return (json.loads(r.value) for r in rows.read(FLIGHTS, shape=shape, columns=Columns()))


def test_what_is_there_is_not_overwritten(tmp_path: Path) -> None:
    """Unless somebody says so."""
    path = _written(tmp_path, "flights", data_of_flights())
    (tmp_path / "stream.toml").write_text("mine")

    with pytest.raises(Usage, match="is there already; --force overwrites it"):
        starts(path, tmp_path)

    assert (tmp_path / "stream.toml").read_text() == "mine"


def test_one_nested_object_in_one_event_is_no_features_field(tmp_path: Path) -> None:
    """The other events are flat, so all of them are taken as flat, and the object is ignored."""
    lines = [json.dumps({"id": n, "y": n % 2 > 0, "a": n / 2}) for n in range(9)]
    path = sample_of(tmp_path, [*lines, '{"id": 9, "y": false, "a": 2.5, "o": {"p": 1}}'])

    settings, _, events = starts(path, tmp_path)

    assert (settings.events.features, settings.events.ignore) == ("*", ("o",))
    assert '"o",  # it holds objects or lists' in (tmp_path / "stream.toml").read_text()
    assert [event.features for event in events] == [{"a": n / 2} for n in range(9)] + [{"a": 2.5}]


def test_a_field_that_is_always_null_is_not_taken_for_the_label(tmp_path: Path) -> None:
    """Nothing is known of it, and its name says nothing: it is not guessed."""
    lines = [json.dumps({"outcome_x": str(n % 2), "a": n, "n": None}) for n in range(3)]
    path = sample_of(tmp_path, lines)

    with pytest.raises(BadInput, match=r'name it with --label: one of "outcome_x", "a"$'):
        starts(path, tmp_path)


def test_a_column_called_label_is_the_label_though_it_has_one_value(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its name says it; that the sample holds one value only is said."""
    path = sample_of(tmp_path, ["a;b;label", "1;2;x"], "d.csv")

    settings, kind, events = starts(path, tmp_path)

    assert (settings.events.label, kind, events[0].label) == ("label", Kind.MULTICLASS, "x")
    assert "the sample has only one value of it" in capsys.readouterr().out
    assert "the sample has only one value of it" in (tmp_path / "stream.toml").read_text()


def test_labels_of_several_json_types_are_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """On the screen and in the file: a worker would refuse those unlike its first."""
    lines = [json.dumps({"a": n, "label": label}) for n, label in enumerate(("1", 1, True, "b"))]

    init.write(
        sample_of(tmp_path, lines), out=tmp_path / "s.toml", force=False, label=None, own_id=None,
        pipeline=None,
    )  # fmt: skip

    said = "the labels are of several JSON types (2 strings, 1 numbers, 1 bools)"
    assert f"warning: {said}" in capsys.readouterr().out
    assert f"# Of this sample: {said}" in (tmp_path / "s.toml").read_text()


def test_lines_that_are_no_event_are_skipped_and_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One bad line does not end it; a file without any event does."""
    bad = ["NaN", '{"a": 1e400}', "oops", "[1,2]"]
    good = [json.dumps({"a": n, "label": n % 2 > 0}) for n in range(8)]
    words: dict[str, Any] = {"force": True, "label": None, "own_id": None, "pipeline": None}
    out = tmp_path / "s.toml"

    init.write(sample_of(tmp_path, [*good[:2], *bad, *good[2:]]), out=out, **words)
    objects = capsys.readouterr().out
    init.write(sample_of(tmp_path, ["a,label", "1,2", "1", "3,4"], "s.csv"), out=out, **words)
    cells = capsys.readouterr().out

    assert "4 of 12 lines are no events and would be refused: line 3: NaN is no number" in objects
    assert "line 4: 1e400 is too large a number; line 5: is not JSON" in objects
    assert "1 of 3 lines is no event and would be refused: line 3: 1 cells, the header" in cells
    with pytest.raises(BadInput, match=r"4 of 4 lines are no events .* give a file with events"):
        init.write(sample_of(tmp_path, bad), out=out, **words)


def test_of_a_long_file_only_the_beginning_is_read(tmp_path: Path) -> None:
    """So it is quick however long the file is: what comes after the sample is never parsed."""
    row = '{"a": 1.5, "label": true}'
    rest = ["not an event"] * 3
    path = sample_of(tmp_path, [row] * init.SAMPLE_RECORDS + rest)

    sample = samples.read(path, n=init.SAMPLE_RECORDS)
    table = sample_of(tmp_path, ["a,label", *["1,2"] * init.SAMPLE_RECORDS, *rest], "long.csv")
    of_table = samples.read(table, n=init.SAMPLE_RECORDS)

    assert (sample.lines_n, sample.bad_n) == (init.SAMPLE_RECORDS, 0)
    assert (of_table.lines_n, of_table.bad_n) == (init.SAMPLE_RECORDS, 0)


@pytest.mark.parametrize(("refused_n", "is_told"), [(1, False), (3, True)])
def test_a_configuration_that_would_refuse_much_of_its_own_sample_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], refused_n: int, *, is_told: bool
) -> None:
    """More than a tenth, with the most frequent reason; the worker's own decoder decides."""
    lines = [json.dumps({"a": 1e16 if n < refused_n else n, "label": n % 2 > 0}) for n in range(20)]

    init.write(
        sample_of(tmp_path, lines), out=tmp_path / "s.toml", force=False, label=None, own_id=None,
        pipeline=None,
    )  # fmt: skip

    said = "3 of 20 events would be refused, most of them as out_of_range (feature"
    assert (said in capsys.readouterr().out) == is_told
    assert (said in (tmp_path / "s.toml").read_text()) == is_told


_names = st.text(min_size=1, max_size=12)
_values = st.none() | st.booleans() | st.integers(-9, 9) | st.floats(-9, 9) | st.text(max_size=5)


@given(st.lists(st.dictionaries(_names, _values, min_size=1, max_size=5), min_size=1, max_size=6))
def test_whatever_the_fields_are_called_it_is_toml(records: list[dict[str, Any]]) -> None:
    """Quotes, line ends, escapes: a file that reads back, with no escape for a terminal in it."""
    try:
        found = guess(records, label=None, own_id=None, is_csv=False)
    except BadInput:
        return
    text = init.configuration(found, "p", sample="a\x1b\n.jsonl", n=len(records))

    read = tomllib.loads(text)
    assert read["events"].get("label") == found.label
    assert set(read["events"].get("ignore", ())) == {*found.ignored, *found.times}
    assert all(line.isprintable() for line in text.splitlines())


def test_the_flights_run_at_once(project: Project) -> None:
    """The four lines that it says are typed as they stand, and end well."""
    (project.folder / "stream.toml").unlink()
    project.write("flights.csv", "\n".join(_lines(3000)))

    started = project.bare("init", "flights.csv")
    again = project.bare("init", "flights.csv")

    assert started.code == 0, started
    assert 'label "late" (by its name)' in started.out
    assert (again.code, len(again.err.splitlines())) == (64, 1), again
    commands = [line.split()[1:] for line in started.out.splitlines() if line[:9] == "  stream "]
    assert [words[0] for words in commands] == ["check", "produce", "run", "tail"]
    for words in commands:
        done = project.bare(*words, timeout_s=240)
        assert done.code == 0, done
    assert "prediction" in done.out
    assert len(done.out.splitlines()) == 11


def _lines(n: int) -> list[str]:
    import gzip  # noqa: PLC0415

    with gzip.open(FLIGHTS, "rt") as file:
        return [line.rstrip() for line in islice(file, n)]
