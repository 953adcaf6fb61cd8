"""The report: one HTML file that needs nothing else."""

import platform
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

import stream
from stream.core.scores import WINDOW_N
from stream.demo import plots
from stream.demo.late import LateAct
from stream.demo.stage import Actor, Stage
from stream.demo.verdict import Verdict

TEMPLATE = Path(__file__).parent / "report.html.j2"


def render(stage: Stage, verdicts: Sequence[Verdict], late: LateAct, *, took_s: float) -> str:
    """The report of a performance that was carried through and compared."""
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    template = environment.from_string(TEMPLATE.read_text(encoding="utf-8"))
    return template.render(
        exact=late.verdict.exact and all(verdict.exact for verdict in verdicts),
        late=late,
        pipelines=[_row(a, v) for a, v in zip(stage.actors, verdicts, strict=True)],
        published_n=sum(verdict.published_n for verdict in verdicts),
        flights_n=stage.events_n,
        window_n=WINDOW_N,
        crash=stage.crash,
        victim=stage.actors[1].follower.pipeline,
        # Our own SVG: its texts are numbers, days and fixed words.
        score=Markup(plots.score(stage)),  # noqa: S704
        throughput=Markup(plots.throughput(stage)),  # noqa: S704
        lag=Markup(plots.lag(stage)),  # noqa: S704
        sandbox=stage.sandbox,
        took_s=took_s,
        feed_s=stage.actors[0].follower.samples[-1].at_s,
        versions={
            "streamfold": stream.__version__,
            "river": version("river"),
            "Python": platform.python_version(),
        },
        machine=f"{platform.system()} {platform.machine()}",
    )


def _row(actor: Actor, verdict: Verdict) -> dict[str, Any]:
    """Collect what the report's template says of one pipeline."""
    answers = actor.follower.answers
    drifts = actor.follower.drifts
    return {
        "pipeline": actor.follower.pipeline,
        "verdict": verdict,
        "accuracy": sum(predicted == label for predicted, label in answers) / len(answers),
        "no_change": sum(plots.no_change(answers)) / len(answers),
        "majority": sum(plots.majority(answers)) / len(answers),
        "alarms_n": actor.follower.alarms_n,
        "improvements_n": len(drifts) - actor.follower.alarms_n,
        "drifts": drifts,
    }
