"""How many workers a supervisor starts, and what they are called."""

import os
import re
from collections.abc import Iterator
from pathlib import Path

from stream.errors import Misconfigured, Usage

AUTO = "auto"
INSTANCE_CHARS_MAX = 64
"""The longest `worker.instance` that the configuration takes."""

_NOT_IN_A_NAME = re.compile(r"[^a-zA-Z0-9._-]")
_CGROUPS = Path("/sys/fs/cgroup")
_OWN_CGROUPS = Path("/proc/self/cgroup")


def asked(text: str) -> int | None:
    """The N of `--workers N`; None for `auto`. Raises: Usage."""
    if text == AUTO:
        return None
    if not re.fullmatch("[0-9]{1,4}", text) or not int(text):
        raise Usage(f"--workers: {text!r} is no number of workers; write 1 or more, or {AUTO}")
    return int(text)


def size(wanted: int | None, *, partitions: int, cpus: int) -> int:
    """How many workers are of use: a partition is one worker's at a time.

    >>> size(None, partitions=8, cpus=4), size(None, partitions=2, cpus=4)
    (4, 2)
    >>> size(6, partitions=8, cpus=4), size(16, partitions=8, cpus=4)
    (6, 8)
    """
    return min(partitions, cpus if wanted is None else wanted)


def capped(wanted: int | None, *, partitions: int, topic: str) -> dict[str, str]:
    """Why there are fewer workers than asked for, as fields of a line; {}: there are not.

    >>> capped(4, partitions=4, topic="t")
    {}
    >>> capped(8, partitions=4, topic="t")["why"]
    "t has 4 partitions, each one worker's at a time"
    """
    if wanted is None or wanted <= partitions:
        return {}
    why = f"{topic} has {partitions} partitions, each one worker's at a time"
    return {"instead_of": str(wanted), "why": why}


def names(instance: str | None, *, host: str, workers: int) -> tuple[str, ...]:
    """The workers' instances: the supervisor's own (or the host's name) and a number.

    Raises: Misconfigured: the instance leaves no room for the number.

    >>> names("pod-3", host="node", workers=2), names(None, host="my_host.local", workers=1)
    (('pod-3-0', 'pod-3-1'), ('my_host.local-0',))
    """
    room = INSTANCE_CHARS_MAX - len(f"-{workers - 1}")
    if instance is not None and len(instance) > room:
        raise Misconfigured(
            f"worker.instance: {len(instance)} characters; with --workers at most {room}, for each "
            "worker's name is this one with a number behind it"
        )
    base = instance or _NOT_IN_A_NAME.sub("-", host)[:room] or "worker"
    return tuple(f"{base}-{n}" for n in range(workers))


def usable_cpus(cgroups: Path = _CGROUPS, own: Path = _OWN_CGROUPS) -> int:
    """CPUs that this process may use: of its affinity, and whole ones of its container's quota.

    Args:
        cgroups: where the control groups are mounted.
        own: names this process's group in each hierarchy.
    """
    affine = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return max(1, min([affine or 1, *_quotas(cgroups, own)]))


def _quotas(cgroups: Path, own: Path) -> Iterator[int]:
    """What this group and those above it allow, in whole CPUs."""
    for folder in _groups(cgroups, own):
        # Version 2 has both numbers in one file, version 1 has a file for each.
        both = _words(folder / "cpu.max")
        quota, period = (
            both
            or (
                *_words(folder / "cpu.cfs_quota_us"),
                *_words(folder / "cpu.cfs_period_us"),
            )
            or ("max", "")
        )
        if quota not in ("max", "-1"):
            yield int(quota) // int(period)


def _groups(cgroups: Path, own: Path) -> Iterator[Path]:
    """The folders of this process's control groups and of those above, where CPU quotas stand."""
    try:
        lines = own.read_text().splitlines()
    except OSError:
        return  # no Linux
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if not controllers:
            root = cgroups
        elif "cpu" in controllers.split(","):
            root = cgroups / "cpu"
        else:
            continue
        # In a container the path may be the host's, and the mount begin at our own group: whatever
        # of the way is there counts.
        folder = root / path.lstrip("/")
        while folder != root:
            yield folder
            folder = folder.parent
        yield root


def _words(path: Path) -> tuple[str, ...]:
    try:
        return tuple(path.read_text().split())
    except OSError:
        return ()
