"""Our worker with a model of some size: the longest pause between two events."""

import pickle
from pathlib import Path

from stream.core.snapshots.pickling import dumps
from stream.telemetry import Metric
from tests.instruments.bench.cargo import GAPS, make
from tests.instruments.bench.meter import Meter, Spec, serve
from tests.instruments.bench.peers.ours import Watch, work


class _Stalls(Watch):
    """Takes the log's calls out of the pauses."""

    def on_call(self, seconds: float) -> None:
        GAPS.called(seconds)


def run(spec: Spec, meter: Meter) -> None:
    """The worker of `spec.more["config"]`."""
    more = spec.more
    one, copies = make(more["kind"], copies=1), int(more["copies"])
    size_bytes, kept_bytes = len(pickle.dumps(one, pickle.HIGHEST_PROTOCOL)), len(dumps(one))
    del one
    watch = _Stalls(meter)
    counters = work(Path(more["config"]), watch).counters
    gaps_ms = sorted(gap_s * 1e3 for gap_s in GAPS.long_s)
    meter.tell(
        size_bytes=size_bytes * copies,
        kept_bytes=kept_bytes * copies,
        longest_ms=gaps_ms[-1] if gaps_ms else 0.0,
        gaps_ms=gaps_ms[-20:],
        snapshots=counters[Metric.SNAPSHOTS],
    )


if __name__ == "__main__":
    serve(run)
