"""Records of what steps gave, as docs/TOPICS.md tells users; and what such records say.

Whoever reads predictions or alerts back, reads them here.
"""

from collections.abc import Iterable

import msgspec

from stream.core.commands import LedgerValue
from stream.core.event import Channel, Output, Record, Rejection
from stream.core.formats import canonical, sizes
from stream.core.formats.commands import COMMAND, written
from stream.core.formats.quarantine import QUARANTINE_HEADERS
from stream.core.recipe import Recipe
from stream.core.result import AlertValue, PredictionValue, StepResult
from stream.core.spec import Limits

_PREDICTIONS = Channel.PREDICTIONS  # an enum's member costs ten times a name, for each event


class Writer:
    """Makes of steps' results the records to publish, in order.

    Args:
        recipe: that of the fold; a refused record is cut to its limits.
        headers: names of those headers of an event that its prediction gets.
    """

    def __init__(self, recipe: Recipe, *, headers: frozenset[str] = frozenset()) -> None:
        self._recipe = recipe
        self._headers = headers

    def outputs(self, results: Iterable[StepResult]) -> list[Output]:
        """The outputs of these results: each outcome, and its alerts behind it."""
        made: list[Output] = []
        add, travelling = made.append, self._headers
        for result in results:
            record = result.record
            if not result.canonical:  # what became of a label are its outcomes
                if result.refusal is not None:
                    add(self._quarantined(record, result.refusal))
            elif record.headers and travelling:
                headers = tuple(header for header in record.headers if header[0] in travelling)
                add(
                    Output(
                        _PREDICTIONS, record.partition, record.timestamp_ms, record.key,
                        result.canonical, headers,
                    )
                )  # fmt: skip
            else:
                add(
                    Output(
                        _PREDICTIONS, record.partition, record.timestamp_ms, record.key,
                        result.canonical,
                    )
                )  # fmt: skip
            if result.alerts:
                made += [self.alert(value, record.timestamp_ms) for value in result.alerts]
            if result.outcomes:
                made += [
                    Output(
                        Channel.OUTCOMES, record.partition, each.timestamp_ms, each.key, each.value
                    )
                    for each in result.outcomes
                ]  # fmt: skip
            if result.ledger:
                made += [
                    ledger_record(
                        done, pipeline=self._recipe.pipeline, timestamp_ms=record.timestamp_ms
                    )
                    for done in result.ledger
                ]
        return made

    def alert(self, value: AlertValue, timestamp_ms: int) -> Output:
        """The record of an alert."""
        key = f"{self._recipe.pipeline}/{value.partition}".encode()
        return Output(Channel.ALERTS, value.partition, timestamp_ms, key, canonical.alert(value))

    def _quarantined(self, record: Record, refusal: Rejection) -> Output:
        recipe = self._recipe
        return quarantined(
            record, refusal,
            pipeline=recipe.pipeline, topic=recipe.events_topic, limits=recipe.limits,
        )  # fmt: skip


def ledger_record(
    done: LedgerValue, *, pipeline: str, timestamp_ms: int, command_id: str | None = None
) -> Output:
    """The ledger's record of something that was done; it may answer a command."""
    headers = () if command_id is None else ((COMMAND, command_id.encode()),)
    return Output(
        Channel.LEDGER, done.partition, timestamp_ms, f"{pipeline}/{done.partition}".encode(),
        written(done), headers,
    )  # fmt: skip


def quarantined(
    record: Record, rejection: Rejection, *, pipeline: str, topic: str, limits: Limits
) -> Output:
    """The record as it came, cut to the limits, with the reason in its headers."""
    left = sizes.cut(
        record,
        value_bytes_max=limits.value_bytes_max,
        key_and_headers_bytes_max=limits.key_and_headers_bytes_max,
    )
    texts = (
        rejection.reason.value, rejection.detail + left.said, topic, str(record.partition),
        str(record.offset), pipeline,
    )  # fmt: skip
    own = zip(QUARANTINE_HEADERS, map(str.encode, texts), strict=True)
    return Output(
        Channel.QUARANTINE, record.partition, record.timestamp_ms, left.key, left.value,
        (*left.headers, *own),
    )  # fmt: skip


_read_prediction = msgspec.json.Decoder(PredictionValue).decode
_read_alert = msgspec.json.Decoder(AlertValue).decode


def prediction_in(record: Record) -> PredictionValue | None:
    """What a record of the predictions topic says; None: it is no prediction of ours."""
    try:
        return _read_prediction(record.value or b"")
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def alert_in(record: Record) -> AlertValue | None:
    """What a record of the alerts topic says; None: it is no alert of ours."""
    try:
        return _read_alert(record.value or b"")
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
