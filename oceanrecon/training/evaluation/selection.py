"""Which rows are scored: patches that do not overlap, evenly through the dates."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from oceanrecon.grid import RasterGrid
from oceanrecon.samples.rows import Rows

#: Part of a turn after which one more never comes close to those before.
_GOLDEN = (5**0.5 - 1) / 2


def apart(rows: Rows, grid: RasterGrid) -> NDArray[np.int64]:
    """Rows whose patches share no pixel at one date, so that none is scored twice: their numbers, by date and patch.

    Of the patches of a date each is taken, in order, that overlaps none before it.

    Args:
        rows: of any patches and dates.
        grid: that they are on; where it goes around the Earth, patches overlap across its edge too.
    """
    order = np.lexsort((rows.patch_id, rows.date))
    dates = np.split(order, np.flatnonzero(np.diff(rows.date[order])) + 1)
    known: dict[bytes, NDArray[np.int64]] = {}
    found = []
    for some in dates:
        patches = rows.patch_id[some]
        key = patches.tobytes()
        if key not in known:
            known[key] = _apart(patches, rows.tile, grid)
        found.append(some[known[key]])
    return np.concatenate(found)


def evenly(count: int, most: int) -> NDArray[np.int64]:
    """At most so many places of ``count``: one of each of as many equal parts, at another place in each of them.

    One at the same place in each would be the same patch at every date.
    """
    if count <= most:
        return np.arange(count)
    inside = np.arange(most) * _GOLDEN % 1.0
    return ((np.arange(most) + inside) * (count / most)).astype(np.int64)


def _apart(patches: NDArray[np.int64], tile: int, grid: RasterGrid) -> NDArray[np.int64]:
    kept: list[int] = []
    down, across = patches // grid.width, patches % grid.width
    for number in range(patches.size):
        east = across[kept] - across[number]
        if grid.periodic:
            east = np.mod(east + grid.width // 2, grid.width) - grid.width // 2
        if not ((np.abs(down[kept] - down[number]) < tile) & (np.abs(east) < tile)).any():
            kept.append(number)
    return np.array(kept, np.int64)
