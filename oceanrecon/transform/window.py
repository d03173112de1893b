"""The mean over a window of days: sums and counts over finite, plausible values, one file at a time."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from oceanrecon.transform.compiled import Array, compiled
from oceanrecon.transform.regrid import Unpacking, stored_bounds


@compiled
def _add(
    field: Array,
    low: float,
    high: float,
    fill0: float,
    fill1: float,
    scale: float,
    offset: float,
    total: Array,
    count: Array,
) -> int:
    added = 0
    for y in range(field.shape[0]):
        for x in range(field.shape[1]):
            v = field[y, x]
            good = (v >= low) & (v <= high) & (v != fill0) & (v != fill1)
            total[y, x] += v * scale + offset if good else 0.0
            count[y, x] += 1 if good else 0
            added += 1 if good else 0
    return added


@compiled
def _divide(total: Array, count: Array) -> None:
    for y in range(total.shape[0]):
        for x in range(total.shape[1]):
            n = count[y, x]
            total[y, x] = total[y, x] / n if n > 0 else np.nan


class WindowMean:
    """Mean over files of one variable on its own grid, in float64, and the number of days behind each cell.

    >>> window = WindowMean((1, 2))
    >>> _ = window.add(np.array([[1.0, np.nan]]), Unpacking())
    >>> _ = window.add(np.array([[3.0, 5.0]]), Unpacking())
    >>> window.mean(), window.count
    (array([[2., 5.]]), array([[2, 1]], dtype=uint8))
    """

    def __init__(self, shape: tuple[int, int]) -> None:
        """Start with nothing on a grid of ``shape`` (latitude, longitude)."""
        self.count: NDArray[np.uint8] = np.zeros(shape, dtype=np.uint8)
        self._total: NDArray[np.float64] = np.zeros(shape, dtype=np.float64)

    def add(self, field: NDArray[Any], unpacking: Unpacking) -> int:
        """Add one day's stored numbers, [latitude, longitude]; returns how many of them are values."""
        bounds = stored_bounds(field.dtype, unpacking)
        return _add(field, *bounds, unpacking.scale, unpacking.offset, self._total, self.count)

    def mean(self) -> NDArray[np.float64]:
        """The mean, NaN where no day had a value; ends the accumulation (the sums are turned into the mean)."""
        _divide(self._total, self.count)
        return self._total
