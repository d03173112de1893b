"""The climate of the synthetic ocean: what depends on latitude alone, and what each region adds to it."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

_Latitudes = NDArray[np.floating]
#: Step of the zonal table, degrees.
TABLE_STEP = 0.05
#: Rows of the zonal table.
WINTER, DEEP, EXCESS, FRESHNESS, SEASON, SCALE, ENERGY = range(7)
#: Columns of the regional table, after the sine and cosine of the latitude, the longitude and the reach.
NORTHWARD, WARMER, SALTIER, FRESHER, DEEPER, WARMER_DEEP, LIVELIER = range(7)

#: Latitude, longitude, reach in km (the effect is a smooth bump that ends there), then what is added: degrees of
#: latitude that the climate is moved by, surface temperature, salinity of the whole column, salinity of the surface
#: alone, scale depth (m), deep temperature, eddy displacement (m).
_REGIONS = (
    # the North Atlantic drift and the Norwegian Sea are warm, the Labrador Sea is cold
    (62, -5, 2600, -11, 0, 0.1, 0, 0, 0, 0),
    (72, 25, 1500, -7, 0, 0, 0, 0, 0, 0),
    (55, -57, 1700, 7, 0, 0, 0, 0, 0, 0),
    (52, 152, 1500, 6, 0, 0, 0, 0, 0, 0),
    # western boundary currents: deep thermoclines, lively eddies
    (37, -62, 1900, 0, 1.0, 0, 0, 190, 0, 70),
    (35, 148, 1900, 0, 1.0, 0, 0, 190, 0, 70),
    (-38, 24, 1900, 0, 1.0, 0, 0, 170, 0, 75),
    (-40, -52, 1500, 0, 0.5, 0, 0, 120, 0, 65),
    (-34, 155, 1300, 0, 0.8, 0, 0, 130, 0, 55),
    (26, -88, 900, 0, 0.8, 0, 0, 80, 0, 50),
    (-20, 40, 1200, 0, 0.3, 0, 0, 60, 0, 45),
    # upwelling along the eastern shores and the equatorial cold tongue
    (-12, -79, 2000, 0, -4.0, 0, 0, -40, 0, 0),
    (30, -121, 1600, 0, -3.0, -0.3, 0, -60, 0, 5),
    (-22, 11, 1700, 0, -4.0, 0, 0, -60, 0, 5),
    (22, -19, 1500, 0, -3.0, 0, 0, -60, 0, 0),
    (0, -105, 3000, 0, -2.5, 0, 0, -30, 0, 0),
    (9, 53, 1000, 0, -1.5, 0, 0, -20, 0, 30),
    (2, 150, 4500, 0, 1.6, -0.2, -0.3, 40, 0, 0),
    # the salty Atlantic, the fresh North Pacific, rivers and the monsoon
    (25, -40, 4500, 0, 0, 0.7, 0, 30, 0, 0),
    (-18, -22, 3500, 0, 0, 0.5, 0, 0, 0, 0),
    (48, -165, 4500, 0, 0, -0.5, 0, -40, 0, 0),
    (4, -48, 1100, 0, 0, 0, -3.0, 0, 0, 0),
    (18, 90, 1500, 0, 0, 0, -3.5, 0, 0, 0),
    (-6, 9, 900, 0, 0, 0, -3.0, 0, 0, 0),
    (74, 120, 2200, 0, 0, 0, -3.5, 0, 0, 0),
    (71, -140, 1500, 0, 0, 0, -2.0, 0, 0, 0),
    (5, 108, 1500, 0, 0.5, 0, -1.0, 0, 0, 0),
    (18, 62, 1600, 0, 0, 1.2, 0, 0, 0, 0),
    # enclosed seas have their own deep water
    (37, 17, 2300, 0, 1.0, 3.6, 0, -150, 12.0, 5),
    (43.3, 34, 900, 0, 0.0, -17.5, -1.5, -400, 8.0, 10),
    (59.5, 20, 1000, 3, 0.0, -29.0, -3.0, -400, 2.0, 0),
    (20.5, 38.5, 1300, 0, 2.0, 4.2, 0, -100, 18.0, 10),
    (27, 51.5, 800, 0, 0.5, 4.0, 0, -100, 14.0, 0),
    (40, 134, 1000, 2, 0.0, -0.5, 0, -150, -1.0, 20),
)


@lru_cache(maxsize=1)
def zonal_table() -> NDArray[np.float64]:
    """What latitude decides, every 0.05 degree from south to north: [7, 3601].

    Rows: winter surface temperature (degC, not yet stopped at freezing), deep temperature (degC), surface minus deep
    salinity, salinity of the surface layer alone, warming of the summer (K), scale depth of the thermocline (m),
    displacement of eddies (m).
    """
    latitude = np.linspace(-90.0, 90.0, round(180.0 / TABLE_STEP) + 1)
    size = np.abs(latitude)
    winter = -3.4 + 30.6 * np.exp(-((size / 43.0) ** 2.6)) + 0.6 * np.exp(-(((latitude - 7.0) / 8.0) ** 2))
    # The Southern Ocean freezes later in latitude than the exponential does.
    winter += 2.6 * _bump(latitude, -58.0, 9.0)
    fronts = ((39.5, 0.9, 2.2), (-41.0, 0.8, 1.6), (-49.0, 0.7, 1.2), (-56.0, 0.7, 0.9), (62.0, 1.5, 1.0))
    for front, width, step in fronts:
        same_side = np.sign(front) * latitude
        winter += 0.5 * step * (np.tanh((abs(front) - same_side) / width) - 1.0) * (1.0 - _bump(size, 0.0, 30.0))
    deep = 1.7 - 1.2 * _rise(-latitude, 48.0, 66.0) - 2.0 * _rise(latitude, 66.0, 80.0)
    excess = (
        0.05
        + 1.15 * np.exp(-(((size - 25.0) / 11.0) ** 2))
        - 0.35 * np.exp(-(((latitude - 6.0) / 5.0) ** 2))
        - 0.7 * _rise(-latitude, 45.0, 60.0)
        - 1.6 * _rise(latitude, 50.0, 84.0)
    )
    freshness = -0.25 * np.exp(-(((latitude - 7.0) / 4.0) ** 2)) - 0.5 * _rise(size, 62.0, 75.0)
    season = 8.0 * np.exp(-(((latitude - 42.0) / 14.0) ** 2)) + 5.5 * np.exp(-(((latitude + 37.0) / 13.0) ** 2))
    season += 1.6 * _rise(size, 52.0, 66.0) * (1.0 - _rise(size, 72.0, 88.0))
    scale = 170.0 + 420.0 * np.exp(-(((size - 33.0) / 12.0) ** 2)) + 120.0 * _rise(-latitude, 42.0, 56.0)
    energy = 34.0 + 40.0 * np.exp(-(((latitude + 50.0) / 6.0) ** 2)) + 16.0 * np.exp(-(((size - 22.0) / 6.0) ** 2))
    energy = (energy - 26.0 * _rise(size, 60.0, 72.0)) * (0.3 + 0.7 * _rise(size, 2.0, 8.0))
    return np.stack([winter, deep, excess, freshness, season, scale, energy])


@lru_cache(maxsize=1)
def regional_table() -> NDArray[np.float64]:
    """What regions add: [region, 11]: sine and cosine of the latitude, longitude (radian), 1 - cos(reach), effects."""
    regions = np.array(_REGIONS, dtype=np.float64)
    latitude, longitude, reach = np.deg2rad(regions[:, 0]), np.deg2rad(regions[:, 1]), regions[:, 2] / 6371.0
    where = [np.sin(latitude), np.cos(latitude), longitude, 1.0 - np.cos(reach)]
    return np.concatenate([np.stack(where, axis=1), regions[:, 3:]], axis=1)


def _rise(value: _Latitudes, low: float, high: float) -> NDArray[np.float64]:
    """From 0 at ``low`` to 1 at ``high``, with level ends."""
    part = np.clip((value - low) / (high - low), 0.0, 1.0)
    return np.asarray(part * part * (3.0 - 2.0 * part), np.float64)


def _bump(value: _Latitudes, centre: float, width: float) -> NDArray[np.float64]:
    return np.asarray(np.exp(-(((value - centre) / width) ** 2)), np.float64)
