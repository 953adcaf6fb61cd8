"""A labels topic beside a row's events: what is sent there, and what became of each label.

The labels are of events that nobody has, so that the model learns what a plain loop learns from the
events alone; each has one outcome, `early`, which says that it was folded.
"""

import json
import threading
import time
from contextlib import suppress
from typing import Any, Self

from kafka import KafkaProducer, errors

from tests.instruments.faults import settled
from tests.instruments.faults.run import Run
from tests.instruments.faults.worker import Broke

CONFIG = """[topics]
labels = "{name}.labels"
[labels]
wait = "30d"
early_max = 1000000
patience = "2s"
"""
RATE = 40.0
TICK_S = 0.05


def configure(run: Run) -> None:
    """Give a run a labels topic; its workers are not started yet."""
    run.config = CONFIG.format(name=run.name) + run.config
    run.configure(run.config)
    run.make_topics(("labels", "outcomes", "journal"))


class LabelsFeed:
    """Appends labels to each partition, all the while.

    Attributes:
        sent: of each partition: the ids of labels that are in the topic, in order.
    """

    def __init__(self, run: Run) -> None:
        self.sent: dict[int, list[str]] = {p: [] for p in range(run.partitions_n)}
        self._run = run
        self._over, self._paused = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._feed, name="labels", daemon=True)
        self._n = 0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Send no more."""
        self._over.set()
        self._thread.join(60)

    def pause(self) -> None:
        """Send none for now; what is under way is there when this returns, or never."""
        self._paused.set()
        time.sleep(1.0)

    def go_on(self) -> None:
        """Send again."""
        self._paused.clear()

    def _feed(self) -> None:
        producer: Any = None
        while not self._over.wait(TICK_S):
            if self._paused.is_set():
                continue
            try:
                producer = producer or KafkaProducer(
                    bootstrap_servers=self._run.bootstrap, retries=0, enable_idempotence=False
                )
                self._send(producer)
            except (errors.KafkaError, OSError):
                with suppress(errors.KafkaError, OSError):
                    producer.close(timeout=1)
                producer = None
        if producer is not None:
            producer.close(timeout=5)

    def _send(self, producer: Any) -> None:
        """One tick's labels; an id that was not acknowledged is of no interest, there or not."""
        for partition, sent in self.sent.items():
            for _ in range(round(RATE * TICK_S)):
                self._n += 1
                own_id = f"x{self._n}"
                value = json.dumps({"id": own_id, "label": self._n % 2 == 0}).encode()
                producer.send(f"{self._run.name}.labels", value, b"k", partition=partition).get(
                    timeout=5
                )
                sent.append(own_id)


def outcomes(run: Run, partition: int) -> list[dict[str, Any]]:
    """What was told of labels."""
    told = settled.told(run.verifier, partition, "outcomes")
    return [each for each in told if each["input"] == "labels"]


def all_folded(run: Run, feed: LabelsFeed, *, within_s: float = 60.0) -> None:
    """Wait until each label that is in the topic has an outcome. Raises: Broke."""
    run.until(
        lambda: all(
            set(sent) <= {each["id"] for each in outcomes(run, p)} for p, sent in feed.sent.items()
        ),
        within_s=within_s, what="each label is folded",
    )  # fmt: skip


def each_once(run: Run, feed: LabelsFeed, *, lost: frozenset[str] = frozenset()) -> int:
    """Each label that was sent has one outcome, in order, but for those that were lost.

    Returns: how many. Raises: Broke.
    """
    n = 0
    for partition, sent in feed.sent.items():
        told = [each["id"] for each in outcomes(run, partition)]
        if len(set(told)) != len(told):
            raise Broke(f"I1: partition {partition}: a label was folded twice")
        known = set(sent)
        found = [own_id for own_id in told if own_id in known]
        wanted = [own_id for own_id in sent if own_id not in lost]
        if found != wanted:
            odd = sorted(set(found) ^ set(wanted))
            raise Broke(
                f"I1: partition {partition}: {len(found)} labels of {len(wanted)}: {odd[:3]}"
            )
        _journal_is_whole(run, partition, told)
        n += len(told)
    return n


def _journal_is_whole(run: Run, partition: int, told: list[str]) -> None:
    """Raises: Broke: the journal does not have each of these labels, or has more."""
    records = settled.told(run.verifier, partition, "journal")
    if [each["j"] for each in records] != list(range(1, len(records) + 1)):
        raise Broke(f"partition {partition}: the journal's numbers are not 1, 2, 3 …")
    steps_n = sum(step["input"] == "labels" for each in records for step in each["steps"])
    if steps_n != len(told):
        raise Broke(f"partition {partition}: the journal has {steps_n} labels, not {len(told)}")
