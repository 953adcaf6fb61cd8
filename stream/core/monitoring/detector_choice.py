"""Which detectors fit which kind of model: those it gets if none is named, and those in vain."""

from collections.abc import Sequence

from stream.core.event import Kind
from stream.core.monitoring.detectors import BINARY
from stream.core.problems import PROBLEMS
from stream.core.spec import DetectorSpec


def default_specs(kind: Kind) -> tuple[DetectorSpec, ...]:
    """The detectors of a configuration that names none.

    ADWIN and DDM on "error". A regressor's error is no 0 or 1, so DDM cannot read it. An anomaly
    detector has no label to be wrong about: ADWIN watches its score instead.
    """
    problem = PROBLEMS[kind]
    signal = "error" if problem.is_supervised else "prediction"
    adwin = DetectorSpec(name="adwin", type="ADWIN", signal=signal)
    ddm = DetectorSpec(name="ddm", type="DDM", signal=signal)
    return (adwin, ddm) if problem.error_is_share else (adwin,)


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
