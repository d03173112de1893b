"""Sea level of the true ocean at any places of a day, quickly: from a lattice of half a degree."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates

from oceanrecon.synthetic.chance import uniform
from oceanrecon.synthetic.coast import coast
from oceanrecon.synthetic.truth import Ocean, noon

_CELL = 0.5
_NOISES = 310


@dataclass(frozen=True, eq=False)
class Heights:
    """Sea level of one day: [latitude, longitude] from the south pole and from 180 degrees west, both ends included."""

    anomaly: NDArray[np.float64]
    mean: NDArray[np.float64]

    def at(
        self, latitude: NDArray[np.float64], longitude: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Anomaly of the sea level and mean dynamic topography at places, m, NaN on land: each of the same shape."""
        where = np.stack([(latitude + 90.0) / _CELL, np.mod(longitude + 180.0, 360.0) / _CELL])
        anomaly, mean = (map_coordinates(field, where, order=1, mode="nearest") for field in (self.anomaly, self.mean))
        land = coast().is_land(latitude, longitude)
        return np.where(land, np.nan, anomaly), np.where(land, np.nan, mean)


@lru_cache(maxsize=1)
def heights_of(seed: int, day: dt.date) -> Heights:
    """Sea level at noon of a day in the ocean of a seed."""
    latitude = np.linspace(-90.0, 90.0, round(180.0 / _CELL) + 1)
    longitude = np.linspace(-180.0, 180.0, round(360.0 / _CELL) + 1)
    ocean = Ocean(seed)
    mean = ocean.mean_columns(latitude, longitude).sea_level
    return Heights(ocean.columns(latitude, longitude, noon(day)).sea_level - mean, mean)


def noise(seed: int, track: int, shape: tuple[int, ...], deviation: float) -> NDArray[np.float64]:
    """What an instrument adds to the heights of a track, m: independent, of this standard deviation, and bounded."""
    points = np.arange(int(np.prod(shape)), dtype=np.uint64)
    drawn = uniform(points, track, seed, _NOISES) - 0.5
    return np.asarray(drawn * (deviation * np.sqrt(12.0))).reshape(shape)
