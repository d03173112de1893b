"""Fields sampled at profiles: against sums over all nodes of the grid, against xarray, and by hand."""

import numpy as np
import pytest
import xarray as xr
from numpy.typing import NDArray

from oceanrecon.grid import Axis
from oceanrecon.transform.colocate import Footprint, accumulate, finish, footprint
from oceanrecon.transform.regrid import Unpacking

NOTHING = Unpacking()
Field = NDArray[np.float64]


def sample(
    field: NDArray[np.generic],
    grid: tuple[Axis, Axis],
    latitude: Field,
    longitude: Field,
    *,
    chunk: tuple[int, int] = (7, 11),
    levels: int = 2,
    nearest: bool = False,
    unpacking: Unpacking = NOTHING,
) -> NDArray[np.float32]:
    """Values at points: [point, level]; the field is handed over chunk by chunk, ``levels`` at a time."""
    feet = footprint(*grid, latitude, longitude, chunk, nearest=nearest)
    sums = np.zeros((latitude.size, field.shape[0]))
    weights = np.zeros_like(sums)
    for (i, j), part in feet.chunks():
        rows = slice(i * chunk[0], (i + 1) * chunk[0])
        columns = slice(j * chunk[1], (j + 1) * chunk[1])
        for first in range(0, field.shape[0], levels):
            slab = np.ascontiguousarray(field[first : first + levels, rows, columns])
            accumulate(slab, first, rows.start, columns.start, feet, part, unpacking, sums, weights)
    return finish(sums, weights)


def hats(axis: Axis, at: float, *, longitude: bool) -> Field:
    """Weight of every node of an axis: 1 at the node, 0 a cell away; the ends reach half a cell further."""
    if axis.period:
        half = axis.size / 2
        away = ((at - axis.values) / axis.step + half) % axis.size - half
    else:
        turns = [at + turn for turn in (-720, -360, 0, 360, 720)] if longitude else [at]
        position = min(((turn - axis.first) / axis.step for turn in turns), key=lambda p: abs(p - axis.size / 2))
        if not -0.5 <= position <= axis.size - 0.5:
            return np.zeros(axis.size)
        away = min(max(position, 0.0), axis.size - 1.0) - np.arange(axis.size, dtype=np.float64)
    return np.asarray(np.maximum(0, 1 - np.abs(away)))


def brute_force(field: Field, grid: tuple[Axis, Axis], latitude: Field, longitude: Field) -> Field:
    out = np.full((latitude.size, field.shape[0]), np.nan)
    for point, (y, x) in enumerate(zip(latitude, longitude, strict=True)):
        weight = hats(grid[0], y, longitude=False)[:, None] * hats(grid[1], x, longitude=True)
        for level, plane in enumerate(field):
            valid = np.isfinite(plane) & (weight > 1e-9)
            if valid.any():
                out[point, level] = (weight[valid] * plane[valid]).sum() / weight[valid].sum()
    return out


GRIDS = {
    "reanalysis, -80 to 90, -180..180": (Axis(-80, 5, 35), Axis(-180, 5, 72, 360.0)),
    "cell centres, 0..360": (Axis(-87.5, 5, 36), Axis(2.5, 5, 72, 360.0)),
    "north first, east to west": (Axis(87.5, -5, 36), Axis(177.5, -5, 72, 360.0)),
    "region": (Axis(30.25, 0.5, 30), Axis(-20.25, 0.5, 50)),
    "region over Greenwich in 0..360": (Axis(44.75, -0.5, 30), Axis(350.25, 0.5, 50)),
    "region over the dateline": (Axis(-20, 1, 20), Axis(170, 1, 25)),
}


