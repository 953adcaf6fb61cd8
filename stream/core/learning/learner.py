"""A learner: one model as a fold uses it, with its score and its own way back."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from stream.core.event import Event, Feature, Kind, Record, Rejection
from stream.core.formats.canonical import text_of
from stream.core.learning.estimator import kind_of, methods_of
from stream.core.learning.failures import CRASHES, Failures
from stream.core.learning.lesson import Lesson
from stream.core.learning.undo import Undo
from stream.core.learning.untouched import WATCHED_N, Watch
from stream.core.result import NoAnswer
from stream.core.scores import Window

At = Literal["asking", "teaching", "detecting"]
"""Where an event failed. Once the detectors see it the model has learned it."""

Features = dict[str, Feature]

Decode = Callable[[bytes | None], Event | Rejection]
"""Reads an event."""


class Learner:
    """A model, asked and taught event by event; what it raised on can be taken out of it again.

    A snapshot keeps `model`, `learned`, `is_ready`, `failures` and `window`; `bind` makes the rest.

    Args:
        model: river's; untrained. Once bound it may be one that stands for it.

    Attributes:
        learned: how many events it has learned.
        is_frozen: it is asked, and not taught.
        weight: of what it is taught next; None: it is taught without weights.
        is_ready: it has answered once since it began to learn. Before that it may not be able to,
            and what it raises when it is asked is no fault of the event's.
        failures: when it failed last, and how often.
        window: what it predicted last, beside what was true.
        kind: what it does.
        ask: asks the model, before it learns. Raises: NoAnswer, or whatever the model raises.
        read: makes a prediction of what it answers. Raises: NoAnswer.
        learn: teaches the model; who calls it counts in `learned`.
        way_back: what `go_back` goes back to.
    """

    __slots__ = (
        "_answer", "_quicken", "_teach", "_watch", "_watched_n", "ask", "failures",
        "is_frozen", "is_ready", "kind", "learn", "learned", "model", "read", "way_back",
        "weight", "window",
    )  # fmt: skip

    def __init__(self, model: Any) -> None:
        self.model = model
        self.learned = 0
        self.is_frozen = self.is_ready = False
        self.weight: float | None = None
        self.failures = Failures()
        self.window = Window()

    def bind(self, quicken: Callable[[Any], Any]) -> None:
        """Look up once what each event needs of the model.

        Args:
            quicken: gives an estimator that does the same in less time, see `Recipe`.
        """
        self._quicken, self.model = quicken, quicken(self.model)
        self.kind: Kind = kind_of(self.model)
        self._answer, self.read, self._teach = methods_of(self.model, self.kind)
        if self.weight is not None:
            self._teach = self._with_weight(self._teach)
        self.ask: Callable[[Features], Any] = self._answer if self.is_ready else self._ask_first
        self.learn = self._teach
        self._watch: Watch | None = None
        self._watched_n = 0

    def weighing(self, decode: Decode) -> Decode:
        """Let the learner know, of each event that is read, what it is worth to learn."""
        if self.weight is None:
            return decode

        def read(value: bytes | None) -> Event | Rejection:
            event = decode(value)
            if isinstance(event, Event):
                self.weight = 1.0 if event.weight is None else float(event.weight)
            return event

        return read

    def _with_weight(self, teach: Callable[..., None]) -> Callable[[Features, Any], None]:
        """Teach with the weight of the event that was read last."""
        return lambda features, label: teach(features, label, w=self.weight)

    def begin_way_back(self, payload: bytes) -> None:
        """Go back to `payload`, the pickled state of now, whatever comes."""
        self.way_back = Undo()
        self.way_back.keep(payload)

    def _ask_first(self, features: Features) -> Any:
        """Ask a model that may not be able to answer yet; once it has, nobody asks this way."""
        try:
            answer = self._answer(features)
        except CRASHES:
            raise
        except BaseException as raised:
            raise NoAnswer(text_of(raised)) from raised
        self.read(answer)
        if self.learned:
            self.is_ready = True
            self.ask = self._answer
        return answer

    def _watch_and_ask(self, features: Features) -> Any:
        """Ask the model while events fail: first keep what asking may change."""
        self._watched_n -= 1
        if not self._watched_n or not self._watched().look():
            self._watched_n, self.learn = 0, self._teach
            self.ask = self._answer
        return self._answer(features)

    def _watch_and_learn(self, features: Features, label: Any) -> None:
        """Teach the model while events fail: first keep its small parts as asking left them."""
        self._watched().look_again(features, label)
        self._teach(features, label)

    def take_out(self, features: Features, *, at: At, go_back: Callable[[], None]) -> None:
        """Take an event on which something raised out of the model again.

        Args:
            features: the event's.
            at: where it raised.
            go_back: goes back to the copy, and learns again what was learned since.
        """
        if at == "asking" and self._watched().is_unchanged(features):
            return
        watch, model = self._watched(), None
        is_taught = at == "teaching" or self.learn != self._teach
        if self._watched_n and at != "detecting":
            model = watch.without_event(is_asked=at == "asking")
        if model is None:
            go_back()
        else:
            self.model = model
            self.bind(self._quicken)
            self._watch = watch.following(self.model)
        if at != "detecting" and self.is_ready and watch.pays(self.way_back.payload):
            self._watched_n, self.ask = WATCHED_N, self._watch_and_ask
            if is_taught:
                self.learn = self._watch_and_learn

    def become(self, copy: "Learner") -> list[Record | Lesson]:
        """Take over what a copy had learned; the failures since stay known.

        Returns: what it has not learned: see `Undo.since`.
        """
        self.model, self.learned = copy.model, copy.learned
        self.is_ready, self.window = copy.is_ready, copy.window
        self.bind(self._quicken)
        return self.way_back.since

    def go_on_from(self, model: Any, learned: int) -> None:
        """Go on with a model that had learned so many events; the score and failures stay."""
        self.model, self.learned = model, learned
        self.bind(self._quicken)

    def _watched(self) -> Watch:
        if self._watch is None:
            self._watch = Watch(self.model)
        return self._watch


@dataclass(slots=True)
class LineUp:
    """The learners of a fold.

    Attributes:
        serving: its predictions are published.
    """

    serving: Learner
