"""When an event happened, as a file says it."""

from datetime import UTC, datetime, timedelta

from stream.config.checks import show
from stream.runtime.files.spellings import NUMBER

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MILLISECONDS_ABOVE = 1e11
"""A larger epoch counts milliseconds: as seconds it would be the year 5138."""

TIMESTAMP_MS_MAX = 253_402_300_799_999  # 9999-12-31T23:59:59.999Z


def event_time_ms(text: str) -> int:
    """Milliseconds since 1970 of an ISO 8601 time (UTC unless it says) or of an epoch.

    Raises: ValueError: with what is wrong.

    >>> event_time_ms("1970-01-02"), event_time_ms("1700000000"), event_time_ms("1700000000123")
    (86400000, 1700000000000, 1700000000123)
    """
    if NUMBER.fullmatch(text):
        # "1e400" is a number too, and infinite.
        epoch = min(max(float(text), -1.0), TIMESTAMP_MS_MAX + 1.0)
        timestamp_ms = round(epoch if epoch > MILLISECONDS_ABOVE else epoch * 1000)
    else:
        try:
            time = datetime.fromisoformat(text.strip())
        except ValueError:
            raise ValueError(f"{show(text)} is neither an ISO 8601 time nor an epoch") from None
        aware = time if time.tzinfo is not None else time.replace(tzinfo=UTC)
        timestamp_ms = (aware - EPOCH) // timedelta(milliseconds=1)
    if not 0 <= timestamp_ms <= TIMESTAMP_MS_MAX:
        raise ValueError(f"{show(text)} is not between 1970 and 9999, as Kafka's timestamps are")
    return timestamp_ms
