"""Risk: a pixel is scored twice at a date, or all rows are of one patch."""

from __future__ import annotations

import numpy as np
import pytest

from oceanrecon.grid import PatchGrid, RasterGrid
from oceanrecon.samples.rows import every_row
from oceanrecon.training.evaluation.selection import apart, evenly
from oceanrecon.training.evaluation.tally import thinned


@pytest.mark.parametrize("edges", ["even", "regular"])
def test_no_pixel_is_scored_twice_at_a_date(edges: str) -> None:
    grid = RasterGrid.from_bounds(10.0, (-180, -60, 180, 60))
    patches = PatchGrid(grid, 5, 3, edges, periodic=True)  # type: ignore[arg-type]
    rows = every_row(patches, (20120229, 20120222))
    found = apart(rows, grid)
    assert rows.date[found].tolist() == sorted(rows.date[found])
    for date in (20120222, 20120229):
        times = np.zeros((grid.height, grid.width), int)
        for patch in rows.patch_id[found][rows.date[found] == date]:
            down, across = divmod(patch, grid.width)
            times[down : down + 5, (across + np.arange(5)) % grid.width] += 1
        assert times.max() == 1
        # nothing that is left out would have had room
        for patch in np.setdiff1d(patches.ids, rows.patch_id[found]):
            down, across = divmod(patch, grid.width)
            assert times[down : down + 5, (across + np.arange(5)) % grid.width].any()


def test_patches_at_the_edge_of_a_region_are_no_neighbours() -> None:
    grid = RasterGrid.from_bounds(10.0, (0, 0, 100, 50))
    rows = every_row(PatchGrid(grid, 5, 5, "regular"), (20120222,))
    assert apart(rows, grid).size == 2


def test_rows_are_spread_in_time_and_over_patches() -> None:
    assert evenly(5, 9).tolist() == [0, 1, 2, 3, 4]
    # 52 dates of six patches each: one of every date, and not always the same
    found = evenly(312, 52)
    assert (found // 6).tolist() == list(range(52))
    assert np.bincount(found % 6, minlength=6).min() >= 6


def test_pixels_are_thinned_evenly() -> None:
    rows, columns = thinned((4, 32), 16)
    assert rows.size == 64
    assert np.unique(rows).tolist() == [0, 1, 2, 3]
    assert np.unique(columns).tolist() == list(range(1, 32, 2))
    assert np.unique(thinned((128, 128), 16)[0]).tolist() == list(range(4, 128, 8))
