"""Turns of a square: a group of eight, the same for fields and for lists of pixels."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from oceanrecon.transform.turn import TURNS, turn, turn_pixels

hows = st.integers(0, TURNS - 1)
sides = st.integers(1, 9)


def field(side: int) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
    return np.arange(2 * side * side).reshape(2, side, side)


def test_what_each_does_to_a_small_field() -> None:
    """Worked out by hand: row 0 is north, column 0 is west."""
    square = np.array([[1, 2], [3, 4]])
    expected = [
        [[1, 2], [3, 4]], [[2, 4], [1, 3]], [[4, 3], [2, 1]], [[3, 1], [4, 2]],
        [[2, 1], [4, 3]], [[1, 3], [2, 4]], [[3, 4], [1, 2]], [[4, 2], [3, 1]],
    ]  # fmt: skip
    assert [turn(square, how).tolist() for how in range(TURNS)] == expected


@given(hows, hows, sides)
def test_one_after_the_other_is_one_of_them(first: int, second: int, side: int) -> None:
    both = turn(turn(field(side), first), second)
    same = [how for how in range(TURNS) if np.array_equal(turn(field(side), how), both)]
    assert len(same) == 1 or side == 1


@given(hows, sides)
def test_each_has_an_inverse(how: int, side: int) -> None:
    back = [other for other in range(TURNS) if np.array_equal(turn(turn(field(side), how), other), field(side))]
    assert len(back) == 1 or side == 1
    # a turn is undone by the turn the other way, a mirrored one by itself
    assert (-how % 4 if how < 4 else how) in back


@given(hows, sides, st.data())
def test_pixels_go_where_their_values_go(how: int, side: int, data: st.DataObject) -> None:
    pixels = np.array(data.draw(st.lists(st.integers(0, side * side - 1), unique=True)), np.int32)
    before = field(side)
    moved = turn_pixels(pixels, how, side)
    assert moved.dtype == np.int32
    np.testing.assert_array_equal(turn(before, how).reshape(2, -1)[:, moved], before.reshape(2, -1)[:, pixels])


@pytest.mark.parametrize("how", range(TURNS))
def test_turning_copies_nothing(how: int) -> None:
    before = field(5)
    assert np.shares_memory(turn(before, how), before)
