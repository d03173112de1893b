"""Risk: a patch is shifted by half a cell, has an empty last row, or invents values where there are none."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from oceanrecon.errors import ConfigError
from oceanrecon.samples.regional.window import Method, PatchGrid, PatchSize, Window, inside, resampled
from tests.taco_files import plane

_METHODS: tuple[Method, ...] = ("nearest", "bilinear")


def _window(step: float, box: tuple[float, float, float, float]) -> Window:
    west, south, east, north = box
    latitude = np.arange(south + step / 2, north, step)
    longitude = np.arange(west + step / 2, east, step)
    values = latitude[:, None] + 100 * longitude
    return Window(latitude, longitude, values.astype(np.float32))


@pytest.mark.parametrize("method", _METHODS)
def test_pixels_that_are_the_cells_have_their_values(method: Method) -> None:
    window = _window(0.25, (-5, 10, 5, 20))
    data = resampled(window, PatchGrid((-5, 10, 5, 20), (40, 40)), method)
    # all of them: a merged grid that is one row too long left its last row and column empty
    np.testing.assert_array_equal(data, window.values)


def test_a_pixel_takes_the_value_of_its_own_centre() -> None:
    window = _window(1.0, (0, 0, 10, 10))
    grid = PatchGrid((2, 3, 6, 7), (8, 8))
    np.testing.assert_allclose(grid.latitude, np.arange(3.25, 7, 0.5))
    data = resampled(window, grid, "bilinear")
    # linear fields are exact between centres, wherever the pixels are
    np.testing.assert_allclose(data, grid.latitude[:, None] + 100 * grid.longitude, rtol=1e-6)
    near = resampled(window, grid, "nearest")
    np.testing.assert_array_equal(near, np.floor(grid.latitude)[:, None] + 0.5 + 100 * (np.floor(grid.longitude) + 0.5))


@pytest.mark.parametrize("method", _METHODS)
def test_nothing_is_made_up_beyond_the_cells(method: Method) -> None:
    window = _window(1.0, (0, 0, 4, 4))
    data = resampled(window, PatchGrid((-2, 0, 4, 4), (4, 6)), method)
    assert np.isnan(data[:, :2]).all()
    assert np.isfinite(data[:, 2:]).all()


def test_missing_cells_neither_spread_nor_count() -> None:
    window = _window(1.0, (0, 0, 4, 4))
    values: NDArray[np.float32] = np.ones((4, 4), np.float32)
    values[1, 1] = np.nan
    holed = Window(window.latitude, window.longitude, values)
    grid = PatchGrid((0, 0, 4, 4), (8, 8))
    data = resampled(holed, grid, "bilinear")
    # what is there is 1 everywhere, never less, and the hole is that of its own four pixels: these weigh it by 9/16
    there = np.isfinite(data)
    assert set(data[there].tolist()) == {1.0}
    expected = np.ones((8, 8), bool)
    expected[2:4, 2:4] = False
    np.testing.assert_array_equal(there, expected)


def test_a_region_that_is_missing_is_not_bridged() -> None:
    # the west and the east are there, and the 90 degrees between them are not
    window = _window(1.0, (-180, 0, 180, 4))
    columns = (window.longitude < -90) | (window.longitude > 0)
    holed = Window(window.latitude, window.longitude[columns], window.values[:, columns])
    for method in _METHODS:
        data = resampled(holed, PatchGrid((-100, 0, 10, 4), (4, 110)), method)
        np.testing.assert_array_equal(np.isfinite(data[0]), np.repeat([True, False, True], [10, 90, 10]))


def test_much_finer_cells_are_averaged() -> None:
    window = _window(0.25, (0, 0, 4, 4))
    data = resampled(window, PatchGrid((0, 0, 4, 4), (4, 4)), "bilinear")
    # each pixel is exactly 4 by 4 cells
    np.testing.assert_allclose(data, window.values.reshape(4, 4, 4, 4).mean(axis=(1, 3)), rtol=1e-6)


def test_flags_have_nothing_between_them() -> None:
    window = _window(1.0, (0, 0, 2, 2))
    flags = Window(window.latitude, window.longitude, np.array([[1, 4], [4, 1]], np.float32), continuous=False)
    assert set(np.unique(resampled(flags, PatchGrid((0, 0, 2, 2), (8, 8)), "bilinear"))) == {1, 4}


def test_cells_of_a_box_are_those_with_their_centre_in_it() -> None:
    cells = inside(_window(1.0, (0, 0, 10, 10)), (2.5, 3.0, 4.5, 5.0))
    assert cells.longitude.tolist() == [2.5, 3.5]
    assert cells.latitude.tolist() == [3.5, 4.5]


def test_a_row_at_the_pole_is_not_dropped() -> None:
    latitude = np.array([88.0, 89.0, 90.0])
    window = Window(latitude, np.array([0.5]), np.ones((3, 1), np.float32))
    assert inside(window, (0, 88, 1, 90)).latitude.tolist() == [88, 89, 90]
    assert inside(window, (0, 88, 1, 89)).latitude.tolist() == [88]


def test_a_patch_in_km_is_as_wide_as_it_is_high() -> None:
    height, width = PatchSize(111.195, "km").degrees(60.0)
    assert height == pytest.approx(1.0)
    assert width == pytest.approx(2.0)
    assert PatchSize(10).degrees(60.0) == (10, 10)
    with pytest.raises(ConfigError, match="no size of a patch"):
        PatchSize(0)


def test_columns_go_on_across_the_dateline() -> None:
    grid = PatchGrid.of((175, -5, -175, 5), 1.0)
    assert grid.shape == (10, 10)
    np.testing.assert_allclose(grid.longitude, np.arange(175.5, 185))
    assert np.isfinite(plane(grid.latitude[:, None], grid.longitude, 1)).all()
