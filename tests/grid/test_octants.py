"""Risk: a row, a column or a point on an edge, at a pole or at the dateline is in no region, or in two."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from oceanrecon.errors import ConfigError
from oceanrecon.grid.octants import OCTANTS, CellGrid, cut, octant, octant_of, touched, wrapped
from oceanrecon.grid.regions import Box

NAMES = [one.name for one in OCTANTS]
#: Rows and columns of the reanalysis: the pole has one, and the equator's is not quite there.
ROWS = np.linspace(-80.0, 90.0, 2041)
ROWS[np.abs(ROWS).argmin()] = -4.5e-12


def named(latitude: float, longitude: float) -> str:
    return NAMES[int(octant_of(np.array([latitude]), np.array([longitude]))[0])]


@pytest.mark.parametrize("start", [-180.0, 0.0, -179.9583])
@pytest.mark.parametrize("falling", [False, True])
def test_every_row_and_column_of_the_reanalysis_is_in_one_region(start: float, falling: bool) -> None:
    rows = ROWS[::-1] if falling else ROWS
    columns = start + np.arange(4320) / 12
    seen = np.zeros((rows.size, columns.size), np.int8)
    found = cut(rows, columns)
    assert sorted(number for number, _, _ in found) == list(range(8))
    for number, south_north, west_east in found:
        seen[south_north, west_east] += 1
        box = OCTANTS[number]
        inside = rows[south_north]
        assert inside.size == (1081 if number >= 4 else 960)  # 0 and 90 are northern
        assert -1e-9 <= inside.min() - box.south and inside.max() <= box.north
        east = wrapped(columns[west_east])
        assert (np.diff(east) > 0).all()
        assert box.west <= east[0] and east[-1] < box.east
    assert (seen == 1).all()


def test_a_grid_with_both_ends_of_the_dateline_keeps_both_in_the_west() -> None:
    found = {number: columns for number, _, columns in cut(np.array([10.0, 20.0]), np.linspace(-180.0, 180.0, 5))}
    assert found[4].tolist() == [0, 4]
    assert found[7].tolist() == [3]


def test_edges_poles_and_any_turn_of_longitude_by_hand() -> None:
    assert named(0.0, 0.0) == "NORTH_INDIAN"
    assert named(-1e-12, 0.0) == "SOUTH_INDIAN"  # a point is where it is: only rows of grids are drawn to edges
    assert named(90.0, -90.0) == "NORTH_ATLANTIC"
    assert named(-90.0, 90.0) == "SOUTH_PACIFIC_EAST"
    for dateline in (180.0, -180.0, 540.0):
        assert named(5.0, dateline) == "NORTH_PACIFIC_WEST"
    assert named(-5.0, 359.9) == "SOUTH_ATLANTIC"
    assert named(5.0, -1e-15) == "NORTH_INDIAN"  # closer to 0 than 180 has digits for


@pytest.mark.parametrize(
    ("latitude", "longitude"),
    [(math.nan, 0.0), (0.0, math.nan), (99999.0, 99999.0), (90.000001, 0.0), (-99.999, -999.999), (0.0, math.inf)],
)
def test_what_is_no_place_is_in_no_region(latitude: float, longitude: float) -> None:
    with np.errstate(invalid="ignore"):
        assert octant_of(np.array([latitude]), np.array([longitude])).tolist() == [-1]


@given(st.floats(-90, 90), st.floats(-540, 540))
def test_each_place_is_in_the_box_and_the_cell_that_hold_it(latitude: float, longitude: float) -> None:
    number = int(octant_of(np.array([latitude]), np.array([longitude]))[0])
    grid = CellGrid(OCTANTS[number], 7.0)
    rows, columns = grid.shape
    cell = int(grid.cell(np.array([latitude]), np.array([longitude]))[0])
    assert 0 <= cell < rows * columns
    row, column = divmod(cell, columns)
    off = latitude - grid.latitude[row], float(wrapped(longitude)) - grid.longitude[column]
    assert all(abs(far) <= step / 2 + 1e-9 for far, step in zip(off, grid.spacing, strict=True))


def test_cells_fill_their_region_and_have_the_published_sizes() -> None:
    assert CellGrid(OCTANTS[0], 7.0).shape == (1429, 1014)
    fine = CellGrid(OCTANTS[7], 2.0)
    assert fine.shape == (5001, 3548)
    # from edge to edge: the published ones hang over by half a cell
    assert fine.latitude[0] - fine.spacing[0] / 2 == pytest.approx(0.0, abs=1e-9)
    assert fine.longitude[-1] + fine.spacing[1] / 2 == pytest.approx(180.0, abs=1e-9)
    # of the ellipsoid at 45 degrees: 111.13 km a degree of latitude
    assert fine.spacing[0] * 111.132 == pytest.approx(2.0, abs=2e-3)


@pytest.mark.parametrize(
    ("box", "names"),
    [
        ((-60.0, 20.0, -30.0, 40.0), ["NORTH_ATLANTIC"]),
        ((-90.0, 0.0, 0.0, 90.0), ["NORTH_ATLANTIC"]),  # touches seven others
        ((-10.0, -5.0, 10.0, 5.0), ["SOUTH_ATLANTIC", "SOUTH_INDIAN", "NORTH_ATLANTIC", "NORTH_INDIAN"]),
        ((170.0, 10.0, -170.0, 20.0), ["NORTH_PACIFIC_WEST", "NORTH_PACIFIC_EAST"]),
        ((-180.0, 10.0, 180.0, 20.0), NAMES[4:]),
    ],
)
def test_a_box_touches_the_regions_that_it_has_a_part_of(box: Box, names: list[str]) -> None:
    assert [one.name for one in touched(box)] == names


def test_an_impossible_box_or_name_is_refused() -> None:
    with pytest.raises(ConfigError, match="south < north"):
        touched((0.0, 10.0, 10.0, 10.0))
    with pytest.raises(ConfigError, match="NORTH_ATLANTIC"):
        octant("ATLANTIC")
