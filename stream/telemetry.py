"""The one catalogue of what this program says while it runs: log events and counters.

A log line is an event's name and its fields (`snapshot_saved partition=3 next_offset=9000`); one
for each move of the life cycle, none for each record. A counter counts since the process started.
"""

import logging
import sys
import warnings
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from enum import StrEnum
from typing import TextIO

from stream.printable import escaped

LOGGER_NAME = "stream"


class LogEvent(StrEnum):
    """Names of log events; the comment says when."""

    WORKER_STARTED = "worker_started"  # before the first poll
    WORKER_STOPPED = "worker_stopped"  # after the last commit; its counters
    MOSTLY_REFUSED = "mostly_refused"  # at the end: over half of at least 20 records were; why
    WORKER_DRAINING = "worker_draining"  # a stop signal came
    PROGRESS = "progress"  # every ten seconds; counters, what is paused, scores
    PARTITIONS_ASSIGNED = "partitions_assigned"
    PARTITIONS_REVOKED = "partitions_revoked"
    TASK_FRESH = "task_fresh"  # an untrained model begins at `next_offset`
    TASK_RESTORED = "task_restored"  # from a snapshot or the log, and proved by its digest
    TASK_KEPT = "task_kept"  # the committed offset is still the state's
    RECIPE_CHANGED = "recipe_changed"  # and model.on_change told what to do
    OFFSET_MOVED = "offset_moved"  # the committed offset is not where the outcomes end; what then
    MODEL_UNTRIED = "model_untried"  # whether it repeats itself could not be found out, and why
    FEATURES_WATCHED = "features_watched"  # the monitors' reference is whole; what has no usual
    PARTITION_PAUSED = "partition_paused"  # too much of it was refused; what to do
    PARTITION_RESUMED = "partition_resumed"  # its next records would do better, or a command
    COMMAND_FOLDED = "command_folded"  # what became of a command, as the ledger says
    COMMAND_REFUSED = "command_refused"  # a record of the control topic that is no command
    COMMANDS_WAIT = "commands_wait"  # there is no journal or ledger, and none may be made
    FOLD_ACTED = "fold_acted"  # it froze learning or began anew by itself, as the ledger says
    JOURNAL_BROKEN = "journal_broken"  # it does not bring a live state back any more; what to do
    CONTROL_UNREADABLE = "control_unreadable"  # once a minute at most
    LABELS_UNREADABLE = "labels_unreadable"  # the labels topic does not answer; once a minute
    LABELS_LOST = "labels_lost"  # it was made again, or its records are gone, and none was read
    SNAPSHOT_SAVED = "snapshot_saved"
    LIBRARY_WARNED = "library_warned"  # a library's warning, once for each place in its code
    SNAPSHOT_UNREADABLE = "snapshot_unreadable"  # it would not come back: it was not stored
    SNAPSHOT_REJECTED = "snapshot_rejected"  # stored, but not to be trusted or not ours
    SNAPSHOTS_UNREACHABLE = "snapshots_unreachable"  # once a minute, and in each restore
    STATE_TOO_LARGE = "state_too_large"  # over limits.state_bytes_max; again once it has doubled
    COPY_FAILED = "copy_failed"  # the child that pickles a state hung or died; the next one in line
    SNAPSHOT_KEY_MADE = "snapshot_key_made"  # no key was configured: one was made, once
    COMMIT_LOST = "commit_lost"  # a commit failed or its fate is unknown
    LOG_UNREACHABLE = "log_unreachable"  # once a minute at most
    CALL_HUNG = "call_hung"  # a deadline passed; the process ends
    NO_PARTITIONS_YET = "no_partitions_yet"  # none came within 2 s; once more: nor later
    WAITING_FOR_KAFKA = "waiting_for_kafka"  # it does not answer: why, and for how long yet
    TOPIC_CREATED = "topic_created"
    TOPIC_WIDENED = "topic_widened"  # an output got the partitions that were added to the events
    PARTITIONS_WAITING = "partitions_waiting"  # for a place in every output; once a minute
    SUPERVISOR_STARTED = "supervisor_started"  # how many workers, and its deadlines
    SUPERVISOR_STOPPED = "supervisor_stopped"
    SUPERVISOR_BLIND = "supervisor_blind"  # no committed offsets to be had; once a minute at most
    WORKER_ENDED = "worker_ended"  # under a supervisor: how, and what then
    WORKER_STUCK = "worker_stuck"  # under a supervisor: alive, and gets nowhere; it is ended
    WORKERS_DRAINING = "workers_draining"  # all of them stop, and why


