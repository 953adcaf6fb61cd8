"""The codecs of compressed records: which of them this Python reads, and what the others need."""

from collections.abc import Callable, Mapping

from kafka import codec

PACKAGES: Mapping[str, str] = {"snappy": "python-snappy", "lz4": "lz4", "zstd": "zstandard"}
"""What kafka-python reads and writes a codec with. All are our dependencies; gzip is Python's."""

_HAS: Mapping[str, Callable[[], bool]] = {
    "snappy": codec.has_snappy, "lz4": codec.has_lz4, "zstd": codec.has_zstd,
}  # fmt: skip


def missing() -> list[str]:
    """One line for each codec that cannot be read here; [] = records of every codec can."""
    return [
        f"kafka.client: records compressed with {name} cannot be read here; pip install {package}"
        for name, package in PACKAGES.items()
        if not _HAS[name]()
    ]


def advice(text: str) -> str | None:
    """Say what to do about a missing codec; None: the client complains of something else."""
    if "compression codec not found" not in text:
        return None
    name = next((name for name in PACKAGES if f"for {name} " in text), None)
    return None if name is None else f"pip install {PACKAGES[name]}"
