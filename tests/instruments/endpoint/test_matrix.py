"""Row 20, the slice that CI runs: every call spoiled in every way, for every client we support.

The whole matrix is `scripts/faults matrix`.
"""

import time
from collections.abc import Iterator

import pytest

from stream.adapters.confluent import log as confluent_log
from tests.instruments.endpoint.codes import Code
from tests.instruments.endpoint.lanes import Lane, run
from tests.instruments.endpoint.matrix import CLIENTS, TIMINGS, Broke, Outcome, Player
from tests.instruments.endpoint.spoilings import APIS, CODES, OVERTAKEN_BY, Spoiling, everything
from tests.instruments.endpoint.stands import EndpointStand

TELLING = (
    Code.PRODUCER_FENCED, Code.INVALID_TXN_STATE, Code.ILLEGAL_GENERATION, Code.NOT_COORDINATOR,
    Code.TRANSACTIONAL_ID_AUTHORIZATION_FAILED, Code.UNKNOWN_SERVER_ERROR,
)  # fmt: skip
"""One of each kind: fenced, dead, lost its place, passing, not permitted, unknown."""


@pytest.fixture
def stand() -> Iterator[EndpointStand]:
    """Our endpoint behind the proxy."""
    with EndpointStand() as opened:
        yield opened


def in_the_slice(spoiling: Spoiling) -> bool:
    """What differs in kind; the whole matrix has every code in every way."""
    if spoiling.code is not None:
        return spoiling.code in TELLING and not spoiling.is_endless and not spoiling.one_part
    return spoiling.how in ("request cut", "answer cut", "answer hangs", "overtaken") and (
        not spoiling.is_endless
    )


@pytest.mark.timeout(180)
def test_no_error_leaves_a_part_of_a_commit() -> None:
    """Each case ends in time: committed, rebuilt, or an exit that its error justifies."""
    chosen = [s for s in everything() if in_the_slice(s)]
    of_names = [s for s in chosen if s.code is Code.PRODUCER_FENCED or s.how == "overtaken"]
    of_names += [
        s
        for s in everything()
        if s.code is Code.FENCED_INSTANCE_ID and not s.is_endless and not s.one_part
    ]
    played = [
        Lane(client, name, cases)
        for client in CLIENTS
        for name, cases in ((None, chosen[::2]), (None, chosen[1::2]), ("w-0", of_names))
    ]

    results = run(played, lambda _: None, jobs=len(played))

    assert [str(r) for r in results if not r.held] == []
    assert len(results) == len(CLIENTS) * (len(chosen) + len(of_names))


@pytest.mark.parametrize("client", CLIENTS)
def test_a_call_that_is_refused_for_ever_ends_in_time(stand: EndpointStand, client: str) -> None:
    """kafka-python itself would ask again until the process ends."""
    with Player(stand, client) as player:
        spoiling = Spoiling(
            api="EndTxn", how="refused", code=Code.COORDINATOR_LOAD_IN_PROGRESS, last=None
        )

        assert player.play(spoiling).how == "rebuilt"


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("api", OVERTAKEN_BY)
def test_a_call_that_arrives_in_the_next_transaction_does_no_harm(
    stand: EndpointStand, client: str, api: str
) -> None:
    """After a lost connection a client repeats its call; the first one may arrive still later.

    With the same epoch it would end the next transaction before its offsets are in it, or put the
    old offsets in the place of the new ones (KAFKA-17754). `play` raises where it did harm. On a
    slow machine the repeated call may meet its deadline, too: such a commit is made again.
    """
    with Player(stand, client) as player:
        outcomes = (player.play(Spoiling(api=api, how="overtaken")) for _ in range(5))

        assert any(outcome.took_effect for outcome in outcomes)


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize(
    ("api", "code"),
    [("EndTxn", Code.PRODUCER_FENCED), ("Produce", Code.INVALID_PRODUCER_EPOCH)],
)
def test_a_name_that_was_taken_over_ends_the_worker(
    stand: EndpointStand, client: str, api: str, code: Code
) -> None:
    """Whichever call hears of it first; or two twins would take the id from each other for ever.

    Without a name nobody can have taken it: the worker is rebuilt.
    """
    fenced = Spoiling(api=api, how="refused", code=code)
    with Player(stand, client, instance="w-0") as named, Player(stand, client) as nameless:
        assert named.play(fenced).how == "exit fenced"
        assert nameless.play(fenced).how == "rebuilt"


class _Clock:
    """Stands in for `time`: what the machine slept through is added at once."""

    slept_s = 0.0

    def monotonic(self) -> float:
        return time.monotonic() + self.slept_s


def test_a_transaction_that_timed_out_is_no_other_worker(
    stand: EndpointStand, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The broker fences its producer, too; to end with 75 would name a twin that is not there.

    The group would know of one: for two heartbeats nothing takes the id from whoever may have it.
    kafka-python's own deadline ends such a commit before it hears of the fencing.
    """
    clock = _Clock()
    monkeypatch.setattr(confluent_log, "time", clock)
    refused = Spoiling(api="AddOffsetsToTxn", how="refused", code=Code.PRODUCER_FENCED).rule(
        late_s=0.0
    )
    refusing = refused.change
    assert refusing is not None

    def stopped_for_long(version: int, frame: bytes) -> bytes:
        clock.slept_s = TIMINGS.transaction_timeout_ms / 1000
        return refusing(version, frame)

    refused.change = stopped_for_long
    with Player(stand, "confluent", instance="w-0") as player:

        def broker_fences(player: Player) -> None:
            player.stand.proxy.rules = [refused]

        began_s = time.monotonic()
        outcome = player.meet(broker_fences)

        assert outcome.how == "rebuilt", outcome
        assert refused.hits == 1
        assert time.monotonic() - began_s > 2 * TIMINGS.heartbeat_interval_ms / 1000


def test_every_call_meets_every_error_once_and_for_ever() -> None:
    """The matrix is whole: 7 calls x 29 codes, refused once, refused for ever, and told."""
    made = [
        (s.api, s.code, s.how, s.is_endless)
        for s in everything()
        if not s.one_part and s.first == 1
    ]

    assert len(made) == len(set(made))
    for api in APIS:
        for code in CODES:
            for way in (("refused", False), ("refused", True), ("told", False)):
                assert (api, code, *way) in made


def test_a_partial_commit_would_be_seen(stand: EndpointStand) -> None:
    """The judge is not blind: a worker that lies about an offset, or loses an output, is caught."""
    with Player(stand, "kafka-python", settled_within_s=1.0) as player:
        assert player.play(Spoiling(api="EndTxn", how="slow")) == Outcome("committed", True, 0.0)
        player._published.append(b"an output that nobody saw")
        with pytest.raises(Broke, match="I4"):
            player.play(Spoiling(api="Produce", how="request cut"))
