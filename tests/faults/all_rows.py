"""The whole table."""

from tests.faults.rows_broker import brokers
from tests.faults.rows_codes import codes
from tests.faults.rows_input import inputs
from tests.faults.rows_network import network
from tests.faults.rows_process import processes
from tests.faults.rows_redis import snapshots
from tests.faults.rows_workers import workers
from tests.faults.table import Table


def table() -> Table:
    """Every row."""
    whole = Table()
    for add in (workers, brokers, network, inputs, snapshots, processes, codes):
        add(whole)
    return whole
