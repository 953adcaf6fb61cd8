"""Real servers for the tests: skipped on a laptop that lacks them, missed loudly in CI.

`STREAM_TESTS_EXPECT=kafka,redis,docker` names what must be there: then its absence is a failure.
Properties are tried on the same examples every time, so that a red run says something about the
change; `--hypothesis-profile explore` draws others.
"""

import os
import re
import signal
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import NoReturn
from uuid import uuid4

import pytest
from hypothesis import settings

from stream.sandbox import LocalKafka, LocalRedis, Unavailable, containers
from tests.servers import Server, shared_kafka, started

settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.register_profile("explore", derandomize=False, print_blob=True, deadline=None)
settings.load_profile("repeatable")


def skip_or_fail(what: str, reason: object) -> NoReturn:
    """Skip the test; fail it where `what` is expected."""
    if what in os.environ.get("STREAM_TESTS_EXPECT", "").split(","):
        pytest.fail(f"{what} was expected here, but: {reason}", pytrace=False)
    pytest.skip(f"no {what} here: {reason}")


def _running(what: str, make: Callable[[], Server]) -> Iterator[Server]:
    try:
        server = started(make)
    except Unavailable as error:
        skip_or_fail(what, error)
    yield server
    server.kill()


def running_kafka(folder: Path) -> Iterator[LocalKafka]:
    """A broker that is up; stopped at the end."""
    yield from _running("kafka", partial(LocalKafka, folder=folder))


def running_redis(folder: Path) -> Iterator[LocalRedis]:
    """A Redis that is up; stopped at the end."""
    yield from _running("redis", partial(LocalRedis, folder=folder))


_SERVERS_FIRST = ("broker", "end_to_end", "faults", "endpoint", "commands", "bench", "simulation")
"""Folders of tests that wait for servers and clocks, the longest files among them."""


_LONGEST_N = 30


def pytest_configure() -> None:
    """Let commands see Ctrl-C, though a shell that ran the tests in the background ignores it."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long files first: one that begins last keeps a processor waiting for minutes."""

    def place(item: pytest.Item) -> int:
        folder = item.path.parent.name
        return _SERVERS_FIRST.index(folder) if folder in _SERVERS_FIRST else len(_SERVERS_FIRST)

    items.sort(key=place)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say where the time went, and which of the simulation's seeds ran.

    A test names them so: `record_property("seeds", (first, stop))`.
    """
    reports = [r for kind in ("passed", "failed") for r in terminalreporter.stats.get(kind, ())]
    took_ms: Counter[str] = Counter()
    for report in reports:
        took_ms[report.nodeid.partition("::")[0]] += round(1000 * report.duration)
    longest = [f"{name} {ms / 1000:.0f}" for name, ms in took_ms.most_common(_LONGEST_N)]
    if len(took_ms) > _LONGEST_N:
        terminalreporter.write_line(f"the longest files, seconds: {', '.join(longest)}")
    found = [value for r in reports for name, value in r.user_properties if name == "seeds"]
    ran = sorted({seed for first, stop in found for seed in range(first, stop)})
    if ran:
        edges = [n for n in range(1, len(ran)) if ran[n] != ran[n - 1] + 1]
        spans = [(ran[a], ran[b - 1]) for a, b in pairwise([0, *edges, len(ran)])]
        told = ", ".join(str(a) if a == b else f"{a} to {b}" for a, b in spans)
        terminalreporter.write_line(f"seeds of the simulation that ran: {told}")
    if left_out := _left_out(terminalreporter.stats.get("skipped", ())):
        terminalreporter.write_line(left_out)


def _left_out(skipped: Iterable[pytest.TestReport]) -> str:
    """What did not run and for want of what, in one line; "" if all ran."""
    wants: Counter[str] = Counter()
    for report in skipped:
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        wants[reason.removeprefix("Skipped: ").partition(" here")[0].partition("\n")[0]] += 1
    told = "; ".join(f"{n} ({why})" for why, n in wants.most_common())
    return f"left out: {wants.total()} tests: {told}" if wants else ""


@pytest.fixture(scope="session")
def kafka(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LocalKafka]:
    """One real broker for all tests that leave it alive: use topics and groups of your own."""
    if not hasattr(request.config, "workerinput"):
        yield from running_kafka(tmp_path_factory.mktemp("kafka"))
        return
    try:
        # One of pytest-xdist's processes: its parent is the run, and so is its folder's.
        yield shared_kafka(tmp_path_factory.getbasetemp().parent, run=os.getppid())
    except Unavailable as error:
        skip_or_fail("kafka", error)


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalRedis]:
    """One real Redis for all tests that leave it alive: use keys of your own."""
    yield from running_redis(tmp_path_factory.mktemp("redis"))


@pytest.fixture
def own_kafka(tmp_path: Path) -> Iterator[LocalKafka]:
    """A real broker for this test alone, to be killed, paused and restarted."""
    yield from running_kafka(tmp_path / "kafka")


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[LocalRedis]:
    """A real Redis for this test alone, to be killed, paused and restarted."""
    yield from running_redis(tmp_path / "redis")


@pytest.fixture(scope="session")
def docker() -> None:
    """A Docker engine that answers."""
    try:
        containers.require_engine()
    except Unavailable as error:
        skip_or_fail("docker", error)


@pytest.fixture(autouse=True)
def _docker_where_marked(request: pytest.FixtureRequest) -> None:
    if request.node.get_closest_marker("docker") is not None:
        request.getfixturevalue("docker")


@pytest.fixture
def pipeline(request: pytest.FixtureRequest) -> str:
    """A pipeline's name that no other test and no earlier run has."""
    test = re.sub("[^a-z0-9]+", "-", request.node.name.lower()).strip("-")
    return f"{test[:40].strip('-')}-{uuid4().hex[:8]}"
