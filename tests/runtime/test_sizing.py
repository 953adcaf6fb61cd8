"""How many workers there are, and what they are called."""

import re
from pathlib import Path

import pytest

from stream.errors import Misconfigured, Usage
from stream.runtime.supervision import sizing


@pytest.mark.parametrize("text", ["0", "-1", "", "two", "1.5", "Auto", "100000", "٣"])
def test_what_is_no_number_of_workers_is_a_usage_error(text: str) -> None:
    """One line that says what to write."""
    with pytest.raises(Usage, match="write 1 or more, or auto"):
        sizing.asked(text)


def test_a_number_or_auto_is_taken() -> None:
    """None stands for auto."""
    assert [sizing.asked(text) for text in ("1", "16", "auto")] == [1, 16, None]


@pytest.mark.parametrize(
    ("wanted", "partitions", "cpus", "workers"),
    [
        (None, 8, 4, 4),  # auto: a partition keeps a core busy
        (None, 2, 4, 2),  # a partition is one worker's at a time
        (1, 8, 4, 1),
        (6, 8, 4, 6),  # more than CPUs is the operator's own wish
        (16, 8, 4, 8),
    ],
)
def test_no_more_workers_than_are_of_use(
    wanted: int | None, partitions: int, cpus: int, workers: int
) -> None:
    """Never more than partitions; auto never more than CPUs either."""
    assert workers == sizing.size(wanted, partitions=partitions, cpus=cpus)


def test_fewer_workers_than_asked_for_are_said_aloud() -> None:
    """With how many there are, and why no more."""
    assert sizing.capped(None, partitions=4, topic="t") == {}
    assert sizing.capped(4, partitions=4, topic="t") == {}
    said = sizing.capped(8, partitions=4, topic="flights.events")
    assert said["instead_of"] == "8"
    assert said["why"] == "flights.events has 4 partitions, each one worker's at a time"


@pytest.mark.parametrize("workers", [1, 10, 11, 1_000])
def test_names_are_stable_distinct_and_fit_the_configuration(workers: int) -> None:
    """Of any host and the longest instance that is allowed."""
    longest = "i" * (64 - len(f"-{workers - 1}"))
    for instance, host in ((longest, "h"), (None, "a host, with more than letters " * 9)):
        found = sizing.names(instance, host=host, workers=workers)

        assert len(set(found)) == workers
        assert all(re.fullmatch(r"[a-zA-Z0-9._-]{1,64}", name) for name in found)
        assert found == sizing.names(instance, host=host, workers=workers)


def test_an_instance_without_room_for_the_number_is_refused() -> None:
    """Cut short it could be another's."""
    with pytest.raises(Misconfigured, match="at most 62"):
        sizing.names("i" * 63, host="h", workers=2)


@pytest.mark.parametrize(
    ("own", "files", "cpus"),
    [
        ("0::/\n", {}, 64),
        ("0::/\n", {"cpu.max": "max 100000"}, 64),
        ("0::/\n", {"cpu.max": "250000 100000"}, 2),
        ("0::/\n", {"cpu.max": "50000 100000"}, 1),
        # A service below a slice that is narrower.
        ("0::/a/b\n", {"a/b/cpu.max": "800000 100000", "a/cpu.max": "300000 100000"}, 3),
        # Version 1, in a container: the path is the host's, the mount is the container's.
        (
            "4:memory:/docker/1\n1:cpu,cpuacct:/docker/1\n",
            {"cpu/cpu.cfs_quota_us": "400000", "cpu/cpu.cfs_period_us": "100000"},
            4,
        ),
        ("1:cpu:/\n", {"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, 64),
    ],
)
def test_a_containers_quota_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, own: str, files: dict[str, str], cpus: int
) -> None:
    """A pod with two CPUs on a node with 64 gets two workers."""
    monkeypatch.setattr("os.sched_getaffinity", lambda _: range(64), raising=False)
    for name, text in files.items():
        (tmp_path / "mounted" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "mounted" / name).write_text(f"{text}\n")
    (tmp_path / "own").write_text(own)

    assert cpus == sizing.usable_cpus(tmp_path / "mounted", tmp_path / "own")
    assert sizing.usable_cpus(tmp_path, tmp_path / "no such file") == 64
