"""The search that the other canary tests trust."""

import base64

import pytest

from tests.canaries import forms, leaks

SECRET = "canary/with:odd@signs-0123456789"  # noqa: S105  # it is none


@pytest.mark.parametrize("before", [b"", b"a", b"ab", b"abc"])
def test_a_secret_is_found_however_it_was_written(before: bytes) -> None:
    """Plain or encoded, at the beginning or behind something."""
    plain = SECRET.encode()
    whole = before + plain + b"\0after"
    places = {"plain": whole, "hex": whole.hex().encode(), "base64": base64.b64encode(whole)}

    assert {line.partition(":")[0] for line in leaks(places, [SECRET])} == set(places)
    assert leaks({"another": b"canary" + before}, [SECRET]) == []
    assert min(map(len, forms(SECRET))) > 20