@pytest.mark.parametrize("name", GRIDS)
@pytest.mark.parametrize("gaps", [0.0, 0.5])
def test_values_and_gaps_agree_with_sums_over_all_nodes(name: str, gaps: float) -> None:
    grid = GRIDS[name]
    random = np.random.default_rng(1)
    field = random.normal(size=(3, grid[0].size, grid[1].size))
    field[random.random(field.shape) < gaps] = np.nan
    ends = [sorted((axis.values[0], axis.values[-1])) for axis in grid]
    latitude = random.uniform(ends[0][0] - 2, ends[0][1] + 2, 400).clip(-90, 90)
    longitude = random.uniform(ends[1][0] - 2, ends[1][1] + 2, 400)
    longitude += random.choice([-360.0, 0.0, 360.0], 400)
    # on nodes, on both poles and on the dateline, however it is written
    latitude[:40] = random.choice(grid[0].values, 40)
    longitude[20:60] = random.choice(grid[1].values, 40)
    latitude[60:80] = np.repeat([-90.0, 90.0], 10)
    longitude[80:90] = np.repeat([-180.0, 180.0], 5)

    got = sample(field, grid, latitude, longitude)

    expected = brute_force(field, grid, latitude, longitude)
    np.testing.assert_array_equal(np.isnan(got), np.isnan(expected))
    np.testing.assert_allclose(got, expected, rtol=1e-6, atol=1e-6)
    assert np.isfinite(expected).mean() > 0.4


@pytest.mark.parametrize("name", ["reanalysis, -80 to 90, -180..180", "north first, east to west", "region"])
def test_inside_the_grid_values_are_those_of_xarray(name: str) -> None:
    grid = GRIDS[name]
    random = np.random.default_rng(2)
    field = random.normal(size=(4, grid[0].size, grid[1].size))
    # a point lies between the first and the last node: where xarray has values
    latitude, longitude = (random.uniform(a.values.min(), a.values.max(), 300) for a in grid)
    array = xr.DataArray(field, dims=("level", "y", "x"), coords={"y": grid[0].values, "x": grid[1].values})
    expected = array.interp(y=xr.DataArray(latitude, dims="p"), x=xr.DataArray(longitude, dims="p")).transpose("p", ...)
    np.testing.assert_allclose(sample(field, grid, latitude, longitude), expected.values, rtol=1e-6, atol=1e-6)


def test_the_dateline_and_greenwich_are_no_edges() -> None:
    """Profiles a metre on either side, and the same place a turn further, see the same field."""
    random = np.random.default_rng(3)
    for name in ("reanalysis, -80 to 90, -180..180", "cell centres, 0..360"):
        grid = GRIDS[name]
        field = random.normal(size=(1, grid[0].size, grid[1].size))
        for seam in (180.0, 0.0):
            longitude = np.array([seam - 1e-5, seam + 1e-5, seam, seam - 360, seam + 360])
            got = sample(field, grid, np.full(5, 12.3), longitude)[:, 0]
            np.testing.assert_allclose(got, got[2], atol=1e-4)
            assert got[2] == got[3] == got[4]


def test_grids_of_cell_centres_reach_the_poles_and_half_a_cell_is_the_limit() -> None:
    grid = (Axis(-87.5, 5, 36), Axis(0, 60, 6, 360.0))
    field = np.broadcast_to(grid[0].values[:, None], (1, 36, 6)).copy()
    got = sample(field, grid, np.array([-90.0, -88.0, 88.0, 90.0]), np.zeros(4))[:, 0]
    assert got.tolist() == [-87.5, -87.5, 87.5, 87.5]
    region = (Axis(10, 1, 4), Axis(20, 1, 4))
    ones = np.ones((1, 4, 4))
    for at, inside in ((9.5, True), (9.49, False), (13.5, True), (13.51, False)):
        assert np.isfinite(sample(ones, region, np.array([at]), np.array([21.0]))[0, 0]) == inside
        assert np.isfinite(sample(ones, region, np.array([11.0]), np.array([at + 10]))[0, 0]) == inside


def test_at_a_coast_the_wet_nodes_share_the_weight() -> None:
    """A quarter north and a quarter east of the first node: weights 9, 3, 3 and 1 sixteenths."""
    grid = (Axis(0, 1, 2), Axis(0, 1, 2))
    at = (np.array([0.25]), np.array([0.25]))
    for south_west, south_east, north_west, north_east, expected in (
        (1.0, 2.0, 3.0, 4.0, (9 + 6 + 9 + 4) / 16),
        (1.0, np.nan, 3.0, 4.0, (9 + 9 + 4) / 13),
        (1.0, np.nan, np.nan, 4.0, (9 + 4) / 10),
        (np.nan, np.nan, np.nan, 4.0, 4.0),
        (np.nan, np.nan, np.nan, np.nan, np.nan),
    ):
        field = np.array([[[south_west, south_east], [north_west, north_east]]])
        np.testing.assert_allclose(sample(field, grid, *at), [[expected]], rtol=1e-7)


