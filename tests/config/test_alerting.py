"""`[alerts]` and `[monitors]`: when they are parts of a state, and with which settings."""

import re

import pytest

from stream.core.monitoring.monitors_spec import MonitorsSpec
from stream.core.monitoring.numeric import NumericSpec
from stream.core.monitoring.policy_spec import PolicySpec
from stream.core.monitoring.reactions import ReactionsSpec, Rule
from stream.core.spec import DetectorSpec
from stream.errors import Misconfigured
from tests.config.conftest import PLAIN, Load

RAW = '[alerts]\npolicy = "raw"\n'


def test_a_policy_on_alerts_is_a_part_unless_they_are_raw(loaded: Load) -> None:
    """Its cooldown is of records, or of fold time; a detector may have a severity of its own."""
    assert loaded(f'{PLAIN}\n{RAW}min_severity = "info"\ncooldown = "1h"').parts() == (
        NumericSpec(),
    )
    assert loaded(PLAIN).parts() == (PolicySpec(), MonitorsSpec(), NumericSpec())

    quiet = f'{PLAIN}\n[alerts]\npolicy = "quiet"\n'
    assert loaded(quiet).parts() == (PolicySpec(), MonitorsSpec(), NumericSpec())
    assert PolicySpec().settings() == MonitorsSpec().settings() == {}
    for text, cooldown, unit in (
        ("250 events", 250, "events"), ("500ms", 500, "ms"), ("30s", 30_000, "ms"),
        ("15m", 900_000, "ms"), ("24h", 86_400_000, "ms"), ("7d", 604_800_000, "ms"),
    ):  # fmt: skip
        spec, *_ = loaded(f'{quiet}cooldown = "{text}"').parts()
        assert isinstance(spec, PolicySpec)
        assert (spec.cooldown, spec.unit) == (cooldown, unit)

    detectors = '[[detectors]]\ntype = "ADWIN"\nseverity = "critical"\n[[detectors]]\ntype = "DDM"'
    found = loaded(f'{quiet}min_severity = "info"\n{detectors}')
    assert found.detectors == (
        DetectorSpec(name="adwin", type="ADWIN"), DetectorSpec(name="ddm", type="DDM"),
    )  # fmt: skip
    spec, *_ = found.parts()
    assert spec.settings() == {"min_severity": "info", "severities": {"adwin": "critical"}}


def test_monitors_are_a_part_only_of_quiet_alerts(loaded: Load) -> None:
    """`monitors = false` is none of them; without alerts that are quiet nobody would tell."""
    quiet = '[alerts]\npolicy = "quiet"\n'
    assert loaded(f"{PLAIN}\n{RAW}[monitors]\ninputs = true").parts() == (NumericSpec(),)
    assert loaded(f"monitors = false\n{PLAIN}\n{quiet}").parts() == (PolicySpec(), NumericSpec())
    tables = f'{quiet}budget_events = 5000\n[monitors]\nreference = "first 1000"\noutputs = false'
    _, spec, _ = loaded(f"{PLAIN}\n{tables}").parts()
    assert spec == MonitorsSpec(reference_n=1000, outputs=False, budget_events=5000)
    assert spec.settings() == {"reference_n": 1000, "outputs": False, "budget_events": 5000}


@pytest.mark.parametrize(("key", "name"), [("silence_after", "silence_s"), ("lag_after", "lag_s")])
def test_the_flow_is_watched_only_where_somebody_is_told(loaded: Load, key: str, name: str) -> None:
    """By quiet alerts, of a warning and more."""
    watched = f'[monitors]\n{key} = "15m"\n'
    assert getattr(loaded(f"{PLAIN}\n{watched}{RAW}"), name) is None
    assert getattr(loaded(f'{PLAIN}\n{watched}[alerts]\npolicy = "quiet"'), name) == 900.0
    critical = '[alerts]\npolicy = "quiet"\nmin_severity = "critical"'
    assert getattr(loaded(f"{PLAIN}\n{watched}{critical}"), name) is None
    assert getattr(loaded(f'{PLAIN}\n[alerts]\npolicy = "quiet"'), name) is None


def test_the_numeric_breaker_is_a_part_unless_it_is_taken_away(loaded: Load) -> None:
    """Whatever becomes of alerts."""
    assert loaded(f"{PLAIN}numeric_breaker = false\n{RAW}").parts() == ()
    assert loaded(f"{PLAIN}\n{RAW}").parts() == (NumericSpec(),)
    assert NumericSpec().settings() == {}


def test_reactions_are_a_part_where_they_are_written(loaded: Load) -> None:
    """Kind or name, deed, and a cool-down of records or of fold time; in the order of the file."""
    tables = (
        '[[reactions]]\nwhen = "drift"\ndo = "reset"\n'
        '[[reactions]]\nwhen = "model:numeric"\ndo = "freeze"\ncooldown = "6h"\n'
    )
    *_, spec = loaded(f"{PLAIN}\n{tables}").parts()
    rules = (Rule("drift", "reset"), Rule("model:numeric", "freeze", 21_600_000, "ms"))
    assert spec == ReactionsSpec(rules)
    written = '[{"when": "storm", "do": "freeze"}]'
    assert loaded(PLAIN, STREAM__REACTIONS=written).reactions == (Rule("storm", "freeze"),)


@pytest.mark.parametrize(
    ("table", "problem"),
    [
        ('when = "drift"\ndo = "rollback"', '.do: "rollback" is not there yet; write "freeze" or'),
        ('when = "drift"\ndo = "stop"', '.do: "stop" is nothing to do; write one of "freeze"'),
        (
            'when = "Drift"\ndo = "reset"',
            '.when: "Drift" is no kind of alert; did you',
        ),
        ('when = ""\ndo = "reset"', '.when: "" is no alert; write its kind'),
        ('when = "drift"\ndo = "reset"\ncooldown = "5"', '.cooldown: "5" is no cooldown; write'),
        ('do = "reset"', '.when: missing; write when = "drift"'),
    ],
)
def test_a_reaction_that_cannot_be_is_refused(loaded: Load, table: str, problem: str) -> None:
    """By the place in the list, and what to write."""
    with pytest.raises(Misconfigured, match=re.escape(f"reactions[0]{problem}")):
        loaded(f"{PLAIN}\n[[reactions]]\n{table}")


def test_a_reaction_is_written_once(loaded: Load) -> None:
    """Two of the same would have two cool-downs."""
    twice = 2 * '[[reactions]]\nwhen = "drift"\ndo = "reset"\n'
    with pytest.raises(Misconfigured, match=re.escape("reactions[1].when: reactions[0] does")):
        loaded(f"{PLAIN}\n{twice}")
