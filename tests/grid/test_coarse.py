"""Risk: a pixel takes its climatology from the wrong cell, or jumps at the dateline."""

from __future__ import annotations

import numpy as np

from oceanrecon.grid import RasterGrid
from oceanrecon.grid.coarse import Nesting, coarse_grid


def test_cells_cover_the_extent_and_are_never_smaller_than_pixels() -> None:
    grid = RasterGrid.from_bounds(0.25, (-20.0, 10.0, -17.75, 12.0))  # 9 x 8 pixels, 2.25 x 2 degrees
    coarse = coarse_grid(grid, 1.0)
    assert (coarse.width, coarse.height) == (2, 2) and coarse.bounds == grid.bounds
    assert coarse_grid(grid, 0.01) == grid
    assert coarse_grid(grid, 50.0).width == 1
    np.testing.assert_array_equal(Nesting.of(grid, coarse).column, [0, 0, 0, 0, 1, 1, 1, 1, 1])


def test_interpolation_by_hand() -> None:
    # cells of four pixels: centres lie 2 pixels in, so that pixel 2 (centre 2.5) is 1/8 of the way to the next cell
    grid = RasterGrid.from_bounds(1.0, (0.0, 0.0, 8.0, 8.0))
    coarse = coarse_grid(grid, 4.0)
    values = np.array([[0.0, 8.0], [80.0, 88.0]])
    found = Nesting.of(grid, coarse).interpolated(values)
    np.testing.assert_allclose(found[0], [0, 0, 1, 3, 5, 7, 8, 8])
    np.testing.assert_allclose(found[:, 0], [0, 0, 10, 30, 50, 70, 80, 80])
    np.testing.assert_allclose(
        Nesting.of(grid, coarse).interpolated(values, slice(2, 4), slice(1, None, 3)), found[2:4, 1::3]
    )
    some = np.array([5, 2]), np.array([3, 7])
    np.testing.assert_allclose(Nesting.of(grid, coarse).at_pixels(values, *some), found[some])


def test_around_the_globe_the_last_cell_is_beside_the_first() -> None:
    grid = RasterGrid.from_bounds(45.0, (-180.0, -90.0, 180.0, 90.0))
    coarse = coarse_grid(grid, 90.0)
    found = Nesting.of(grid, coarse).interpolated(np.array([[0.0, 4.0, 4.0, 8.0]] * 2))[0]
    np.testing.assert_allclose(found, [2, 1, 3, 4, 4, 5, 7, 6])  # 2 and 6: between 0 and 8
