"""Profiles onto pixels: against numpy.add.at, and how much memory that takes."""

import tracemalloc

import numpy as np
import pytest

from oceanrecon.transform.rasterize import rasterize


@pytest.mark.parametrize("profiles", [0, 1, 500])
def test_means_and_counts_agree_with_adding_one_by_one(profiles: int) -> None:
    random = np.random.default_rng(1)
    height, width, levels = 9, 14, 5
    rows, columns = random.integers(0, height, profiles), random.integers(0, width, profiles)
    values = random.normal(10, 5, (profiles, levels)).astype(np.float32)
    values[random.random(values.shape) < 0.4] = np.nan
    values[: profiles // 10] = np.nan

    mean, count = rasterize(rows.astype(np.int32), columns.astype(np.int32), values, height, width)

    total, number = np.zeros((levels, height, width)), np.zeros((levels, height, width))
    for level in range(levels):
        has = np.isfinite(values[:, level])
        np.add.at(total[level], (rows[has], columns[has]), values[has, level].astype(np.float64))
        np.add.at(number[level], (rows[has], columns[has]), 1)
    expected = np.divide(total, number, out=np.full(total.shape, np.nan), where=number > 0)
    assert mean.dtype == np.float32
    assert count.dtype == np.uint16
    np.testing.assert_array_equal(count, number)
    # the same additions in the same order: not a bit apart
    np.testing.assert_array_equal(mean, expected.astype(np.float32))


def test_duplicates_are_averaged_where_they_have_values() -> None:
    values = np.array([[1, np.nan], [9, np.nan], [3, 8], [2, 6]], dtype=np.float32)
    mean, count = rasterize(np.array([1, 0, 1, 1]), np.array([2, 0, 2, 2]), values, 2, 3)
    assert mean[:, 1, 2].tolist() == [2, 7]
    assert count[:, 1, 2].tolist() == [3, 2]
    assert mean[0, 0, 0] == 9
    assert np.isnan(mean[1, 0, 0])
    assert count[1, 0, 0] == 0
    assert count.sum() == 6


def test_the_full_grid_needs_no_more_than_its_results() -> None:
    """One level of 3600 x 1800: 39 MB of mean and count; a float64 field would be 52 MB more."""
    random = np.random.default_rng(2)
    rows, columns = random.integers(0, 1800, 5000), random.integers(0, 3600, 5000)
    values = np.ones((5000, 1), dtype=np.float32)
    tracemalloc.start()
    try:
        mean, count = rasterize(rows, columns, values, 1800, 3600)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert count.sum() == 5000
    assert np.isfinite(mean).sum() == np.unique(rows * 3600 + columns).size
    assert peak < mean.nbytes + count.nbytes + 5e6


@pytest.mark.parametrize(("row", "column"), [(-1, 0), (2, 0), (0, -1), (0, 3)])
def test_a_pixel_outside_is_refused(row: int, column: int) -> None:
    """Numpy would count -1 from the other end, and column 3 of 3 would be the first of the next row."""
    with pytest.raises(ValueError, match=f"2 x 3 pixels, the first at row {row}, column {column}"):
        rasterize(np.array([0, row]), np.array([0, column]), np.ones((2, 1), dtype=np.float32), 2, 3)


def test_counts_never_wrap_round() -> None:
    n = 65_536
    with pytest.raises(ValueError, match="more than 65535 profiles"):
        rasterize(np.zeros(n, dtype=int), np.zeros(n, dtype=int), np.ones((n, 1), dtype=np.float32), 1, 1)
    _, count = rasterize(np.zeros(n, dtype=int), np.arange(n) % 2, np.ones((n, 1), dtype=np.float32), 1, 2)
    assert count.tolist() == [[[32768, 32768]]]


def test_shapes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="do not agree"):
        rasterize(np.zeros(2, dtype=int), np.zeros(3, dtype=int), np.ones((2, 1), dtype=np.float32), 2, 3)
