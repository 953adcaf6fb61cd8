"""Growth: does the ten-millionth event cost more than the first ones, or more memory?"""

from argparse import Namespace
from collections.abc import Sequence
from itertools import cycle, islice
from pathlib import Path
from typing import Any

from tests.instruments.bench import summary
from tests.instruments.bench.events import encoded
from tests.instruments.bench.loops import Loop
from tests.instruments.bench.meter import Spec
from tests.instruments.bench.peers.growing import Window
from tests.instruments.bench.stage import Say, opened

EVENTS_N = 10_000_000
DIFFERENT_EVENTS_N = 200_000  # to make one takes longer than to write it
FOLDED_WITHIN_S = 3_600.0
WINDOWS_N = 10
FIRST_MARK = 10_000
COST_RATIO_MAX = 1.05
RSS_GROWTH_MIB_MAX = 20.0

GROWING = Loop(
    name="growing", title="", module="growing", variant="embedded", guarantee="exactly-once",
    needs_kafka=False,
)  # fmt: skip


def run(options: Namespace, folder: Path, *, command: str, say: Say) -> int:
    """Fill an embedded log, fold it, print the windows. Returns: 0, or 1 past a limit."""
    n = options.events or EVENTS_N
    with opened(folder, kafka="embedded", say=say) as stage:
        config = stage.config("growing", client="embedded")
        say(f"bench: writing {n:,} events into one SQLite file")
        different = list(encoded(min(n, DIFFERENT_EVENTS_N)))
        stage.fill_embedded(config, islice(cycle(different), n))
        say("bench: folding them")
        more = {"config": str(config), "marks": ",".join(map(str, marks(n)))}
        spec = Spec(
            variant="embedded", model="lr", events_n=n, folder=str(folder), name="growing",
            more=more,
        )  # fmt: skip
        ran = stage.child(GROWING, spec, within_s=FOLDED_WITHIN_S)
    windows = [Window(**window) for window in ran.more["windows"]]
    growth = assess(windows, large=n // WINDOWS_N)
    text = f"{table(windows)}\n\n{growth['text']}"
    told, figures = summary.about(command, "embedded"), {**growth, **ran.more}
    summary.finish("growth", text, told=told, figures=figures, options=options, say=say)
    return 0 if growth["held"] else 1


def marks(n: int) -> list[int]:
    """10^4, 10^5 and so on, and every tenth of the whole."""
    powers = (10**k for k in range(4, 8))
    tenths = range(n // WINDOWS_N, n, n // WINDOWS_N)
    return sorted({mark for mark in (*powers, *tenths) if FIRST_MARK <= mark < n})


def assess(windows: Sequence[Window], *, large: int) -> dict[str, Any]:
    """Compare the last window with the one that ends at `large`, in scaled CPU, and the memory."""
    # A window ends with the batch in which its mark lies.
    first = next(window for window in windows if window.end >= large)
    cost_ratio = cost(windows[-1]) / cost(first)
    grown_mib = windows[-1].rss_mib - windows[0].rss_mib
    held = cost_ratio <= COST_RATIO_MAX and grown_mib <= RSS_GROWTH_MIB_MAX
    text = (
        f"The last {windows[-1].events_n:,} events cost {cost_ratio:.3f} times those before the "
        f"{first.end:,}th (calm, limit {COST_RATIO_MAX}); resident memory grew by "
        f"{grown_mib:.1f} MiB since the first {windows[0].end:,} (limit {RSS_GROWTH_MIB_MAX:.0f})."
    )
    return {"held": held, "cost_ratio": cost_ratio, "rss_growth_mib": grown_mib, "text": text}


def cost(window: Window) -> float:
    """CPU an event, in yardsticks."""
    cost_us = window.calm_us or window.cpu_s / window.events_n * 1e6
    return cost_us / min(window.yardsticks_us)


def table(windows: Sequence[Window]) -> str:
    """The windows as Markdown."""
    lines = [
        "| up to event | CPU, µs an event | calm | of the bare river loop | resident memory, MiB |",
        "|---|---|---|---|---|",
    ]
    lines += [
        f"| {window.end:,} | {window.cpu_s / window.events_n * 1e6:.1f} | "
        f"{'-' if window.calm_us is None else f'{window.calm_us:.1f}'} | "
        f"{1 / cost(window):.3f} | {window.rss_mib:.0f} |"
        for window in windows
    ]
    return "\n".join(lines)
