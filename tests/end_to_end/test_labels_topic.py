"""Labels in a topic of their own, on real servers: whatever is killed, the order is kept."""

import json
import random
import time
from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import redis
from river import drift, linear_model, preprocessing

from stream.core.event import Record
from stream.sandbox import LocalKafka, LocalRedis
from tests.end_to_end.outside import Pipeline, until, without_place
from tests.end_to_end.streams import airlines
from tests.late_labels import plainly

pytestmark = pytest.mark.broker

MODEL = """from river import linear_model, preprocessing


def make():
    return preprocessing.StandardScaler() | linear_model.LogisticRegression()
"""
CONFIG = """[model]
factory = "lr:make"
[topics]
labels = "{name}.labels"
[labels]
wait = "4d"
[[detectors]]
type = "ADWIN"
name = "adwin"
[delivery]
commit_interval_ms = 50
[worker]
instance = "w"
[snapshots]
recovery_time_s = 2
"""
CONFLUENT = {"STREAM__KAFKA__CLIENT": "confluent"}
DAY_MS, MINUTE_MS, START_MS = 86_400_000, 60_000, 1_293_840_000_000
Row = tuple[int, int, bytes]


def flights(n: int, partitions: Sequence[int]) -> tuple[list[Row], list[Row]]:
    """Flights, and whether each was late: told after its own length, and 0 to 3 days.

    Returns: events and labels, each (partition, timestamp_ms, value), in the order of their times.
    """
    chance = random.Random(21)
    events, labels = [], []
    for i, flight in enumerate(islice(airlines(n), n)):
        features = {k: v for k, v in flight["features"].items() if not isinstance(v, str)}
        partition, time_ms = partitions[i % len(partitions)], START_MS + i * MINUTE_MS
        late = (float(features["Distance"]) / 900 + chance.gauss(0, 0.6) > 1) != (i > n // 2)
        delay_ms = int(float(features["Length"])) * MINUTE_MS + chance.randrange(3 * DAY_MS)
        events.append((partition, time_ms, _said(id=f"f{i}", features=features)))
        labels.append((partition, time_ms + delay_ms, _said(id=f"f{i}", label=late)))
        if i % 500 == 499:  # nobody's, broken, without an id; and one that is told twice
            at = labels[-1][1]
            odd = (_said(id=f"x{i}", label=True), b"oops", b'{"label": true}')
            labels += [(partition, at, value) for value in (*odd, labels[-1][2])]
    return events, sorted(labels, key=lambda each: each[1])


def _said(**document: Any) -> bytes:
    return json.dumps(document).encode()


def _made(
    name: str, folder: Path, kafka: LocalKafka, cache: LocalRedis, partitions: int
) -> Pipeline:
    config = CONFIG.format(name=name)
    if partitions > 1:  # whose workers leave the group when they end
        config = config.replace('instance = "w"\n', "").replace("time_s = 2", "time_s = 6")
    made = Pipeline(name, folder, kafka, cache, config, {"lr": MODEL}, partitions=partitions)
    made.make_topic("labels")
    return made


def _merged(under: Pipeline, partition: int) -> tuple[list[Record], list[dict[str, Any]]]:
    """What was folded, in the order of its outcomes' n; and these outcomes."""
    told = under.values("outcomes", partition)
    events = iter(_records(under, "events", partition))
    labels = {each.offset: each for each in _records(under, "labels", partition)}
    refused = {
        int(dict(each.headers)["stream.offset"])
        for each in under.records("quarantine", partition)
        if dict(each.headers)["stream.topic"] == f"{under.name}.labels".encode()
    }
    by_n = {each["n"]: each["label_offset"] for each in told if each["input"] == "labels"}
    assert list(by_n.values()) == [offset for offset in sorted(labels) if offset not in refused]
    order: list[Record] = []
    while True:
        if len(order) in by_n:
            order.append(labels[by_n[len(order)]])
        elif (event := next(events, None)) is not None:
            order.append(event)
        else:
            return order, told


def _records(under: Pipeline, channel: str, partition: int) -> list[Record]:
    return [
        Record(partition, each.offset, each.timestamp, each.key, each.value)
        for each in under.records(channel, partition)
    ]


def _check(under: Pipeline, partition: int) -> None:
    """Predictions, outcomes and alerts are those of a plain loop that is told the order."""
    order, told = _merged(under, partition)
    predicted = under.values("predictions", partition)
    found = [(e["offset"], e["prediction"], e["probabilities"], e["learned"]) for e in predicted]
    model = preprocessing.StandardScaler() | linear_model.LogisticRegression()
    assert found == plainly(model, order, told, has_classes=True)
    at_event = {each["offset"]: each for each in predicted}
    adwin, drifts = drift.ADWIN(), []
    for each in told:
        if each["kind"] != "labeled":
            continue
        published = at_event[each["offset"]]
        for field in ("id", "prediction", "probabilities"):
            assert each[field] == published[field]
        assert each["delay_ms"] == each["label_time_ms"] - each["event_time_ms"]
        assert each["error"] == float(published["prediction"] != each["label"])
        adwin.update(each["error"])
        if adwin.drift_detected:
            drifts.append((each["learned"] + 1, f"/{each['label_offset']}"))
    alerts = under.values("alerts", partition)
    assert [each["learned"] for each in alerts] == [learned for learned, _ in drifts]
    assert all(a["id"].endswith(end) for a, (_, end) in zip(alerts, drifts, strict=True))


def _outputs(under: Pipeline, partitions: Iterable[int]) -> list[tuple[Any, ...]]:
    return [
        (channel, p, each.key, each.timestamp, each.value)
        for channel in ("predictions", "outcomes", "alerts", "quarantine")
        for p in partitions
        for each in under.records(channel, p)
    ]


@pytest.mark.parametrize("client", ["kafka-python", "confluent"])
def test_labels_days_late_are_learned_once_though_workers_die(
    kafka: LocalKafka, own_redis: LocalRedis, tmp_path: Path, pipeline: str, client: str
) -> None:
    """Killed eight times, rebuilt from an empty Redis: all of it is a plain loop's, bit for bit."""
    kills_n, events_n = 8, 4_500
    under = _made(pipeline, tmp_path, kafka, own_redis, 1)
    chosen = {"STREAM__KAFKA__CLIENT": client, "STREAM__WORKER__INSTANCE": "w"}
    events, labels = flights(events_n, [0])
    chance, step = random.Random(4), events_n // (kills_n + 1)
    for kill in range(kills_n):
        since, until_ms = kill * step, events[(kill + 1) * step][1]
        under.send("labels", _between(labels, events[since][1] if kill else 0, until_ms))
        before = under.predicted_n() if kill else 0
        worker = under.start(**chosen)
        under.send("events", events[since : since + step])
        if not kill:
            until(lambda: "task_fresh" in under.log(100), timeout_s=120, what=under.log())
        until(lambda b=before: under.predicted_n() > b,  # type: ignore[misc]
              timeout_s=120, what=f"some predictions: {under.log()}")  # fmt: skip
        time.sleep(chance.uniform(0.0, 0.3))
        worker.kill()
        worker.wait()
    under.send("events", events[kills_n * step :])
    under.send("labels", _between(labels, events[kills_n * step][1], 1 << 60))
    under.run_until_end(timeout_s=120, **chosen)
    _check(under, 0)
    published = _outputs(under, [0])
    kinds = {json.loads(v)["kind"] for channel, *_, v in published if channel == "outcomes"}
    assert kinds - {"unknown"} == {"labeled", "early", "repeated"}
    with redis.Redis.from_url(own_redis.url) as cache:
        cache.flushall()
    under.send("events", [(0, START_MS + 9 * DAY_MS, _said(id="last", features={"Length": 1.0}))])
    under.run_until_end(timeout_s=120, **chosen)  # it is proved by its digest, or ends with 65
    again = _outputs(under, [0])
    assert [each for each in again if b'"id":"last"' not in each[-1]] == published


def _between(rows: Sequence[Row], start_ms: int, stop_ms: int) -> list[Row]:
    return [row for row in rows if start_ms <= row[1] < stop_ms]


def test_two_workers_join_and_leave(
    kafka: LocalKafka, own_redis: LocalRedis, tmp_path: Path, pipeline: str
) -> None:
    """Partitions go from one to the other, and each label goes with its event's."""
    partitions, n = range(4), 6_000
    under = _made(pipeline, tmp_path, kafka, own_redis, len(partitions))
    events, labels = flights(n, partitions)
    workers = [under.start(**CONFLUENT) for _ in range(2)]
    for part in range(4):
        since, stop = part * n // 4, (part + 1) * n // 4
        under.send("labels", _between(labels, events[since][1] if part else 0, events[stop - 1][1]))
        under.send("events", events[since:stop])
        before = under.predicted_n(partitions) if part else 0
        until(lambda b=before: _has_topic(under) and under.predicted_n(partitions) > b,  # type: ignore[misc]
              timeout_s=120, what=f"some predictions: {under.log()}")  # fmt: skip
        if part == 1:
            workers[0].terminate()
            assert workers[0].wait(60) == 0, under.log()
        if part == 2:
            workers[0] = under.start(**CONFLUENT)
    for worker in workers:
        worker.terminate()
        assert worker.wait(60) == 0, under.log()
    under.send("labels", _between(labels, events[-1][1], 1 << 60))
    under.run_until_end(timeout_s=120, **CONFLUENT)
    for partition in partitions:
        _check(under, partition)


def _has_topic(under: Pipeline) -> bool:
    return "task_fresh" in under.log(1_000)


@pytest.mark.parametrize("client", ["kafka-python", "confluent"])
def test_labels_at_their_events_are_labels_in_them(
    kafka: LocalKafka, redis_server: LocalRedis, tmp_path: Path, pipeline: str, client: str
) -> None:
    """With the timestamp of its event a label is learned before the next one is predicted."""
    under = _made(pipeline, tmp_path / "topic", kafka, redis_server, 1)
    inside = Pipeline(
        f"{pipeline}-inside", tmp_path / "inside", kafka, redis_server,
        CONFIG.format(name="none").replace('[topics]\nlabels = "none.labels"\n', "").replace(
            '[labels]\nwait = "4d"\n', ""), {"lr": MODEL},
    )  # fmt: skip
    events, _ = flights(3_000, [0])
    known = [json.loads(value) | {"label": n % 3 == 0} for n, (*_, value) in enumerate(events)]
    labels = [_said(id=each["id"], label=each["label"]) for each in known]
    under.send("labels", [(0, t, v) for (_, t, _), v in zip(events, labels, strict=True)])
    under.send("events", events)
    inside.send("events", [(0, t, _said(**v)) for (_, t, _), v in zip(events, known, strict=True)])
    for each in (under, inside):
        each.run_until_end(timeout_s=120, STREAM__KAFKA__CLIENT=client)
    wanted = [without_place(each) for each in inside.values("predictions")]
    for answer in wanted:
        del answer["label"]
    assert [without_place(each) for each in under.values("predictions")] == wanted


def test_a_backfill_has_the_order_that_a_paced_feed_had(
    kafka: LocalKafka, redis_server: LocalRedis, tmp_path: Path, pipeline: str
) -> None:
    """Records 20 ms apart are folded by their timestamps, live as all at once."""
    rows = []
    for i in range(150):
        time_ms = START_MS + 20 * i
        if i % 3 < 2:
            rows.append(("events", (0, time_ms, _said(id=f"e{i}", features={"x": i % 7 - 3.0}))))
        else:
            rows.append(("labels", (0, time_ms, _said(id=f"e{i - 2}", label=i % 2 == 0))))
    live = _made(pipeline, tmp_path / "live", kafka, redis_server, 1)
    worker = live.start()
    until(lambda: "task_fresh" in live.log(100), timeout_s=120, what=live.log())
    _paced(live, rows)
    until(lambda: len(live.records("outcomes")) == 50, timeout_s=60, what=live.log())
    worker.terminate()
    assert worker.wait(60) == 0, live.log()
    later = _made(f"{pipeline}-later", tmp_path / "later", kafka, redis_server, 1)
    for channel in ("events", "labels"):
        later.send(channel, [row for each, row in rows if each == channel])
    later.run_until_end()
    places = [[each["n"] for each in of.values("outcomes")] for of in (live, later)]
    assert places[0] == places[1]
    predictions = [
        [without_place(each) for each in of.values("predictions")] for of in (live, later)
    ]
    assert predictions[0] == predictions[1]


def _paced(under: Pipeline, rows: Sequence[tuple[str, Row]]) -> None:
    """Send one record each 20 ms, as they would come; each is there before the next is sent."""
    from kafka import KafkaProducer  # noqa: PLC0415  # of this test alone

    producer = KafkaProducer(bootstrap_servers=under.kafka.bootstrap_servers)
    due_s = time.monotonic()
    for channel, (partition, timestamp_ms, value) in rows:
        producer.send(
            f"{under.name}.{channel}", value, b"key", partition=partition,
            timestamp_ms=timestamp_ms,
        ).get(timeout=10)  # fmt: skip
        due_s = max(due_s + 0.02, time.monotonic() + 0.01)
        time.sleep(max(0.0, due_s - time.monotonic()))
    producer.close()
