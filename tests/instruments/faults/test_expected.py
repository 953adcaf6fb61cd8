"""The plain loop that is told of commands, and of nothing else."""

import json

from tests.instruments.faults import expected, models


def test_a_loop_does_what_it_is_told_before_the_event_it_is_told() -> None:
    """It predicts and does not learn; and begins anew, as if nothing had been before."""
    values = [json.dumps({"features": {"a": n / 7}, "label": n % 3 == 0}) for n in range(8)]
    records = [(n, value.encode()) for n, value in enumerate(values)]
    done = {2: ["freeze"], 4: ["reset", "unfreeze"], 7: ["pause", "resume"]}

    told = expected.of(records, models.logistic, expected.event_of, done).predictions
    plain = expected.of(records, models.logistic, expected.event_of).predictions
    anew = expected.of(records[4:], models.logistic, expected.event_of).predictions

    assert [told[n]["learned"] for n in told] == [0, 1, 2, 2, 0, 1, 2, 3]
    assert {n: told[n] for n in (0, 1, 2)} == {n: plain[n] for n in (0, 1, 2)}
    assert {n: told[n] for n in anew} == anew
