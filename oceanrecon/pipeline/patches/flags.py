"""How much of each patch the flags of an OSTIA file leave, on the file's own cells."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from oceanrecon.grid import Axis, PatchGrid, RasterGrid
from oceanrecon.sources.flags import FlaggedCells
from oceanrecon.transform.regrid import Unpacking, build_weights, regrid

#: Rows of the file that are summed at once.
_BAND = 256


def invalid_fraction(cells: FlaggedCells, patches: PatchGrid) -> NDArray[np.float64]:
    """Share of each patch, in square degrees, that is flagged or that the file does not cover: [tile].

    Where the edges of patches are edges of the file's cells it is their count over the number of cells. A patch of
    which a regional file covers one half is invalid by one half at least: nothing is known about the rest.
    """
    grid = patches.grid
    north = grid.north - patches.row_starts * grid.dy
    west = grid.west + patches.column_starts * grid.dx
    rows = _shares(cells.latitude, north - patches.tile * grid.dy, patches.tile * grid.dy, turn=False)
    columns = _shares(cells.longitude, west, patches.tile * grid.dx, turn=True)
    valid = np.zeros(patches.shape)
    for first in range(0, cells.latitude.size, _BAND):
        band = slice(first, first + _BAND)
        valid += rows[:, band] @ (~cells.flagged[band] @ columns.T)
    return np.clip(1.0 - valid.ravel(), 0.0, 1.0)


def flagged_mask(cells: FlaggedCells, grid: RasterGrid) -> NDArray[np.uint8]:
    """The flagged pixels of a grid: [height, width], 1 where most of a pixel is flagged or the file does not cover it.

    A file coarser than the grid is interpolated at the pixels' centres.
    """
    weights = build_weights(cells.latitude, cells.longitude, grid)
    share = regrid(cells.flagged[None].astype(np.uint8), weights, Unpacking())[0]
    return np.asarray(~(share <= 0.5), np.uint8)


def _shares(axis: Axis, low: NDArray[np.floating[Any]], size: float, *, turn: bool) -> NDArray[np.float64]:
    """Share of each span ``low..low + size`` (degrees) that is in each cell of an axis: [span, cell]."""
    edge = axis.values - 0.5 * abs(axis.step)
    offset = edge[None] - low[:, None]
    # the same place one turn on, or one back, for spans and files that begin anywhere
    turns = 360.0 * np.arange(-2, 3) if turn else np.zeros(1)
    overlap = np.zeros(offset.shape)
    for moved in turns:
        start = np.maximum(offset + moved, 0.0)
        overlap += np.maximum(np.minimum(offset + moved + abs(axis.step), size) - start, 0.0)
    return overlap / size
