"""Commands under load, while workers die: each is done once, at the place that the ledger tells.

A plain loop that is told these places, and nothing else, gives every prediction, bit for bit; so
does a fold that is rebuilt from the log and the journal alone.
"""

import itertools
import json
import threading
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import redis

from stream.sandbox import LocalKafka, LocalRedis
from tests.end_to_end import streams
from tests.end_to_end.outside import Pipeline, until, without_place
from tests.end_to_end.test_equals_plain_loop import LOGISTIC

pytestmark = pytest.mark.broker

CONFIG = """[events]
positive = "UP"
[model]
factory = "lr:make"
[delivery]
commit_interval_ms = 50
"""
PARTITIONS, EVENTS_N, KILLS_N = (0, 1), 12_000, 8
WHATS = ("freeze", "unfreeze", "reset", "freeze", "pause", "resume", "unfreeze", "reset")


@contextmanager
def _fed(to: Pipeline, values: Sequence[bytes]) -> Iterator[None]:
    """While the block runs, events go to both partitions; at its end all are there."""
    pieces = iter([values[at : at + 200] for at in range(0, len(values), 200)])
    over = threading.Event()

    def feed() -> None:
        for piece in pieces:
            to.feed((p, value) for p in PARTITIONS for value in piece)
            if not over.is_set():
                over.wait(0.4)

    feeder = threading.Thread(target=feed)
    feeder.start()
    try:
        yield
    finally:
        over.set()
        feeder.join(120)
    assert not feeder.is_alive()


def _plain_loop(values: Sequence[bytes], done: Mapping[int, Sequence[str]]) -> list[dict[str, Any]]:
    """What a loop of river predicts that is told before which events what was done."""
    namespace: dict[str, Any] = {}
    exec(LOGISTIC, namespace)  # noqa: S102  # the very model of the pipeline
    make, learned, learns, expected = namespace["make"], 0, True, []
    model = make()
    for offset, value in enumerate(values):
        for what in done.get(offset, ()):
            if what == "reset":
                model, learned = make(), 0
            elif what in ("freeze", "unfreeze"):
                learns = what == "unfreeze"
        event = json.loads(value)
        probabilities = model.predict_proba_one(event["features"])
        expected.append({
            "prediction": model.predict_one(event["features"]),
            "probabilities": {str(c).lower(): p for c, p in probabilities.items()},
            "learned": learned,
            "label": event["label"] == "UP",
        })  # fmt: skip
        if learns:
            model.learn_one(event["features"], event["label"] == "UP")
            learned += 1
    return expected


@pytest.mark.parametrize("client", ["kafka-python", "confluent"])
def test_commands_are_done_once_while_workers_are_killed_and_partitions_move(
    kafka: LocalKafka, own_redis: LocalRedis, tmp_path: Path, pipeline: str, client: str
) -> None:
    """Two workers, of which one dies by SIGKILL at each command: its partition moves, and back."""
    values = streams.encoded(streams.elec2(EVENTS_N // 2))
    under = Pipeline(
        pipeline, tmp_path, kafka, own_redis,
        CONFIG + "[snapshots]\nrecovery_time_s = 2\n",
        {"lr": LOGISTIC}, partitions=2,
    )  # fmt: skip
    under.feed((p, value) for p in PARTITIONS for value in values[:500])
    chosen = {"STREAM__KAFKA__CLIENT": client, "STREAM__WORKER__INSTANCE": "w-0"}
    instances = itertools.cycle(("w-0", "w-1"))
    workers = {
        each: under.start(**chosen | {"STREAM__WORKER__INSTANCE": each}) for each in ("w-0", "w-1")
    }
    until(
        lambda: under.log(1_000).count("worker_started") == len(workers),
        timeout_s=120,
        what="a start",
    )
    # Each of them: a partition's first owner begins at the end of the control topic.
    until(
        lambda: all(under.predicted_n([p]) for p in PARTITIONS),
        timeout_s=120,
        what=f"begun: {under.log()}",
    )
    sent = []
    with _fed(under, values[500:]):
        for number, what in enumerate(WHATS):
            words = ("--why", "a test", "--by", "ada", "--id", f"{number}-{what}")
            said = tmp_path / f"said-{number}"
            with said.open("wb") as out:
                waiting = under.begin(
                    "control", what, *words, "--within", "170s", out=out, **chosen
                )
            victim = next(instances)
            workers[victim].kill()
            workers[victim].wait()
            workers[victim] = under.start(**chosen | {"STREAM__WORKER__INSTANCE": victim})
            sent.append((what, waiting.wait(200), said.read_text()))
    for worker in workers.values():
        worker.terminate()
        assert worker.wait(60) == 0, under.log()
    assert [code for _, code, _ in sent] == [0] * KILLS_N, f"{sent}: {under.log(60)}"

    under.run_until_end(timeout_s=120, **chosen)

    for partition in PARTITIONS:
        _check(under, partition, values)
    with under.administrator() as admin:  # as tools ask that show a lag
        committed = admin.list_group_offsets(under.name)[under.name]
    control = {tp.partition: at.offset for tp, at in committed.items() if "control" in tp.topic}
    assert control == dict.fromkeys(PARTITIONS, KILLS_N)
    with redis.Redis.from_url(own_redis.url) as cache:
        cache.flushall()
    under.run_until_end(
        timeout_s=120, **chosen
    )  # from the log and the journal alone: else it would end with 65


def _check(under: Pipeline, partition: int, values: Sequence[bytes]) -> None:
    """Each command once, in the order of the steps; and the predictions of a plain loop."""
    told = under.values("ledger", partition)
    assert [each["what"] for each in told] == list(WHATS)
    answers = Counter(dict(r.headers)["stream.command"] for r in under.records("ledger", partition))
    assert set(answers.values()) == {1}
    steps = [step for each in under.values("journal", partition) for step in each["steps"]]
    assert [(each["n"], each["next_offset"]) for each in steps] == [
        (each["n"], each["offset"]) for each in told
    ]
    done: dict[int, list[str]] = {}
    for each in told:
        done.setdefault(each["offset"], []).append(each["what"])
    published = under.values("predictions", partition)
    assert [each["offset"] for each in published] == list(range(len(values)))
    assert [without_place(each) for each in published] == _plain_loop(values, done)
