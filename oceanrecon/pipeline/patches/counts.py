"""How many profiles each patch has around each date, and which of them is the nearest in time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from oceanrecon.grid import PatchGrid
from oceanrecon.transform.compiled import Array, compiled


@dataclass(frozen=True, eq=False)
class Counter:
    """Counts profiles in the tiles of a patch grid.

    The tiles that hold a pixel are a range of rows of tiles times a range of columns of tiles, or two ranges of columns
    where tiles cross the dateline.
    """

    shape: tuple[int, int]
    #: first and last (excluded) row of tiles, then of columns, then of columns that are reached from the east: [6, n]
    ranges: NDArray[np.int64]
    #: days since any date, ascending: [n]
    day: NDArray[np.int64]

    @classmethod
    def of(
        cls, patches: PatchGrid, row: NDArray[np.int64], column: NDArray[np.int64], day: NDArray[np.int64]
    ) -> Counter:
        """Of profiles at pixels of the grid, by ascending day: [n] each."""
        if np.any(np.diff(day) < 0):
            raise ValueError("profiles must be sorted by day")
        rows, columns, tile = patches.row_starts, patches.column_starts, patches.tile
        found = [*_between(rows, row, tile), *_between(columns, column, tile)]
        # a tile that begins further east sees the pixel one turn on
        found += _between(columns, column + patches.grid.width, tile)
        return cls(patches.shape, np.array(found, np.int64).reshape(6, -1), day)

    def around(self, day: int, days: int) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """Profiles within ``(days - 1) / 2`` days of a day, and the nearest of them (ties to the earlier): [tile] each.

        The nearest is the place of a profile among all, -1 where there is none.
        """
        count = np.zeros(self.shape, np.int32)
        nearest = np.full(self.shape, -1, np.int32)
        half = (days - 1) // 2
        for one in sorted(range(day - half, day + half + 1), key=lambda other: (abs(other - day), other)):
            first, last = np.searchsorted(self.day, [one, one + 1])
            _add(self.ranges, int(first), int(last), count, nearest)
        return count.ravel(), nearest.ravel()


def _between(starts: NDArray[np.int64], at: NDArray[np.int64], tile: int) -> list[NDArray[np.int64]]:
    """First and last (excluded) of the tiles with ``start <= at < start + tile``: [n] each."""
    return [np.searchsorted(starts, at - tile, side="right"), np.searchsorted(starts, at, side="right")]


@compiled
def _add(ranges: Array, first: int, last: int, count: Array, nearest: Array) -> None:
    for n in range(first, last):
        for i in range(ranges[0, n], ranges[1, n]):
            for pair in range(2):
                for j in range(ranges[2 + 2 * pair, n], ranges[3 + 2 * pair, n]):
                    if count[i, j] == 0:
                        nearest[i, j] = n
                    count[i, j] += 1
