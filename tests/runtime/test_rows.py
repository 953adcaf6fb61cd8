"""What `stream produce` makes of a file's lines."""

import gzip
import json
import re
from pathlib import Path
from typing import Any

import pytest

from stream.core.event import Kind, Rejection
from stream.core.formats.codec import Codec
from stream.core.spec import EventShape, Limits
from stream.errors import BadInput, Usage
from stream.runtime.files.layout import Columns
from stream.runtime.files.outgoing import Outgoing
from stream.runtime.files.rows import read, survey
from stream.runtime.files.times import event_time_ms

FLAT = EventShape(id="order_id", label="is_fraud", flat=True, ignore=frozenset({"note"}))


def sent(
    path: Path, content: str | bytes, shape: EventShape | None = None, **columns: Any
) -> list[Outgoing]:
    """What is sent of a file with this content."""
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return list(read(path, shape=shape or EventShape(), columns=Columns(**columns)))


def values(records: list[Outgoing]) -> list[Any]:
    """Their values, decoded."""
    return [json.loads(record.value) for record in records]


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        (["0", "-12", "12345678901234567890123"], [0, -12, 12345678901234567890123]),
        (["7", "1.5", ".5", "5.", "-0", "+3", "1e3"], [7.0, 1.5, 0.5, 5.0, -0.0, 3.0, 1000.0]),
        ([" 1", "2 "], [1, 2]),
        (["1", "a"], ["1", "a"]),
        (["1", "007"], ["1", "007"]),
        (["1.5", "1e400"], ["1.5", "1e400"]),
        (["1", "1_000"], ["1", "1_000"]),
        (["\u0661", "1"], ["\u0661", "1"]),
        (["1", "inf"], ["1", "inf"]),
        (["1", "9" * 5000], ["1", "9" * 5000]),
        (["true", "False", "TRUE"], [True, False, True]),
        (["true", "1"], ["true", "1"]),
        (["UP", " x "], ["UP", " x "]),
        (["1", "", "NA", "NaN", "null", "n/a", " ", "nan", "2"], [1, *[None] * 7, 2]),
        (["a", "NA", "None"], ["a", None, "None"]),
        (["", "NA"], [None, None]),
    ],
)
def test_a_column_is_of_one_type_for_the_whole_file(
    tmp_path: Path, cells: list[str], expected: list[object]
) -> None:
    """Whole numbers, numbers, true and false, or text: all cells decide; some mean nothing."""
    content = "x,y\n" + "".join(f'0,"{cell}"\n' for cell in cells)
    records = sent(tmp_path / "a.csv", content)

    found = [value["features"].get("y") for value in values(records)]
    assert [repr(value) for value in found] == [repr(value) for value in expected]


@pytest.mark.parametrize(
    ("text", "timestamp_ms"),
    [
        ("1970-01-01", 0),
        ("2026-11-20T12:00:00", 1_795_176_000_000),
        ("2026-11-20 12:00:00.250Z", 1_795_176_000_250),
        ("2026-11-20T13:00:00+01:00", 1_795_176_000_000),
        ("1795176000", 1_795_176_000_000),
        ("1795176000.5", 1_795_176_000_500),
        ("1795176000000", 1_795_176_000_000),
        ("100000000000", 100_000_000_000_000),
        ("100000000001", 100_000_000_001),
    ],
)
def test_a_time_is_iso_8601_or_an_epoch(text: str, timestamp_ms: int) -> None:
    """UTC unless it says otherwise; an epoch over 1e11 counts milliseconds."""
    assert event_time_ms(text) == timestamp_ms


@pytest.mark.parametrize(
    "text", ["", "yesterday", "1969-12-31", "-1", "1795176000000000", "1e400", "-1e400"]
)
def test_what_is_no_time_is_refused(text: str) -> None:
    """Kafka's timestamps begin in 1970; microseconds would be a year far beyond 9999."""
    with pytest.raises(ValueError, match=r"neither an ISO 8601 time|between 1970 and 9999"):
        event_time_ms(text)


def test_a_row_becomes_a_nested_event(tmp_path: Path) -> None:
    """By default features are an object of their own, and an empty cell is left out."""
    records = sent(tmp_path / "a.csv", "x,day,class\n0.5,2,UP\n,3,\n", label="class")

    assert values(records) == [
        {"features": {"x": 0.5, "day": 2}, "label": "UP"},
        {"features": {"day": 3}, "label": None},
    ]
    assert [(r.key, r.timestamp_ms) for r in records] == [(None, None), (None, None)]


