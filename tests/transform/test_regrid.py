"""The regridder against a brute-force one that knows nothing of separable weights, and against known answers."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from oceanrecon.grid import Axis, RasterGrid
from oceanrecon.transform.encode import stretch
from oceanrecon.transform.regrid import Unpacking, build_weights, regrid, regrid_encode, regrid_largest
from oceanrecon.transform.window import WindowMean

GLOBE = (-180.0, -90.0, 180.0, 90.0)
NOTHING = Unpacking()
Pairs = list[tuple[int, float]]


def bilinear(axis: Axis, at: float, *, longitude: bool) -> Pairs:
    """Nodes and weights around a point: a line from the text of the definition."""
    if longitude and axis.period is None:
        at = min((at + turn for turn in (-360, 0, 360)), key=lambda x: abs(x - axis.values.mean()))
    position = (at - axis.first) / axis.step
    if axis.period:
        position %= axis.size
    elif not -0.5 - 1e-6 <= position <= axis.size - 0.5 + 1e-6:
        return []
    else:
        position = min(max(position, 0.0), axis.size - 1.0)
    if abs(position - round(position)) < 1e-6:
        return [(round(position) % axis.size, 1.0)]
    low = int(position)
    return [(low % axis.size, 1 - position + low), ((low + 1) % axis.size, position - low)]


def overlap(axis: Axis, at: float, width: float, *, longitude: bool) -> Pairs:
    """Source cells under a target cell and the part of its area that each covers, by trying all of them."""

    def size(low: float, high: float) -> float:
        return high - low if longitude else float(np.sin(np.deg2rad(high)) - np.sin(np.deg2rad(low)))

    found = []
    for index in range(axis.size):
        for turn in (-360, 0, 360) if longitude else (0,):
            centre = axis.first + axis.step * index + turn
            low = max(centre - abs(axis.step) / 2, at - width / 2)
            high = min(centre + abs(axis.step) / 2, at + width / 2)
            if high > low + 1e-12:
                found.append((index, float(size(low, high) / size(at - width / 2, at + width / 2))))
    return found


def brute_force(
    field: NDArray[np.float64], latitude: Axis, longitude: Axis, grid: RasterGrid, least: float
) -> NDArray[np.float64]:
    out = np.full((grid.height, grid.width), np.nan)

    def pairs(axis: Axis, at: float, width: float, *, longitude: bool) -> Pairs:
        if abs(axis.step) < 0.499999 * width:
            return overlap(axis, at, width, longitude=longitude)
        return bilinear(axis, at, longitude=longitude)

    rows = [pairs(latitude, at, grid.dy, longitude=False) for at in grid.latitude]
    columns = [pairs(longitude, at, grid.dx, longitude=True) for at in grid.longitude]
    for y, row in enumerate(rows):
        for x, column in enumerate(columns):
            cells = [(a * b, field[i, j]) for i, a in row for j, b in column if np.isfinite(field[i, j])]
            weight = sum(part for part, _ in cells)
            if cells and weight >= least - 1e-6:
                out[y, x] = sum(part * value for part, value in cells) / weight
    return out


CASES = {
    "reanalysis, global to its own far edge": (
        Axis(-80, 5, 35),
        Axis(-180, 5, 72, 360.0),
        RasterGrid.from_bounds(6, GLOBE),
    ),
    "0..360, north first": (Axis(87.5, -5, 36), Axis(2.5, 5, 72, 360.0), RasterGrid.from_bounds(3, GLOBE)),
    "fine source, by area": (Axis(-89.5, 1, 180), Axis(0.5, 1, 360, 360.0), RasterGrid.from_bounds(3, GLOBE)),
    "twice as fine, four cells each": (
        Axis(-89.5, 1, 180),
        Axis(-179.5, 1, 360, 360.0),
        RasterGrid.from_bounds(2, GLOBE),
    ),
    "region in 0..360 on a grid in -180..180": (
        Axis(30.25, 0.5, 30),
        Axis(350.25, 0.5, 50),
        RasterGrid.from_bounds(0.4, (-20, 28, 20, 48)),
    ),
    "fine region that ends inside the grid": (
        Axis(30.05, 0.1, 150),
        Axis(-9.95, 0.1, 100),
        RasterGrid.from_bounds(0.5, (-12, 29, 3, 46)),
    ),
}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("least", [0.5, 0.7])
def test_values_and_gaps_agree_with_brute_force(name: str, least: float) -> None:
    latitude, longitude, grid = CASES[name]
    random = np.random.default_rng(1)
    field = random.normal(size=(latitude.size, longitude.size))
    field[random.random(field.shape) < 0.3] = np.nan
    got = regrid(field[None], build_weights(latitude, longitude, grid, least), NOTHING, np.float64)[0]
    expected = brute_force(field, latitude, longitude, grid, least)
    np.testing.assert_array_equal(np.isnan(got), np.isnan(expected))
    np.testing.assert_allclose(got, expected, atol=1e-12)
    assert 0.02 < np.isfinite(got).mean() <= 1


def test_the_dateline_is_no_edge() -> None:
    """Longitude as a complex number turned into its angle's cosine is smooth everywhere, or there is a seam."""
    latitude, longitude = Axis(-80, 1 / 4, 681), Axis(-180, 1 / 4, 1440, 360.0)
    field = np.broadcast_to(np.cos(np.deg2rad(longitude.values)), (latitude.size, longitude.size)).copy()
    grid = RasterGrid.from_bounds(0.1, GLOBE)
    got = regrid(field[None], build_weights(latitude, longitude, grid), NOTHING)[0]
    row = got[900]
    np.testing.assert_allclose(row, np.cos(np.deg2rad(grid.longitude)), atol=1e-5)
    assert np.isfinite(got[:, [0, -1]][:1700]).all()
    assert np.isfinite(got[0]).all(), "the source reaches 90 N: the top row has values"


