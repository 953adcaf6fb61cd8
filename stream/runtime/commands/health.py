"""Whether a pipeline makes progress, for a health check: it has no lag, or an offset moves on."""

from stream.core.event import Channel
from stream.errors import Retryable
from stream.ports import Reader, TopicInfo
from stream.runtime.lag import is_paused, lag
from stream.runtime.pipeline import Pipeline

LOOK_EVERY_S = 1.0


def wait_for_progress(
    pipeline: Pipeline, reader: Reader, events: TopicInfo, *, within_s: float
) -> str:
    """Look every second until no partition lags, or a committed offset moved.

    A paused partition lags on purpose, and a restart would not help it: it is not waited for.

    Returns: what was seen, in one line.
    Raises: Retryable: nothing of the kind within the time, or Kafka is away.
    """
    clock, start = pipeline.clock(), pipeline.settings.topics.start
    deadline_s = clock.monotonic() + within_s
    first = reader.committed()
    committed = first
    while True:
        paused = [p for p in range(events.partitions) if is_paused(committed.get(p))]
        lags = [
            0 if p in paused
            else lag(committed.get(p), reader.bounds(Channel.EVENTS, p), start=start)
            for p in range(events.partitions)
        ]  # fmt: skip
        if not any(lags) and None not in lags:
            which = ", ".join(str(p) for p in paused)
            return f"no lag, but partition {which} is paused" if paused else "no lag"
        for partition, at in committed.items():
            before = first.get(partition)
            if before is None or at.offset != before.offset:
                return f"partition {partition} moved on to offset {at.offset}"
        left_s = deadline_s - clock.monotonic()
        if left_s <= 0:
            behind = ", ".join(f"{p}: {n}" for p, n in enumerate(lags) if n != 0)
            raise Retryable(
                f"no progress within {within_s:g} s (lag of partition {behind}); is a worker "
                "running, and what does it say?"
            )
        clock.sleep(min(LOOK_EVERY_S, left_s))
        committed = reader.committed()
