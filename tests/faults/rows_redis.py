"""Rows about Redis: down, hung, full, read-only, forgetful, lying. It is a cache of the log."""

import json
import signal
import time
from typing import TYPE_CHECKING

import msgspec
import redis

from stream.core import snapshot
from stream.sandbox import LocalRedis
from tests.faults.hooks import VARIABLE, Hook, variable
from tests.faults.run import Run
from tests.faults.stage import Stage
from tests.faults.table import Table, Told
from tests.faults.worker import Broke, resident_bytes

if TYPE_CHECKING:
    from collections.abc import Callable

STATIC_S = 3.0
STORES, INDEXES = "redis:Redis.set", "redis:Redis.zadd"


def snapshots(table: Table) -> None:
    """Add rows 30 to 34 and 40."""
    table.real(30, "Redis down at start, down, flapping, paused and hung", "I1 I9 I10")(down)
    table.real(31, "Redis full, read-only, without permission", "I10 I13")(refusing)
    table.real(32, "Redis loses a chunk, the index, everything", "I2 I10")(losing)
    table.real(
        33, "a snapshot with a flipped bit, cut, swapped, older, forged", "I10 I11 I12",
        tests=("tests/core/test_snapshot.py",),
        why="Bombs: in the tests.",
    )(damaged)  # fmt: skip
    table.real(34, "a worker is killed while it writes a snapshot", "I10")(half_written)
    table.real(
        40, "what makes the snapshot hangs", "I10 I12",
        why="No child is forked: storing happens in a thread, which hangs here.",
    )(hanging)  # fmt: skip


def _steady(run: Run, what: str, *, longest_s: float = 3.0) -> None:
    """Outcomes come as ever. Raises: Broke."""
    took_s = max(run.flowing(within_s=30), run.flowing(within_s=30))
    if took_s > longest_s:
        raise Broke(f"{what}: an outcome took {took_s:.1f} s")


def _restarted(run: Run) -> None:
    """Kill -9 and a new worker."""
    run.workers[-1].kill()
    at = time.monotonic()
    run.start(instance="w-0")
    run.recovered(at)


def down(stage: Stage) -> Told:
    """Outputs and their latency do not notice; a restore replays the log."""
    server = stage.redis
    with Run(stage, recovery_time_s=STATIC_S) as run:
        server.stop()
        run.start(instance="w-0")
        run.flowing()
        _restarted(run)
        for _ in range(3):
            server.start()
            _steady(run, "flapping: up")
            server.stop()
            _steady(run, "flapping: down")
        server.start()
        stage.ask_redis("CLIENT", "PAUSE", "3000")
        _steady(run, "CLIENT PAUSE")
        time.sleep(3.0)
        server.pause()
        try:
            _steady(run, "hung")
            time.sleep(4.0)
            _steady(run, "hung for 4 s")
            # To a hung one a restore waits for two calls, before it goes on without.
            _restarted(run)
        finally:
            server.resume()
        run.finish()
        if "snapshots_unreachable" not in run.every_log():
            raise Broke("I13: nobody said that Redis was away")
        return Told("outputs within 3 s of each other all the while; two restores without it",
                    run.recoveries)  # fmt: skip


def refusing(stage: Stage) -> Told:
    """Each refusal is said and counted, and the outputs go on."""
    with Run(stage, recovery_time_s=1.0) as run:
        run.start(instance="w-0")
        run.flowing()
        other = LocalRedis(folder=stage.folder / f"{run.name}-primary")
        try:
            stage.ask_redis("CONFIG", "SET", "maxmemory", "1")
            _steady(run, "full")
            _restarted(run)
            run.workers[-1].signal(signal.SIGTERM)
            run.workers[-1].ends_with(0, within_s=25, says="OutOfMemory")
            stage.ask_redis("CONFIG", "SET", "maxmemory", "0")
            other.start()
            stage.ask_redis("REPLICAOF", "127.0.0.1", str(other.port))
            run.start(instance="w-0")
            run.flowing()
            _steady(run, "read-only")
            run.workers[-1].signal(signal.SIGTERM)
            run.workers[-1].ends_with(0, within_s=25, says="ReadOnly")
            stage.ask_redis("REPLICAOF", "NO", "ONE")
            stage.ask_redis("ACL", "SETUSER", "default", "-set")
            run.start(instance="w-0")
            run.flowing()
            _steady(run, "without permission")
            run.workers[-1].signal(signal.SIGTERM)
            run.workers[-1].ends_with(0, within_s=25, says="permission")
        finally:
            stage.ask_redis("CONFIG", "SET", "maxmemory", "0")
            stage.ask_redis("REPLICAOF", "NO", "ONE")
            stage.ask_redis("ACL", "SETUSER", "default", "+@all")
            other.kill()
        at = time.monotonic()
        run.start(instance="w-0")
        run.recovered(at)
        run.finish()
        return Told("each is said with its cause", run.recoveries)


