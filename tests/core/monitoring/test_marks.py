"""Marks tell where the events of before lay, in bounded room."""

from random import Random

from stream.core.monitoring.marks import EVERY_N, MARKS_MAX, Marks, Place


def test_a_mark_lies_shortly_before_the_change() -> None:
    """Within 32 steps, of the last thousand; only labelled events feed an error."""
    chance, marks = Random(7), Marks()
    learned = valid_n = 0
    places: list[Place] = []
    for n in range(3_000):
        place = Place(n, 10 * n, 1000 * n, learned, valid_n)
        is_valid, is_labelled = chance.random() < 0.9, chance.random() < 0.5
        places.append(place)
        if n >= marks.due_n:
            marks.add(place)
        if is_valid:
            valid_n += 1
            learned += is_labelled
    last = places[-1]

    for values_n in (1, 10, 100, 300):
        for at, are_labelled in ((3, True), (4, False)):
            found = marks.before(last, values_n, are_labelled=are_labelled)
            first = next(each for each in places if each[at] == last[at] + 1 - values_n)
            behind = [each for each in places if each[at] == first[at]][-1]
            assert found in places
            assert first.n - EVERY_N < found.n <= behind.n


def test_their_room_is_bounded_and_the_recent_ones_stay_close() -> None:
    """What lies far back is told less exactly."""
    marks = Marks()
    for n in range(0, 1_000_000, EVERY_N):
        assert n >= marks.due_n
        marks.add(Place(n, n, n, n, n))
        assert len(marks._marks) <= MARKS_MAX

    here = Place(999_999, 999_999, 999_999, 999_999, 999_999)
    assert 999_999 - 500 - EVERY_N < marks.before(here, 500, are_labelled=True).n <= 999_999 - 499
    assert marks.before(here, 500_000, are_labelled=True).n <= 500_000
    assert marks.before(here, 10**9, are_labelled=True).n == 0
