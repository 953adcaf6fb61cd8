"""Faults inside a worker's own process, at one exact call: killed, hung or late just there.

The model of a faulted pipeline installs them, as the process imports it before anything else; the
worker's own code is what it is. `FAULTS` in its environment is a JSON list of `Hook`s.
"""

import functools
import importlib
import json
import os
import signal
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Callable

VARIABLE = "FAULTS"
POLL_VARIABLE = "FAULTS_MAX_POLL_MS"

_OF_CONFLUENT = {"send": "produce", "flush": "send_offsets_to_transaction"}
"""What librdkafka's producer has instead; it flushes within `commit_transaction`, after those."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hook:
    """What happens at the nth call of a method.

    Attributes:
        call: `module:Class.method`.
        do: die by SIGKILL; stop by SIGSTOP; sleep for `seconds`; or raise a MemoryError.
        when: before or after the method itself.
        nth: counted from 1.
    """

    call: str
    do: Literal["kill", "stop", "sleep", "no_memory"] = "kill"
    when: Literal["before", "after"] = "before"
    nth: int = 1
    seconds: float = 0.0


def variable(*hooks: Hook) -> str:
    """The value of `FAULTS` for these."""
    return json.dumps([asdict(hook) for hook in hooks])


def install() -> None:
    """Arm what the environment says; once a process."""
    for settings in json.loads(os.environ.pop(VARIABLE, "[]")):
        _arm(Hook(**settings))
    max_poll_ms = os.environ.pop(POLL_VARIABLE, None)
    if max_poll_ms is not None:
        # No option of ours: five minutes would be too long to wait for here.
        _limit_polls(int(max_poll_ms))


def _is_confluent() -> bool:
    return os.environ.get("STREAM__KAFKA__CLIENT") == "confluent"


def _limit_polls(max_poll_ms: int) -> None:
    if _is_confluent():
        membership: Any = importlib.import_module("stream.adapters.confluent.membership")
        client = membership.Consumer

        def limited(settings: dict[str, Any]) -> Any:
            return client({**settings, "max.poll.interval.ms": max_poll_ms})

        membership.Consumer = limited
    else:
        consumer = importlib.import_module("kafka").KafkaConsumer
        consumer.DEFAULT_CONFIG["max_poll_interval_ms"] = max_poll_ms


def _owner(module: str, name: str) -> Any:
    """The class whose method is armed; librdkafka's producer stands in for kafka-python's."""
    if (module, name) != ("kafka", "KafkaProducer") or not _is_confluent():
        return getattr(importlib.import_module(module), name)
    producing: Any = importlib.import_module("stream.adapters.confluent.producing")
    if producing.Producer.__module__ != __name__:
        # A class of C takes no new attributes.
        producing.Producer = type("Producer", (producing.Producer,), {"__module__": __name__})
    return producing.Producer


def _arm(hook: Hook) -> None:
    module, _, path = hook.call.partition(":")
    name, _, method = path.partition(".")
    owner = _owner(module, name)
    if owner.__module__ == __name__:
        method = _OF_CONFLUENT.get(method, method)
    original: Callable[..., Any] = getattr(owner, method)
    calls = 0

    @functools.wraps(original)
    def armed(*arguments: Any, **named: Any) -> Any:
        nonlocal calls
        calls += 1
        is_due = calls == hook.nth
        if is_due and hook.when == "before":
            _strike(hook)
        result = original(*arguments, **named)
        if is_due and hook.when == "after":
            _strike(hook)
        return result

    setattr(owner, method, armed)


def _strike(hook: Hook) -> None:
    if hook.do == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if hook.do == "stop":
        os.kill(os.getpid(), signal.SIGSTOP)
    if hook.do == "no_memory":
        raise MemoryError("as if there were none left")
    time.sleep(hook.seconds)