def test_a_row_takes_the_configured_shape(tmp_path: Path) -> None:
    """Flat, under the configured names, without what is ignored."""
    content = "nr,amount,bad,note\na-1,3,true,hello\n"
    records = sent(tmp_path / "a.csv", content, FLAT, id="nr", label="bad")

    assert values(records) == [{"order_id": "a-1", "amount": 3, "is_fraud": True}]


def test_label_and_id_are_found_by_their_configured_names(tmp_path: Path) -> None:
    """Without --label and --id the columns of the configured names are taken."""
    records = sent(tmp_path / "a.csv", "id,x,label\n7,1,true\n")

    assert values(records) == [{"id": "7", "features": {"x": 1}, "label": True}]


def test_the_id_is_a_string_and_the_key(tmp_path: Path) -> None:
    """An id of digits stays text; without --key it decides the partition."""
    (first, second) = sent(tmp_path / "a.csv", "nr,x\n007,1\n,2\n", id="nr")

    assert json.loads(first.value)["id"] == "007"
    assert first.key == b"007"
    assert (json.loads(second.value), second.key) == ({"features": {"x": 2}}, None)


def test_the_key_may_be_another_column(tmp_path: Path) -> None:
    """--key wins over the id, and its column stays a feature."""
    (record,) = sent(tmp_path / "a.csv", "nr,city,x\n1,Zürich,2\n", id="nr", key="city")

    assert record.key == "Zürich".encode()
    assert json.loads(record.value)["features"] == {"city": "Zürich", "x": 2}


def test_the_time_column_is_no_feature(tmp_path: Path) -> None:
    """--time gives the record's timestamp and nothing else."""
    (record,) = sent(tmp_path / "a.csv", "at,x\n1970-01-01T00:00:01Z,2\n", time="at")

    assert record.timestamp_ms == 1000
    assert json.loads(record.value) == {"features": {"x": 2}}


def test_csv_may_be_compressed_quoted_and_marked(tmp_path: Path) -> None:
    """gzip, quotes with line breaks, a byte order mark, Windows line ends, blank lines."""
    content = '\ufeffx,text\r\n1,"a\nb"\r\n\r\n2,"c,d"\r\n'
    records = sent(tmp_path / "A.CSV.GZ", gzip.compress(content.encode()))

    assert [v["features"] for v in values(records)] == [
        {"x": 1, "text": "a\nb"},
        {"x": 2, "text": "c,d"},
    ]


@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz"])
def test_lines_of_json_are_sent_as_they_are(tmp_path: Path, name: str) -> None:
    """Not a byte is changed, whatever the configured shape; blank lines are no events."""
    content = b'{"a":  1.50}\r\n\n   \n{"b": "\xc3\xa4", "b": 2}'
    content = gzip.compress(content) if name.endswith(".gz") else content

    records = sent(tmp_path / name, content, FLAT)

    assert [r.value for r in records] == [b'{"a":  1.50}', b'{"b": "\xc3\xa4", "b": 2}']
    assert {(r.key, r.timestamp_ms) for r in records} == {(None, None)}


def test_a_number_of_thousands_of_digits_is_json_and_sent_as_it_is(tmp_path: Path) -> None:
    """It is the worker that says it is out of range: the file is sound."""
    line = f'{{"features": {{"x": {"9" * 5001}}}, "label": true}}'.encode()

    (record,) = sent(tmp_path / "a.jsonl", line + b"\n")

    refused = Codec(EventShape(), Limits(), Kind.BINARY).decode(record.value)
    assert record.value == line
    assert isinstance(refused, Rejection)
    assert refused.reason == "out_of_range"


@pytest.mark.parametrize(
    ("content", "given", "hint"),
    [
        ("a,b,label\n1,2\n1,2,3,4\n", None, "mend the row"),
        ("a;b,c;label\n1;2;true\n3;4,5,6;false\n", ",", "with --delimiter ';' all rows"),
        ("a\tb,c\n1\t2\n", ",", "with --delimiter '\\t' all rows"),
    ],
)
def test_rows_of_odd_length_are_told_of_a_delimiter_only_if_one_fits(
    tmp_path: Path, content: str, given: str | None, hint: str
) -> None:
    """A row with a cell too few is no matter of what divides the cells."""
    with pytest.raises(BadInput, match=re.escape(hint)) as refused:
        sent(tmp_path / "a.csv", content, delimiter=given)

    assert ("--delimiter" in str(refused.value)) == (given is not None)


