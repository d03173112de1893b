"""The columns of water: compiled loops that turn place, time and eddies into profiles, heights and packed levels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from oceanrecon.synthetic import climate
from oceanrecon.transform.compiled import compiled

FREEZING = -1.8
#: Depths of the summer's warmth, of fresh surface water, and of the strongest displacement by eddies, m.
SEASON_DEPTH, FRESH_DEPTH, EDDY_DEPTH = 40.0, 30.0, 500.0
#: Sea level is steric above this depth, m. Profiles go on below the sea floor for this purpose.
STERIC_DEPTH = 1500.0
#: Rows of a block of columns.
SURFACE, DEEP, EXCESS, SALINITY, FRESH, SEASON, SCALE, SHIFT, REGIONAL_S, REGIONAL_T, UNFROZEN = range(11)
ROWS = 11

_TABLE_STEP = climate.TABLE_STEP
_Z_WINTER, _Z_DEEP, _Z_EXCESS, _Z_FRESH = climate.WINTER, climate.DEEP, climate.EXCESS, climate.FRESHNESS
_Z_SEASON, _Z_SCALE = climate.SEASON, climate.SCALE


@compiled
def fill_columns(
    out: NDArray[np.float32],
    latitude: NDArray[np.float64],
    longitude: NDArray[np.float64],
    shift: NDArray[np.float32],
    meanders: NDArray[np.float64],
    summer: tuple[float, float],
    zonal: NDArray[np.float64],
    regions: NDArray[np.float64],
) -> None:
    """Fill ``out``: [row, latitude, longitude], see the names of the rows; degC, practical salinity, m.

    ``shift`` is the displacement by eddies; ``meanders`` are waves along the fronts, [wave, 3]: turns round the
    globe, size in degrees, phase in radian; ``summer`` is how much of the summer's warmth the south and the north
    have now, 0 .. 1.
    """
    degree = np.pi / 180.0
    count = regions.shape[0]
    cos_from = np.empty((count, longitude.size))
    for r in range(count):
        for column in range(longitude.size):
            cos_from[r, column] = np.cos(longitude[column] * degree - regions[r, 2])
    wave = np.zeros(longitude.size)
    for m in range(meanders.shape[0]):
        for column in range(longitude.size):
            wave[column] += meanders[m, 1] * np.cos(meanders[m, 0] * longitude[column] * degree - meanders[m, 2])
    effect = np.empty(6)
    for row in range(latitude.size):
        sine, cosine = np.sin(latitude[row] * degree), np.cos(latitude[row] * degree)
        side = np.tanh(latitude[row] / 6.0)
        for column in range(longitude.size):
            effect[:] = 0.0
            for r in range(count):
                near = (1.0 - regions[r, 0] * sine - regions[r, 1] * cosine * cos_from[r, column]) / regions[r, 3]
                if near < 1.0:
                    weight = (1.0 - near) * (1.0 - near)
                    for k in range(6):
                        effect[k] += weight * regions[r, 4 + k]
            # A warm eddy carries water from nearer the equator: its whole column comes from there.
            origin = latitude[row] + effect[0] + wave[column] * cosine * cosine - 0.026 * side * shift[row, column]
            place = min(max((origin + 90.0) / _TABLE_STEP, 0.0), zonal.shape[1] - 1.000001)
            low = int(place)
            part = place - low
            winter = zonal[_Z_WINTER, low] * (1 - part) + zonal[_Z_WINTER, low + 1] * part + effect[1]
            open_deep = zonal[_Z_DEEP, low] * (1 - part) + zonal[_Z_DEEP, low + 1] * part
            excess = zonal[_Z_EXCESS, low] * (1 - part) + zonal[_Z_EXCESS, low + 1] * part
            fresh = zonal[_Z_FRESH, low] * (1 - part) + zonal[_Z_FRESH, low + 1] * part + effect[3]
            season = zonal[_Z_SEASON, low] * (1 - part) + zonal[_Z_SEASON, low + 1] * part
            scale = zonal[_Z_SCALE, low] * (1 - part) + zonal[_Z_SCALE, low + 1] * part + effect[4]
            season *= summer[0] if origin < 0.0 else summer[1]
            surface = max(winter, FREEZING)
            # The deep water of an enclosed sea is no warmer than its winter's surface: it sinks there.
            deep = max(open_deep, min(open_deep + effect[5], surface - 0.3))
            # Frozen water takes heat before it warms.
            season = max(min(season, season + winter - FREEZING), 0.0)
            # Salt may not outweigh the cold below (or must outweigh the warmth below): stable by construction.
            warmer = surface - deep
            limit = 0.055 * warmer - 0.12 if warmer > 0.0 else 0.2 * warmer - 0.12
            out[SURFACE, row, column] = surface
            out[DEEP, row, column] = deep
            out[EXCESS, row, column] = min(excess, limit)
            out[SALINITY, row, column] = 34.75 + effect[2]
            out[FRESH, row, column] = min(fresh, 0.0)
            out[SEASON, row, column] = season
            out[SCALE, row, column] = max(scale, 110.0)
            out[SHIFT, row, column] = shift[row, column]
            out[REGIONAL_S, row, column] = effect[2]
            out[REGIONAL_T, row, column] = deep - open_deep
            out[UNFROZEN, row, column] = winter + season


@compiled
def fill_levels(
    temperature: NDArray[np.float32],
    salinity: NDArray[np.float32],
    columns: NDArray[np.float32],
    depth: NDArray[np.float64],
) -> None:
    """Potential temperature (degC) and practical salinity of levels: [depth, latitude, longitude]."""
    for level in range(depth.size):
        z = depth[level]
        sunk = z / EDDY_DEPTH * np.exp(1.0 - z / EDDY_DEPTH)
        warm = 1.0 / (1.0 + (z / SEASON_DEPTH) ** 2)
        fresh = 1.0 / (1.0 + (z / FRESH_DEPTH) ** 2)
        for row in range(columns.shape[1]):
            for column in range(columns.shape[2]):
                x = (z - columns[SHIFT, row, column] * sunk) / columns[SCALE, row, column]
                upper = 1.0 / (1.0 + x * x)
                deep = columns[DEEP, row, column]
                temperature[level, row, column] = (
                    deep + (columns[SURFACE, row, column] - deep) * upper + columns[SEASON, row, column] * warm
                )
                salinity[level, row, column] = (
                    columns[SALINITY, row, column]
                    + columns[EXCESS, row, column] * upper
                    + columns[FRESH, row, column] * fresh
                )


@compiled
def fill_profiles(
    temperature: NDArray[np.float32],
    salinity: NDArray[np.float32],
    latitude: NDArray[np.float64],
    longitude: NDArray[np.float64],
    depth: NDArray[np.float64],
    shift: NDArray[np.float32],
    meanders: NDArray[np.float64],
    summer: tuple[float, float],
    zonal: NDArray[np.float64],
    regions: NDArray[np.float64],
) -> None:
    """Potential temperature (degC) and practical salinity at places: [place, slot]; not a number where depth is not.

    ``depth``: [place, slot]; ``shift``: [place]; the rest as in ``fill_columns``.
    """
    column = np.empty((ROWS, 1, 1), np.float32)
    slots = depth.shape[1]
    for place in range(latitude.size):
        one = slice(place, place + 1)
        fill_columns(column, latitude[one], longitude[one], shift[one].reshape(1, 1), meanders, summer, zonal, regions)
        fill_levels(temperature[place].reshape(slots, 1, 1), salinity[place].reshape(slots, 1, 1), column, depth[place])


@compiled
def _density_anomaly(temperature: float, salinity: float, depth: float) -> float:
    """Density less its profile at 10 degC and 35.165 g/kg, kg m-3: the simplified TEOS-10 of Roquet et al. (2015)."""
    t = temperature - 10.0
    s = salinity * (35.16504 / 35.0) - 35.0
    return float(
        -1.6550e-1 * (1.0 + 0.5 * 5.9520e-2 * t + 1.4970e-4 * depth) * t
        + 7.6554e-1 * (1.0 - 0.5 * 7.4914e-4 * s - 1.1090e-5 * depth) * s
        - 2.4341e-3 * t * s
    )


@compiled
def steric_height(
    out: NDArray[np.float64],
    columns: NDArray[np.float32],
    depth: NDArray[np.float64],
    weight: NDArray[np.float64],
) -> None:
    """Height of the water above ``STERIC_DEPTH`` over that of a column at 10 degC and 35, m: [latitude, longitude].

    ``depth`` and ``weight`` (m) are the nodes of the integral. An enclosed sea does not stand metres higher for its
    own deep water: that part of the density (``REGIONAL_*``) is left out.
    """
    sunk = depth / EDDY_DEPTH * np.exp(1.0 - depth / EDDY_DEPTH)
    warm = 1.0 / (1.0 + (depth / SEASON_DEPTH) ** 2)
    fresh = 1.0 / (1.0 + (depth / FRESH_DEPTH) ** 2)
    for row in range(columns.shape[1]):
        for column in range(columns.shape[2]):
            deep, base = columns[DEEP, row, column], columns[SALINITY, row, column]
            regional_t, regional_s = columns[REGIONAL_T, row, column], columns[REGIONAL_S, row, column]
            total = 0.0
            for node in range(depth.size):
                x = (depth[node] - columns[SHIFT, row, column] * sunk[node]) / columns[SCALE, row, column]
                upper = 1.0 / (1.0 + x * x)
                t = deep + (columns[SURFACE, row, column] - deep) * upper + columns[SEASON, row, column] * warm[node]
                s = base + columns[EXCESS, row, column] * upper + columns[FRESH, row, column] * fresh[node]
                anomaly = _density_anomaly(t, s, depth[node])
                if regional_t != 0.0 or regional_s != 0.0:
                    anomaly -= _density_anomaly(deep, base, depth[node])
                    anomaly += _density_anomaly(deep - regional_t, base - regional_s, depth[node])
                total -= weight[node] * anomaly
            out[row, column] = total / 1026.0


@compiled
def fill_at_depth(out: NDArray[np.float32], columns: NDArray[np.float32], depth: NDArray[np.float32]) -> None:
    """Potential temperature at a depth of each column (m), degC: [latitude, longitude]."""
    for row in range(columns.shape[1]):
        for column in range(columns.shape[2]):
            z = depth[row, column]
            sunk = z / EDDY_DEPTH * np.exp(1.0 - z / EDDY_DEPTH)
            x = (z - columns[SHIFT, row, column] * sunk) / columns[SCALE, row, column]
            deep = columns[DEEP, row, column]
            out[row, column] = deep + (columns[SURFACE, row, column] - deep) / (1.0 + x * x)
            out[row, column] += columns[SEASON, row, column] / (1.0 + (z / SEASON_DEPTH) ** 2)
