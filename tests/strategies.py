"""Hypothesis strategies for what may come in: documents as JSON text, so that keys may repeat."""

import json
from typing import Any

from hypothesis import strategies as st

from stream.core.event import Kind
from stream.core.spec import EventShape, Limits

FIELDS = ("id", "label", "features", "note", "order", 'a "quoted" name', "a", "b")

NUMBERS = (
    "0", "-0", "-0.0", "1", "1.0", "1E2", "1e-400", "5e-324", "1e400", "-1e400", "NaN", "Infinity",
    "-Infinity", "1e15", "1000000000000000", "1000000000000001", "-1000000000000001", "1e16",
    "9223372036854775807", "9223372036854775808", "18446744073709551615", "18446744073709551616",
    "-9223372036854775809", "100", "101", "100.5", "100.6", "1e75", "1.1e75", "9" * 300, "9" * 5000,
    "-" + "9" * 5000, "01", "1.", ".5", "+1", "--1", "0x10",
)  # fmt: skip

STRINGS = (
    '""', '"UP"', '"true"', '"abcd"', '"abcde"', '"\\ud800"', '"\\ud83d\\ude00"', '"\\u0000"',
    '"\\q"', '"caf\u00e9"', '"\x7f"', '"tab\there"', '"half', '"\\u00e9\\n"', '"\U0001f600"',
    '"' + "x" * 300 + '"',
)  # fmt: skip


def scalars() -> st.SearchStrategy[str]:
    """The JSON text of one value that may be a feature, a label or an id, or nearly one."""
    return st.one_of(
        st.sampled_from(NUMBERS),
        st.sampled_from(STRINGS),
        st.sampled_from(["true", "false", "null", "True", "nul"]),
        st.integers().map(str),
        st.floats().map(json.dumps),
        st.text(max_size=8).map(json.dumps),
        st.text(max_size=8).map(lambda text: json.dumps(text, ensure_ascii=False)),
    )


def _nested(depth: int) -> str:
    return "[" * depth + "]" * depth


def values() -> st.SearchStrategy[str]:
    """The JSON text of any value, nested ones too."""
    return st.one_of(
        scalars(),
        scalars(),
        scalars().map(lambda text: f"[{text}]"),
        objects(st.sampled_from(["a", "features"]), scalars(), max_size=2),
        st.sampled_from([99, 100, 101, 5000]).map(_nested),
        st.just('{"a":' * 120 + "1" + "}" * 120),
    )


def objects(
    keys: st.SearchStrategy[str], inner: st.SearchStrategy[str], *, max_size: int
) -> st.SearchStrategy[str]:
    """The JSON text of an object; of keys drawn twice, both are written."""
    member = st.tuples(keys, inner).map(lambda pair: f"{json.dumps(pair[0])}:{pair[1]}")
    space = st.sampled_from(["", " ", "\n"])
    return st.tuples(st.lists(member, max_size=max_size), space).map(
        lambda drawn: "{" + f",{drawn[1]}".join(drawn[0]) + "}"
    )


def documents() -> st.SearchStrategy[bytes]:
    """Record values, from plainly valid to plainly broken."""
    names = st.one_of(st.sampled_from(["a", "b", "c", "abcd", "x" * 129]), st.text(max_size=4))
    plain = objects(
        st.sampled_from(["a", "b", "c"]), st.sampled_from(["1", "2.5", '"s"', "null"]), max_size=3
    )
    features = st.one_of(plain, objects(names, scalars(), max_size=4), values())
    members = st.lists(
        st.one_of(
            st.tuples(st.just("features"), features),
            st.tuples(st.sampled_from(FIELDS), st.one_of(scalars(), features)),
            st.tuples(names, scalars()),
        ),
        max_size=6,
    )
    usual = st.tuples(plain, scalars()).map(
        lambda drawn: f'{{"features":{drawn[0]},"label":{drawn[1]},"id":"a-17"}}'
    )
    text = st.one_of(
        usual,
        members.map(lambda pairs: "{" + ",".join(f"{json.dumps(k)}:{v}" for k, v in pairs) + "}"),
        values(),
    )
    whole = text.map(lambda drawn: drawn.encode("utf-8", "surrogatepass"))
    return st.one_of(whole, whole, mutated(whole), st.binary(max_size=40))


@st.composite
def mutated(draw: st.DrawFn, whole: st.SearchStrategy[bytes]) -> bytes:
    """A value with some bytes inserted, overwritten or cut off."""
    value = bytearray(draw(whole))
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(value)))
        how = draw(st.sampled_from(["insert", "overwrite", "cut", "begin"]))
        if how == "cut":
            del value[at:]
        elif how == "begin":
            value[:0] = draw(st.sampled_from([b"\xef\xbb\xbf", b" ", b"\x00", b"[", b"\xc3\xa9"]))
        else:
            put = draw(
                st.one_of(st.binary(min_size=1, max_size=2), st.sampled_from([b"\xff", b'"']))
            )
            value[at : at + (len(put) if how == "overwrite" else 0)] = put
    return bytes(value)


def shapes() -> st.SearchStrategy[EventShape]:
    """Configurations of `[events]`."""
    return st.builds(
        _shape,
        st.sampled_from(
            [
                {},
                {"id": "order", "label": "note"},
                {"features": "a", "label": 'a "quoted" name'},
                {"flat": True},
                {"flat": True, "id": "order"},
            ]
        ),
        st.sampled_from([frozenset(), frozenset({"b"}), frozenset({"c", "b"})]),
        st.sampled_from(["refuse", "ignore"]),
        st.sampled_from([None, None, "UP", 1, 1.0, True, "1"]),
        st.sampled_from(
            [
                {},
                {},
                {"missing": "refuse"},
                {"require": ("a",)},
                {"types": (("a", "number"), ("b", "bool"))},
                {"require": ("b",), "types": (("a", "string"),), "missing": "refuse"},
            ]
        ),
    )


def _shape(
    names: dict[str, Any], ignore: frozenset[str], extra: Any, positive: Any, more: dict[str, Any]
) -> EventShape:
    return EventShape(**names, ignore=ignore, extra=extra, positive=positive, **more)


def limits() -> st.SearchStrategy[Limits]:
    """The defaults, and limits so tight or so wide that documents come near them."""
    return st.sampled_from(
        [
            Limits(),
            Limits(
                value_bytes_max=64,
                features_max=2,
                name_chars_max=3,
                string_chars_max=4,
                magnitude_max=100.5,
            ),
            Limits(value_bytes_max=16_777_216, magnitude_max=1e75, string_chars_max=10_000),
        ]
    )


def kinds() -> st.SearchStrategy[Kind]:
    """What the model does."""
    return st.sampled_from(list(Kind))
