"""One variable against its reference: each way to break is found by its own measure."""

import pickle
import random
from collections.abc import Callable
from typing import Any

import pytest

from stream.core.monitoring import blocks
from stream.core.monitoring.found import Chances, Found
from stream.core.monitoring.variable import Variable

BLOCK_N, BLOCKS_N = 250, 20
CHANCES = Chances(psi=250 / (4 * 100_000 * 10), blocks=16_000.0)
Draw = Callable[[random.Random], Any]

NORMAL: Draw = lambda chance: chance.gauss(10.0, 2.0)  # noqa: E731
HOUR: Draw = lambda chance: chance.randrange(24)  # noqa: E731
CARRIER: Draw = lambda chance: chance.choice(["AA", "AA", "AA", "UA", "UA", "WN"])  # noqa: E731
FLAG: Draw = lambda chance: chance.random() < 0.3  # noqa: E731
SPARSE: Draw = lambda chance: chance.random() if chance.random() < 0.2 else None  # noqa: E731


def block(draw: Draw, chance: random.Random) -> blocks.Block:
    """So many values."""
    return blocks.block([draw(chance) for _ in range(BLOCK_N)])


def learned(draw: Draw, chance: random.Random) -> Variable:
    """A variable whose reference is complete."""
    variable = Variable(50)
    for _ in range(BLOCKS_N):
        variable.learn(block(draw, chance))
    variable.complete(CHANCES)
    return variable


def found(variable: Variable, draw: Draw, chance: random.Random, n: int = 3) -> list[Found]:
    """What so many blocks are found to be."""
    return [each for _ in range(n) for each in variable.watch(block(draw, chance))]


@pytest.mark.parametrize("draw", [NORMAL, HOUR, CARRIER, FLAG, SPARSE])
def test_what_stays_is_not_found(draw: Draw) -> None:
    """In 200,000 events of each kind of values."""
    chance = random.Random(1)
    for _ in range(4):
        assert found(learned(draw, chance), draw, chance, 200) == []


