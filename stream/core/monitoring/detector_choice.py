"""Which detectors fit which kind of model: those it gets if none is named, and those in vain."""

from collections.abc import Sequence

from stream.core.event import Kind
from stream.core.monitoring.detectors import BINARY
from stream.core.monitoring.episodes import Severity
from stream.core.problems import PROBLEMS
from stream.core.spec import DetectorSpec


def default_specs(kind: Kind, *, is_quiet: bool = False) -> tuple[DetectorSpec, ...]:
    """The detectors of a configuration that names none.

    ADWIN and DDM on "error", for quiet alerts ECUSUM, too. A regressor's error is no 0 or 1, so DDM
    cannot read it, and where it has a long tail ADWIN is wrong 14 times in 100,000 events: quiet is
    ECUSUM alone. An anomaly detector has no label to be wrong about: ADWIN watches its score.

    Args:
        kind: what the model does.
        is_quiet: they are such that all of them together, on a stream where nothing changes, are
            wrong less than once in 100,000 events (docs/DETECTORS.md); river's DDM is, 20 times.
    """
    problem = PROBLEMS[kind]
    signal = "error" if problem.is_supervised else "prediction"
    ecusum = DetectorSpec(name="ecusum", type="ECUSUM", signal=signal)
    if is_quiet and problem.is_supervised and not problem.error_is_share:
        return (ecusum,)
    specs = [DetectorSpec(name="adwin", type="ADWIN", signal=signal)]
    if problem.error_is_share:
        params = {"warm_start": 1000, "drift_threshold": 3.5} if is_quiet else {}
        specs.append(DetectorSpec(name="ddm", type="DDM", signal=signal, params=params))
    if is_quiet and problem.is_supervised:
        specs.append(ecusum)
    return tuple(specs)


def default_severities(kind: Kind) -> tuple[tuple[str, Severity], ...]:
    """Of those detectors, where they are not the usual ones.

    What an anomaly detector says changes while it learns, and no label tells whether that is worse.
    """
    return () if PROBLEMS[kind].is_supervised else (("adwin", Severity.INFO),)


def problems(specs: Sequence[DetectorSpec], kind: Kind) -> list[str]:
    """Which of `specs` could never work on such a model, one line each."""
    found, problem = [], PROBLEMS[kind]
    for index, spec in enumerate(specs):
        if spec.signal != "error":
            continue
        if not problem.is_supervised:
            found.append(f'detectors[{index}].signal: scores have no error; write "prediction"')
        elif spec.type in BINARY and not problem.error_is_share:
            found.append(f"detectors[{index}].type: {spec.type} reads only 0 and 1; write ADWIN")
    return found
