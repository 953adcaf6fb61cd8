"""The part that docs/CONTRIBUTING.md adds to a state: three files, and nothing else changes."""

import io
import json
import pickle
import random
import sqlite3
import subprocess
import sys
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from stream.adapters.embedded import EmbeddedFeed, EmbeddedTopics
from stream.config import load
from stream.core.event import Channel
from stream.core.fold.state import State
from stream.core.fold.task import Task
from stream.core.snapshots.metadata import Metadata, parse_metadata
from stream.core.snapshots.seal import Header, Keys, unseal
from stream.runtime.clock import SystemClock
from stream.runtime.preparation import make_recipe
from stream.topic_settings import NO_LIMIT
from tests.added_part import REPOSITORY, grown, shown
from tests.commands.project import EMBEDDED, MODEL, PIPELINE, Project

FILES_MAX = 3
BATCH_N = 120
WORDS = [f"word{i}" for i in range(9)]
COUNTED = "[words]\ndistinct_max = 100\n"
FEW = 4
NAMES = {channel: f"{PIPELINE}.{channel}" for channel in Channel}


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the package that has the part."""
    return grown(tmp_path_factory.mktemp("grown"))


class Grown:
    """A pipeline that is run with that package."""

    def __init__(self, project: Project, package: Path) -> None:
        self._project = project
        self._package = package
        self._path = project.folder / "log.sqlite"
        with closing(EmbeddedTopics(self._path, names=NAMES)) as topics:
            topics.create(Channel.EVENTS, partitions=1, retention_ms=NO_LIMIT)

    def fed(self) -> None:
        """One more batch of events."""
        chance = random.Random(7)
        with closing(EmbeddedFeed(self._path, names=NAMES, clock=SystemClock())) as feed:
            for _ in range(BATCH_N):
                words = chance.sample(WORDS, 3)
                features = {"x": chance.uniform(-1, 1), "text": " ".join(words)}
                event = {"features": features, "label": WORDS[0] in words}
                feed.send(json.dumps(event).encode(), key=None, timestamp_ms=None)
            feed.flush(timeout_s=60)

    def changed(self, settings: str = "") -> list[str]:
        """A worker that does all there is. Returns: what it said of another recipe."""
        self._project.configure(EMBEDDED + MODEL + settings)
        done = self._project.stream("run", "--until-end", PYTHONPATH=str(self._package))
        assert done.code == 0, done
        return [line for line in done.err.splitlines() if " recipe_changed " in line]

    def snapshot(self) -> tuple[Header, State]:
        """The newest; its parts are still bytes."""
        key = (self._project.folder / f"log.sqlite.{PIPELINE}.key").read_bytes().strip()
        (sealed,) = self._row("SELECT sealed FROM snapshots ORDER BY n DESC LIMIT 1")
        header, payload = unseal(sealed, Keys(key))
        state = pickle.loads(payload)  # noqa: S301  # signed by this test's own worker
        assert type(state) is State
        return header, state

    def counted(self) -> dict[str, int]:
        """What the newest snapshot says of words."""
        extras: dict[str, Any] = self.snapshot()[1].extras
        words: dict[str, int] = _Plain(io.BytesIO(extras["words"])).load().counted
        return words

    def committed(self) -> Metadata:
        """What stands beside the committed offset."""
        found = parse_metadata(self._row("SELECT metadata FROM committed")[0])
        assert found is not None
        return found

    def predictions(self) -> list[bytes | None]:
        """The bytes of all."""
        return [record.value for record in self._project.records(Channel.PREDICTIONS)]

    def words(self, first: int, stop: int) -> Counter[str]:
        """Those of these events, counted once more."""
        values = (json.loads(each.value or b"") for each in self._project.records()[first:stop])
        return Counter(word for each in values for word in each["features"]["text"].split())

    def today(self) -> tuple[Task, list[bytes]]:
        """The package without the part folds the log: what that gives, and the predictions."""
        self._project.configure()
        recipe = make_recipe(load(self._project.folder / "stream.toml", environ={}))
        task = Task(recipe, partition=0)
        return task, [task.step(record).canonical for record in self._project.records()]

    def _row(self, query: str) -> Any:
        with closing(sqlite3.connect(self._path)) as connection:
            return connection.execute(query).fetchone()


class _Plain(pickle.Unpickler):
    """Reads an object without its class."""

    def find_class(self, module: str, name: str) -> Any:
        return (
            type(name, (), {}) if module.startswith("stream.") else super().find_class(module, name)
        )


def test_it_takes_three_files_that_read_as_ours(package: Path) -> None:
    """Of the package; each as the linters want it."""
    files = {name: kind for name, (kind, _) in shown().items()}
    (package / "pyproject.toml").write_text((REPOSITORY / "pyproject.toml").read_text())

    assert len(files) <= FILES_MAX
    assert sorted(files.values()) == ["diff", "python", "python"]
    for words in (("check",), ("format", "--check")):
        asked = [sys.executable, "-m", "ruff", *words, *files]
        done = subprocess.run(asked, cwd=package, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout


def test_a_part_comes_and_goes_and_the_model_stays(package: Path, tmp_path: Path) -> None:
    """Not configured it is not there; configured, set otherwise, taken away: the model goes on."""
    pipeline = Grown(Project(tmp_path), package)

    pipeline.fed()
    assert pipeline.changed() == []
    (task, _), (header, state) = pipeline.today(), pipeline.snapshot()
    assert header.fingerprint == task.fingerprint
    assert header.raw_bytes == len(task.keep_copy())
    assert "words" not in state.extras

    pipeline.fed()
    (told,) = pipeline.changed(COUNTED)
    assert f"on_change=keep genesis={BATCH_N} " in told
    assert "part words: unset -> 1; words.distinct_max: unset -> 100" in told
    assert pipeline.counted() == pipeline.words(BATCH_N, 2 * BATCH_N)

    pipeline.fed()
    assert pipeline.changed(COUNTED) == []  # the same again: it comes back
    assert pipeline.counted() == pipeline.words(BATCH_N, 3 * BATCH_N)

    pipeline.fed()
    (told,) = pipeline.changed(COUNTED.replace("100", str(FEW)))
    assert "on_change=keep" in told
    assert f"words.distinct_max: 100 -> {FEW}" in told
    assert len(pipeline.counted()) == FEW
    assert pipeline.counted().items() <= pipeline.words(3 * BATCH_N, 4 * BATCH_N).items()

    pipeline.fed()
    (told,) = pipeline.changed()
    assert "on_change=keep" in told
    header, state = pipeline.snapshot()
    assert header.fingerprint == task.fingerprint
    assert "words" not in state.extras

    known = pipeline.committed()
    assert (known.n, known.learned) == (5 * BATCH_N, 5 * BATCH_N)
    assert known.generation.number == 4
    assert pipeline.predictions() == pipeline.today()[1]
