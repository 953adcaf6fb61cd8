"""Frozen settings from one TOML file and the environment; every check is here, none later.

`load` reads what an operator wrote, `from_mapping` what a program made; both say all problems at
once (`Misconfigured`). The keys, with defaults and meanings, are the fields of `Settings` and of
its sections (`servers`, `recipe`, `operation`, `detectors`); `reference` writes them out.
"""

from stream.config.detectors import detector_class
from stream.config.reference import reference
from stream.config.settings import Settings, from_mapping
from stream.config.sources import load, load_model
from stream.config.timings import Timings

__all__ = [
    "Settings", "Timings", "detector_class", "from_mapping", "load", "load_model", "reference",
]  # fmt: skip
