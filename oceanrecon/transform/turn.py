"""The eight ways to lay a square on itself: quarter turns, with or without a mirror."""

from __future__ import annotations

from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

#: ``how`` is 0 (nothing) to 7: ``how % 4`` quarter turns against the clock, from 4 on mirrored (west-east) before.
TURNS = 8

Number = TypeVar("Number", bound=np.generic)


def turn(field: NDArray[Number], how: int) -> NDArray[Number]:
    """A field, turned: [..., side, side], a view."""
    mirrored = field[..., ::-1] if how >= 4 else field
    return np.rot90(mirrored, how % 4, axes=(-2, -1))


def turn_pixels(pixels: NDArray[np.integer[Any]], how: int, side: int) -> NDArray[np.int32]:
    """Where pixels (``row * side + column``) are in a field that was turned: [pixel], in the order given."""
    row, column = np.divmod(pixels, side)
    if how >= 4:
        column = side - 1 - column
    for _ in range(how % 4):
        row, column = side - 1 - column, row
    return (row * side + column).astype(np.int32)
