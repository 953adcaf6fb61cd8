"""What bytes look like that are no JSON: the usual ways in which an upstream sends something else.

A hint for people, at the end of a rejection's detail; nothing is decided by it.
"""

from collections.abc import Sequence

_FRAME_BYTES = 5  # Confluent's: a zero, and the schema's id

_BEGINNINGS: Sequence[tuple[bytes, str]] = (
    (b"\x1f\x8b", "gzip; compress with the producer's own compression.type instead"),
    (b"\x28\xb5\x2f\xfd", "zstd; compress with the producer's own compression.type instead"),
    (b"\x04\x22\x4d\x18", "lz4; compress with the producer's own compression.type instead"),
    (b"Obj\x01", "an Avro file; an event is one plain JSON object"),
    (b"\x03\x00", "AWS Glue's wire format; an event is plain JSON, without a registry's header"),
    (b"\xff\xfe", "UTF-16; write JSON as UTF-8"),
    (b"\xfe\xff", "UTF-16; write JSON as UTF-8"),
    (b"\x80\x04", "a Python pickle; an event is one plain JSON object"),
    (b"<", "XML; an event is one plain JSON object"),
)


def looks_like(value: bytes) -> str:
    r"""`; looks like ...` of a value that could not be read; "" if it reminds of nothing.

    >>> looks_like(b'\x00\x00\x00\x00*{"a": 1}')[:64]
    '; looks like Confluent wire format (schema id 42, JSON inside); '
    >>> looks_like(b"oops")
    ''
    """
    if value[:1] == b"\0" and len(value) > _FRAME_BYTES:
        schema_id = int.from_bytes(value[1:_FRAME_BYTES], "big")
        inside = "JSON" if value[_FRAME_BYTES:].lstrip()[:1] == b"{" else "Avro or Protobuf"
        return (
            f"; looks like Confluent wire format (schema id {schema_id}, {inside} inside); events "
            "are plain JSON, without a registry's header"
        )
    found = next((words for start, words in _BEGINNINGS if value.startswith(start)), None)
    return "" if found is None else f"; looks like {found}"
