"""The cache of Kafka's jars."""

import subprocess
import sys
from pathlib import Path

from stream.sandbox import LocalKafka, kafka_classes, kafka_settings
from tests.broker.checks import environment


def test_two_processes_that_need_the_jars_fetch_them_once(
    kafka: LocalKafka, tmp_path: Path
) -> None:
    """Whoever comes second waits for the first one's jars; the cache holds nothing half-made."""
    assert kafka.running  # the fixture skips where there is no Maven
    script = "from stream.sandbox import kafka_jars; print(kafka_jars.installation(say=print))"
    fetching = [
        subprocess.Popen(
            [sys.executable, "-c", script],
            env=environment(XDG_CACHE_HOME=str(tmp_path)),
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]

    said = [process.communicate(timeout=240)[0].splitlines() for process in fetching]

    assert [process.returncode for process in fetching] == [0, 0]
    installed = tmp_path / "streamfold" / "kafka-4.1.1"
    assert [lines[-1] for lines in said] == [str(installed)] * 2
    assert sorted(len(lines) for lines in said) == [1, 2]
    names = {path.name for path in installed.parent.iterdir()}
    assert names == {"kafka-4.1.1", "kafka-4.1.1.lock"}
    assert (installed / "formatted" / "meta.properties").exists()
    assert (installed / "classes.jsa").stat().st_size > 0


def test_a_broker_does_without_an_archive_of_its_classes(kafka: LocalKafka, tmp_path: Path) -> None:
    """After an update of Java the archive is stale; where it could not be written it is empty."""
    assert kafka.running  # the fixture skips where there is no Java
    archive = tmp_path / "classes.jsa"
    archive.touch()
    assert kafka_classes.sharing(archive) == []
    archive.write_bytes(b"of another Java")
    jvm = (*kafka_settings.JVM_BRIEF, *kafka_classes.sharing(archive))

    with LocalKafka(folder=tmp_path / "kafka", jvm=jvm) as broker:
        assert broker.running
