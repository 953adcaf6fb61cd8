"""The log and the snapshots in one SQLite file: no server, one worker at a time a pipeline.

Any number of other processes may produce to the file and read from it meanwhile. A commit is one
SQLite transaction: outputs and offsets reach the disk together or not at all.
"""

from stream.adapters.embedded.clients import (
    EmbeddedFeed,
    EmbeddedReader,
    EmbeddedSnapshots,
    EmbeddedTopics,
)
from stream.adapters.embedded.log import EmbeddedLog

__all__ = [
    "EmbeddedFeed",
    "EmbeddedLog",
    "EmbeddedReader",
    "EmbeddedSnapshots",
    "EmbeddedTopics",
]
