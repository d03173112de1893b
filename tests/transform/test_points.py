"""Risk: profiles that share a pixel whose mean depends on how it is summed."""

import numpy as np

from oceanrecon.transform.points import average_duplicates
from oceanrecon.transform.rasterize import rasterize


def test_sums_are_float64_and_in_the_order_of_the_profiles() -> None:
    # float32 loses the 3 beside 1e8; float64 loses it beside 1e17, but not where that has gone before
    values = np.array([[1e8, 1e17], [3.0, -1e17], [-1e8, 3.0]], np.float64)
    pixels = np.array([7, 7, 7])
    for order, expected in (([0, 1, 2], [1.0, 1.0]), ([0, 2, 1], [1.0, 0.0])):
        points, mean = average_duplicates(pixels, values[order])
        assert points.tolist() == [7]
        assert mean.tolist() == [expected]

    # nor are the values themselves rounded before they are added
    assert average_duplicates(pixels[:2], np.array([[2.0**24 + 1], [-(2.0**24)]]))[1].tolist() == [[0.5]]


def test_bit_by_bit_what_a_raster_of_them_has() -> None:
    random = np.random.default_rng(0)
    pixels = random.integers(0, 12, 900)
    for levels in (1, 2, 50):
        values = (random.normal(0, 1, (900, levels)) * 10.0 ** random.integers(-3, 9, (900, levels))).astype(np.float32)
        values[random.random(values.shape) < 0.3] = np.nan
        raster, _ = rasterize(pixels // 4, pixels % 4, values, 3, 4)
        points, mean = average_duplicates(pixels, values)
        assert points.tolist() == list(range(12))
        assert mean.dtype == np.float32
        np.testing.assert_array_equal(mean, raster.reshape(levels, 12).T)
