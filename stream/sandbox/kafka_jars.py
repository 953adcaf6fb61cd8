"""Kafka's broker as plain jars: fetched by Maven once a user, formatted once, kept in the cache."""

import base64
import fcntl
import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from stream.sandbox import kafka_classes
from stream.sandbox.failures import Unavailable
from stream.sandbox.guard import own_folder
from stream.sandbox.kafka_settings import (
    JVM_BRIEF,
    KAFKA_VERSION,
    properties_text,
    server_properties,
)
from stream.sandbox.process import ServerProcess

JAVA_MIN = 17  # Kafka 4's brokers need it
JAVA_ANSWERS_WITHIN_S = 20.0
FETCHED_WITHIN_S = 300.0  # 43 MB
FORMATTED_WITHIN_S = 60.0

# Kafka's own POM leaves the logging binding out, and the broker does not start without one.
POM = f"""<project>
<modelVersion>4.0.0</modelVersion>
<groupId>streamfold</groupId><artifactId>sandbox</artifactId><version>1</version>
<packaging>pom</packaging>
<dependencies>
<dependency><groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId>
<version>{KAFKA_VERSION}</version></dependency>
<dependency><groupId>org.apache.logging.log4j</groupId><artifactId>log4j-core</artifactId>
<version>2.24.3</version></dependency>
<dependency><groupId>org.apache.logging.log4j</groupId><artifactId>log4j-slf4j-impl</artifactId>
<version>2.24.3</version></dependency>
</dependencies>
</project>
"""
COLOURS = re.compile(r"\x1b\[[0-9;]*m")  # Maven's start script sets them even in batch mode
COPY_JARS = "org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy-dependencies"


def java() -> str:
    """The path of a Java that is new enough. Raises: Unavailable."""
    path = shutil.which("java")
    if path is None:
        raise Unavailable(f"no `java` on PATH (a JDK or JRE of version {JAVA_MIN} or newer)")
    try:
        answer = subprocess.run(  # noqa: S603  # found on PATH, no shell
            [path, "-version"], capture_output=True, check=False, timeout=JAVA_ANSWERS_WITHIN_S
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Unavailable(f"`java -version` failed: {error}") from error
    found = re.search(rb'version "(\d+)', answer.stderr)
    if found is None:
        raise Unavailable(f"`java -version` does not say a version ({path})")
    if int(found[1]) < JAVA_MIN:
        raise Unavailable(f"Java {int(found[1])} is too old for Kafka {KAFKA_VERSION}")
    return path


def require() -> None:
    """Look whether `installation` has a chance. Raises: Unavailable: no Java, or no Maven."""
    java()
    if not _installed().exists():
        _maven()


def installation(*, say: Callable[[str], None]) -> Path:
    """The folder with `jars/`, `formatted/` (an empty broker's data) and `classes.jsa`.

    All of it is made on first use.

    Processes that ask at the same moment wait for the first one.

    Raises: Unavailable: no Java, no Maven, or the jars could not be had.
    """
    java_path = java()
    installed = _installed()
    if not installed.exists():
        _install(java_path, installed, say=say)
    archive = installed / "classes.jsa"
    if not archive.exists():
        with _locked(_lock(installed)):
            if not archive.exists():
                kafka_classes.write(
                    archive, java=command(java_path, installed), formatted=installed / "formatted"
                )
    return installed


def command(java_path: str, installed: Path, jvm: Sequence[str] = JVM_BRIEF) -> list[str]:
    """Java with the jars of an `installation`; what follows is the class that is to run."""
    return [java_path, *jvm, "-cp", f"{installed / 'jars'}/*"]


def _install(java_path: str, installed: Path, *, say: Callable[[str], None]) -> None:
    """Fetch the jars, and format an empty broker's data. Raises: Unavailable."""
    maven = _maven()
    cache = installed.parent
    cache.mkdir(parents=True, exist_ok=True)
    with _locked(_lock(installed)):
        if installed.exists():
            return
        say(f"sandbox: fetching Kafka {KAFKA_VERSION} with Maven (43 MB, once) into {installed}")
        with own_folder(cache, name="fetching") as folder:
            complete = folder / "complete"
            _fetch(maven, folder=folder, jars=complete / "jars")
            _format(java_path, folder=folder, jars=complete / "jars", data=complete / "formatted")
            complete.rename(installed)


def _installed() -> Path:
    home = os.environ.get("XDG_CACHE_HOME")
    cache = Path(home) if home else Path.home() / ".cache"
    return cache.absolute() / "streamfold" / f"kafka-{KAFKA_VERSION}"


def _lock(installed: Path) -> Path:
    return installed.parent / f"{installed.name}.lock"


def _maven() -> str:
    path = shutil.which("mvn")
    if path is None:
        raise Unavailable(f"no `mvn` on PATH to fetch Kafka's jars, and none in {_installed()}")
    return path


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold a lock between processes; the kernel frees it when its holder dies."""
    deadline = time.monotonic() + FETCHED_WITHIN_S + FORMATTED_WITHIN_S
    with path.open("w") as lock:
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                if time.monotonic() > deadline:
                    raise Unavailable(f"another process holds {path} for too long") from error
                time.sleep(0.1)
            else:
                break
        yield


def _fetch(maven: str, *, folder: Path, jars: Path) -> None:
    """Let Maven download Kafka's jars into a folder. Raises: Unavailable."""
    pom = folder / "pom.xml"
    pom.write_text(POM)
    arguments = [
        "-q",
        "-B",
        "-Dstyle.color=never",
        "-f",
        str(pom),
        COPY_JARS,
        "-DincludeScope=runtime",
    ]
    _run(
        "mvn",
        [maven, *arguments, f"-DoutputDirectory={jars}"],
        folder=folder,
        timeout_s=FETCHED_WITHIN_S,
    )


def _format(java_path: str, *, folder: Path, jars: Path, data: Path) -> None:
    """Format an empty data folder, as a Kafka without ZooKeeper needs it. Raises: Unavailable."""
    properties = folder / "format.properties"
    # The ports are not stored with the data.
    properties.write_text(properties_text(server_properties(port=1, controller_port=2, data=data)))
    cluster_id = base64.urlsafe_b64encode(uuid4().bytes).decode().rstrip("=")
    tool = ["kafka.tools.StorageTool", "format", "-t", cluster_id, "-c", str(properties)]
    _run(
        "format",
        [java_path, *JVM_BRIEF, "-cp", f"{jars}/*", *tool],
        folder=folder,
        timeout_s=FORMATTED_WITHIN_S,
    )


def _run(name: str, command: list[str], *, folder: Path, timeout_s: float) -> None:
    """Run a program to its end. Raises: Unavailable: it failed or took too long, with the cause."""
    process = ServerProcess(name=name, command=command, folder=folder)
    process.start()
    try:
        status = process.wait(timeout_s=timeout_s)
    finally:
        process.stop()
    if status != 0:
        how = f"took longer than {timeout_s:g} s" if status is None else f"exited with {status}"
        lines = COLOURS.sub("", process.log_text()).splitlines()
        # The first complaint is the cause; the last lines are stack frames or links to help pages.
        why = next((it for it in lines if "ERROR" in it or "Exception" in it), "it did not say why")
        raise Unavailable(f"`{name}` for Kafka's jars {how}: {why}")
