"""The broker's classes, read and verified once: a JVM that finds them so starts with half the CPU.

The JVM looks whether an archive is of this very Java and these jars, and does without one that is
not: it may be missing or stale, and nothing is wrong but slower.
"""

import os
import shutil
import signal
from pathlib import Path

from stream.sandbox.failures import NotReady
from stream.sandbox.guard import own_folder
from stream.sandbox.kafka_settings import LOG4J2, properties_text, server_properties
from stream.sandbox.process import ServerProcess
from stream.sandbox.ready import free_port, kafka_problem, wait_until_ready

WRITTEN_WITHIN_S = 120.0
"""Seconds, unless the machine has much else to do."""


def sharing(archive: Path) -> list[str]:
    """Java's options for a broker that uses the archive; none if there is none."""
    is_there = archive.exists() and archive.stat().st_size > 0
    return [f"-XX:SharedArchiveFile={archive}"] if is_there else []


def write(archive: Path, *, java: list[str], formatted: Path) -> None:
    """Start a broker, use it, and let it write the archive as it ends; an empty one if it cannot.

    Args:
        archive: the file; it is there at once and whole.
        java: the command, with the class path that later brokers have.
        formatted: an empty broker's data.
    """
    with own_folder(archive.parent.parent, name="classes") as folder:
        port, written = free_port(), folder / "classes.jsa"
        data = folder / "data"
        shutil.copytree(formatted, data)
        settings = folder / "server.properties"
        settings.write_text(
            properties_text(server_properties(port=port, controller_port=free_port(), data=data))
        )
        (folder / "log4j2.properties").write_text(LOG4J2)
        options = [
            f"-XX:ArchiveClassesAtExit={written}",
            f"-Dlog4j2.configurationFile=file:{folder}/log4j2.properties",
        ]
        process = ServerProcess(
            name="kafka", folder=folder,
            command=[java[0], *options, *java[1:], "kafka.Kafka", str(settings)],
        )  # fmt: skip
        process.start()
        try:
            wait_until_ready(
                what="a broker", problem=lambda: kafka_problem(port, {}),
                running=lambda: process.running, log_tail=process.log_tail,
            )  # fmt: skip
            os.kill(process.pid, signal.SIGTERM)
            process.wait(timeout_s=WRITTEN_WITHIN_S)
        except NotReady:
            pass  # the next broker says why
        finally:
            process.kill()
        if not written.exists():
            written.touch()  # nobody tries again
        written.rename(archive)
