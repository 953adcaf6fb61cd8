"""The reference of the monitors, where it is a file."""

import hashlib
from dataclasses import replace
from pathlib import Path

from stream.config import Settings
from stream.config.monitors import REFERENCE_MIN
from stream.core.event import Kind, Rejection
from stream.core.formats.codec import Codec
from stream.core.monitoring import detector_choice
from stream.core.monitoring.monitors_spec import MonitorsSpec
from stream.core.monitoring.policy_spec import PolicySpec
from stream.core.parts import PartSpec
from stream.errors import BadInput, Misconfigured
from stream.runtime.files import rows
from stream.runtime.files.layout import Columns


def parts_of(settings: Settings, kind: Kind) -> tuple[PartSpec, ...]:
    """The optional parts of a state, the monitors with their reference, as they fit the model.

    Raises: Misconfigured: the file cannot be read, or holds what the pipeline would refuse.
    """
    path = settings.monitors.reference_file
    found: list[PartSpec] = []
    for spec in settings.parts():
        if isinstance(spec, MonitorsSpec) and path is not None:
            found.append(_with_file(spec, path, settings, kind))
        elif isinstance(spec, PolicySpec) and settings.detectors is None:
            found.append(replace(spec, severities=detector_choice.default_severities(kind)))
        else:
            found.append(spec)
    return tuple(found)


def _with_file(spec: MonitorsSpec, path: Path, settings: Settings, kind: Kind) -> MonitorsSpec:
    """Read the reference as the events that a producer would send of it."""
    decode = Codec(settings.events.core(), settings.limits.core(), kind).decode
    found, digest = [], hashlib.sha256()
    try:
        # Their columns are an upstream's; a label may be there, and says nothing here.
        records = rows.read(path, shape=settings.events.core(), columns=Columns())
        for number, record in enumerate(records, 1):
            event = decode(record.value)
            if isinstance(event, Rejection):
                raise Misconfigured(
                    f"monitors.reference: {path}: event {number} would be refused "
                    f"({event.reason.value}: {event.detail})"
                )
            found.append(event.features)
            digest.update(record.value + b"\n")
    except BadInput as error:
        raise Misconfigured(f"monitors.reference: {error}") from None
    if len(found) < REFERENCE_MIN:
        raise Misconfigured(
            f"monitors.reference: {path} holds {len(found)} events; {REFERENCE_MIN} are the least"
        )
    return replace(spec, digest=digest.hexdigest()[:16], rows=tuple(found))