class Metric(StrEnum):
    """Names of counters, all counts since the process started."""

    RECORDS = "records_total"  # records folded live
    LABELS = "labels_total"  # records of the labels topic folded live, or refused
    REPLAYED = "records_replayed_total"  # records folded muted, after a restore
    REJECTED = "records_quarantined_total"
    PAUSED = "partitions_paused_total"  # by the breaker on quarantine
    ALERTS = "alerts_total"
    COMMITS = "commits_total"
    COMMITS_LOST = "commits_lost_total"
    SNAPSHOTS = "snapshots_saved_total"
    SNAPSHOTS_FAILED = "snapshots_failed_total"  # not stored; tried again later
    SNAPSHOTS_UNREADABLE = "snapshots_unreadable_total"  # not stored: no restore could read them
    COPIES_FAILED = "snapshot_copies_failed_total"
    SNAPSHOTS_REJECTED = "snapshots_rejected_total"
    RESTORES = "restores_total"


class Scrubber:
    """Cuts secrets out of whatever a process says; it learns them once they were read."""

    def __init__(self) -> None:
        self._secrets: list[str] = []

    def learn(self, secrets: Collection[str]) -> None:
        """From now on these are cut out too."""
        # A longer one first: a password's URL has the password in it.
        self._secrets = sorted({*self._secrets, *secrets}, key=len, reverse=True)

    def clean(self, text: str) -> str:
        """The text without any secret that is known."""
        for secret in self._secrets:
            text = text.replace(secret, "***")
        return text


class Telemetry:
    """What a process says of itself.

    Args:
        scrubber: knows what must never appear in it.
    """

    def __init__(self, scrubber: Scrubber | None = None) -> None:
        self.clean = (scrubber or Scrubber()).clean
        """Makes any text fit to be said."""
        self.counters: Counter[Metric] = Counter()
        self.reasons: Counter[str] = Counter()
        """Why records were refused; there are no more reasons than `core.event.Reason` has."""
        self.always: Mapping[str, object] = {}
        """Fields that end every line: under a supervisor, which worker speaks."""
        self.listener: Callable[[LogEvent, Mapping[str, object]], None] | None = None
        """Is told every event with its fields, in the thread that says it."""
        self._log = logging.getLogger(LOGGER_NAME)

    def count(self, metric: Metric, n: int = 1) -> None:
        """Add to a counter."""
        self.counters[metric] += n

    def counted(self) -> dict[str, int]:
        """The counters that are not 0, by name."""
        return {metric.value: n for metric in Metric if (n := self.counters[metric])}

    def say(self, event: LogEvent, *, level: int = logging.INFO, **fields: object) -> None:
        """Write one log line."""
        if self.listener is not None:
            self.listener(event, fields)
        shown = {**fields, **self.always}
        line = " ".join((event.value, *(f"{k}={_quoted(v)}" for k, v in shown.items())))
        # One event is one line, whatever a message from elsewhere has in it.
        self._log.log(level, escaped(self.clean(line)))


class _Formatter(logging.Formatter):
    """A line, and the traceback of a library's, without secrets."""

    def __init__(self, scrubber: Scrubber) -> None:
        super().__init__("%(asctime)s %(levelname)s %(message)s")
        self._scrubber = scrubber

    def format(self, record: logging.LogRecord) -> str:
        text = self._scrubber.clean(super().format(record))
        # A traceback's lines stay lines.
        return "\n".join(escaped(line) for line in text.split("\n"))


def configure_logging(
    scrubber: Scrubber, stream: TextIO = sys.stderr, *, debug: bool = False
) -> None:
    """Send our lines to `stream`, and the libraries' only when debugging; all of them scrubbed."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(_Formatter(scrubber))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    # The clients log every disconnect as an error; what matters of it we say ourselves.
    root.setLevel(logging.INFO if debug else logging.CRITICAL)
    logging.getLogger(LOGGER_NAME).setLevel(logging.DEBUG if debug else logging.INFO)
    warnings.showwarning = _Warnings(Telemetry(scrubber))


class _Warnings:
    """Says what libraries warn of: scikit-learn's repeat themselves with each event.

    Once for each place, and of so many places at most; on a line, with no secret in it.
    """

    PLACES_MAX = 50

    def __init__(self, telemetry: Telemetry) -> None:
        self._telemetry = telemetry
        self._seen: set[tuple[str, str, int]] = set()

    def __call__(  # noqa: PLR0917  # as `warnings.showwarning`
        self, message: Warning | str, category: type[Warning], filename: str, lineno: int,
        file: TextIO | None = None, line: str | None = None,
    ) -> None:  # fmt: skip
        del file, line
        place = category.__name__, filename, lineno
        if place in self._seen or len(self._seen) >= self.PLACES_MAX:
            return
        self._seen.add(place)
        self._telemetry.say(
            LogEvent.LIBRARY_WARNED, level=logging.WARNING, why=f"{category.__name__}: {message}",
            at=f"{filename}:{lineno}",
        )  # fmt: skip


def _quoted(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.3g}"
    if isinstance(value, frozenset | set | list | tuple):
        return ",".join(str(v) for v in _sorted(value)) or "-"
    text = str(value)
    return f'"{text}"' if " " in text or not text else text


def _sorted(values: Iterable[object]) -> list[object]:
    return sorted(values, key=str)