def test_a_level_below_the_floor_is_missing_and_the_one_above_is_not() -> None:
    grid = (Axis(0, 1, 2), Axis(0, 1, 2))
    field = np.full((2, 2, 2), 7.0)
    field[1] = np.nan
    got = sample(field, grid, np.array([0.5]), np.array([0.5]))
    assert got[0, 0] == 7
    assert np.isnan(got[0, 1])


def test_the_node_of_a_profile_on_it_is_taken_as_it_is() -> None:
    """A missing neighbour, or a huge one, has no part in it; float32 coordinates are on their nodes too."""
    values = (np.arange(2041) / 12 - 80).astype(np.float32)
    grid = (Axis.from_values(values), Axis.from_values(np.arange(-180, 180, 5.0), longitude=True))
    field = np.full((1, 2041, 72), 1e9)
    field[0, 1000, 36] = 3.0
    got = sample(field, grid, values[1000:1001].astype(np.float64), np.array([0.0]), chunk=(341, 72))
    assert got.tolist() == [[3.0]]


def test_nearest_takes_one_node_and_of_equal_ones_the_first() -> None:
    grid = (Axis(10.05, 0.1, 6), Axis(0.05, 0.1, 8))
    field = np.arange(48.0).reshape(1, 6, 8)
    latitude = np.array([10.05, 10.099, 10.1, 10.101, 10.5, 10.6, 10.0, 10.61])
    longitude = np.array([0.05, 0.05, 0.1, 0.05, 0.2, 0.8, 0.0, 0.05])
    got = sample(field, grid, latitude, longitude, nearest=True)[:, 0]
    np.testing.assert_array_equal(got, np.array([0, 0, 0, 8, 4 * 8 + 1, 47, 0, np.nan], dtype=np.float32))


def test_nearest_never_mixes_categories_and_never_looks_further() -> None:
    grid = (Axis(-89.5, 1, 180), Axis(-179.5, 1, 360, 360.0))
    random = np.random.default_rng(4)
    mask = random.choice(np.array([1, 2, 5, 9, -128], dtype=np.int8), (1, 180, 360))
    latitude, longitude = random.uniform(-90, 90, 500), random.uniform(-180, 540, 500)
    got = sample(mask, grid, latitude, longitude, chunk=(50, 70), nearest=True, unpacking=Unpacking(fills=(-128.0,)))
    row = np.abs(latitude[:, None] - grid[0].values).argmin(axis=1)
    column = np.abs((longitude[:, None] - grid[1].values + 180) % 360 - 180).argmin(axis=1)
    expected = mask[0, row, column].astype(np.float32)
    expected[expected == -128] = np.nan
    np.testing.assert_array_equal(got[:, 0], expected)


def test_chunks_and_slabs_of_any_size_give_the_same_bits() -> None:
    grid = GRIDS["cell centres, 0..360"]
    random = np.random.default_rng(5)
    field = random.integers(-30000, 30000, (5, 36, 72)).astype(np.int16)
    latitude, longitude = random.uniform(-90, 90, 2000), random.uniform(0, 360, 2000)
    unpacking = Unpacking(scale=0.0007324442, offset=21.0, fills=(-32767.0,))
    whole = sample(field, grid, latitude, longitude, chunk=(36, 72), levels=5, unpacking=unpacking)
    for chunk, levels in (((1, 1), 5), ((7, 11), 1), ((36, 5), 2), ((100, 100), 3)):
        again = sample(field, grid, latitude, longitude, chunk=chunk, levels=levels, unpacking=unpacking)
        np.testing.assert_array_equal(again, whole)


