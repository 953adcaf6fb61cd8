"""docs/scale.md says the supervisor's deadlines as the code has them."""

from pathlib import Path

from stream.runtime.supervision import restarts, stagnation, supervisor
from stream.runtime.supervision.worker_link import DRAIN_S

PAGE = Path(__file__).resolve().parents[2] / "docs" / "scale.md"


def test_the_page_has_the_codes_deadlines() -> None:
    """Whoever plans a shutdown or an alarm reads them there."""
    page = " ".join(PAGE.read_text().split())

    first, most, calm_s = restarts.FIRST_S, restarts.MOST_S, restarts.CALM_S
    still, recoveries = stagnation.STUCK_AFTER_S_MIN, stagnation.STUCK_AFTER_RECOVERIES
    assert calm_s == 60
    for said in (
        f"after {first:g} s, doubling to {most:g} s, short again after a minute",
        f"for {still:g} s, or {recoveries:g} times `recovery_time_s`",
        f"has not begun to poll after {supervisor.START_WITHIN_S:g} s",
        f"After {DRAIN_S:g} s it kills what is left",
        f"longer than the supervisor's {DRAIN_S:g} s",
    ):
        assert said in page
