"""By what scores are told apart: basin, season, and how far the nearest observation is that a model has seen."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial import cKDTree

from oceanrecon.training.evaluation.basins import BASINS, basin

#: Of the hemisphere that a position is in.
SEASONS = ("winter", "spring", "summer", "autumn")
#: Upper limits of all classes of distance but the last, km; the last one is also where nothing was observed.
_LIMITS_KM = (25.0, 50.0, 100.0, 200.0, 400.0)
DISTANCES = ("below 25 km", "25 to 50 km", "50 to 100 km", "100 to 200 km", "200 to 400 km", "400 km and more")
#: Classes by grouping.
GROUPINGS: Mapping[str, tuple[str, ...]] = {
    "all": ("all",),
    "basin": BASINS,
    "season": SEASONS,
    "distance": DISTANCES,
}
#: Mean radius of the Earth, km.
EARTH_KM = 6371.0


def season(date: dt.date, latitude: ArrayLike) -> NDArray[np.int64]:
    """The number of a position's season in ``SEASONS``, of whole months: December is winter in the north."""
    northern = date.month % 12 // 3
    return np.where(np.asarray(latitude) >= 0, northern, (northern + 2) % 4)


def nearest_km(
    latitude: NDArray[np.floating],
    longitude: NDArray[np.floating],
    seen_latitude: NDArray[np.floating],
    seen_longitude: NDArray[np.floating],
) -> NDArray[np.float64]:
    """Along the great circle to the nearest of the seen positions, km, infinity where there is none.

    Args:
        latitude: degrees north: [N].
        longitude: degrees east: [N].
        seen_latitude: of what has been observed: [P].
        seen_longitude: the same: [P].
    """
    if not seen_latitude.size:
        return np.full(latitude.shape, np.inf)
    chord, _ = cKDTree(_on_sphere(seen_latitude, seen_longitude)).query(_on_sphere(latitude, longitude))
    return np.asarray(2 * EARTH_KM * np.arcsin(np.minimum(chord / 2, 1.0)))


def groups(
    date: dt.date, latitude: NDArray[np.floating], longitude: NDArray[np.floating], distance: NDArray[np.floating]
) -> dict[str, NDArray[np.int64]]:
    """The number of each position's class in every one of ``GROUPINGS``.

    Args:
        date: of all of them.
        latitude: degrees north: [N].
        longitude: degrees east: [N].
        distance: to the nearest observation that was an input, km: [N].
    """
    return {
        "all": np.zeros(latitude.shape, np.int64),
        "basin": basin(latitude, longitude),
        "season": season(date, latitude),
        "distance": np.searchsorted(_LIMITS_KM, distance, side="right"),
    }


def _on_sphere(latitude: NDArray[np.floating], longitude: NDArray[np.floating]) -> NDArray[np.float64]:
    """Of radius 1: [N, 3]."""
    north, east = np.radians(np.asarray(latitude, np.float64)), np.radians(np.asarray(longitude, np.float64))
    return np.stack([np.cos(north) * np.cos(east), np.cos(north) * np.sin(east), np.sin(north)], axis=-1)