def test_company_does_not_change_a_profile() -> None:
    """Profiles sampled alone, in parts or all at once have the same bits: work can be divided anyhow."""
    grid = GRIDS["cell centres, 0..360"]
    random = np.random.default_rng(6)
    field = random.normal(size=(2, 36, 72)).astype(np.float32)
    latitude, longitude = random.uniform(-90, 90, 60), random.uniform(0, 360, 60)
    together = sample(field, grid, latitude, longitude)
    for part in (slice(0, 1), slice(1, 20), slice(20, 60)):
        np.testing.assert_array_equal(sample(field, grid, latitude[part], longitude[part]), together[part])


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int16, np.int32, np.float32, np.float64])
def test_stored_numbers_of_any_type_are_unpacked_and_fills_left_out(dtype: type[np.number[np.typing.NBitBase]]) -> None:
    """Row 0 holds numbers that are allowed, row 1 two fills, one too low and one too high."""
    grid = (Axis(0, 1, 2), Axis(0, 1, 4))
    field = np.array([[[10, 20, 30, 40], [99, 77, 4, 101]]], dtype=dtype)
    unpacking = Unpacking(scale=0.5, offset=100.0, low=5, high=100, fills=(99.0, 77.0))
    got = sample(field, grid, np.full(4, 0.5), np.arange(4.0), unpacking=unpacking)
    assert got[:, 0].tolist() == [105.0, 110.0, 115.0, 120.0]
    below = sample(field, grid, np.ones(4), np.arange(4.0), unpacking=unpacking)
    assert np.isnan(below).all()


def test_every_chunk_comes_once_with_its_own_nodes_in_memory_order() -> None:
    grid = GRIDS["cell centres, 0..360"]
    random = np.random.default_rng(7)
    feet = footprint(*grid, random.uniform(-90, 90, 300), random.uniform(0, 360, 300), (7, 11))
    keys = [key for key, _ in feet.chunks()]
    assert len(set(keys)) == len(keys) > 20
    covered = 0
    for (i, j), part in feet.chunks():
        assert part.start == covered
        covered = part.stop
        assert set((feet.row[part] // 7).tolist()) == {i}
        assert set((feet.column[part] // 11).tolist()) == {j}
        assert (np.diff(feet.row[part] * 72 + feet.column[part]) >= 0).all()
    assert covered == feet.profile.size
    np.testing.assert_allclose(np.bincount(feet.profile, feet.weight, minlength=300), 1.0)
    assert (feet.weight > 0).all()


def test_profiles_outside_or_nowhere_need_nothing() -> None:
    grid = GRIDS["region"]
    feet = footprint(*grid, np.array([0.0, np.nan, 35.0]), np.array([-10.0, -10.0, np.inf]), (10, 10))
    assert feet.count == 3
    assert list(feet.chunks()) == []
    assert footprint(*grid, np.zeros(0), np.zeros(0), (10, 10)).count == 0
    assert np.isnan(finish(np.zeros((3, 2)), np.zeros((3, 2)))).all()


def a_footprint() -> Footprint:
    return footprint(Axis(0, 1, 20), Axis(0, 1, 20), np.array([12.5]), np.array([3.5]), (10, 10))


def test_a_slab_that_lacks_a_node_is_refused() -> None:
    feet = a_footprint()
    [(_, part)] = feet.chunks()
    slab, sums, weights = np.ones((1, 10, 10)), np.zeros((1, 1)), np.zeros((1, 1))
    for first_row, first_column in ((0, 0), (13, 0), (10, 4), (10, -6)):
        with pytest.raises(ValueError, match=r"node \(1[23], [34]\) is not in the slab"):
            accumulate(slab, 0, first_row, first_column, feet, part, NOTHING, sums, weights)
    accumulate(slab, 0, 10, 0, feet, part, NOTHING, np.zeros((1, 1)), np.zeros((1, 1)))


def test_a_slab_beyond_the_sums_is_refused() -> None:
    feet = a_footprint()
    [(_, part)] = feet.chunks()
    for slab, first, shape in (((3, 10, 10), 0, (1, 2)), ((1, 10, 10), 2, (1, 2)), ((1, 10, 10), 0, (0, 2))):
        with pytest.raises(ValueError, match="do not fit into sums"):
            accumulate(np.ones(slab), first, 10, 0, feet, part, NOTHING, np.zeros(shape), np.zeros(shape))
