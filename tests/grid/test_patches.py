"""Tiles cover what they say, are where they say, and meet across the dateline without a seam."""

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from oceanrecon.errors import ConfigError
from oceanrecon.grid import PatchGrid, RasterGrid
from oceanrecon.grid.patches import Edges

#: 360 x 170 pixels of one degree.
GLOBE = RasterGrid(-180.0, 85.0, 1.0, 1.0, 360, 170)


@given(st.integers(1, 60), st.integers(1, 90), st.integers(0, 200), st.booleans())
def test_even_starts_touch_both_edges_at_equal_distances(tile: int, stride: int, more: int, periodic: bool) -> None:
    size = tile + more
    grid = RasterGrid(-180.0, 80.0, 360.0 / size, 160.0 / (tile + 7), size, tile + 7)
    patches = PatchGrid(grid, tile, stride, "even", periodic)
    starts = patches.column_starts
    gaps = np.diff(starts)
    assert starts[0] == 0
    if periodic:
        gaps = np.append(gaps, starts[0] + size - starts[-1])
    elif starts.size > 1:
        assert starts[-1] + tile == size
    assert np.ptp(gaps) <= 1 if gaps.size else True
    if stride < tile:
        # a pixel may be in many tiles and is in one at least
        assert starts[-1] + tile >= size
        assert (gaps <= stride).all()
    elif starts.size > 1:
        assert (gaps >= stride).all()


@given(st.integers(1, 60), st.integers(1, 90), st.integers(0, 200), st.booleans(), st.sampled_from(["regular", "last"]))
def test_regular_starts_are_multiples_of_the_stride(
    tile: int, stride: int, more: int, periodic: bool, edges: Edges
) -> None:
    size = tile + more
    grid = RasterGrid(-180.0, 80.0, 360.0 / size, 160.0 / (tile + more), size, tile + more)
    patches = PatchGrid(grid, tile, stride, edges, periodic)
    rows, columns = patches.row_starts, patches.column_starts
    regular = np.arange(0, more + 1, stride)
    assert rows[: regular.size].tolist() == regular.tolist()
    assert rows.size == regular.size + (edges == "last" and more % stride > 0)
    if edges == "last":
        assert rows[-1] == more
    if periodic:
        assert (columns % stride == 0).all()
        assert columns[-1] < size
        if stride >= tile:
            assert columns[0] + size >= columns[-1] + tile
    else:
        assert columns.tolist() == rows.tolist()


@pytest.mark.parametrize("periodic", [False, True])
@pytest.mark.parametrize("stride", [16, 32, 40])
def test_means_and_overlap_are_those_of_the_pixels(stride: int, periodic: bool) -> None:
    field = np.random.default_rng(3).random((170, 360))
    patches = PatchGrid(GLOBE, 32, stride, "last", periodic)
    times = np.zeros((170, 360), int)
    expected = []
    for y0, x0 in zip(*patches.corners, strict=True):
        columns = np.arange(x0, x0 + 32) % 360
        expected.append(field[y0 : y0 + 32, columns].mean())
        times[y0 : y0 + 32, columns] += 1
    np.testing.assert_allclose(patches.means(field), expected, rtol=1e-12)
    assert patches.overlapping == (times.max() > 1)


def test_a_tile_knows_its_place() -> None:
    patches = PatchGrid(GLOBE, 20, 20, "regular", periodic=True)
    assert patches.shape == (8, 18)
    south, north, west, east = patches.bounds()
    assert (south[0], north[0], west[0], east[0]) == (65.0, 85.0, -180.0, -160.0)
    assert (west[17], east[17]) == (160.0, 180.0)  # the last one ends at 180, not at -180
    latitude, longitude = patches.centres()
    assert (latitude[19], longitude[19]) == (55.0, -150.0)
    assert patches.ids[19] == 20 * 360 + 20
    assert [part[19] for part in patches.corner_of(patches.ids)] == [20, 20]


def test_names_do_not_depend_on_the_other_tiles() -> None:
    wide, narrow = PatchGrid(GLOBE, 20, 20, "regular"), PatchGrid(GLOBE, 20, 10, "regular", periodic=True)
    assert set(wide.ids) <= set(narrow.ids)
    assert (np.diff(narrow.ids) > 0).all()


@pytest.mark.parametrize("west", [-180.0, 0.0, 20.0])
def test_outlines_split_at_the_dateline_and_run_counter_clockwise(west: float) -> None:
    grid = RasterGrid(west, 85.0, 0.5, 0.5, 720, 340)
    patches = PatchGrid(grid, 70, 50, "even", periodic=True)
    split = 0
    for number in range(patches.shape[1]):
        text = patches.outline(number)
        rings = [
            np.array([point.split() for point in ring.split(",")], float) for ring in re.findall(r"\(([^()]+)\)", text)
        ]
        x = [ring[:, 0] for ring in rings]
        areas = [
            0.5 * float(np.sum(ring[:-1, 0] * ring[1:, 1] - ring[1:, 0] * ring[:-1, 1])) for ring in rings
        ]  # positive: counter-clockwise
        assert all((ring[0] == ring[-1]).all() and len(ring) == 5 for ring in rings)
        assert min(areas) > 0
        assert sum(areas) == pytest.approx(35.0**2)
        assert np.abs(np.concatenate(x)).max() <= 180.0
        split += len(rings) - 1
        assert text.startswith("POLYGON ((" if len(rings) == 1 else "MULTIPOLYGON (((")
        # the pixels of the tile are inside
        columns = patches.column_starts[number] + np.array([0, 35, 69])
        middle = (west + (columns + 0.5) * 0.5 + 180.0) % 360.0 - 180.0
        assert all(any(ring.min() < point < ring.max() for ring in x) for point in middle)
    assert split >= 1


def test_a_regional_grid_has_no_way_round() -> None:
    region = RasterGrid.from_bounds(0.5, (150.0, -20.0, 190.0, 20.0))
    patches = PatchGrid(region, 40, 40, "regular")
    assert patches.bounds()[2].tolist() == [150.0, 170.0] * 2
    assert patches.bounds()[3].tolist() == [170.0, -170.0] * 2
    assert patches.centres()[1].tolist() == [160.0, -180.0] * 2
    assert patches.outline(1) == (
        "MULTIPOLYGON (((170 0, 180 0, 180 20, 170 20, 170 0)), ((-180 0, -170 0, -170 20, -180 20, -180 0)))"
    )
    with pytest.raises(ConfigError, match="spans 40 of 360 degrees"):
        PatchGrid(region, 40, 40, periodic=True)
    with pytest.raises(ConfigError, match="tile of 128 pixels does not fit into a grid of 80 x 80"):
        PatchGrid(region, 128, 128)