def _with_snapshots(run: Run) -> None:
    """Two snapshots of each partition, made by two clean ends."""
    for _ in range(2):
        worker = run.start(instance="w-0")
        run.flowing()
        time.sleep(0.5)
        worker.signal(signal.SIGTERM)
        worker.ends_with(0, within_s=20, says="snapshot_saved")


def _origins(run: Run) -> set[str]:
    """Where the last worker restored its two partitions from: "snapshot" or "untrained"."""
    run.until(
        lambda: run.workers[-1].log.count("task_restored") >= 2, within_s=40, what="two restores"
    )
    lines = [ln for ln in run.workers[-1].log.splitlines() if "task_restored" in ln]
    return {ln.split('origin="')[1].split()[0] for ln in lines}


def _restores(run: Run, wanted: set[str], what: str) -> None:
    at = time.monotonic()
    worker = run.start(instance="w-0")
    run.recovered(at)
    found = _origins(run)
    if found != wanted:
        raise Broke(f"I10: {what}: restored from {found} instead of {wanted}")
    worker.kill()


def losing(stage: Stage) -> Told:
    """An older snapshot, or the log: what is used is whole."""
    with Run(stage, recovery_time_s=STATIC_S) as run:
        _with_snapshots(run)
        _restores(run, {"snapshot"}, "all there")
        with redis.Redis.from_url(stage.redis.url, protocol=2) as client:
            newest = _newest(client, run.name, 0)
            client.unlink(*client.keys(f"{_prefix(run.name)}0:{newest}:*"))
            _restores(run, {"snapshot"}, "a chunk is gone")
            client.unlink(f"{_prefix(run.name)}0:index", f"{_prefix(run.name)}1:index")
            _restores(run, {"untrained"}, "the index is gone")
            client.flushall()
        _restores(run, {"untrained"}, "everything is gone")
        at = time.monotonic()
        run.start(instance="w-0")
        run.recovered(at)
        run.finish()
        return Told("a chunk gone: the older one; index or everything gone: the log",
                    run.recoveries)  # fmt: skip


def _prefix(pipeline: str) -> str:
    return f"streamfold:{{{pipeline}}}:"


def _newest(client: redis.Redis, pipeline: str, partition: int) -> int:
    found = client.zrevrange(f"{_prefix(pipeline)}{partition}:index", 0, 0)
    assert isinstance(found, list)
    newest = found[0]
    assert isinstance(newest, bytes)
    return int(newest)


def _chunks(client: redis.Redis, pipeline: str, partition: int) -> list[bytes]:
    """The keys of all chunks of a partition."""
    found = client.keys(f"{_prefix(pipeline)}{partition}:*:*")
    assert isinstance(found, list)
    return [key for key in found if isinstance(key, bytes)]


def damaged(stage: Stage) -> Told:
    """Every snapshot of partition 0 is harmed in the same way: the log is what is left."""

    def flipped(sealed: bytes) -> bytes:
        middle = len(sealed) // 2
        return sealed[:middle] + bytes([sealed[middle] ^ 1]) + sealed[middle + 1 :]

    def forged(sealed: bytes) -> bytes:
        (length,) = snapshot._LENGTH.unpack_from(sealed, 4)
        header = msgspec.json.decode(sealed[8 : 8 + length], type=snapshot.Header)
        return snapshot.seal(header, b"cos\nsystem\n(S'touch pwned'\ntR.", b"k" * 32)

    ways: dict[str, Callable[[bytes], bytes]] = {
        "flipped": flipped,
        "cut": lambda sealed: sealed[: len(sealed) // 2] + b"\0" * (len(sealed) - len(sealed) // 2),
        "forged": forged,
    }
    with Run(stage, recovery_time_s=STATIC_S) as run:
        _with_snapshots(run)
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
    _restores(run, {"untrained"}, what)
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
            run.flowing()
            time.sleep(0.3)
            worker.signal(signal.SIGTERM)
            code = worker.ends(within_s=20)
            if code != -9:
                raise Broke(f"the hook was not reached: {code}")
        # Two writers of one offset: both end at the committed one.
        at = time.monotonic()
        run.start(instance="w-0")
        run.recovered(at)
        run.finish()
        return Told(f"killed {', '.join(points)}", run.recoveries)


def hanging(stage: Stage) -> Told:
    """Storing takes for ever; the outputs go on, and memory does not grow with it."""
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
        _steady(run, "storing hangs")
        worker.kill()
        at = time.monotonic()
        run.start(instance="w-0")
        run.recovered(at)
        run.finish()
        if grown > 30 << 20:
            raise Broke(f"I12: {grown >> 20} MB more while a snapshot is stored")
        return Told(f"{grown / (1 << 20):.0f} MB more memory after 12,000 events.", run.recoveries)
