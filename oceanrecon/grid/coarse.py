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

    A pixel's value is the uniform cubic B-spline whose coefficients are the values of cells: a mean of the 4 x 4 cells
    around, weighted by ``spline``. It has no kinks, whose waves would be shorter than those that an ocean has, never
    leaves the range of the cells and keeps a plane as it is. Beyond the border there is the outermost cell again, or
    around the globe the cell on the other side of the dateline.
    """

    #: row of the cell that holds a pixel: [height], and its column: [width]
    row: NDArray[np.int64]
    column: NDArray[np.int64]
    #: rows of the cells around the centre of a pixel: [4, height]
    rows: NDArray[np.int64]
    #: how much each of them counts: [4, height]
    row_weights: NDArray[np.float32]
    #: the same of columns: [4, width]
    columns: NDArray[np.int64]
    column_weights: NDArray[np.float32]

    @classmethod
    def of(cls, grid: RasterGrid, coarse: RasterGrid) -> Nesting:
        """Of two grids of the same extent."""
        row, rows, row_weights = _along(grid.height, coarse.height, periodic=False)
        column, columns, column_weights = _along(grid.width, coarse.width, periodic=grid.periodic)
        return cls(row, column, rows, row_weights, columns, column_weights)

    def interpolated(
        self, values: NDArray[np.floating], rows: slice = slice(None), columns: slice = slice(None)
    ) -> NDArray[np.float32]:
        """Values of cells [..., coarse row, coarse column] at pixels of some rows and columns: [..., row, column]."""
        down = zip(self.rows[:, rows], self.row_weights[:, rows], strict=True)
        between = sum(values[..., near, :] * weight[:, None] for near, weight in down)
        across = zip(self.columns[:, columns], self.column_weights[:, columns], strict=True)
        return np.asarray(sum(between[..., near] * weight for near, weight in across), np.float32)

    def at_pixels(
        self, values: NDArray[np.floating], row: NDArray[np.integer], column: NDArray[np.integer]
    ) -> NDArray[np.float32]:
        """Values of cells [..., coarse row, coarse column] at single pixels: [..., pixel]."""
        found = np.zeros((*values.shape[:-2], row.size), np.float32)
        for near, down in zip(self.rows[:, row], self.row_weights[:, row], strict=True):
            for beside, across in zip(self.columns[:, column], self.column_weights[:, column], strict=True):
                found += values[..., near, beside] * (down * across)
        return found


def spline(distance: NDArray[np.floating]) -> NDArray[np.float64]:
    """How much a cell counts, by the distance of its centre in cells: a uniform cubic B-spline, 2/3 at 0, 0 from 2."""
    far = np.abs(distance)
    near = 2 / 3 - far**2 + far**3 / 2
    return np.asarray(np.where(far < 1, near, np.maximum(2 - far, 0) ** 3 / 6), np.float64)


def _along(
    pixels: int, cells: int, *, periodic: bool
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]:
    """Along one axis: the cell of each pixel [n], the cells around it and their weights [4, n]."""
    place = (np.arange(pixels) + 0.5) * cells / pixels
    around = np.floor(place - 0.5) + np.arange(-1, 3)[:, None]
    weights = spline(place - 0.5 - around).astype(np.float32)
    near = around.astype(np.int64)
    near = near % cells if periodic else np.clip(near, 0, cells - 1)
    return np.floor(place).astype(np.int64), near, weights
