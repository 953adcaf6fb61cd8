"""Rows about the snapshots themselves: damaged, forged, half written, written for ever."""

import json
import signal
import time
from typing import TYPE_CHECKING, Literal

import msgspec
import redis

from stream.core.snapshots import seal as sealing
from stream.runtime.forking import DEADLINE_S
from tests.instruments.faults.hooks import VARIABLE, Hook, variable
from tests.instruments.faults.rows_redis import STATIC_S, prefix, restores, steady, with_snapshots
from tests.instruments.faults.run import Run
from tests.instruments.faults.stage import Stage
from tests.instruments.faults.table import Table, Told
from tests.instruments.faults.worker import Broke, resident_bytes

if TYPE_CHECKING:
    from collections.abc import Callable

CHILD = "stream.runtime.forking:ForkedCopy._child"
"""What the process that pickles a state does, and nobody else."""

STORES, INDEXES = "redis:Redis.set", "redis:Redis.zadd"


def snapshots(table: Table) -> None:
    """Add rows 33, 34 and 40."""
    table.real(
        33, "a snapshot with a flipped bit, cut, swapped, older, forged", "I10 I11 I12",
        tests=("tests/core/snapshots/test_seal.py",),
        why="Bombs: in the tests.",
    )(damaged)  # fmt: skip
    table.real(34, "a worker is killed while it writes a snapshot", "I10")(half_written)
    table.real(
        40, "what makes the snapshot hangs", "I10 I12",
        tests=(
            "tests/runtime/test_forking.py",
            "tests/instruments/simulation/test_copy_scenarios.py",
        ),
        why="No process to be had: in the tests.",
    )(hanging)  # fmt: skip


def _chunks(client: redis.Redis, pipeline: str, partition: int) -> list[bytes]:
    """The keys of all chunks of a partition."""
    found = client.keys(f"{prefix(pipeline)}{partition}:*:*")
    assert isinstance(found, list)
    return [key for key in found if isinstance(key, bytes)]