def test_labels_that_mean_the_same_are_told_before_they_are_sent(tmp_path: Path) -> None:
    """True, true, 1 and yes are four classes; true and TRUE alone are one."""
    path = tmp_path / "a.csv"

    def said(*labels: str) -> tuple[str, ...]:
        path.write_text("x,label\n" + "".join(f"1,{label}\n" for label in labels))
        return tuple(survey(path, shape=EventShape(), columns=Columns()).said)

    (warning,) = said("True", "true", "1", "yes", "false", "0", "no", "")[2:]
    assert 'the labels "True", "true", "1", "yes", "false" and 2 more differ only in' in warning
    assert "are different classes as they stand: write each in one way" in warning
    assert said("True", "TRUE", "false")[2:] == ()
    assert said("UP", "DOWN", "1")[2:] == ()


@pytest.mark.parametrize(
    ("cells", "example"),
    [
        (["7", "1,5"], "1,5"),
        (["1,234.5", "2"], "1,234.5"),
        (["$5", "", "$1,200"], "$5"),
        (["3 %", "12.5%"], "3 %"),
        (["1,5", "UP"], None),
        (["007", "012"], None),
        (["true", "1,5"], None),
        (["1,5", "true"], None),
        (["1", "9" * 5000], None),
    ],
)
def test_numbers_as_people_write_them_are_told_to_be_text(
    tmp_path: Path, cells: list[str], example: str | None
) -> None:
    """A decimal comma, thousands, a currency, percent: each amount would be a word of its own."""
    path = tmp_path / "a.csv"
    path.write_text("label,x\n" + "".join(f'UP,"{cell}"\n' for cell in cells))

    (_, features) = survey(path, shape=EventShape(), columns=Columns()).said

    assert ("looks like numbers" in features) == (example is not None)
    assert example is None or f'looks like numbers: "{example}"' in features


BROKEN: list[tuple[str, str | bytes, str]] = [
    ("a.txt", "x\n1\n", "cannot tell what this is; name a file .jsonl, .jsonl.gz, .csv, .csv.gz"),
    ("a.jsonl", '{"a": 1}\n{"a": \n', "line 2: is not JSON"),
    ("a.jsonl", '{"a": NaN}\n', "line 1: is not JSON: NaN is no number"),
    ("a.jsonl", '{"a": 1}\n\n[1]\n', "line 3: is JSON, but not an object"),
    ("a.jsonl", "[" * 100_000 + "\n", "line 1: nested too deeply"),
    ("a.jsonl", b'{"a": 1}\n{"a": "\xff"}\n', "line 2: byte 8 is no UTF-8"),
    ("a.csv", "", "line 1: no header"),
    ("a.csv", "x,y\n1,2\n1\n", "line 3: 1 cells, the header has 2"),
    ("a.csv", 'x,y\n1,"2\n', "is not CSV: unexpected end of data"),
    ("a.csv", 'x,y\n1,"2"3\n', "line 2: is not CSV"),
    ("a.csv", "x,y,x\n1,2,3\n", 'line 1: the column "x" is there twice'),
    ("a.csv", b"x\n1\n\xe9\n", "line 3: byte 1 is no UTF-8"),
    ("a.csv.gz", "x\n1\n", "line 1: not whole gzip data"),
    ("a.csv.gz", gzip.compress(b"x\n" + b"1\n" * 5000, mtime=0)[:-8], "not whole gzip data"),
]


@pytest.mark.parametrize(("name", "content", "problem"), BROKEN)
def test_a_broken_file_is_refused_where_it_is_broken(
    tmp_path: Path, name: str, content: str | bytes, problem: str
) -> None:
    """The message names the file, the line and what is wrong."""
    with pytest.raises(BadInput, match=re.escape(problem)) as refused:
        sent(tmp_path / name, content)

    assert str(tmp_path / name) in str(refused.value)


