"""Transactions that a dead worker left open, ended at once instead of when the broker finds time.

A worker without a stable instance name has a transactional id that no successor knows. Killed in
a commit it leaves a transaction open: offsets that nobody may read, and outputs behind which nobody
reads on. The broker ends it after the transaction's timeout, and looks only every ten seconds
(`transaction.abort.timed.out.transaction.cleanup.interval.ms`): measured 12 s after a crash, when
10 were promised. So whoever takes its partitions over ends it, by taking its id.
"""

from typing import TYPE_CHECKING

from stream.adapters.kafka.transactional_ids import is_nameless
from stream.adapters.kafka_python import producing
from stream.adapters.kafka_python.connection import ADMIN_TIMEOUT_MS, Connection
from stream.config.timings import Timings

if TYPE_CHECKING:
    from kafka import KafkaAdminClient, KafkaProducer


def end_abandoned(connection: Connection, timings: Timings, *, own_id: str) -> list[str]:
    """End what the group's nameless workers left open for longer than a living one would.

    A worker that lives all the same, and is only that slow, loses this one commit: it notices, and
    the committed offsets decide, as ever. Those with a name are left to their successors.

    Args:
        connection: reaches the cluster.
        timings: a dead worker was silent for its session before its partitions were given away.
        own_id: our own transactional id, which is never ended.

    Returns: the ids that were taken.

    Raises: Retryable, Misconfigured: also where brokers are too old to be asked (before 3.8).
    """
    admin: KafkaAdminClient = connection.admin(bootstrap_timeout_ms=ADMIN_TIMEOUT_MS)
    try:
        with connection.translated("listing open transactions"):
            listed = admin.list_transactions(
                state_filters=["Ongoing"], duration_filter_ms=timings.session_timeout_ms // 2
            )
    finally:
        admin.close()
    found = [t.transactional_id for of_broker in listed.values() for t in of_broker]
    abandoned = [t for t in found if t != own_id and is_nameless(t, connection.group)]
    for transactional_id in abandoned:
        producer: KafkaProducer = producing.make(
            connection,
            "ending an abandoned transaction",
            transactional_id=transactional_id,
            transaction_timeout_ms=timings.transaction_timeout_ms,
            delivery_timeout_ms=timings.delivery_timeout_ms,
            request_timeout_ms=timings.request_timeout_ms,
            max_block_ms=timings.transaction_timeout_ms,
            retry_backoff_ms=producing.IN_TRANSACTION_BACKOFF_MS,
        )
        try:
            with connection.translated("ending an abandoned transaction"):
                producer.init_transactions()
        finally:
            producing.discard(producer)
    return abandoned
