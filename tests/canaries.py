"""Finding a secret in whatever somebody may read, also if it was encoded on the way."""

import base64
from collections.abc import Iterable, Mapping
from urllib.parse import quote


def forms(secret: str) -> list[bytes]:
    """A secret as it may lie somewhere: plain, quoted, in hex, in base64 at any alignment."""
    plain = secret.encode()
    found = [plain, quote(secret).encode(), plain.hex().encode(), plain.hex().upper().encode()]
    for shift in range(3):
        # What stands before it moves base64's groups of three; the outermost letters mix with
        # the neighbours, so they are left out.
        letters = base64.b64encode(bytes(shift) + plain)
        found.append(letters[4:-4])
    return found


def leaks(places: Mapping[str, bytes], secrets: Iterable[str]) -> list[str]:
    """Which secret is in which place; [] = nowhere."""
    return [
        f"{place}: {secret}"
        for secret in secrets
        for form in forms(secret)
        for place, content in places.items()
        if form in content
    ]
