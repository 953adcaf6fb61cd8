"""What is so of each client that `kafka.client` may name, whoever asks."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Traits:
    """What sets one client apart.

    Attributes:
        min_gap_s: between two commits. While the broker still writes the marks of one transaction
            it sends the next one away, to come again later: with librdkafka after 20 ms. With
            kafka-python after 2 (`IN_TRANSACTION_BACKOFF_MS`), and to wait in each case costs more:
            at an interval of 5 ms, when it was after 5, p99 25 to 42 ms instead of 19 to 22, in
            turn on one machine.
        has_servers: log and snapshots are on servers; else they are the one file `kafka.path`.
        has_group: several workers share the partitions, and a dead one is waited for.
        always_exact: each commit is a transaction, whatever guarantee is asked for.
    """

    min_gap_s: float
    has_servers: bool = True
    has_group: bool = True
    always_exact: bool = False


CLIENTS: Mapping[str, Traits] = {
    "kafka-python": Traits(min_gap_s=0.001),
    "confluent": Traits(min_gap_s=0.005),
    "embedded": Traits(min_gap_s=0.001, has_servers=False, has_group=False, always_exact=True),
}
