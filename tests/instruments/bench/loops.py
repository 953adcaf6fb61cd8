"""The loops that can be measured: what each is called, promises, and needs."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from itertools import product
from typing import Literal

from tests.instruments.bench.step import MODELS

Guarantee = Literal["exactly-once", "at-least-once", "none"]

CLIENTS = ("confluent", "kafka-python", "embedded")
GUARANTEES: tuple[Guarantee, ...] = ("exactly-once", "at-least-once")


@dataclass(frozen=True, slots=True, kw_only=True)
class Loop:
    """One way to do the work.

    Attributes:
        name: as on the command line; `--peers` takes any beginning of it that ends at a hyphen.
        title: as in the table.
        module: of `tests.instruments.bench.peers`.
        state: what becomes of the model's state in a crash.
        environment: None is our own.
        packages: whose versions are told.
        models: those that it can be measured with.
        alerts: our worker's policy; with "quiet" it has all monitors.
    """

    name: str
    title: str
    module: str
    variant: str
    guarantee: Guarantee
    state: Literal["recovered", "lost", "-"] = "lost"
    environment: str | None = None
    needs_kafka: bool = True
    packages: tuple[str, ...] = ()
    models: tuple[str, ...] = tuple(MODELS)
    alerts: str = "raw"


BARE = Loop(
    name="bare", title="bare river loop", module="bare", variant="loop", guarantee="none",
    state="-", needs_kafka=False, packages=("river", "numpy"),
)  # fmt: skip


ALERTS = ("raw", "quiet")
_MONITORS = {"raw": ("", ""), "quiet": ("-monitors", ", all monitors")}


def ours(
    clients: Collection[str], guarantees: Collection[str], alerts: Collection[str] = ("raw",)
) -> Iterator[Loop]:
    """Our worker; the embedded log knows only one guarantee."""
    packages = {"confluent": ("confluent-kafka",), "kafka-python": ("kafka-python",)}
    for client, guarantee, policy in product(CLIENTS, GUARANTEES, ALERTS):
        embedded = client == "embedded"
        if (
            client in clients
            and guarantee in guarantees
            and policy in alerts
            and (not embedded or guarantee == "exactly-once")
        ):
            yield Loop(
                name=f"ours-{client}-{guarantee}{_MONITORS[policy][0]}", module="ours",
                title=f"**ours**, {client}{_MONITORS[policy][1]}", variant=client,
                guarantee=guarantee, state="recovered", needs_kafka=not embedded,
                packages=packages.get(client, ()), alerts=policy,
            )  # fmt: skip


_NAIVE: dict[str, tuple[str, Guarantee]] = {
    "naive": ("as in tutorials", "at-least-once"),
}
_EXPERT: dict[str, tuple[str, Guarantee]] = {
    "expert": ("by an expert", "at-least-once"),
    "expert-exactly-once": ("by an expert", "exactly-once"),
}
_GROUP: dict[str, tuple[str, Guarantee]] = {
    "expert-group-commit": ("by an expert, group commit", "exactly-once"),
}


def _by_hand(
    name: str,
    library: str,
    variants: dict[str, tuple[str, Guarantee]],
    environment: str | None = None,
) -> Iterator[Loop]:
    for variant, (how, guarantee) in variants.items():
        yield Loop(
            name=f"{name}-{variant}", title=f"{library} {how}", module=library.replace("-", "_"),
            variant=variant, guarantee=guarantee, environment=environment, packages=(library,),
        )  # fmt: skip


def _quix() -> Iterator[Loop]:
    for variant, about in {
        "at-least-once": "",
        "exactly-once": "",
        "counters-in-state": ", counters in its state",
        "model-in-state": ", model in its state",
    }.items():
        yield Loop(
            name=f"quix-{variant}", title=f"Quix Streams{about}", module="quix", variant=variant,
            guarantee="at-least-once" if variant == "at-least-once" else "exactly-once",
            state="recovered" if variant == "model-in-state" else "lost",
            environment="quix", packages=("quixstreams",),
            # A tree would be pickled for each event: an hour and more.
            models=("lr",) if variant == "model-in-state" else tuple(MODELS),
        )  # fmt: skip


PEERS: tuple[Loop, ...] = (
    *_by_hand("confluent", "confluent-kafka", _NAIVE | _EXPERT | _GROUP),
    *_by_hand(
        "kafka-python", "kafka-python",
        _NAIVE | {"naive-exactly-once": ("as in tutorials", "exactly-once")} | _EXPERT | _GROUP,
    ),
    *_by_hand("aiokafka", "aiokafka", _NAIVE | _EXPERT, "aiokafka"),
    *_quix(),
    Loop(name="bytewax-plain", title="Bytewax", module="bytewax", variant="plain",
         guarantee="at-least-once", environment="bytewax", packages=("bytewax",)),
    Loop(name="bytewax-recovery", title="Bytewax with recovery", module="bytewax",
         variant="recovery", guarantee="at-least-once", state="recovered",
         environment="bytewax", packages=("bytewax",)),
    Loop(name="pathway", title="Pathway", module="pathway", variant="plain",
         guarantee="at-least-once", environment="pathway", packages=("pathway",)),
    Loop(name="flink-process", title="PyFlink", module="flink", variant="process",
         guarantee="at-least-once", environment="flink", packages=("apache-flink",)),
    Loop(name="flink-thread", title="PyFlink, thread mode", module="flink", variant="thread",
         guarantee="at-least-once", environment="flink", packages=("apache-flink",)),
    Loop(name="faust", title="Faust", module="faust", variant="plain",
         guarantee="at-least-once", environment="faust", packages=("faust-streaming",)),
)  # fmt: skip


def chosen(names: Collection[str]) -> list[Loop]:
    """Peers by the beginnings of their names; "all" are all. Raises: ValueError: none is so called.

    >>> [loop.name for loop in chosen(["bytewax"])]
    ['bytewax-plain', 'bytewax-recovery']
    """
    if "all" in names:
        return list(PEERS)
    for name in names:
        if not any(_is_called(loop, name) for loop in PEERS):
            known = ", ".join(loop.name for loop in PEERS)
            raise ValueError(f"no peer is called {name}; there are: {known}")
    return [loop for loop in PEERS if any(_is_called(loop, name) for name in names)]


def _is_called(loop: Loop, name: str) -> bool:
    return f"{loop.name}-".startswith(f"{name}-")
