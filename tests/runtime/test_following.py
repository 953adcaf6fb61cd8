"""`tail --follow` in memory: whatever fails in between, each record is shown once, in order."""

import io
import json
import threading
from collections.abc import Callable, Sequence
from contextlib import redirect_stderr, redirect_stdout
from typing import TYPE_CHECKING, Any, cast

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stream.adapters.memory import MemoryBroker, MemoryReader, MemoryTopics
from stream.config import Settings, load
from stream.core.event import Channel
from stream.errors import Misconfigured, Retryable
from stream.runtime.commands import tail

if TYPE_CHECKING:
    from stream.runtime.pipeline import Pipeline

NAMES = {channel: f"stage.{channel}" for channel in Channel}
CONFIGURATION = """pipeline = "stage"
[model]
factory = "stream.models:logistic_regression"
"""


class Stage:
    """A pipeline in memory, whose time is a script: each sleep does the next thing in it."""

    def __init__(self, settings: Settings, script: Sequence[Callable[["Stage"], object]]) -> None:
        self.settings = settings
        self.stopping = threading.Event()
        self.broker = MemoryBroker(clock=self)
        self.failures: list[str] = []
        self.broker.faults = self._fault
        self._script = list(script)
        self._idle_n = len(self._script) + 1  # each failure costs a look
        self._now_s = 0.0

    def monotonic(self) -> float:
        """See `Clock.monotonic`."""
        return self._now_s

    def now_ms(self) -> int:
        """See `Clock.now_ms`."""
        return int(self._now_s * 1000)

    def sleep(self, seconds: float) -> None:
        """The next thing happens."""
        self._now_s += seconds
        if self._script:
            self._script.pop(0)(self)
        elif not self._idle_n:
            self.stopping.set()
        else:
            self._idle_n -= 1

    def clock(self) -> "Stage":
        """It is its own."""
        return self

    @property
    def backend(self) -> "Stage":
        """It opens its adapters itself."""
        return self

    def reader(self) -> MemoryReader:
        """See `Backend.reader`."""
        return MemoryReader(self.broker, names=NAMES, group="stage", batch_records_max=3)

    def topics(self) -> MemoryTopics:
        """See `Backend.topics`."""
        return MemoryTopics(self.broker, names=NAMES)

    def _fault(self, step: str) -> None:
        if step in self.failures:
            self.failures.remove(step)
            raise Retryable(f"{step} failed")

    def make(self, partitions: int) -> None:
        """The topic of predictions."""
        self.broker.create(NAMES[Channel.PREDICTIONS], partitions=partitions, retention_ms=-1)

    def publish(self, partition: int, time_ms: int = 0) -> None:
        """The next prediction of a partition."""
        name = NAMES[Channel.PREDICTIONS]
        end = self.broker.partition(name, partition).stable_end
        value = json.dumps({"partition": partition, "offset": end, "prediction": True})
        self.append(partition, value.encode(), time_ms)

    def append(self, partition: int, value: bytes | None, time_ms: int = 0) -> None:
        """Whatever somebody writes to the topic."""
        name = NAMES[Channel.PREDICTIONS]
        self.broker.append(name, partition, value=value, timestamp_ms=time_ms)

    def tail(self, *, last: int = 10, follow: bool = True) -> tuple[list[Any], str]:
        """What it shows, as JSON, and what it says."""
        with redirect_stdout(io.StringIO()) as out, redirect_stderr(io.StringIO()) as err:
            pipeline = cast("Pipeline", self)
            tail.show(pipeline, Channel.PREDICTIONS, last=last, follow=follow, as_json=True)
        return [json.loads(line) for line in out.getvalue().splitlines()], err.getvalue()