def test_a_source_of_cells_reaches_the_poles() -> None:
    latitude, longitude = Axis(-89.875, 0.25, 720), Axis(0.125, 0.25, 1440, 360.0)
    got = regrid(
        np.ones((1, 720, 1440)), build_weights(latitude, longitude, RasterGrid.from_bounds(0.1, GLOBE)), NOTHING
    )
    assert np.isfinite(got).all()


def test_matching_coordinates_are_taken_as_they_are() -> None:
    grid = RasterGrid.from_bounds(0.5, (-20, 40, 10, 60))
    latitude = Axis.from_values(grid.latitude.astype(np.float32))
    longitude = Axis.from_values(grid.longitude.astype(np.float32), longitude=True)
    field = np.random.default_rng(2).normal(size=(1, grid.height, grid.width))
    np.testing.assert_array_equal(regrid(field, build_weights(latitude, longitude, grid), NOTHING, np.float64), field)


def test_one_valid_corner_of_four_is_too_little_and_two_are_enough() -> None:
    latitude, longitude = Axis(0.5, 1, 2), Axis(0.5, 1, 2)
    weights = build_weights(latitude, longitude, RasterGrid.from_bounds(2.0, (0, 0, 2, 2)))
    three, two, one = (np.array([[[1.0, b], [c, 5.0]]]) for b, c in ((3.0, np.nan), (np.nan, np.nan), (np.nan, np.nan)))
    one[0, 0, 0] = np.nan
    assert regrid(three, weights, NOTHING)[0, 0, 0] == 3.0
    assert regrid(two, weights, NOTHING)[0, 0, 0] == 3.0
    assert np.isnan(regrid(one, weights, NOTHING)[0, 0, 0])


@given(
    st.sampled_from(["int16", "int32", "uint8", "float32", "float64"]),
    st.sampled_from(["uint8", "uint16"]),
    st.integers(0, 2**32 - 1),
)
@settings(max_examples=30)
def test_the_fused_pass_encodes_what_the_plain_one_gives(dtype: str, encoding: str, seed: int) -> None:
    random = np.random.default_rng(seed)
    stored = random.integers(0, 250, (3, 12, 24)).astype(dtype)
    unpacking = Unpacking(scale=0.2, offset=265.0, low=3, high=240, fills=(7.0, 99.0))
    weights = build_weights(Axis(-55, 10, 12), Axis(-172.5, 15, 24, 360.0), RasterGrid.from_bounds(4, GLOBE))
    code = stretch("temperature_kelvin", encoding)  # type: ignore[arg-type]
    codes = np.empty((3, 45, 90), dtype=code.dtype)
    counts = regrid_encode(stored, weights, unpacking, code, codes)
    plain = stored.astype(np.float64)
    plain[(stored < 3) | (stored > 240) | (stored == 7) | (stored == 99)] = np.nan
    values = regrid(plain * 0.2 + 265.0, weights, NOTHING, np.float64)
    expected = code.encode(values)
    different = codes != expected
    assert (np.abs(codes.astype(int) - expected)[different] <= 1).all()
    assert different.mean() < 0.01
    for level, count in enumerate(counts):
        valid = codes[level][codes[level] != code.nodata]
        assert (count.valid, count.nodata) == (valid.size, codes[level].size - valid.size)
        assert count.clipped_low == (values[level] < code.minimum).sum()
        assert (count.code_sum, count.code_min, count.code_max) == (valid.sum(), valid.min(), valid.max())


def test_no_number_of_the_type_is_plausible() -> None:
    stored = np.full((1, 4, 4), 32767, dtype=np.int16)
    weights = build_weights(Axis(0.5, 1, 4), Axis(0.5, 1, 4), RasterGrid.from_bounds(1, (0, 0, 4, 4)))
    assert np.isnan(regrid(stored, weights, Unpacking(low=40000, high=50000))).all()
    assert np.isnan(regrid(stored, weights, Unpacking(low=-50000, high=-40000))).all()


def test_days_of_a_pixel_are_those_of_its_best_cell() -> None:
    weights = build_weights(Axis(0.5, 1, 2), Axis(0.5, 1, 2), RasterGrid.from_bounds(2.0, (0, 0, 2, 2)))
    assert regrid_largest(np.array([[0, 2], [5, 1]], dtype=np.uint8), weights).tolist() == [[5]]


def test_the_window_mean_is_over_the_days_that_have_a_value() -> None:
    days = np.array([[[10, -9]], [[20, 5]], [[30, -9]]], dtype=np.int16)  # -9 is the fill
    window = WindowMean((1, 2))
    for day in days:
        window.add(day, Unpacking(scale=0.1, offset=1.0, fills=(-9.0,)))
    assert window.count.tolist() == [[3, 1]]
    np.testing.assert_allclose(window.mean(), [[3.0, 1.5]])
