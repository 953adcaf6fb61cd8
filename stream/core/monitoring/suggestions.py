"""What somebody who is called should do: one line for each sort of alert."""

from typing import Final

from stream.core.monitoring.episodes import Episode, Phase

_BY_MEASURE: Final = {
    "failures": 'read "fault" in the predictions and model_error in the quarantine: the model '
    "cannot answer or learn",
    "breaker": "see what that event holds, and who sent it; then `stream control unfreeze`, or "
    "`reset` if its model must begin anew: it predicts, and learns nothing meanwhile",
    "state_bytes": "find out who invents feature names; then see docs/OPERATING.md, a state over "
    "its ceiling",
    "clock": "check the clocks of whoever writes the events",
    "storm": "look for one cause of several: begin with the largest",
    "psi": "compare its values before and after that offset; if the change is meant, another "
    "`monitors.reference` begins the comparison anew",
    "missing": "ask whoever sends the events since when, and why, it is missing",
    "type": "ask whoever sends the events why its type changed: a model takes it for another thing",
    "range": "look for another unit, or another source, of its values since then",
    "new_category": "ask whether the new category is meant; the model knows nothing of it yet",
    "constant": "look for a source that has stopped and repeats its last value",
    "quarantine_rate": "see `stream quarantine list`: what is refused, and for which reason",
    "rate": "compare with what upstream sent: a double, a gap, or another clock",
    "calibration": "do not take its probabilities at their word until they come true again",
    "baseline": "let the baseline decide until the model is better: another factory, or features "
    "that say more",
    "slice": "see what changed for these events alone",
}

_BY_DIRECTION: Final = {
    ("drift", "worse"): "see what changed upstream since then; the model goes on learning, so look "
    "at its score in `stream status` now and later",
    ("drift", "better"): "nothing: the model is wrong less often than before",
    ("drift", "changed"): "compare the events before and after that offset, and ask their upstream "
    "whether that is meant",
    ("warning", "worse"): "wait: if it goes on, a drift is told",
    ("warning", "better"): "nothing: the model is wrong less often than before",
    ("warning", "changed"): "wait: if it goes on, a drift is told",
}


def suggestion(episode: Episode, state: Phase) -> str:
    """What to do about an episode."""
    if state == "resolved":
        return "nothing: it is over"
    first = episode.first
    return _BY_MEASURE.get(first.detector) or _BY_DIRECTION[first.kind, first.direction]
