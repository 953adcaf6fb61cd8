"""A virtual environment for each peer, made once in the user's cache, all versions pinned.

Peers are not shipped, so versions are enough here, without hashes (`scripts/lock` writes them).
"""

import hashlib
import os
import shutil
import subprocess
import sys
import venv
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

PINS = Path(__file__).parent / "pins"

JARS = {"flink": "org.apache.flink:flink-sql-connector-kafka:5.0.0-2.2"}
"""What Maven has to bring beside the packages: PyFlink comes without its Kafka connector."""

MADE_WITHIN_S = 1_800.0  # PyFlink and Pathway are hundreds of megabytes
SHOWN = ("river", "numpy")


class Unavailable(Exception):
    """An environment cannot be made; the text says why."""


def python(name: str | None, *, say: Callable[[str], None]) -> Path:
    """The interpreter of an environment, which is made if need be; None: our own.

    Raises: Unavailable.
    """
    if name is None:
        return Path(sys.executable)
    home = _home(name)
    interpreter = home / "bin" / "python"
    if not (home / "complete").exists():
        say(f"bench: making the environment of {name} in {home} (once)")
        shutil.rmtree(home, ignore_errors=True)
        venv.create(home, with_pip=True)
        # What one peer demands contradicts river's demands: the pins were resolved with overrides.
        install = ["-m", "pip", "install", "--quiet", "--no-deps", "-r", str(_pins(name))]
        _run([str(interpreter), *install], name)
        if name in JARS:
            _fetch(JARS[name], home / "jars", name)
        (home / "complete").touch()
    return interpreter


def versions(name: str | None, packages: tuple[str, ...]) -> dict[str, str]:
    """The versions of packages in an environment; of ours, what is installed."""
    if name is None:
        return {package: metadata.version(package) for package in packages}
    lines = _pins(name).read_text().splitlines()
    pinned = dict(line.split(" ;")[0].split("==") for line in lines if "==" in line)
    return {package: pinned[package] for package in packages}


def _pins(name: str) -> Path:
    return PINS / f"{name}.txt"


def _home(name: str) -> Path:
    base = os.environ.get("XDG_CACHE_HOME")
    cache = Path(base) if base else Path.home() / ".cache"
    wanted = f"{_pins(name).read_text()}{JARS.get(name)}{sys.version}"
    mark = hashlib.sha256(wanted.encode()).hexdigest()[:8]
    return cache.absolute() / "streamfold" / "bench" / f"{name}-{mark}"


def _fetch(artifact: str, folder: Path, name: str) -> None:
    maven = shutil.which("mvn")
    if maven is None:
        raise Unavailable(f"{name}: no `mvn` on PATH to fetch {artifact}")
    options = [f"-Dartifact={artifact}", f"-DoutputDirectory={folder}"]
    _run([maven, "-q", "-B", "dependency:copy", *options], name)


def _run(command: list[str], name: str) -> None:
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=MADE_WITHIN_S
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Unavailable(f"{name}: {error}") from error
    if done.returncode:
        lines = (done.stderr or done.stdout).strip().splitlines()
        raise Unavailable(f"{name}: {lines[-1] if lines else 'it did not say why'}")
