"""The grid knows which pixel holds a point, also at its edges and across the dateline."""

import pytest

from oceanrecon.errors import ConfigError
from oceanrecon.grid import RasterGrid

GLOBE = RasterGrid.from_bounds(0.1, (-180, -90, 180, 90))


def test_the_global_grid_is_the_published_one() -> None:
    assert (GLOBE.width, GLOBE.height, GLOBE.periodic) == (3600, 1800, True)
    assert GLOBE.transform_gdal == (-180.0, 0.1, 0.0, 90.0, 0.0, -0.1)
    assert (GLOBE.longitude[0], GLOBE.longitude[-1]) == (-179.95, 179.95)
    assert (GLOBE.latitude[0], GLOBE.latitude[-1]) == (89.95, -89.95)


@pytest.mark.parametrize(
    ("longitude", "latitude", "pixel"),
    [
        (-180.0, 90.0, (0, 0)),
        (180.0, -90.0, (1799, 0)),  # the dateline is column 0 from either side, the pole is the last row
        (179.99, 0.05, (899, 3599)),
        (359.95, 0.0, (900, 1799)),
        (-42.3, 31.7, (583, 1377)),
    ],
)
def test_pixels(longitude: float, latitude: float, pixel: tuple[int, int]) -> None:
    assert GLOBE.pixel(longitude, latitude) == pixel


def test_a_point_outside_is_refused_with_the_bounds() -> None:
    grid = RasterGrid.from_bounds(0.5, (-20, 40, 10, 60))
    with pytest.raises(ConfigError, match=r"longitude 11, latitude 50 is outside the grid.*\[-20, 40.0, 10.0, 60\]"):
        grid.pixel(11, 50)


@pytest.mark.parametrize(
    ("resolution", "bounds", "message"),
    [
        (0.1, (10, -90, -10, 90), "west < east"),
        (0.1, (0, -90, 0.25, 90), "2.5 cells"),
        (1, (-190, -90, 190, 90), "more than once"),
        (0.0, (-180, -90, 180, 90), "positive resolution"),
    ],
)
def test_impossible_grids_say_why(resolution: float, bounds: tuple[float, float, float, float], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        RasterGrid.from_bounds(resolution, bounds)
