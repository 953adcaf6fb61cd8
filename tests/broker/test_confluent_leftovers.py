"""What librdkafka's clients leave behind in a process: nothing."""

import gc
from collections.abc import Iterator
from pathlib import Path

import pytest

from stream.errors import CommitLost
from stream.sandbox import LocalKafka
from tests.contract.confluent_world import ConfluentWorld
from tests.contract.worlds import at, create, failure, output, patiently, working
from tests.patience import eventually

pytestmark = pytest.mark.broker


@pytest.fixture
def world(kafka: LocalKafka) -> Iterator[ConfluentWorld]:
    """Topics of our own on the shared broker."""
    opened = ConfluentWorld(kafka)
    yield opened
    opened.close()


def test_the_threads_of_a_lost_commits_producer_end_with_it(world: ConfluentWorld) -> None:
    """Left to the cycle collector they were 60 after ten minutes of faults, with their sockets."""
    create(world)
    log = working(world).log
    log.commit([output(b"first")], {0: at(1)})
    threads_n = kernel_threads_n()
    gc.disable()
    try:
        for _ in range(3):
            with world.spoiled(log):
                assert failure(log, [output(b"lost")], {0: at(2)}) is CommitLost
            patiently(lambda: log.committed({0}), deadline_s=10.0)
        eventually(lambda: kernel_threads_n() <= threads_n, "only one producer's threads")
    finally:
        gc.enable()


def kernel_threads_n() -> int:
    """Python's and librdkafka's."""
    return len(list(Path("/proc/self/task").iterdir()))
