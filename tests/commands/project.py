"""A pipeline in a folder of its own, used as anybody would: by the command, as a process."""

import csv
import hashlib
import json
import os
import random
import re
import signal
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from stream.adapters.embedded import EmbeddedReader
from stream.core.event import Channel, Record
from stream.runtime.clock import SystemClock
from tests.commands.forked import forks
from tests.patience import HANGS_AFTER_S

REPOSITORY = Path(__file__).resolve().parents[2]
PIPELINE = "commands"
HASH_SEED = int.from_bytes(hashlib.sha256(PIPELINE.encode()).digest()[:4], "big")
"""See `Settings.effective_hash_seed`: with another one `run` begins again as a new interpreter."""
HAPPENS_WITHIN_S = HANGS_AFTER_S

EMBEDDED = """
[kafka]
client = "embedded"
path = "log.sqlite"
"""
MODEL = """
[model]
factory = "stream.models:logistic_regression"
"""


def seeded(config: str) -> str:
    """A configuration with the hash seed of `forks`, unless it has one."""
    if "hash_seed" in config:
        return config
    return config.replace("[model]\n", f"[model]\nhash_seed = {HASH_SEED}\n", 1)


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Its stdout, which is one JSON document."""
        return json.loads(self.out)

    def said(self, text: str) -> bool:
        """Whether it is anywhere in what was said."""
        return text in self.out or text in self.err


@dataclass(frozen=True)
class Project:
    """A folder with a configuration; every command runs in it."""

    folder: Path

    def configure(self, text: str = EMBEDDED + MODEL, *, pipeline: str = PIPELINE) -> None:
        """Write stream.toml; under whatever name, the hash seed is that of `forks`."""
        text = text if pipeline == PIPELINE else seeded(text)
        self.write("stream.toml", f'pipeline = "{pipeline}"\n{text}')

    def write(self, name: str, content: str | bytes) -> Path:
        """Write a file."""
        path = self.folder / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    def write_csv(self, name: str, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
        """Write a CSV file."""
        with (self.folder / name).open("w", newline="") as file:
            csv.writer(file).writerows([header, *rows])

    def stream(self, *arguments: str, timeout_s: float = HANGS_AFTER_S, **environment: str) -> Done:
        """Run a command with `-c stream.toml` to its end."""
        return self.bare(arguments[0], "-c", "stream.toml", *arguments[1:],
                         timeout_s=timeout_s, **environment)  # fmt: skip

    def bare(self, *arguments: str, timeout_s: float = HANGS_AFTER_S, **environment: str) -> Done:
        """Run a command, with nothing added, to its end."""
        command = [sys.executable, "-m", "stream", *arguments]
        variables = self.environment(environment)
        if forks(HASH_SEED).can(environment):
            done = forks(HASH_SEED).run(command, self.folder, variables, timeout_s)
        else:
            done = subprocess.run(
                command, cwd=self.folder, env=variables, capture_output=True, text=True,
                timeout=timeout_s, check=False,
            )  # fmt: skip
        return Done(done.returncode, done.stdout, done.stderr)

    @contextmanager
    def running(self, *arguments: str) -> Iterator["Running"]:
        """A command in the background, killed at the end if it still runs."""
        process = subprocess.Popen(
            [sys.executable, "-m", "stream", *arguments],
            cwd=self.folder,
            env=self.environment({}),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        with process:
            try:
                yield Running(process)
            finally:
                process.kill()

    def environment(self, more: dict[str, str]) -> dict[str, str]:
        """Ours, with this repository importable and a state folder in the project's."""
        own = {"PYTHONPATH": str(REPOSITORY), "XDG_STATE_HOME": str(self.folder / "state")}
        return {**os.environ, **own, **more}

    def fed(self, n: int, *, seed: int = 7, drift_at: int | None = None) -> Done:
        """Produce so many events; the label follows from `x`, the other way round after a drift."""
        chance = random.Random(seed)
        rows = []
        for i in range(n):
            x = round(chance.uniform(-1, 1), 6)
            flipped = drift_at is not None and i >= drift_at
            rows.append((x, round(chance.random(), 6), (x > 0) != flipped))
        self.write_csv("events.csv", ("x", "noise", "label"), rows)
        return self.stream("produce", "events.csv")

    def records(self, channel: Channel = Channel.EVENTS, partition: int = 0) -> list[Record]:
        """What the embedded log holds."""
        names = {each: f"{PIPELINE}.{each}" for each in Channel}
        path = self.folder / "log.sqlite"
        reader = EmbeddedReader(path, names=names, group=PIPELINE, clock=SystemClock())
        with closing(reader):
            end = reader.bounds(channel, partition).end
            return [r for batch in reader.read(channel, partition, 0, end) for r in batch]

    def end(self, channel: Channel = Channel.EVENTS, partition: int = 0) -> int:
        """Where a partition of the embedded log ends."""
        with closing(sqlite3.connect(self.folder / "log.sqlite")) as connection:
            (end,) = connection.execute(
                "SELECT end_offset FROM partitions WHERE topic = ? AND number = ?",
                (f"{PIPELINE}.{channel}", partition),
            ).fetchone()
        return int(end)

    def sql(self, statement: str, *values: object) -> int:
        """Change the embedded log behind everybody's back. Returns: how many rows."""
        with closing(sqlite3.connect(self.folder / "log.sqlite")) as connection:
            changed = connection.execute(statement, values).rowcount
            connection.commit()
        return changed


@dataclass(frozen=True)
class Running:
    """A command that has not ended."""

    process: subprocess.Popen[str]

    def line(self, pattern: str, *, of: str = "err") -> str:
        """Read until a line that matches; fail when the output ends before."""
        stream: IO[str] | None = getattr(self.process, f"std{of}")
        assert stream is not None
        seen = []
        for line in stream:
            seen.append(line)
            if re.search(pattern, line):
                return line
        raise AssertionError(f"ended without {pattern!r}: {seen}")

    def stop(self, number: signal.Signals = signal.SIGTERM) -> Done:
        """Send a signal, and wait for the end."""
        self.process.send_signal(number)
        return self.end()

    def end(self) -> Done:
        """Wait for the end."""
        out, err = self.process.communicate(timeout=HAPPENS_WITHIN_S)
        return Done(self.process.returncode, out, err)


def closed_port() -> int:
    """A port of the loopback interface that nobody listens on."""
    with socket.socket() as candidate:
        candidate.bind(("127.0.0.1", 0))
        port: int = candidate.getsockname()[1]
    return port


def unreachable(port: int) -> str:
    """Configuration of a Kafka at a port where nothing listens; given up soon, not after 10 s."""
    return (
        f'[kafka]\nbootstrap_servers = "127.0.0.1:{port}"\n'
        "[kafka.options]\nbootstrap_timeout_ms = 1500\n"
    )
