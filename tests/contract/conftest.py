"""The adapters under contract. A new one is a `World` (or `StoreWorld`) and one entry here."""

from collections.abc import Iterator, Sequence
from typing import cast

import pytest

from tests.contract.confluent_world import ConfluentWorld
from tests.contract.embedded_world import EmbeddedStoreWorld, EmbeddedWorld
from tests.contract.kafka_world import KafkaWorld
from tests.contract.memory_world import MemoryStoreWorld, MemoryWorld
from tests.contract.redis_world import RedisStoreWorld
from tests.contract.worlds import Ability, StoreWorld, World

LOGS: dict[str, type[World]] = {
    "memory": MemoryWorld,
    "embedded": EmbeddedWorld,
    "kafka-python": KafkaWorld,
    "confluent": ConfluentWorld,
}
STORES: dict[str, type[StoreWorld]] = {
    "memory": MemoryStoreWorld,
    "embedded": EmbeddedStoreWorld,
    "redis": RedisStoreWorld,
}

_reasons = pytest.StashKey[set[str]]()


def pytest_configure(config: pytest.Config) -> None:
    """Tell pytest of our mark."""
    config.addinivalue_line("markers", "needs(ability): runs where the log supports it")
    config.stash[_reasons] = set()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test on every adapter."""
    if "world" in metafunc.fixturenames:
        params = [pytest.param(w, id=name, marks=list(w.marks)) for name, w in LOGS.items()]
        metafunc.parametrize("world", params, indirect=True)
    if "store_world" in metafunc.fixturenames:
        params = [pytest.param(w, id=name, marks=list(w.marks)) for name, w in STORES.items()]
        metafunc.parametrize("store_world", params, indirect=True)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect what an adapter cannot do, and remember why."""
    refused = [item for item in items if _reason(item) is not None]
    if refused:
        config.hook.pytest_deselected(items=refused)
        config.stash[_reasons].update(f"{item.name}: {_reason(item)}" for item in refused)
        items[:] = [item for item in items if item not in refused]


def pytest_report_collectionfinish(config: pytest.Config) -> Sequence[str]:
    """Say what was deselected, and why."""
    reasons = config.stash[_reasons]
    return [f"not for this log: {reason}" for reason in sorted(reasons)]


@pytest.fixture
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    """One adapter's log, without topics yet."""
    opened: World = request.param.open(request)
    yield opened
    opened.close()


@pytest.fixture
def store_world(request: pytest.FixtureRequest) -> Iterator[StoreWorld]:
    """One adapter's place for snapshots, empty."""
    opened: StoreWorld = request.param.open(request)
    yield opened
    opened.close()


def _reason(item: pytest.Item) -> str | None:
    """Why a test cannot run on its adapter; None if it can."""
    mark = item.get_closest_marker("needs")
    if mark is None or not isinstance(item, pytest.Function):
        return None
    log = cast("type[World]", item.callspec.params["world"])
    needed: Ability = mark.args[0]
    return log.unsupported.get(needed)
