"""Rows about Redis: down, hung, full, read-only, forgetful, lying. It is a cache of the log."""

import signal
import time
from contextlib import suppress

import redis

from stream.sandbox import LocalRedis
from tests.instruments.faults.run import Run
from tests.instruments.faults.stage import Stage
from tests.instruments.faults.table import Table, Told
from tests.instruments.faults.worker import Broke

STATIC_S = 3.0
JUNK_MAX = 5_000


def cache(table: Table) -> None:
    """Add rows 30 to 32."""
    table.real(30, "Redis down at start, down, flapping, paused and hung", "I1 I9 I10")(down)
    table.real(31, "Redis full, read-only, without permission", "I10 I13")(refusing)
    table.real(32, "Redis loses a chunk, the index, everything; evicts", "I2 I10")(losing)


def steady(run: Run, what: str, *, longest_s: float = 3.0) -> None:
    """Outcomes come as ever. Raises: Broke."""
    took_s = max(run.flowing(within_s=60), run.flowing(within_s=60))
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
            steady(run, "flapping: up")
            server.stop()
            steady(run, "flapping: down")
        server.start()
        stage.ask_redis("CLIENT", "PAUSE", "3000")
        steady(run, "CLIENT PAUSE")
        time.sleep(3.0)
        server.pause()
        try:
            steady(run, "hung")
            time.sleep(4.0)
            steady(run, "hung for 4 s")
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
            steady(run, "full")
            _restarted(run)
            run.workers[-1].signal(signal.SIGTERM)
            run.workers[-1].ends_with(0, within_s=60, says="OutOfMemory")
            stage.ask_redis("CONFIG", "SET", "maxmemory", "0")
            other.start()
            stage.ask_redis("REPLICAOF", "127.0.0.1", str(other.port))
            run.start(instance="w-0")
            run.flowing()
            steady(run, "read-only")
            run.workers[-1].signal(signal.SIGTERM)
            run.workers[-1].ends_with(0, within_s=60, says="ReadOnly")
            stage.ask_redis("REPLICAOF", "NO", "ONE")
            stage.ask_redis("ACL", "SETUSER", "default", "-set")
            run.start(instance="w-0")
            run.flowing()
            steady(run, "without permission")
            run.workers[-1].signal(signal.SIGTERM)
            run.workers[-1].ends_with(0, within_s=60, says="permission")
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


def with_snapshots(run: Run) -> None:
    """Two snapshots of each partition, made by two clean ends."""
    for _ in range(2):
        worker = run.start(instance="w-0")
        run.until(lambda w=worker: w.has_started,  # type: ignore[misc]
                  within_s=60, what="a start")  # fmt: skip  # its predecessor's last come late
        run.flowing()
        time.sleep(0.5)
        worker.signal(signal.SIGTERM)
        worker.ends_with(0, within_s=60, says="snapshot_saved")


def _origins(run: Run) -> set[str]:
    """Where the last worker restored its two partitions from: "snapshot" or "untrained"."""
    run.until(
        lambda: run.workers[-1].log.count("task_restored") >= 2, within_s=80, what="two restores"
    )
    lines = [ln for ln in run.workers[-1].log.splitlines() if "task_restored" in ln]
    return {ln.split('origin="')[1].split()[0] for ln in lines}


def restores(run: Run, wanted: set[str], what: str) -> None:
    """A new worker restores from there, and is killed. Raises: Broke."""
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
        with_snapshots(run)
        restores(run, {"snapshot"}, "all there")
        with redis.Redis.from_url(stage.redis.url, protocol=2) as client:
            newest = _newest(client, run.name, 0)
            client.unlink(*client.keys(f"{prefix(run.name)}0:{newest}:*"))
            restores(run, {"snapshot"}, "a chunk is gone")
            client.unlink(f"{prefix(run.name)}0:index", f"{prefix(run.name)}1:index")
            restores(run, {"untrained"}, "the index is gone")
            client.flushall()
        restores(run, {"untrained"}, "everything is gone")
        with_snapshots(run)
        evicted_n = _evict(stage, run.name)
        restores(run, {"untrained"}, "everything was evicted")
        at = time.monotonic()
        run.start(instance="w-0")
        run.recovered(at)
        run.finish()
        return Told(f"a chunk gone: the older one; index or everything gone, or evicted (all "
                    f"{evicted_n} keys): the log", run.recoveries)  # fmt: skip


def _evict(stage: Stage, pipeline: str) -> int:
    """Fill Redis with other keys until it dropped all of ours. Returns: how many."""
    with redis.Redis.from_url(stage.redis.url, protocol=2) as client:
        ours = client.keys(f"{prefix(pipeline)}*")
        assert isinstance(ours, list)
        used = client.info("memory")
        assert isinstance(used, dict)
        client.config_set("maxmemory-policy", "allkeys-lru")
        client.config_set("maxmemory", used["used_memory"] + (1 << 20))
        try:
            for n in range(JUNK_MAX):
                # What clients' buffers took meanwhile cannot be evicted: then the next one fits.
                with suppress(redis.exceptions.OutOfMemoryError):
                    client.set(f"junk:{n}", b"x" * 10_000)
                if n % 100 == 0 and not client.keys(f"{prefix(pipeline)}*"):
                    return len(ours)
            raise Broke("nothing was evicted")
        finally:
            client.config_set("maxmemory", 0)
            client.config_set("maxmemory-policy", "noeviction")


def prefix(pipeline: str) -> str:
    """Of a pipeline's keys."""
    return f"streamfold:{{{pipeline}}}:"


def _newest(client: redis.Redis, pipeline: str, partition: int) -> str:
    """The newest snapshot as the index and the keys name it."""
    found = client.zrevrange(f"{prefix(pipeline)}{partition}:index", 0, 0)
    assert isinstance(found, list)
    newest = found[0]
    assert isinstance(newest, bytes)
    return newest.decode()
