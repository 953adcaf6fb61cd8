"""What a worker's end says of its work."""

import pytest

from stream.runtime.running import say_if_mostly_refused
from stream.telemetry import LogEvent, Metric
from tests.instruments.simulation.doubles import Diary


@pytest.mark.parametrize(
    ("seen_n", "refused_n", "is_told"),
    [
        (200, 200, True),
        (20, 11, True),
        (20, 10, False),
        (19, 19, False),
        (1000, 3, False),
        (0, 0, False),
    ],
)
def test_more_than_half_of_at_least_twenty_is_told(
    seen_n: int, refused_n: int, *, is_told: bool
) -> None:
    """A few bad records are usual, and of a handful a share tells nothing."""
    diary = Diary("end", None)
    diary.count(Metric.RECORDS, seen_n)
    diary.count(Metric.REJECTED, refused_n)
    diary.reasons.update({"bad_label": refused_n - refused_n // 3, "not_json": refused_n // 3})

    say_if_mostly_refused(diary)

    assert diary.events() == ([LogEvent.MOSTLY_REFUSED] if is_told else [])
    assert all("most often as bad_label" in str(fields["why"]) for _, fields in diary.said)
