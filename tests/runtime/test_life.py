"""The table of a partition's life, and what becomes of its task on the way."""

from collections.abc import Iterator

import pytest

from stream.core.fold.task import Task
from stream.errors import Internal
from stream.runtime.life import HALTED, LIVING, MOVES, SETTLING, Life, Lives, Move
from tests.folds import PARTITION, recipe

RECIPE = recipe("stream.models:no_change")


def _ways() -> dict[Life, tuple[Move, ...]]:
    """A shortest way from the beginning to each state that can be reached."""
    ways: dict[Life, tuple[Move, ...]] = {Life.AWAY: ()}
    for life, way in _growing(ways):
        for (at, move), to in MOVES.items():
            if at is life:
                ways.setdefault(to, (*way, move))
    return ways


def _growing(ways: dict[Life, tuple[Move, ...]]) -> Iterator[tuple[Life, tuple[Move, ...]]]:
    done: set[Life] = set()
    while left := [life for life in ways if life not in done]:
        done.add(left[0])
        yield left[0], ways[left[0]]


WAYS = _ways()
QUICKENING = {
    Move.RESTORED,
    Move.RESTORED_PAUSED,
    Move.KEEP,
    Move.KEEP_PAUSED,
    Move.RESTORED_STOPPED,
    Move.KEEP_STOPPED,
}


def _lives(*moves: Move) -> tuple[Lives, Task]:
    """The partitions of a worker, one of which has come this way, and its task."""
    lives, task = Lives(), Task(RECIPE, partition=PARTITION)
    for move in moves:
        lives.move(PARTITION, move, task if move in QUICKENING else None)
    return lives, task


def test_every_state_is_reached_from_the_beginning() -> None:
    """None of them is there for nothing."""
    assert WAYS.keys() == set(Life)


def test_every_move_is_legal_somewhere() -> None:
    """None of them is there for nothing."""
    assert {move for _, move in MOVES} == set(Move)


@pytest.mark.parametrize("life", Life, ids=lambda life: life.name)
@pytest.mark.parametrize("move", Move, ids=lambda move: move.name)
def test_a_move_leads_where_the_table_says_or_is_refused(life: Life, move: Move) -> None:
    """A move that is not in the table ends the process, and changes nothing before."""
    lives, _ = _lives(*WAYS[life])
    dirty, tasks = lives.dirty, lives.tasks(set(Life))

    if (life, move) in MOVES:
        assert lives.move(PARTITION, move) is lives.life(PARTITION) is MOVES[life, move]
        return
    with pytest.raises(Internal, match=rf"partition {PARTITION} is {life.value}, and {move.value}"):
        lives.move(PARTITION, move)
    assert lives.life(PARTITION) is life
    assert (lives.dirty, lives.tasks(set(Life))) == (dirty, tasks)


@pytest.mark.parametrize("life", Life, ids=lambda life: life.name)
def test_each_state_is_living_or_settling_or_away(life: Life) -> None:
    """And it is found under that, with its task if it lives."""
    lives, task = _lives(*WAYS[life])
    living, settling, away = (lives.within(group) for group in (LIVING, SETTLING, {Life.AWAY}))

    assert [*living, *settling, *away] == ([] if life is Life.AWAY else [PARTITION])
    assert lives.tasks({life}) == ({PARTITION: task} if life in LIVING else {})


@pytest.mark.parametrize("life", sorted(LIVING), ids=lambda life: life.name)
def test_a_living_task_is_paused_exactly_where_it_does_not_fold(life: Life) -> None:
    """What travels beside its offset says the same as the table."""
    _, task = _lives(*WAYS[life])

    assert task.is_paused == task.metadata().is_paused == (life in HALTED)


@pytest.mark.parametrize("life", sorted(LIVING - {Life.UNDECIDED}), ids=lambda life: life.name)
def test_a_doubt_holds_the_state_as_it_is(life: Life) -> None:
    """Its commit may have taken effect: it owes none, and is paused if it was."""
    lives, task = _lives(*WAYS[life], Move.DOUBT)

    assert lives.dirty == []
    assert lives.tasks({Life.ASSIGNED}) == {PARTITION: task}
    assert task.is_paused == (life in HALTED)


@pytest.mark.parametrize("move", [Move.DOUBT, Move.REVOKE])
def test_one_that_was_not_rehearsed_yet_is_not_held(move: Move) -> None:
    """A kept state is not rehearsed: it would stay paused without a word."""
    lives, _ = _lives(*WAYS[Life.UNDECIDED], move)

    assert lives.tasks(set(Life)) == {}


def test_a_state_that_is_not_the_committed_one_is_let_go() -> None:
    """A second state of the same partition is not worth its memory."""
    lives, _ = _lives(*WAYS[Life.FOLDING], Move.DOUBT, Move.DIFFER)

    assert lives.tasks(set(Life)) == {}


@pytest.mark.parametrize(
    ("work", "is_held"), [((), True), ((Move.FOLD,), False), ((Move.FOLD, Move.COMMIT), True)]
)
def test_only_a_committed_state_is_held_of_a_revoked_partition(
    work: tuple[Move, ...], is_held: bool
) -> None:
    """It may come back with the committed offset unmoved; uncommitted work cannot be it."""
    lives, task = _lives(*WAYS[Life.FOLDING], *work, Move.REVOKE)

    assert lives.tasks({Life.AWAY}) == ({PARTITION: task} if is_held else {})
    lives.move(PARTITION, Move.ASSIGN)
    assert lives.tasks({Life.ASSIGNED}) == ({PARTITION: task} if is_held else {})


def test_states_that_went_elsewhere_are_forgotten_at_once() -> None:
    """They are held for as long as nothing else was assigned; the others stay."""
    lives, _ = _lives(*WAYS[Life.FOLDING], Move.REVOKE)
    lives.move(7, Move.ASSIGN)
    lives.forget_away()

    assert lives.tasks(set(Life)) == {}
    assert lives.within(set(Life)) == [7]


@pytest.mark.parametrize(
    ("moves", "is_dirty"),
    [
        ((Move.RESTORED,), False),
        ((Move.RESTORED, Move.OWE), True),
        ((Move.RESTORED, Move.FOLD), True),
        ((Move.RESTORED, Move.FOLD, Move.TRIP), True),
        ((Move.RESTORED, Move.FOLD, Move.TRIP, Move.COMMIT), False),
        ((Move.RESTORED, Move.FOLD, Move.DOUBT), False),
        ((Move.RESTORED_PAUSED, Move.OWE), True),
        ((Move.RESTORED_PAUSED, Move.OWE, Move.COMMIT), False),
        ((Move.RESTORED_PAUSED, Move.RESUME), True),
        ((Move.RESTORED_PAUSED, Move.WORSE), False),
    ],
)
def test_what_owes_a_commit(moves: tuple[Move, ...], is_dirty: bool) -> None:
    """Whatever moved its offset or what is written beside it, until it is committed or in doubt."""
    lives, _ = _lives(*WAYS[Life.RESTORING], *moves)

    assert lives.dirty == ([PARTITION] if is_dirty else [])
