"""Kafka's semantics in one process, for tests and the simulation: deterministic, no threads.

A `MemoryBroker` is the durable world: it outlives the clients that are made on it, as a broker
outlives the workers it serves. A crash of a worker is a client that is used no more; what such a
death means for the group and for open transactions is told to the broker (`expire`, `time_out`).

It is no store for production: everything is kept in memory, up to a bound.
"""

from stream.adapters.memory.broker import MemoryBroker
from stream.adapters.memory.clients import MemoryFeed, MemoryReader, MemorySnapshots, MemoryTopics
from stream.adapters.memory.log import MemoryLog

__all__ = [
    "MemoryBroker",
    "MemoryFeed",
    "MemoryLog",
    "MemoryReader",
    "MemorySnapshots",
    "MemoryTopics",
]
