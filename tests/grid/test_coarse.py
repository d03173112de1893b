"""Risk: a pixel takes its climatology from the wrong cell, or it jumps at the dateline, or has kinks between cells."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import map_coordinates

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
    # cells of four pixels: pixel 2 (centre 2.5) is t = 1/8 of the way from one centre (2) to the next, which counts
    # (1 + 3 t + 3 t^2 - 3 t^3) / 6 there, and the one behind it, which is the same again, t^3 / 6: 121/512 of 8
    grid = RasterGrid.from_bounds(1.0, (0.0, 0.0, 8.0, 8.0))
    coarse = coarse_grid(grid, 4.0)
    values = np.array([[0.0, 8.0], [80.0, 88.0]])
    found = Nesting.of(grid, coarse).interpolated(values)
    along = np.array([0.325521, 0.893229, 121 / 64, 3.255208, 4.744792, 8 - 121 / 64, 7.106771, 7.674479])
    np.testing.assert_allclose(found, along + 10 * along[:, None], rtol=2e-6)
    np.testing.assert_allclose(
        Nesting.of(grid, coarse).interpolated(values, slice(2, 4), slice(1, None, 3)), found[2:4, 1::3]
    )
    some = np.array([5, 2]), np.array([3, 7])
    np.testing.assert_allclose(Nesting.of(grid, coarse).at_pixels(values, *some), found[some], rtol=1e-6)


def test_around_the_globe_the_last_cell_is_beside_the_first() -> None:
    # scipy's spline without its filter is the same thing
    grid = RasterGrid.from_bounds(9.0, (-180.0, -90.0, 180.0, 90.0))
    coarse = coarse_grid(grid, 30.0)
    values = np.random.default_rng(0).normal(size=(6, 12))
    place = [(np.arange(n) + 0.5) * 9 / 30 - 0.5 for n in (grid.height, grid.width)]
    padded = np.pad(values, ((3, 3), (0, 0)), mode="edge")
    expected = map_coordinates(
        padded, np.meshgrid(place[0] + 3, place[1], indexing="ij"), order=3, prefilter=False, mode="grid-wrap"
    )
    np.testing.assert_allclose(Nesting.of(grid, coarse).interpolated(values), expected, atol=1e-6)


def test_no_wave_is_shorter_than_those_of_the_cells() -> None:
    # waves of 9.5 cells, of 8 pixels each; their shortest images have 1/9.5 to 1 cell: linear ones had 1.4 % of it
    grid = RasterGrid.from_bounds(0.125, (0.0, 0.0, 38.0, 38.0))
    coarse = coarse_grid(grid, 1.0)
    wave = np.tile(np.cos(2 * np.pi * (np.arange(38) + 0.5) / 9.5), (38, 1))
    found = Nesting.of(grid, coarse).interpolated(wave)[150, 16:-16]
    places = (np.arange(16, 304 - 16) + 0.5) / 8
    basis = np.stack([np.cos(2 * np.pi * places / 9.5), np.sin(2 * np.pi * places / 9.5)])
    smooth = np.linalg.lstsq(basis.T, found, rcond=None)[0] @ basis
    assert np.abs(found - smooth).max() < 1e-3 and np.abs(smooth).max() > 0.9
