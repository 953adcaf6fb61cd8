"""What a command changes in its own process: environment, garbage collection."""

import gc
import os
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

from stream.config import Settings, load
from stream.errors import Misconfigured
from stream.runtime.pipeline import Pipeline

MALLOC_ARENAS = "2"
"""The client makes threads for each new producer, and glibc gives threads heaps of their own, from
which little comes back: in 23 minutes of faults a worker grew by 32 MB, with two heaps by 14."""


def environment(settings: Settings) -> dict[str, str]:
    """The variables that must be there before a worker's interpreter starts."""
    return {
        # Some river models iterate over sets of strings.
        "PYTHONHASHSEED": str(settings.effective_hash_seed),
        "MALLOC_ARENA_MAX": os.environ.get("MALLOC_ARENA_MAX", MALLOC_ARENAS),
    }


def opened_in_its_environment(open_pipeline: Callable[[Path], Pipeline], path: Path) -> Pipeline:
    """Open a pipeline in an interpreter that has its `environment`; that may be a new one.

    Raises: Misconfigured.
    """
    enter_environment(path)
    pipeline = open_pipeline(path)
    start_again_with(environment(pipeline.settings))
    return pipeline


def enter_environment(path: Path) -> None:
    """Go on as an interpreter with a pipeline's `environment`; a broken pipeline changes nothing.

    To be called before river is loaded, or the new interpreter would load it again.
    """
    with suppress(Misconfigured):  # whoever opens the pipeline says all that is wrong at once
        settings = load(path, environ=os.environ, without=("detectors",))
        start_again_with(environment(settings))


def start_again_with(variables: Mapping[str, str]) -> None:
    """Go on as a new interpreter with these variables, unless they are there already."""
    if variables.items() <= os.environ.items():
        return
    sys.stdout.flush()
    os.environ.update(variables)
    os.execv(sys.executable, [sys.executable, "-m", "stream", *sys.argv[1:]])  # noqa: S606


GC_ALLOCATIONS = 50_000


def collect_rarely() -> None:
    """Let the cycle collector look at less, and less often.

    Every output is a few short-lived objects in the client, none of them a cycle; Python's default
    looks through all of them every 700 allocations, which took 4 of 52 µs of CPU an event.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(GC_ALLOCATIONS, 20, 20)
