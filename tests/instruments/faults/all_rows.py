"""The whole table."""

from dataclasses import replace

from tests.instruments.faults.rows_broker import brokers
from tests.instruments.faults.rows_codes import codes
from tests.instruments.faults.rows_commands import control_topics
from tests.instruments.faults.rows_input import inputs
from tests.instruments.faults.rows_journal import journals
from tests.instruments.faults.rows_labels import labels
from tests.instruments.faults.rows_markers import markers
from tests.instruments.faults.rows_network import network
from tests.instruments.faults.rows_permissions import permissions
from tests.instruments.faults.rows_process import processes
from tests.instruments.faults.rows_redis import cache
from tests.instruments.faults.rows_snapshots import snapshots
from tests.instruments.faults.rows_workers import workers
from tests.instruments.faults.stage import Client
from tests.instruments.faults.table import Table

QUICK = (9, 15, 16, 18, 21, 24)
"""What CI runs: about a quarter of a minute each; nothing that waits for a session to end."""


NOT_WITH: dict[Client, dict[int, str]] = {
    "kafka-python": {},
    "confluent": {
        20: "librdkafka 2.16 can hang in send_offsets_to_transaction, whatever timeout it is "
        "given; only a worker's watchdog ends that (70), and this row runs the adapter without one",
    },
}
"""Rows that cannot be had with a client, and why."""


def table() -> Table:
    """Every row."""
    whole = Table()
    for add in (
        workers, brokers, network, inputs, cache, snapshots, processes, codes, control_topics,
        journals, permissions, markers, labels,
    ):  # fmt: skip
        add(whole)
    for number in QUICK:
        whole.rows[number] = replace(whole.rows[number], is_quick=True)
    return whole
