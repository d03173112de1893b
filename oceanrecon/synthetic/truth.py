"""The true ocean: temperature, salinity, sea level, ice and sea floor at any place, depth and time, from one seed."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

import gsw
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates

from oceanrecon.grid import RasterGrid, window_days
from oceanrecon.grid.times import EPOCH
from oceanrecon.synthetic import climate, column
from oceanrecon.synthetic.coast import DISTANCE_CELL, coast
from oceanrecon.synthetic.eddies import eddies_at

_YEAR = 365.2425
_KELVIN = 273.15
#: Mean of the steric height over the ocean, m: sea level is given about it.
_MEAN_STERIC = -1.12
#: Waves along the fronts: turns round the globe, size in degrees, days for one turn of phase.
_MEANDERS = ((3, 0.8, 400.0), (7, 0.9, -230.0), (16, 0.7, 120.0), (29, 0.45, 70.0), (47, 0.25, 45.0))


@dataclass(frozen=True)
class Columns:
    """The water columns of a block of a grid at one time. Arrays are [latitude, longitude] or [depth, ...]."""

    #: rows as ``oceanrecon.synthetic.column`` names them: [11, latitude, longitude]
    values: NDArray[np.float32]

    @property
    def surface_temperature(self) -> NDArray[np.float32]:
        """Potential temperature at 0 m, degC."""
        return np.asarray(self.values[column.SURFACE] + self.values[column.SEASON])

    @property
    def surface_salinity(self) -> NDArray[np.float32]:
        """Practical salinity at 0 m."""
        return np.asarray(self.values[column.SALINITY] + self.values[column.EXCESS] + self.values[column.FRESH])

    @property
    def surface_density(self) -> NDArray[np.float64]:
        """Density at 0 dbar, kg m-3 (TEOS-10, with the salinity of the reference composition)."""
        absolute = gsw.SR_from_SP(self.surface_salinity.astype(np.float64))
        conservative = gsw.CT_from_pt(absolute, self.surface_temperature.astype(np.float64))
        return np.asarray(gsw.rho(absolute, conservative, 0.0))

    @property
    def sea_level(self) -> NDArray[np.float64]:
        """Absolute dynamic topography: the steric height of the upper 1500 m about its mean, m."""
        nodes, weights = np.polynomial.legendre.leggauss(14)
        part = 0.5 * (nodes + 1.0)
        # Nodes crowd at the surface, where the profile bends most.
        depth, weight = column.STERIC_DEPTH * part**2, column.STERIC_DEPTH * part * weights
        out = np.empty(self.values.shape[1:])
        column.steric_height(out, self.values, depth, weight)
        return np.asarray(out - _MEAN_STERIC)

    @property
    def ice(self) -> NDArray[np.float32]:
        """Part of the cell under sea ice, 0 .. 1."""
        cold = np.clip((column.FREEZING + 0.4 - self.values[column.UNFROZEN]) / 1.0, 0.0, 1.0)
        return np.asarray(cold * cold * (3.0 - 2.0 * cold))

    def levels(self, depth: NDArray[np.float64]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Potential temperature (degC) and practical salinity: [depth, latitude, longitude] each."""
        shape = (depth.size, *self.values.shape[1:])
        temperature, salinity = np.empty(shape, np.float32), np.empty(shape, np.float32)
        column.fill_levels(temperature, salinity, self.values, np.asarray(depth, np.float64))
        return temperature, salinity

    def at_depth(self, depth: NDArray[np.float32]) -> NDArray[np.float32]:
        """Potential temperature at one depth (m) of each column, degC: [latitude, longitude]."""
        out = np.empty(depth.shape, np.float32)
        column.fill_at_depth(out, self.values, depth)
        return out