def test_a_bad_time_names_its_line(tmp_path: Path) -> None:
    """As everything that is wrong in a row."""
    with pytest.raises(BadInput, match=r'line 3: "soon" is neither'):
        sent(tmp_path / "a.csv", "at,x\n2026-01-01,1\nsoon,2\n", time="at")


def test_a_missing_column_is_named_with_the_nearest(tmp_path: Path) -> None:
    """Who mistyped a column is told the one that was meant."""
    with pytest.raises(BadInput, match='no column "clas"; did you mean "class"'):
        sent(tmp_path / "a.csv", "x,class\n1,UP\n", label="clas")


def test_a_column_that_would_pass_for_the_label_is_refused(tmp_path: Path) -> None:
    """In a flat event a feature with the label's name would be taken for it."""
    with pytest.raises(BadInput, match='column "is_fraud" would be taken for the field'):
        sent(tmp_path / "a.csv", "x,is_fraud,bad\n1,2,true\n", FLAT, label="bad")


def test_one_column_is_one_thing(tmp_path: Path) -> None:
    """Label, id and time are three columns."""
    with pytest.raises(Usage, match="must name different columns"):
        sent(tmp_path / "a.csv", "x,y\n1,2\n", label="y", time="y")


def test_columns_are_for_csv_only(tmp_path: Path) -> None:
    """Lines of JSON are sent as they are, so naming a column there is a mistake."""
    with pytest.raises(Usage, match="--label, --time: only for CSV"):
        sent(tmp_path / "a.jsonl", "{}\n", label="y", time="z")


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    """A missing file and a folder are told apart."""
    folder = tmp_path / "b.csv"
    folder.mkdir()

    with pytest.raises(BadInput, match=r"a\.csv: cannot be read: No such file"):
        list(read(tmp_path / "a.csv", shape=EventShape(), columns=Columns()))
    with pytest.raises(BadInput, match=r"b\.csv: cannot be read: Is a directory"):
        list(read(folder, shape=EventShape(), columns=Columns()))


@pytest.mark.parametrize(
    ("delimiter", "name"), [(",", "commas"), (";", "semicolons"), ("\t", "tabs"), ("|", "bars")]
)
def test_what_divides_the_cells_is_found_and_said(
    tmp_path: Path, delimiter: str, name: str
) -> None:
    """A spreadsheet's export has semicolons where commas are in its numbers."""
    rows = [["x", "day", "label"], ["1,5", "2", "UP"], ["2", "NA", "DOWN"]]
    path = tmp_path / "a.csv"
    path.write_text(
        "\n".join(delimiter.join(f'"{c}"' if "," in c else c for c in row) for row in rows)
    )

    found = survey(path, shape=EventShape(), columns=Columns())

    assert found.records_n == 2
    assert values(list(found.records())) == [
        {"features": {"x": "1,5", "day": 2}, "label": "UP"},
        {"features": {"x": "2"}, "label": "DOWN"},
    ]
    assert found.said == (
        f"a.csv: 2 rows, cells divided by {name}; label label (text), id none, time none",
        'features: x (text that looks like numbers: "1,5"), day (integer, 1 missing)',
    )
    given = survey(path, shape=EventShape(), columns=Columns(delimiter=delimiter))
    assert list(given.records()) == list(found.records())


def test_a_mistyped_label_column_is_an_error_and_no_feature(tmp_path: Path) -> None:
    """It would lie among the features: the model would know the answer, and learn nothing."""
    for shape in (EventShape(), EventShape(flat=True)):
        with pytest.raises(BadInput, match='for the label; did you mean "lable"\\? write --label'):
            sent(tmp_path / "a.csv", "x,lable\n1,true\n", shape, no_label=False)


def test_without_labels_no_column_is_one(tmp_path: Path) -> None:
    """--no-label: events go without, also where a column has the label's name."""
    for shape in (EventShape(), EventShape(flat=True)):
        (record,) = sent(tmp_path / "a.csv", "x,label\n1,true\n", shape, no_label=True)
        assert json.loads(record.value) == ({"x": 1} if shape.flat else {"features": {"x": 1}})


def test_a_column_without_a_name_is_refused(tmp_path: Path) -> None:
    """A delimiter at the end of the header makes one."""
    with pytest.raises(BadInput, match="line 1: column 2 has no name"):
        sent(tmp_path / "a.csv", "x, \n1,2\n")
