"""Two versions of this program in one group: nothing is lost, nothing twice, nothing else."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from stream.errors import ExitCode
from stream.sandbox import LocalKafka, LocalRedis
from tests.added_part import grown
from tests.broker.rollout import CONFIG, MODULES, PARTITIONS, Rollout, Version, all_have
from tests.conftest import skip_or_fail
from tests.end_to_end.outside import REPOSITORY, Pipeline, until

pytestmark = pytest.mark.broker

EARLIER = "944e4350d35ee7ad5ed495a996c9ce126fc6cac5"
"""The commit to upgrade from: the last release, or one that folds as we do (`recipe.FOLD`)."""

COUNTING = {"STREAM__WORDS__DISTINCT_MAX": "100"}


@pytest.fixture(scope="module")
def earlier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the package as it was at that commit."""
    folder = tmp_path_factory.mktemp("earlier")
    archive = ["git", "-C", str(REPOSITORY), "archive", EARLIER, "stream"]
    found = subprocess.run(archive, capture_output=True, check=False)
    if found.returncode:
        skip_or_fail("history", found.stderr.decode(errors="replace").strip())
    subprocess.run(["tar", "-x", "-C", str(folder)], input=found.stdout, check=True)
    # That it is another program, and that it is the one that runs.
    code = "import stream.cli, stream.core as core; print(core.__path__[0])"
    environment = os.environ | {"PYTHONPATH": str(folder)}
    asked = [sys.executable, "-c", code]
    answer = subprocess.run(asked, env=environment, cwd=folder, capture_output=True, check=True)
    assert Path(answer.stdout.decode().strip()) == folder / "stream" / "core"
    return folder


@pytest.fixture(scope="module")
def later(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the package that has one part more, and one key more beside an offset."""
    folder = grown(tmp_path_factory.mktemp("later"))
    path = folder / "stream" / "core" / "snapshots" / "metadata.py"
    last = """f"{'' if self.closed_n is None else f';c={self.closed_n}'}"\n"""
    source = path.read_text()
    assert source.count(last) == 1
    path.write_text(source.replace(last, f'{last.rstrip()} ";y=1"\n'))
    return folder


@pytest.fixture(scope="module")
def versions(earlier: Path, later: Path) -> dict[str, Version]:
    """The programs that workers are started with, by name."""
    return {
        "earlier": Version(earlier),
        "ours": Version(),
        "later": Version(later),
        "counting": Version(later, COUNTING),
    }


@pytest.fixture
def rollout(
    kafka: LocalKafka,
    redis_server: LocalRedis,
    tmp_path: Path,
    pipeline: str,
    versions: dict[str, Version],
) -> Iterator[Rollout]:
    """The workers are gone at the end."""
    stage = Pipeline(pipeline, tmp_path, kafka, redis_server, CONFIG, MODULES, PARTITIONS)
    made = Rollout(stage, versions)
    yield made
    made.end()


def test_a_rolling_upgrade_and_the_way_back(rollout: Rollout) -> None:
    """One worker after the other is exchanged, politely or by SIGKILL, under load."""
    rollout.feed()
    old = [rollout.start("earlier"), rollout.start("earlier")]
    rollout.drained()
    rollout.feed()
    new = [rollout.start("ours")]  # a mixed group from here on
    rollout.drained()
    rollout.feed()
    rollout.leave(old[0])
    rollout.drained()
    rollout.feed()
    old[1].kill()
    new.append(rollout.start("ours"))
    rollout.drained()
    rollout.feed()
    back = rollout.start("earlier")  # the operator thinks better of it
    rollout.leave(new[0])
    rollout.drained()
    rollout.feed()
    new[1].kill()
    rollout.drained()
    rollout.leave(back)

    rollout.check()
    log = rollout.log()
    assert log.count("worker_started") == 5
    assert "snapshot at" in log, "each version loads what the other left"
    assert "recipe_changed" not in log
    assert "snapshot_rejected" not in log


def _begun(rollout: Rollout) -> None:
    """A snapshot of each partition is there, so that nothing need be replayed from its genesis."""
    rollout.feed()
    first = rollout.start("ours")
    rollout.drained()
    rollout.leave(first)


def test_a_version_with_one_more_part_and_one_more_key_is_none_to_the_others(
    rollout: Rollout,
) -> None:
    """The part is not configured: there and back, and no partition is begun anew."""
    _begun(rollout)
    rollout.feed()
    ours = [rollout.start("ours"), rollout.start("ours")]
    rollout.drained()
    later = []
    for each in ours:
        rollout.feed()
        each.kill()
        later.append(rollout.start("later"))
        rollout.drained()
    rollout.feed()
    rollout.drained()
    assert all_have(rollout.committed(), "y=1")
    rollout.feed()
    later[0].kill()
    back = [rollout.start("ours")]
    rollout.drained()
    rollout.feed()
    later[1].kill()
    back.append(rollout.start("ours"))
    rollout.drained()
    rollout.feed()
    rollout.drained()
    rollout.leave(*back)

    rollout.check()
    assert not any("y=1" in line for line in rollout.committed())
    assert all_have(rollout.committed(), "r=1")
    assert "recipe_changed" not in rollout.log()
    assert "snapshot_rejected" not in rollout.log()
    assert rollout.origins() == {"snapshot"}


def test_a_part_that_only_the_new_workers_have_is_kept_from_the_old_ones(rollout: Rollout) -> None:
    """The model goes on, there and back; an older worker ends with 75 on what a newer one has."""
    _begun(rollout)
    rollout.feed()
    ours = [rollout.start("ours"), rollout.start("ours")]
    rollout.drained()
    counting = []
    for each in ours:
        rollout.feed()
        each.kill()
        counting.append(rollout.start("counting"))
        rollout.drained()
    rollout.feed()
    rollout.drained()
    assert all_have(rollout.committed(), "r=2")
    rollout.feed()
    restarted = rollout.start("ours")  # as a supervisor does, in the middle of the deploy
    assert restarted.wait(240) == ExitCode.FENCED, rollout.log()
    rollout.drained()
    for each in counting:
        each.kill()
    rollout.feed()

    def is_back() -> bool:
        nonlocal restarted
        if restarted.poll() is not None:  # the dead ones are members for a while
            restarted = rollout.start("ours")
        return all_have(rollout.committed(), "r=3")

    until(is_back, timeout_s=240, what=f"the way back\n{rollout.pipeline.log()}")
    rollout.drained()
    rollout.leave(restarted)

    rollout.check()
    log = rollout.log()
    assert log.count("recipe_changed") >= 2 * PARTITIONS
    assert log.count("recipe_changed") == log.count("on_change=keep")
    assert "snapshot_rejected" not in log
    assert rollout.origins() <= {"snapshot", "base"}