@pytest.fixture(scope="module")
def configuration(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A pipeline's settings."""
    path = tmp_path_factory.mktemp("stage") / "stream.toml"
    path.write_text(CONFIGURATION)
    return load(path, environ={})


_steps = st.one_of(
    st.tuples(st.just("publish"), st.integers(0, 2), st.integers(0, 50)),
    st.tuples(st.just("fail"), st.sampled_from(["read", "bounds"])),
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(_steps, max_size=40), st.lists(_steps, max_size=40), st.integers(0, 5))
def test_each_record_is_shown_once_and_in_order(
    configuration: Settings, before: list[Any], after: list[Any], last: int
) -> None:
    """Between two looks anything may be published, and any read may fail half way."""

    def do(step: Any) -> Callable[[Stage], None]:
        if step[0] == "publish":
            return lambda stage: stage.publish(step[1], step[2])
        return lambda stage: stage.failures.append(step[1])

    stage = Stage(configuration, [do(step) for step in after])
    stage.make(3)
    for step in before:
        if step[0] == "publish":
            do(step)(stage)
    began = [stage.broker.partition(NAMES[Channel.PREDICTIONS], p).stable_end for p in range(3)]
    ended = list(began)
    for step in after:
        if step[0] == "publish":
            ended[step[1]] += 1

    shown, _ = stage.tail(last=last)

    for partition in range(3):
        offsets = [each["offset"] for each in shown if each["partition"] == partition]
        assert offsets == list(range(ended[partition] - len(offsets), ended[partition]))
        assert len(offsets) >= ended[partition] - began[partition]
    assert len(shown) == min(last, sum(began)) + sum(ended) - sum(began)


def test_the_last_ones_are_the_newest_of_all_partitions(configuration: Settings) -> None:
    """By time; a record that is older than the one before it stays behind that one."""
    stage = Stage(configuration, [])
    stage.make(2)
    for partition, time_ms in ((0, 10), (0, 30), (1, 20), (1, 5), (1, 40)):
        stage.publish(partition, time_ms)

    shown, _ = stage.tail(last=4, follow=False)

    assert [(each["partition"], each["offset"]) for each in shown] == [
        (1, 0), (1, 1), (0, 1), (1, 2),
    ]  # fmt: skip


def test_a_topic_that_is_not_there_yet_is_waited_for(configuration: Settings) -> None:
    """Then all of it is shown, not only the last."""
    stage = Stage(
        configuration,
        [lambda _: None, lambda it: it.make(1), *[lambda it: it.publish(0)] * 30],
    )

    shown, said = stage.tail(last=1)

    assert [each["offset"] for each in shown] == list(range(30))
    assert said == "stream: waiting for stage.predictions; the first `stream run` makes it\n"


def test_without_follow_a_missing_topic_is_told(configuration: Settings) -> None:
    """With what makes it."""
    with pytest.raises(Misconfigured, match="does not exist; the first `stream run` makes it"):
        Stage(configuration, []).tail(follow=False)


def test_a_server_that_stays_away_ends_it(configuration: Settings) -> None:
    """After a minute of trying, said once."""
    stage = Stage(configuration, [])
    stage.make(1)
    stage._script = [lambda it: it.failures.append("bounds")] * 200

    with pytest.raises(Retryable):
        stage.tail()

    assert 55 < stage.monotonic() < 70


def test_what_retention_took_meanwhile_is_told(configuration: Settings) -> None:
    """It goes on with what there is."""

    def lose(stage: Stage) -> None:
        for _ in range(5):
            stage.publish(0)
        stage.broker.partition(NAMES[Channel.PREDICTIONS], 0).truncate(4)

    stage = Stage(configuration, [lambda it: it.publish(0), lose])
    stage.make(1)

    shown, said = stage.tail()

    assert [each["offset"] for each in shown] == [0, 4, 5]
    assert said.endswith("stage.predictions partition 0: offsets 1 to 3 are gone: retention\n")


@pytest.mark.parametrize("value", [None, b"", b"oops", b"[1]", b"{}", b"\xff", b'{"offset": 1'])
def test_a_record_that_cannot_be_read_is_passed_over(
    configuration: Settings, value: bytes | None
) -> None:
    """It is another writer's: it neither counts among the last nor comes in between."""
    stage = Stage(configuration, [lambda it: it.append(0, value), lambda it: it.publish(0)])
    stage.make(1)
    for _ in range(3):
        stage.publish(0)
        stage.append(0, value)

    shown, said = stage.tail(last=2)

    assert [each["offset"] for each in shown] == [2, 4, 7]
    assert said == ""


@pytest.mark.parametrize(("last", "shown_n"), [(0, 0), (1, 1), (4, 4), (5, 4)])
def test_as_many_of_the_last_are_shown_as_were_asked_for(
    configuration: Settings, last: int, shown_n: int
) -> None:
    """Or all that there are; whoever asks for none is not told of any."""
    stage = Stage(configuration, [])
    stage.make(2)
    for n in range(4):
        stage.publish(n % 2, time_ms=n)

    shown, said = stage.tail(last=last, follow=False)

    places = [(0, 0), (1, 0), (0, 1), (1, 1)][4 - shown_n :]
    assert [(each["partition"], each["offset"]) for each in shown] == places
    assert said == ""


@pytest.mark.parametrize(
    ("last", "said"), [(1, "stream: nothing in stage.predictions yet\n"), (0, "")]
)
def test_an_empty_topic_is_told_to_whoever_asked_for_records(
    configuration: Settings, last: int, said: str
) -> None:
    """It is nothing wrong."""
    stage = Stage(configuration, [])
    stage.make(1)

    assert stage.tail(last=last, follow=False) == ([], said)


def test_a_partition_that_is_added_meanwhile_is_shown_from_its_beginning(
    configuration: Settings,
) -> None:
    """Found within ten seconds: all of it has come since."""

    def widen(stage: Stage) -> None:
        stage.broker.topic(NAMES[Channel.PREDICTIONS]).grow(2)
        stage.publish(1)
        stage.publish(1)

    stage = Stage(configuration, [widen, *[lambda _: None] * 20])
    stage.make(1)
    stage.publish(0)

    shown, _ = stage.tail(last=0)

    assert [(each["partition"], each["offset"]) for each in shown] == [(1, 0), (1, 1)]


def test_a_topic_that_was_made_again_is_shown_from_its_beginning(configuration: Settings) -> None:
    """Its offsets count anew, and that is told."""

    def again(stage: Stage) -> None:
        del stage.broker.topics[NAMES[Channel.PREDICTIONS]]
        stage.make(1)
        stage.publish(0)

    stage = Stage(configuration, [lambda _: None, again])
    stage.make(1)
    for _ in range(3):
        stage.publish(0)

    shown, said = stage.tail()

    assert [each["offset"] for each in shown] == [0, 1, 2, 0]
    where = "stage.predictions partition 0"
    assert said == f"stream: {where}: ended at 3 and ends at 1: made again\n"


def test_a_server_that_comes_back_has_its_minute_anew(configuration: Settings) -> None:
    """Each time it goes is told, and what came meanwhile is shown."""

    def gone(stage: Stage) -> None:
        stage.failures.append("bounds")

    def came(stage: Stage) -> None:
        stage.publish(0)

    stage = Stage(configuration, [*[gone] * 90, came, *[gone] * 90, came])
    stage.make(1)

    shown, said = stage.tail()

    assert [each["offset"] for each in shown] == [0, 1]
    assert said.splitlines()[1:] == ["stream: bounds failed; trying again for 60 s"] * 2


def test_a_stop_signal_ends_it_between_two_batches(configuration: Settings) -> None:
    """However much there is to be shown."""
    stage = Stage(configuration, [])
    stage.make(1)
    for _ in range(tail.BATCH_RECORDS + 1):
        stage.publish(0)
    stage.stopping.set()

    shown, _ = stage.tail(last=tail.BATCH_RECORDS + 1)

    assert [each["offset"] for each in shown] == list(range(tail.BATCH_RECORDS))


def test_a_table_keeps_the_columns_of_its_first_rows(configuration: Settings) -> None:
    """One head, and what comes later is put below it."""
    stage = Stage(configuration, [lambda it: it.publish(0)])
    stage.make(1)
    stage.publish(0)
    with redirect_stdout(io.StringIO()) as out:
        pipeline = cast("Pipeline", stage)
        tail.show(pipeline, Channel.PREDICTIONS, last=1, follow=True, as_json=False)

    head, *rows = out.getvalue().splitlines()
    at = head.index("prediction")
    assert head.split()[:2] == ["part", "offset"]
    assert [row[at:].split()[0] for row in rows] == ["true", "true"]
    assert [row.split()[:2] for row in rows] == [["0", "0"], ["0", "1"]]
