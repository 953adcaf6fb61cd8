"""What `check` looks at in the log: can the committed state come back, and will the events stay?"""

from collections.abc import Mapping
from contextlib import closing

from stream.core.event import Channel, Record, iso
from stream.core.recipe import Recipe, changes
from stream.core.snapshots.metadata import Metadata, parse_metadata
from stream.core.snapshots.seal import Header
from stream.errors import BadInput, LogLost, Misconfigured, Retryable
from stream.ports import Bounds, Committed, Reader, TopicInfo
from stream.runtime import bases, recent
from stream.runtime.commands import screen
from stream.runtime.commands.base_checks import lost_beginning
from stream.runtime.commands.findings import Findings
from stream.runtime.commands.snapshots import existing_keys, stored, unsealed
from stream.runtime.identity import Identity, is_within
from stream.runtime.keeping import is_asked, keeping
from stream.runtime.origins import is_of
from stream.runtime.pipeline import Pipeline


class LogChecks:
    """Looks at every partition of the events.

    Args:
        recipe: ours; None: there is none, so nothing is said of the committed one.
    """

    def __init__(
        self, pipeline: Pipeline, findings: Findings, *, recipe: Recipe | None, reader: Reader
    ) -> None:
        self._pipeline = pipeline
        self._findings = findings
        self._recipe = recipe
        self._reader = reader
        self._unknown_store: str | None = None
        self._bases_n = 0

    def look(self, infos: Mapping[Channel, TopicInfo | None], events: TopicInfo) -> None:
        """Say what was found. Raises: Retryable, Misconfigured."""
        committed = self._reader.committed()
        rebuilt_n = 0
        for partition in range(events.partitions):
            bounds = self._reader.bounds(Channel.EVENTS, partition)
            at = committed.get(partition)
            self._retention(infos, partition, bounds, at)
            if at is None:
                rebuilt_n += 1
            elif self._recipe is not None:
                rebuilt_n += self._state(self._recipe, events, partition, bounds=bounds, at=at)
        if rebuilt_n == events.partitions:
            also = " and its bases" if self._bases_n else ""
            self._findings.ok(f"state: every partition can be rebuilt from the log{also}")

    # -- can the state come back ------------------------------------------------------------------

    def _state(
        self, recipe: Recipe, events: TopicInfo, partition: int, *, bounds: Bounds, at: Committed
    ) -> bool:
        """Whether the log alone brings the state back; if not, say what else could."""
        findings = self._findings
        where = f"state: partition {partition}"
        if at.offset > bounds.end:
            findings.problem(
                f"{where}: offset {at.offset} was committed, the log ends at {bounds.end}: it was "
                "truncated or made again; reset the group's offsets"
            )
            return False
        known = parse_metadata(at.metadata)
        if known is None:
            return self._changed(where, recipe, known, None, bounds)
        headers = self._headers(recipe, events, partition, at.offset, known.n)
        base = self._base(recipe, events, partition, known)
        if known.fingerprint != recipe.fingerprint():
            every = headers if base is None else [*headers, base]
            of_it = (each for each in every if each.fingerprint == known.fingerprint)
            header = next(of_it, None)
            if not is_asked(known, recipe, self._pipeline.settings.model.on_change):
                return self._changed(where, recipe, known, header, bounds)
            if not self._kept(where, recipe, known, header):
                return False
        return self._comes_back(where, known, headers, base, bounds)

    def _comes_back(
        self,
        where: str,
        known: Metadata,
        headers: list[Header],
        base: Header | None,
        bounds: Bounds,
    ) -> bool:
        """Whether the log, from where the fold began, brings its state back; else say what could.

        The fold began with `base`, or with the untrained model; `headers` are the snapshots'.
        """
        findings, topic = self._findings, self._pipeline.settings.topics.bases
        lost = lost_beginning(known, base, bounds, topic=topic)
        if not lost:
            self._bases_n += known.has_base
            return True
        usable = [
            header.next_offset
            for header in headers
            if is_of(header, known) and header.next_offset >= bounds.start
        ]
        if usable:
            findings.note(
                f"{where}: {lost}: only the snapshots (newest at {max(usable)}) can bring it back"
            )
        else:
            findings.problem(
                f"{where}: {lost}, and no snapshot can be used instead"
                f"{self._why_no_snapshots()}; restore the snapshots, or begin again with "
                'model.on_change = "fresh" and another seed'
            )
        return False

    def _kept(self, where: str, recipe: Recipe, known: Metadata, header: Header | None) -> bool:
        """Say how the model goes on under the changed recipe. Returns: whether it can."""
        try:
            how = keeping(where, header, known, recipe)
        except Misconfigured as error:
            for problem in error.problems:
                self._findings.problem(problem)
            return False
        if known.learner != recipe.learner_fingerprint():
            told = "the learner is kept if it repeats its last outcomes"
        elif header is None:
            told = "the learner is kept if the log, replayed under today's settings, gives it again"
        else:
            told = "only settings changed, the learner is kept"
        self._findings.note(f"{where}: {told} ({how.what})")
        return True

    def _changed(
        self,
        where: str,
        recipe: Recipe,
        known: Metadata | None,
        header: Header | None,
        bounds: Bounds,
    ) -> bool:
        """Say what `model.on_change` will do about the changed recipe. Returns: False."""
        on_change = self._pipeline.settings.model.on_change
        what = "the committed offset carries no metadata of ours; another tool set it"
        if known is not None:
            what = "" if header is None else "; ".join(changes(header.recipe, recipe.parts()))
            what = what or f"fingerprint {known.fingerprint} -> {recipe.fingerprint()}"
        text = f"{where}: the recipe is not the one that was committed ({what})"
        if on_change == "refuse":
            self._findings.problem(
                f'{text}; set it back, or set model.on_change = "rebuild" (replay the log under '
                'the new one) or "fresh" (untrained from here)'
            )
        elif on_change == "rebuild" and known is not None and known.genesis < bounds.start:
            self._findings.problem(
                f"{text} and cannot be rebuilt: the log starts at {bounds.start}, the fold at "
                f'{known.genesis}; set model.on_change = "fresh" to begin untrained'
            )
        else:
            self._findings.note(f'{text}; model.on_change = "{on_change}" will be applied')
        return False

    def _headers(
        self, recipe: Recipe, events: TopicInfo, partition: int, offset: int, n: int
    ) -> list[Header]:
        """Headers of this partition's snapshots up to a position that verify, newest first."""
        if self._unknown_store is not None:
            return []
        pipeline, identity = self._pipeline, Identity.of(recipe, events.topic_id)
        try:
            keys = existing_keys(pipeline)
            with closing(pipeline.backend.snapshots()) as store:
                found = [
                    unsealed(each, store, keys, identity)[0]
                    for each in stored(pipeline, store, [partition], offset=None)
                    if is_within(each, offset, n)
                ]
        except (Retryable, Misconfigured, BadInput) as error:
            self._unknown_store = str(error)
            return []
        return [each.header for each in found if each.header is not None and each.problem is None]

    def _base(
        self, recipe: Recipe, events: TopicInfo, partition: int, known: Metadata
    ) -> Header | None:
        """The header of what the committed fold began with; None: nothing, or it is not there."""
        if not known.has_base:
            return None
        identity = Identity.of(recipe, events.topic_id)
        try:
            keys = existing_keys(self._pipeline)
            base = bases.load(self._reader, partition, known, keys=keys, identity=identity)
        except (Misconfigured, BadInput, LogLost) as error:
            self._unknown_store = str(error)
            return None
        return None if base is None else base.header

    def _why_no_snapshots(self) -> str:
        return "" if self._unknown_store is None else f" ({self._unknown_store})"

    # -- will the events stay ---------------------------------------------------------------------

    def _retention(
        self,
        infos: Mapping[Channel, TopicInfo | None],
        partition: int,
        bounds: Bounds,
        at: Committed | None,
    ) -> None:
        """Warn of early deletion: retention goes by timestamps, and those are the events' own."""
        short = {
            channel: info
            for channel, info in infos.items()
            if info is not None and info.retention_ms is not None and info.retention_ms >= 0
        }
        if not short:
            return
        position = max(bounds.start, bounds.start if at is None else at.offset)
        waiting = self._first(partition, position, bounds.end)
        newest = waiting or self._newest(partition)
        if newest is None:
            return
        age_ms = self._pipeline.clock().now_ms() - newest.timestamp_ms
        for channel, info in short.items():
            retention_ms = info.retention_ms or 0
            if age_ms <= retention_ms:
                continue
            text = (
                f"topics.{channel}: {info.name} keeps records for {screen.age(retention_ms / 1000)}"
                f" by their timestamps, and partition {partition}"
            )
            if waiting is not None:
                self._findings.problem(
                    f"{text} waits with an event of {iso(newest.timestamp_ms)}: it is deleted "
                    "before anybody reads it; set retention.ms = -1, or send with new timestamps"
                )
            else:
                self._findings.note(f"{text} has nothing newer than {iso(newest.timestamp_ms)}")

    def _first(self, partition: int, start: int, stop: int) -> Record | None:
        records = recent.records_in(self._reader, Channel.EVENTS, partition, start, stop)
        return next(records, None)

    def _newest(self, partition: int) -> Record | None:
        reader = self._reader
        found = recent.last(reader, Channel.EVENTS, partition, n=1, take=lambda record: record)
        return found[0] if found else None
