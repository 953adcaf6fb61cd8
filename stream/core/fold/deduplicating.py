"""A fold that refuses an event whose id was accepted a while ago, where `events.deduplicate` is."""

from stream.core import seen
from stream.core.event import Event, Reason, Record, Rejection
from stream.core.fold.state import State
from stream.core.fold.task import Task
from stream.core.formats.checks import one_line
from stream.core.result import StepResult


class DeduplicatingTask(Task):
    """One partition's fold, which may know which ids it has accepted: see `Task`."""

    def _hold(self, state: State, payload: bytes) -> None:
        """See `Task`."""
        super()._hold(state, payload)
        self._seen: seen.Seen | None = state.extras.get(seen.NAME)
        if self._seen is not None:
            self._decode = self._decode_unseen

    def step(self, record: Record) -> StepResult:
        """Fold one record in: see `Task.step`."""
        if self._seen is not None:
            self._seen.time.see(record.timestamp_ms)
        return super().step(record)

    def _decode_unseen(self, value: bytes | None) -> Event | Rejection:
        """Decode an event, which may not have the id of one that was accepted."""
        event = self._reread(value)
        known = self._seen
        if known is None or not isinstance(event, Event) or event.id is None:
            return event
        if not known.holds(event.id):
            return event
        detail = f'an event with the id "{event.id}" was accepted less than events.deduplicate ago'
        return Rejection(Reason.DUPLICATE, one_line(detail))
