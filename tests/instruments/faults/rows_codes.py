"""Row 20: every error code on every transactional call, for every client.

The whole matrix is played on our scripted endpoint (tests/instruments/endpoint), which takes no
time to answer; a part of it on the real broker behind the same proxy, and both must end alike.
"""

from collections import Counter

from tests.instruments.endpoint import lanes
from tests.instruments.endpoint.matrix import CLIENTS, Outcome, Player
from tests.instruments.endpoint.matrix import Broke as CaseBroke
from tests.instruments.endpoint.spoilings import NAMED_IN_ROW_20, Spoiling, everything
from tests.instruments.endpoint.stands import BrokerStand
from tests.instruments.faults.stage import Stage
from tests.instruments.faults.table import Table, Told
from tests.instruments.faults.worker import Broke

JOBS = 6
ON_KAFKA = ("Produce", "TxnOffsetCommit", "EndTxn")
"""Of these calls each of the row's codes is played on the real broker too; of others, the cuts."""


def codes(table: Table) -> None:
    """Add row 20."""
    table.real(
        20, "every broker error code on every transactional call", "never a partial transaction",
        tests=(
            "tests/instruments/endpoint/test_matrix.py::test_no_error_leaves_a_part_of_a_commit",
            "tests/instruments/endpoint/test_conversations.py::test_the_endpoint_answers_as_kafka_does",
        ),
        why="The whole matrix runs on our scripted endpoint, a part of it on Kafka too.",
    )(matrix)  # fmt: skip


def matrix(stage: Stage) -> Told:
    """Each case begins with a commit that works, and ends with one."""
    played = lanes.run(lanes.lanes(everything()), lambda _: None, jobs=JOBS)
    broken = [str(result) for result in played if not result.held]
    if broken:
        raise Broke(f"{len(broken)} of {len(played)} cases: {'; '.join(broken[:3])}")
    ours = {
        (r.client, r.spoiling): r.outcome
        for r in played
        if r.instance is None and r.outcome is not None
    }
    kafkas = {
        (client, spoiling): outcome
        for client in CLIENTS
        for spoiling, outcome in _on_kafka(stage, client).items()
    }
    alike_n = sum(ours[key] == outcome for key, outcome in kafkas.items())
    hows = Counter(outcome.how for outcome in kafkas.values())
    told = ", ".join(f"{n} {how}" for how, n in sorted(hows.items()))
    return Told(
        f"on the endpoint {lanes.summary(played)}; on Kafka {len(kafkas)} of them: {told}; "
        f"{alike_n} ended as on the endpoint"
    )


def _on_kafka(stage: Stage, client: str) -> dict[Spoiling, Outcome]:
    stand = BrokerStand(stage.kafka.bootstrap_servers, stage.proxy)
    outcomes = {}
    try:
        with Player(stand, client) as player:
            for spoiling in filter(_is_for_kafka, everything()):
                try:
                    outcomes[spoiling] = player.play(spoiling)
                except CaseBroke as error:
                    raise Broke(f"{client} on Kafka: {spoiling}: {error}") from error
    finally:
        stand.close()
    return outcomes


def _is_for_kafka(spoiling: Spoiling) -> bool:
    if spoiling.is_endless or spoiling.one_part:
        return False
    if spoiling.code is None:
        return spoiling.how in ("request cut", "answer cut", "overtaken")
    return spoiling.api in ON_KAFKA and spoiling.code in NAMED_IN_ROW_20
