"""`stream check` on set-ups that somebody spoilt: each told in one line, with what to do."""

import json
import random
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import redis
from kafka import KafkaAdminClient

from stream.sandbox.local_kafka import LocalKafka
from stream.sandbox.local_redis import LocalRedis
from tests.commands.project import Done, Project, closed_port

pytestmark = pytest.mark.broker

SLOW_S = 240.0
"""A bound on hanging; on a machine that is busy a check takes tens of seconds."""

LOGISTIC = '[model]\nfactory = "stream.models:logistic_regression"\n'
MINE = '[model]\nfactory = "mine:make"\n'
IMPORTS = (
    "import random\nfrom river import base, forest, preprocessing, tree\n"
    "from river import linear_model as lm\n"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """A sound set-up on real servers, to be spoilt."""

    project: Project
    servers: str
    redis_url: str
    pipeline: str

    def configure(self, more: str = LOGISTIC, *, pipeline: str | None = None) -> None:
        """Write stream.toml."""
        self.project.configure(
            f'[kafka]\nbootstrap_servers = "{self.servers}"\n'
            f'[redis]\nurl = "{self.redis_url}"\n{more}',
            pipeline=pipeline or self.pipeline,
        )

    def feed(self, n: int, make: "Make") -> None:
        """Produce so many events."""
        chance = random.Random(7)
        self.project.write("e.jsonl", "".join(json.dumps(make(chance)) + "\n" for _ in range(n)))
        fed = self.project.stream("produce", "e.jsonl", timeout_s=SLOW_S)
        assert fed.code == 0, fed

    def check(self) -> Done:
        """Have it looked at."""
        return self.project.stream("check", timeout_s=SLOW_S)

    def only_problem(self) -> str:
        """The one line of a check that found one thing."""
        done = self.check()
        assert done.code == 78, done
        (line,) = done.err.splitlines()
        assert line.startswith("problem "), done
        return line.removeprefix("problem ")


Make = Callable[[random.Random], dict[str, Any]]


@pytest.fixture
def stage(kafka: LocalKafka, redis_server: LocalRedis, tmp_path: Path, pipeline: str) -> Stage:
    """Configured, in a folder of its own."""
    made = Stage(
        project=Project(tmp_path), servers=kafka.address, redis_url=redis_server.url,
        pipeline=pipeline,
    )  # fmt: skip
    made.configure()
    return made


@pytest.fixture(scope="module")
def replica(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalRedis]:
    """A Redis that takes no writes: the replica of one that is away."""
    server = LocalRedis(
        folder=tmp_path_factory.mktemp("replica"), arguments=("--replicaof", "127.0.0.1", "1")
    )
    with server:
        yield server


def event(label: Any, **features: Any) -> dict[str, Any]:
    """As it is sent."""
    return {"features": features, "label": label}


def plain(chance: random.Random) -> dict[str, Any]:
    """Nothing wrong with it."""
    x = chance.uniform(-1, 1)
    return event(x > 0, x=x)


def numbered(chance: random.Random) -> dict[str, Any]:
    """Labels that are 0 and 1."""
    return event(chance.randrange(2), x=chance.random())


def leaking(chance: random.Random) -> dict[str, Any]:
    """The label is a feature too, under another name."""
    label = chance.random() < 0.5
    return event(label, x=chance.random(), outcome=int(label))


def misplaced(chance: random.Random) -> dict[str, Any]:
    """The label is among the features only."""
    return {"features": {"x": chance.random(), "label": chance.random() < 0.5}}


def elsewhere(chance: random.Random) -> dict[str, Any]:
    """The label is in another field."""
    return {"features": {"x": chance.random()}, "is_fraud": chance.random() < 0.5}


@pytest.mark.parametrize(
    ("make", "more", "told"),
    [
        (numbered, "", ("all of the first 60 would be refused as bad_label", "events.positive")),
        (leaking, "", ('the feature "outcome" is the label itself', "leave it out")),
        (elsewhere, '[events]\nextra = "ignore"\n',
         ('none of the first 60 has a label in the field "label"', "set events.label")),
        (elsewhere, "", ("all of the first 60 would be refused as unknown_field", "events.extra")),
    ],
)  # fmt: skip
def test_events_that_are_not_as_the_configuration_says(
    stage: Stage, make: Make, more: str, told: tuple[str, str]
) -> None:
    """Of the first thousand it says how many, why, and what to set."""
    stage.configure(LOGISTIC + more)
    stage.feed(60, make)

    found = stage.only_problem()

    assert found.startswith("events: ")
    assert all(text in found for text in told), found


def test_a_label_that_lies_among_the_features(stage: Stage) -> None:
    """It is never learned from, and would give the answer away."""
    stage.feed(60, misplaced)

    done = stage.check()

    assert done.code == 78, done
    never, leak = done.err.splitlines()
    assert "none of the first 60 has a label" in never
    assert 'the label\'s name "label" is a feature of all of the first 60' in leak
    assert "send the label beside the features" in leak


DRAWS = (
    "class Model(lm.LogisticRegression):\n"
    "    def predict_proba_one(self, x):\n"
    "        p = random.random()\n"
    "        return {True: p, False: 1 - p}\n"
    "make = Model\n"
)


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (DRAWS, "does not repeat itself: two processes folded the same events, and of event 1 "),
        ("make = forest.ARFClassifier\n", "ARFClassifier.seed is None"),
        ("make = tree.ISOUPTreeRegressor\n", "predicts several targets at once"),
        ("def make():\n    import no_such_package\n",
         "install it where the worker runs (pip install no_such_package)"),
    ],
)  # fmt: skip
def test_models_that_no_fold_can_be_made_of(stage: Stage, body: str, told: str) -> None:
    """That draws, has no seed, answers more than one question, or is not installed whole."""
    stage.project.write("mine.py", IMPORTS + body)
    stage.configure(MINE)

    found = stage.only_problem()

    assert found.startswith("model.")
    assert told in found