BROKEN: list[tuple[str, Draw, Draw, str]] = [
    ("shifted", NORMAL, lambda chance: chance.gauss(12.0, 2.0), "psi"),
    ("wider", NORMAL, lambda chance: chance.gauss(10.0, 4.0), "psi"),
    ("dropped", NORMAL, lambda _: None, "missing"),
    ("a tenth missing", NORMAL, lambda c: None if c.random() < 0.1 else c.gauss(10.0, 2.0),
     "missing"),
    ("strings", NORMAL, lambda chance: str(chance.gauss(10.0, 2.0)), "type"),
    ("times 1000", NORMAL, lambda chance: 1000 * chance.gauss(10.0, 2.0), "range"),
    ("frozen", NORMAL, lambda _: 10.0, "constant"),
    ("other hours", HOUR, lambda chance: chance.randrange(12), "psi"),
    ("a new carrier", CARRIER, lambda c: "ZZ" if c.random() < 0.1 else CARRIER(c), "new_category"),
    ("other shares", CARRIER, lambda chance: chance.choice(["AA", "UA", "WN"]), "psi"),
    ("one carrier", CARRIER, lambda _: "WN", "constant"),
    ("numbers", CARRIER, lambda chance: chance.randrange(5), "type"),
    ("flags turned", FLAG, lambda chance: chance.random() < 0.7, "psi"),
    ("flags as 0 and 1", FLAG, lambda chance: int(chance.random() < 0.3), "type"),
    ("a constant that varies", lambda _: 7.5, lambda chance: 7.5 + (chance.random() < 0.1),
     "range"),
    ("less sparse", SPARSE, lambda chance: chance.random() / 2 if chance.random() < 0.4 else None,
     "psi"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("before", "after", "measure"), [each[1:] for each in BROKEN], ids=[each[0] for each in BROKEN]
)
def test_what_breaks_is_found_within_three_blocks(before: Draw, after: Draw, measure: str) -> None:
    """By the measure that says it best, with both sides."""
    chance = random.Random(2)
    variable = learned(before, chance)
    assert found(variable, before, chance, 4) == []
    seen = found(variable, after, chance)
    assert measure in {each.measure for each in seen}
    one = next(each for each in seen if each.measure == measure)
    assert one.value > one.threshold
    assert one.before_n > 0
    assert one.after_n > 0
    assert one.since_n is not None
    assert 1 <= one.since_n <= 3


def test_a_counter_is_not_monitorable() -> None:
    """It is always out of range, and always somewhere else: that says nothing."""
    variable, at = Variable(50), 0
    for _ in range(BLOCKS_N):
        variable.learn(blocks.block(range(at, at + BLOCK_N)))
        at += BLOCK_N
    variable.complete(CHANCES)
    assert not variable.is_monitorable
    for _ in range(20):
        assert variable.watch(blocks.block(range(at, at + BLOCK_N))) == []
        at += BLOCK_N


def test_ids_are_no_categories() -> None:
    """Each value is a new one; that is usual, and what is kept of them has a bound."""
    chance = random.Random(3)
    draw: Draw = lambda chance: f"order-{chance.randrange(10**9)}"  # noqa: E731
    variable = learned(draw, chance)
    assert len(pickle.dumps(variable)) < 5_000
    assert found(variable, draw, chance, 50) == []
    assert {each.measure for each in found(variable, lambda _: None, chance)} == {"missing"}


@pytest.mark.parametrize(
    "odd", [None, 0, "x", True, 1e15, -1e15], ids=["missing", "0", "x", "true", "large", "small"]
)
def test_a_reference_of_one_value_breaks_nothing(odd: Any) -> None:
    """Neither while it stays nor when it is anything else."""
    chance = random.Random(4)
    variable = learned(lambda _: odd, chance)
    assert found(variable, lambda _: odd, chance, 20) == []
    for draw in (NORMAL, CARRIER, FLAG, SPARSE):
        found(variable, draw, chance)


def test_it_goes_on_where_a_snapshot_left_it() -> None:
    """While it learns, too."""
    chance = random.Random(5)
    variable = Variable(50)
    copy = pickle.loads(pickle.dumps(variable))  # noqa: S301  # our own
    for n in range(BLOCKS_N + 10):
        values = block(NORMAL if n < BLOCKS_N + 4 else HOUR, chance)
        if n < BLOCKS_N:
            variable.learn(values)
            copy.learn(values)
        else:
            assert variable.watch(values) == copy.watch(values)
        if n == BLOCKS_N - 1:
            variable.complete(CHANCES)
            copy.complete(CHANCES)
        copy = pickle.loads(pickle.dumps(copy))  # noqa: S301


def test_once_it_moved_half_as_much_is_too_much() -> None:
    """It does not begin and end at each block near its threshold."""
    chance = random.Random(6)
    variable = learned(NORMAL, chance)
    found(variable, lambda c: c.gauss(13.0, 2.0), chance, 2)
    little: Draw = lambda c: c.gauss(11.0, 2.0)  # noqa: E731
    assert {each.measure for each in found(variable, little, chance, 1)} == {"psi"}
    other = learned(NORMAL, chance)
    assert found(other, lambda c: c.gauss(10.2, 2.0), chance, 8) == []


@pytest.mark.parametrize("names", [("ZZ", "YY"), ("a", "b", "c")])
def test_a_new_category_is_told_once(names: tuple[str, ...]) -> None:
    """Then it is known, and the next one is new."""
    chance = random.Random(7)
    variable = learned(CARRIER, chance)

    def draw(chance: random.Random) -> Any:
        return name if chance.random() < 0.1 else CARRIER(chance)

    for name in names:
        seen = [each for each in found(variable, draw, chance, 5) if each.measure != "psi"]
        assert [each.measure for each in seen] == ["new_category"]
        assert f'"{name}"' in seen[0].text