@dataclass(frozen=True)
class Ocean:
    """One synthetic ocean; equal seeds give equal oceans."""

    seed: int = 0

    def columns(self, latitude: NDArray[np.float64], longitude: NDArray[np.float64], day: float) -> Columns:
        """The columns on regular axes (degrees) at ``day`` (days since 1950-01-01; noon is .5)."""
        shift = eddies_at(day, self.seed).field(latitude, longitude)
        return self._columns(latitude, longitude, shift, self._meanders(day), _summer(day))

    def profiles(
        self,
        latitude: NDArray[np.float64],
        longitude: NDArray[np.float64],
        day: NDArray[np.float64],
        depth: NDArray[np.float64],
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Potential temperature (degC) and practical salinity of profiles: [profile, slot] each.

        Profiles go on below the sea floor and on land, as columns do.

        Args:
            latitude: degrees, [profile].
            longitude: degrees, any turn, [profile].
            day: days since 1950-01-01, [profile]; noon is .5, and few different days are quick.
            depth: m, [profile, slot]; where it is not a number, nor are the values.
        """
        temperature, salinity = np.empty(depth.shape, np.float32), np.empty(depth.shape, np.float32)
        for now in np.unique(day):
            rows = np.flatnonzero(day == now)
            where = latitude[rows], longitude[rows]
            pair = np.empty((rows.size, depth.shape[1]), np.float32), np.empty((rows.size, depth.shape[1]), np.float32)
            shift = eddies_at(float(now), self.seed).at(*where)
            tables = climate.zonal_table(), climate.regional_table()
            column.fill_profiles(
                *pair, *where, depth[rows], shift, self._meanders(float(now)), _summer(float(now)), *tables
            )
            temperature[rows], salinity[rows] = pair
        return temperature, salinity

    def _meanders(self, day: float) -> NDArray[np.float64]:
        return np.array(
            [
                (turns, size, 2 * np.pi * (day / period + 0.37 * turns + 0.1 * self.seed))
                for turns, size, period in _MEANDERS
            ]
        )

    def mean_columns(self, latitude: NDArray[np.float64], longitude: NDArray[np.float64]) -> Columns:
        """The columns without eddies and meanders, half-way between winter and summer."""
        still = np.zeros((latitude.size, longitude.size), np.float32)
        return self._columns(latitude, longitude, still, np.zeros((1, 3)), (0.5, 0.5))

    def _columns(
        self,
        latitude: NDArray[np.float64],
        longitude: NDArray[np.float64],
        shift: NDArray[np.float32],
        meanders: NDArray[np.float64],
        summer: tuple[float, float],
    ) -> Columns:
        out = np.empty((column.ROWS, latitude.size, longitude.size), np.float32)
        column.fill_columns(
            out, latitude, longitude, shift, meanders, summer, climate.zonal_table(), climate.regional_table()
        )
        return Columns(out)

    def truth_on(
        self,
        grid: RasterGrid,
        dates: Sequence[dt.date],
        depth: Sequence[float],
        *,
        variables: Sequence[str] = ("thetao", "so", "analysed_sst", "adt", "sos", "dos"),
        window: int = 7,
    ) -> dict[str, NDArray[np.float32]]:
        """What a perfect export of ``dates`` holds at the centres of ``grid``, in the units of the export.

        ``thetao`` (K) and ``so``: [date, depth, latitude, longitude], of the day itself; ``analysed_sst`` (K), ``adt``
        (m), ``sos`` and ``dos`` (kg m-3): [date, latitude, longitude], means over the window. Missing on land, and at
        levels below the sea floor.
        """
        latitude, longitude, levels = grid.latitude, grid.longitude, np.asarray(depth, np.float64)
        land = coast().land_at(latitude, longitude)
        dry = land[None] | (levels[:, None, None] > sea_floor(latitude, longitude)[None])
        found: dict[str, list[NDArray[np.float32]]] = {name: [] for name in variables}
        for date in dates:
            if {"thetao", "so"} & set(variables):
                pair = self.columns(latitude, longitude, noon(date)).levels(levels)
                for name, values, offset in (("thetao", pair[0], _KELVIN), ("so", pair[1], 0.0)):
                    if name in found:
                        found[name].append(np.where(dry, np.nan, values + np.float32(offset)))
            sums = {name: np.zeros(land.shape) for name in variables if name not in ("thetao", "so")}
            for day in window_days(date, window) if sums else []:
                now = self.columns(latitude, longitude, noon(day))
                for name, total in sums.items():
                    total += _surface(now, name)
            for name, total in sums.items():
                found[name].append(np.where(land, np.nan, total / window).astype(np.float32))
        return {name: np.stack(fields) for name, fields in found.items()}


def _summer(day: float) -> tuple[float, float]:
    """How much of the summer's warmth the south and the north have, 0 .. 1."""
    phase = 2.0 * np.pi * day / _YEAR
    north = 0.5 + 0.5 * np.cos(phase - 2.0 * np.pi * 232.0 / _YEAR)
    return 1.0 - north, north


def _surface(columns: Columns, name: str) -> NDArray[np.float64]:
    if name == "analysed_sst":
        return columns.surface_temperature.astype(np.float64) + _KELVIN
    if name == "sos":
        return columns.surface_salinity.astype(np.float64)
    return columns.surface_density if name == "dos" else columns.sea_level


def noon(date: dt.date) -> float:
    """The middle of a date, days since 1950-01-01."""
    return (date - EPOCH).days + 0.5


def sea_floor(latitude: NDArray[np.float64], longitude: NDArray[np.float64]) -> NDArray[np.float32]:
    """Depth of the sea floor from the distance to the coast: shelf, slope, plains and ridges, m: [lat, lon]."""
    return sea_floor_at(latitude[:, None], longitude[None, :])


def sea_floor_at(latitude: NDArray[np.float64], longitude: NDArray[np.float64]) -> NDArray[np.float32]:
    """Depth of the sea floor at places, m; latitudes and longitudes broadcast."""
    rows = (latitude + 90.0) / DISTANCE_CELL
    columns = np.mod(longitude + 180.0, 360.0) / DISTANCE_CELL
    where = np.broadcast_arrays(rows, columns)
    distance = map_coordinates(coast().distance, where, order=1, mode="nearest")
    phi, lam = np.deg2rad(latitude), np.deg2rad(longitude)
    x, y, z = np.cos(phi) * np.cos(lam), np.cos(phi) * np.sin(lam), np.sin(phi) * np.ones_like(lam)
    # Sums of plane waves on the sphere: no seam, no pole.
    rough = np.sin(5 * x + 4 * y + 1.0) + np.sin(6 * y - 5 * z + 2.0) + np.sin(7 * z + 4 * x + 0.5)
    fine = np.sin(31 * x + 17 * y) + np.sin(29 * y - 23 * z) + np.sin(37 * z - 19 * x)
    shelf = 55.0 + 25.0 * rough
    beyond = np.clip((distance - np.maximum(shelf, 15.0)) / 220.0, 0.0, 1.0)
    slope = beyond * beyond * (3.0 - 2.0 * beyond)
    on_shelf = 25.0 + 130.0 * np.minimum(distance / np.maximum(shelf, 15.0), 1.0)
    return np.asarray(on_shelf + slope * (4300.0 + 420.0 * rough + 160.0 * fine - 150.0), np.float32)
