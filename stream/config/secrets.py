"""Finds what must never be read in a log or a message, and shows the rest."""

import ipaddress
import re
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

MASK = "***"

_SECRET_WORD = re.compile(r"passw|passphrase|secret|token|credential|jaas|key", re.IGNORECASE)
# Names of files and addresses are no secrets, and scrubbing them would blind the logs.
_PLACE_WORD = re.compile(r"(file|location|path|url|uri|id|provider|mechanism)$", re.IGNORECASE)


def is_secret_option(name: str) -> bool:
    """Whether a client option of this name holds a secret (`sasl_plain_password`)."""
    return bool(_SECRET_WORD.search(name)) and not _PLACE_WORD.search(name)


def url_secrets(url: str) -> frozenset[str]:
    """The secret strings in a URL: password as written and decoded, and then the URL itself.

    A user name without a password counts: that is where a forgotten colon puts the password.
    """
    try:
        parts = urlsplit(url)
    except ValueError:
        return frozenset({url})
    written = [parts.password or parts.username or ""]
    written += [
        value
        for name, values in parse_qs(parts.query).items()
        for value in values
        if _SECRET_WORD.search(name)
    ]
    found = {text for each in written for text in (each, unquote(each)) if text}
    return frozenset(found | {url}) if found else frozenset()


def mask_url(url: str) -> str:
    """The URL without user, password and query if it has a secret; else as it is."""
    if not url_secrets(url):
        return url
    try:
        parts = urlsplit(url)
    except ValueError:
        return MASK
    place = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{MASK}@{place}{parts.path}"


def option_secrets(options: dict[str, Any]) -> frozenset[str]:
    """The secret strings among the options of a Kafka client."""
    found: set[str] = set()
    for name, value in options.items():
        if isinstance(value, str):
            if "://" in value:
                found |= url_secrets(value)
            elif value and is_secret_option(name):
                found.add(value)
    return frozenset(found)


def mask_options(options: dict[str, Any]) -> dict[str, Any]:
    """The options with every secret replaced; safe to print."""
    return {
        name: MASK
        if is_secret_option(name)
        else mask_url(value)
        if isinstance(value, str) and "://" in value
        else value
        for name, value in options.items()
    }


def is_local(url: str) -> bool:
    """Whether a checked Redis URL stays on this machine: a unix socket or loopback."""
    parts = urlsplit(url)
    if parts.scheme == "unix":
        return True
    # redis-py decodes the host, so "localhost%2eexample.org" must be judged decoded.
    host = unquote(parts.hostname or "")
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def check_redis_url(url: str) -> None:
    """Refuse what redis-py would misread in silence.

    Raises: ValueError: says what is wrong, never the URL (it may hold a password).
    """
    example = "write redis://HOST:6379/0, rediss://HOST:6379/0 or unix:///PATH"
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise ValueError(f"its host or port cannot be read; {example}") from None
    if parts.scheme not in {"redis", "rediss", "unix"}:
        raise ValueError(f"it begins with none of redis://, rediss://, unix://; {example}")
    if parts.scheme == "unix":
        if not parts.path.strip("/"):
            raise ValueError(f"the path of the socket is missing; {example}")
        return
    if not parts.hostname:
        raise ValueError(f"the host is missing; {example}")
    if port == 0:
        raise ValueError(f"port 0 cannot be reached; {example}")
    # redis-py takes database 0 when this is no number, and finds an empty store.
    if not re.fullmatch(r"/?|/\d+", parts.path):
        raise ValueError(f"what follows the host must be the database's number; {example}")
