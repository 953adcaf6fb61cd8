"""What somebody who is called should do: one line for each sort of alert."""

from typing import Final

from stream.core.monitoring.episodes import Episode, Phase

_OTHERS: Final = {
    "numeric": 'read "fault" in the predictions and model_error in the quarantine: the model '
    "cannot answer or learn",
    "input": "find out who invents feature names; then see docs/OPERATING.md, a state over its "
    "ceiling",
    "flow": "check the clocks of whoever writes the events",
    "storm": "look for one cause of several: begin with the largest",
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
    return _OTHERS.get(first.kind) or _BY_DIRECTION[first.kind, first.direction]