def damaged(stage: Stage) -> Told:
    """Every snapshot of partition 0 is harmed in the same way: the log is what is left."""

    def flipped(sealed: bytes) -> bytes:
        middle = len(sealed) // 2
        return sealed[:middle] + bytes([sealed[middle] ^ 1]) + sealed[middle + 1 :]

    def forged(sealed: bytes) -> bytes:
        (length,) = sealing._LENGTH.unpack_from(sealed, 4)
        header = msgspec.json.decode(sealed[8 : 8 + length], type=sealing.Header)
        return sealing.seal(header, b"cos\nsystem\n(S'touch pwned'\ntR.", b"k" * 32)

    ways: dict[str, Callable[[bytes], bytes]] = {
        "flipped": flipped,
        "cut": lambda sealed: sealed[: len(sealed) // 2] + b"\0" * (len(sealed) - len(sealed) // 2),
        "forged": forged,
    }
    with Run(stage, recovery_time_s=STATIC_S) as run:
        with_snapshots(run)
        with redis.Redis.from_url(stage.redis.url, protocol=2) as client:
            kept = {k: client.get(k) for p in (0, 1) for k in _chunks(client, run.name, p)}
            for what, harm in ways.items():
                for key, value in kept.items():
                    assert isinstance(value, bytes)
                    _put(client, key, harm(value))
                _rejects(run, what)
            swapped = list(kept)
            for key, value in zip(swapped, [kept[k] for k in reversed(swapped)], strict=True):
                assert isinstance(value, bytes)
                _put(client, key, value)
            _rejects(run, "swapped between partitions and offsets")
        if (run.folder / "pwned").exists():
            raise Broke("I11: a forged snapshot ran code")
        at = time.monotonic()
        run.start(instance="w-0")
        run.recovered(at)
        run.finish()
        return Told("flipped, cut, forged with another key, swapped: all rejected, said, and the "
                    "log replayed.", run.recoveries)  # fmt: skip


def _put(client: redis.Redis, key: bytes, value: bytes) -> None:
    """Replace a chunk, and let its manifest say the new size: only the signature is left."""
    client.set(key, value)
    manifest = key.rsplit(b":", 2)[0]
    raw = client.get(manifest)
    assert isinstance(raw, bytes)
    client.set(manifest, json.dumps({**json.loads(raw), "size_bytes": len(value)}))


def _rejects(run: Run, what: str) -> None:
    restores(run, {"untrained"}, what)
    if "snapshot_rejected" not in run.workers[-1].log:
        raise Broke(f"I13: {what}: nobody said that it was rejected")


def half_written(stage: Stage) -> Told:
    """Killed after a chunk, before the manifest, before the index: the next one never sees it."""
    points = {
        "after a chunk": Hook(call=STORES, when="after", nth=1),
        "before the manifest": Hook(call=STORES, nth=2),
        "before the index": Hook(call=INDEXES, nth=1),
        "after the index": Hook(call=INDEXES, when="after", nth=1),
    }
    with Run(stage, recovery_time_s=STATIC_S) as run:
        for hook in points.values():
            worker = run.start(instance="w-0", environment={VARIABLE: variable(hook)})
            # A slow restore makes a snapshot due at once, else the clean end makes one.
            run.until(
                lambda w=worker: not w.running or "progress" in w.log,  # type: ignore[misc]
                within_s=80, what="the worker goes on, or died already",
            )  # fmt: skip
            if worker.running:
                worker.signal(signal.SIGTERM)
            code = worker.ends(within_s=60)
            if code != -9:
                raise Broke(f"the hook was not reached: {code}")
        # Two writers of one offset: both end at the committed one.
        at = time.monotonic()
        run.start(instance="w-0")
        run.recovered(at)
        run.finish()
        return Told(f"killed {', '.join(points)}", run.recoveries)


def hanging(stage: Stage) -> Told:
    """The child that pickles is killed, or stopped for good; then storing takes for ever."""
    killed_n = _childless(stage, "kill", within_s=60.0)
    stopped_n = _childless(stage, "stop", within_s=60.0 + DEADLINE_S)
    grown, recoveries = _storing_hangs(stage)
    return Told(
        f"a child killed ({killed_n} failed copies) and stopped ({stopped_n}), the next in line; "
        f"storing hangs: {grown / (1 << 20):.0f} MB more memory after 12,000 events.",
        recoveries,
    )


def _childless(stage: Stage, do: Literal["kill", "stop"], *, within_s: float) -> int:
    """No child comes back. Returns: how many copies failed; snapshots were taken all the same."""
    hook = Hook(call=CHILD, do=do)
    with Run(stage, recovery_time_s=1.0) as run:
        worker = run.start(instance="w-0", environment={VARIABLE: variable(hook)})
        run.flowing()
        run.feeder.burst(30_000)  # so much that on a quick machine, too, a snapshot is due
        steady(run, f"a child that pickles: {do}")
        run.until(lambda: "copy_failed" in worker.log, within_s=within_s, what="a copy fails")
        run.feeder.burst(3_000)
        run.until(lambda: 'how="in line"' in worker.log, within_s=60, what="a snapshot in line")
        worker.signal(signal.SIGTERM)
        worker.ends_with(0, within_s=60, says="snapshot_saved")
        run.start(instance="w-0")
        run.finish()
        return worker.log.count("copy_failed")


def _storing_hangs(stage: Stage) -> tuple[int, list[float]]:
    """The outputs go on, and memory does not grow with it. Returns: bytes more; recoveries."""
    hook = Hook(call=STORES, do="sleep", seconds=600.0, nth=1)
    with Run(stage, recovery_time_s=1.0) as run:
        worker = run.start(instance="w-0", environment={VARIABLE: variable(hook)})
        run.flowing()
        run.feeder.burst(3_000)
        time.sleep(3.0)
        before = resident_bytes(worker.process.pid)
        run.feeder.burst(6_000)
        time.sleep(5.0)
        grown = resident_bytes(worker.process.pid) - before
        steady(run, "storing hangs")
        if "snapshot_saved" in worker.log:
            raise Broke("storing did not hang")
        worker.kill()
        at = time.monotonic()
        run.start(instance="w-0")
        run.recovered(at)
        run.finish()
        if grown > 30 << 20:
            raise Broke(f"I12: {grown >> 20} MB more while a snapshot is stored")
        return grown, run.recoveries