def test_a_redis_url_that_leads_nowhere(stage: Stage) -> None:
    """A closed port, a database that is not there, Kafka's own port: each names the key."""
    host = stage.redis_url.split("/")[2]
    closed = f"{host.split(':')[0]}:{closed_port()}"
    for place, told in (
        (f"{closed}/0", f"Connection refused; start it, or correct redis.url ({closed}, data"),
        (f"{host}/9999", f"names a database that it does not have ({host}, database 9999)"),
        (f"{stage.servers}/0", f"; does a Redis answer at redis.url ({stage.servers}, data"),
    ):
        spoilt = replace(stage, redis_url=f"redis://{place}")
        spoilt.configure()

        assert told in spoilt.only_problem()


def test_a_redis_that_is_read_only(stage: Stage, replica: LocalRedis) -> None:
    """A replica answers every question, and takes no snapshot."""
    spoilt = replace(stage, redis_url=replica.url)
    spoilt.configure()

    found = spoilt.only_problem()

    assert "Redis refused: ReadOnlyError" in found
    assert "redis.url names a replica; name its primary" in found


def test_a_redis_that_is_full(stage: Stage, own_redis: LocalRedis) -> None:
    """It answers, and takes no more; what a check tried to write is not there afterwards."""
    spoilt = replace(stage, redis_url=own_redis.url)
    spoilt.configure()
    with redis.Redis.from_url(own_redis.url) as client:
        fine = spoilt.check()
        client.config_set("maxmemory", "1")

        found = spoilt.only_problem()
        left = client.keys("*")

    assert fine.code == 0, fine
    assert "Redis refused: OutOfMemoryError" in found
    assert "raise its maxmemory" in found
    assert left == []


def test_a_redis_whose_slots_nobody_serves(stage: Stage, tmp_path: Path) -> None:
    """A node of a cluster that was never put together."""
    node = LocalRedis(folder=tmp_path / "node", arguments=("--cluster-enabled", "yes"))
    with node:
        spoilt = replace(stage, redis_url=node.url)
        spoilt.configure()

        found = spoilt.only_problem()

    assert "Redis refused: " in found
    assert "mend the cluster" in found


def test_the_outputs_of_another_pipeline(stage: Stage) -> None:
    """Named by what lies there, not taken for offsets that were lost."""
    other = f"{stage.pipeline}-other"
    stage.configure(pipeline=other)
    stage.feed(30, plain)
    ran = stage.project.stream("run", "--until-end", timeout_s=SLOW_S)
    assert ran.code == 0, ran
    stage.configure(LOGISTIC + f'[topics]\npredictions = "{other}.predictions"\n')

    found = stage.only_problem()

    assert found.startswith(
        f"topics.predictions: {other}.predictions holds predictions for events of {other}.events "
    )
    assert found.endswith("; name a topic that only this pipeline writes to")


def test_an_output_topic_that_is_too_narrow(stage: Stage, kafka: LocalKafka) -> None:
    """An outcome goes to the partition of its event."""
    with closing(KafkaAdminClient(bootstrap_servers=kafka.address)) as admin:
        for channel, partitions in (("events", 3), ("predictions", 2)):
            topic = {"num_partitions": partitions, "replication_factor": 1}
            admin.create_topics({f"{stage.pipeline}.{channel}": topic}, wait_for_metadata=True)

    found = stage.only_problem()

    assert "predictions has 2 partitions" in found
    assert "add partitions to it, or name another topic" in found


def test_a_cold_broker_is_waited_for(stage: Stage, own_kafka: LocalKafka) -> None:
    """Its first question makes it create the topic that answers it."""
    spoilt = replace(stage, servers=own_kafka.address)
    spoilt.configure()

    done = spoilt.check()

    assert done.code == 0, done
    assert all(line.startswith("stream: waiting up to 30 s") for line in done.err.splitlines())
