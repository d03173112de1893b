"""A coarse grid over the extent of a fine one: which cell holds a pixel, and how values of cells become a pixel's."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from oceanrecon.grid.raster import RasterGrid


def coarse_grid(grid: RasterGrid, resolution: float) -> RasterGrid:
    """Cells of about ``resolution`` degrees, and no smaller than pixels, that cover the extent of ``grid`` exactly."""
    width = min(grid.width, max(1, round(grid.width * grid.dx / resolution)))
    height = min(grid.height, max(1, round(grid.height * grid.dy / resolution)))
    dx, dy = grid.width * grid.dx / width, grid.height * grid.dy / height
    return RasterGrid(grid.west, grid.north, dx, dy, width, height, grid.crs)


@dataclass(frozen=True, eq=False)
class Nesting:
    """How the pixels of a grid lie in the cells of a coarse one.

    A pixel's value is interpolated from the centres of the four cells around it, bilinearly; beyond the outermost
    centres it is that of the outermost cell, or around the globe that of the cell on the other side of the dateline.
    """

    #: row of the cell that holds a pixel: [height], and its column: [width]
    row: NDArray[np.int64]
    column: NDArray[np.int64]
    #: rows of the cells before and after the centre of a pixel: [2, height]
    rows: NDArray[np.int64]
    #: how much the second of them counts: [height]
    row_weight: NDArray[np.float64]
    #: the same of columns: [2, width], [width]
    columns: NDArray[np.int64]
    column_weight: NDArray[np.float64]

    @classmethod
    def of(cls, grid: RasterGrid, coarse: RasterGrid) -> Nesting:
        """Of two grids of the same extent."""
        row, rows, row_weight = _along(grid.height, coarse.height, periodic=False)
        column, columns, column_weight = _along(grid.width, coarse.width, periodic=grid.periodic)
        return cls(row, column, rows, row_weight, columns, column_weight)

    def interpolated(
        self, values: NDArray[np.floating], rows: slice = slice(None), columns: slice = slice(None)
    ) -> NDArray[np.float32]:
        """Values of cells [..., coarse row, coarse column] at pixels of some rows and columns: [..., row, column]."""
        west, east = self.columns[:, columns]
        down = self.row_weight[rows, None].astype(np.float32)
        across = self.column_weight[columns].astype(np.float32)
        between = values[..., self.rows[0, rows], :] * (1 - down) + values[..., self.rows[1, rows], :] * down
        found = between[..., west] * (1 - across) + between[..., east] * across
        return np.asarray(found, np.float32)

    def at_pixels(
        self, values: NDArray[np.floating], row: NDArray[np.integer], column: NDArray[np.integer]
    ) -> NDArray[np.float32]:
        """Values of cells [..., coarse row, coarse column] at single pixels: [..., pixel]."""
        (north, south), (west, east) = self.rows[:, row], self.columns[:, column]
        down, across = self.row_weight[row].astype(np.float32), self.column_weight[column].astype(np.float32)
        upper = values[..., north, west] * (1 - across) + values[..., north, east] * across
        lower = values[..., south, west] * (1 - across) + values[..., south, east] * across
        return np.asarray(upper * (1 - down) + lower * down, np.float32)


def _along(
    pixels: int, cells: int, *, periodic: bool
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Along one axis: the cell of each pixel [n], the cells before and after [2, n], and the weight of the second."""
    place = (np.arange(pixels) + 0.5) * cells / pixels
    before = np.floor(place - 0.5)
    weight = place - 0.5 - before
    both = np.stack([before, before + 1]).astype(np.int64)
    both = both % cells if periodic else np.clip(both, 0, cells - 1)
    return np.floor(place).astype(np.int64), both, weight
