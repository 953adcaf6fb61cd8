"""Nulls that Kafka accepts and the client refuses."""

from kafka.serializer import Serializer

from stream.core.event import Headers


class _Null:
    """Stands for a value that is null."""


NULL = _Null()


class NullHeaders(list[tuple[str, bytes | None]]):
    """Headers some of which are null: the client writes them, and fails only at what it asks first.

    It wants every value to be of type bytes, so they are empty until it has looked; and where there
    are any headers, it adds up the lengths of their values.
    """

    def __init__(self, headers: Headers) -> None:
        super().__init__((name, b"" if value is None else value) for name, value in headers)
        self._nulls = [i for i, (_, value) in enumerate(headers) if value is None]

    def __bool__(self) -> bool:
        return False

    def reveal(self) -> None:
        """Set those headers to null that are null."""
        for i in self._nulls:
            self[i] = (self[i][0], None)


class Nulls(Serializer):  # type: ignore[misc]  # untyped; the client demands the class
    """Lets nulls pass that Kafka accepts and the client refuses.

    A record with neither key nor value, and a header whose value is null.
    """

    def serialize(
        self,
        topic: str,  # noqa: ARG002
        headers: list[tuple[str, bytes | None]],
        data: bytes | _Null,
    ) -> bytes | None:
        """The client's hook, after it has looked at the headers."""
        if type(headers) is NullHeaders:
            headers.reveal()
        return None if isinstance(data, _Null) else data


def to_client(headers: Headers) -> list[tuple[str, bytes | None]] | None:
    """Turn headers into the form that the client takes."""
    if not headers:
        return None
    has_nulls = any(value is None for _, value in headers)
    return NullHeaders(headers) if has_nulls else list(headers)
