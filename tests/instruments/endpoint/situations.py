"""What really happens to a commit, with no answer rewritten: another takes the id, a member is out.

Each runs on our endpoint and on a real Kafka; the adapter must end in the same way on both.
"""

from collections.abc import Callable

from tests.instruments.endpoint import wire
from tests.instruments.endpoint.codes import Code
from tests.instruments.endpoint.hand import Hand
from tests.instruments.endpoint.matrix import Player
from tests.instruments.faults.proxy import Rule

Situation = Callable[[Player], None]


def nothing_happens(player: Player) -> None:
    """The commit just works."""
    assert not player.stand.proxy.rules


def the_id_is_taken(player: Player) -> None:
    """Before the commit another producer takes the transactional id."""
    _take(player)


def the_id_is_taken_in_the_middle(player: Player) -> None:
    """Outputs are sent; another producer takes the id; then the offsets come."""

    def taking(_version: int, frame: bytes) -> bytes:
        _take(player)
        return frame

    player.stand.proxy.rules = [Rule(api=wire.ADD_OFFSETS, do="change", last=1, change=taking)]


def the_id_is_taken_at_the_end(player: Player) -> None:
    """All is staged; another producer takes the id; then the commit comes."""

    def taking(_version: int, frame: bytes) -> bytes:
        _take(player)
        return frame

    player.stand.proxy.rules = [
        Rule(api=wire.TXN_OFFSET_COMMIT, do="change", last=1, change=taking)
    ]


def the_member_is_expelled(player: Player) -> None:
    """The group goes on without it, and it does not know yet."""
    player.stand.expel(player.group)


def _take(player: Player) -> None:
    with Hand(player.stand.bootstrap, player.transactional_id) as hand:
        code = hand.take()
        assert code is Code.NONE, code


EXPECTED: tuple[tuple[Situation, str | None, str], ...] = (
    (nothing_happens, None, "committed"),
    (the_id_is_taken, None, "rebuilt"),
    (the_id_is_taken, "w-0", "exit fenced"),
    (the_id_is_taken_in_the_middle, "w-0", "exit fenced"),
    (the_id_is_taken_at_the_end, "w-0", "exit fenced"),
    (the_member_is_expelled, None, "rebuilt"),
)
"""How the adapter ends: in a situation, of a worker with this name."""
