"""Hourly winds in the form of the blended product: trades, westerlies, and depressions that go round the globe."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from functools import partial

import numpy as np
from numpy.typing import NDArray

from oceanrecon.synthetic.coast import coast
from oceanrecon.synthetic.daily.grids import Packed, global_axes, write_grid
from oceanrecon.synthetic.job import Job
from oceanrecon.synthetic.truth import noon

_REVISED = dt.timedelta(days=150)
#: Depressions: waves round the globe, days for one round, m s-1.
_WAVES = ((5, 21.0, 5.0), (7, 30.0, 4.0), (11, 17.0, 2.5))
_FILL = -32768


def wind_jobs(seed: int, day: dt.date, cells_per_degree: float = 8, hours: Iterable[int] = range(24)) -> list[Job]:
    """A day's files below ``l4_wind/``, one for each hour."""
    revised = f"R{day + _REVISED:%Y%m%d}T12_{seed % 100:02d}"
    return [
        Job(
            f"l4_wind/cmems_obs-wind_glo_phy_my_l4_0.125deg_PT1H_{day:%Y%m%d}{hour:02d}_{revised}.nc",
            partial(_write, seed, day, cells_per_degree, hour),
        )
        for hour in hours
    ]


def winds_at(
    seed: int, day: float, latitude: NDArray[np.float64], longitude: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Eastward and northward wind at a moment, days since 1950-01-01, m s-1: [row, column] each."""
    phi, lam = np.deg2rad(latitude)[:, None], np.deg2rad(longitude)[None, :]
    east = -7.0 * np.cos(3.0 * phi) * np.cos(phi) + 1.5 * np.cos(lam)
    north = -2.0 * np.sin(2.0 * phi) * np.cos(3.0 * phi) + np.zeros_like(lam)
    for number, period, strength in _WAVES:
        phase = number * (lam - 2.0 * np.pi * day / period) + seed
        where = strength * np.sin(2.0 * phi) ** 2
        east = east + where * np.sin(phase) * np.sin(3.0 * phi)
        north = north + where * np.cos(phase)
    return east, north


def _write(seed: int, day: dt.date, cells_per_degree: float, hour: int, path: str) -> None:
    axes = global_axes(cells_per_degree)
    land = coast().land_at(*axes)
    moment = dt.datetime.combine(day, dt.time(hour))
    fields = {}
    for direction, values in zip(
        ("eastward", "northward"), winds_at(seed, noon(day) + (hour - 12) / 24.0, *axes), strict=True
    ):
        name = f"{direction}_wind"
        about = {"standard_name": name, "long_name": f"stress-equivalent {direction} wind at 10 m", "units": "m s-1"}
        fields[name] = Packed("i2", _FILL, about, 0.01), np.where(land, np.nan, values)
    attributes = {"Conventions": "CF-1.7", "title": "Hourly blended winds", "institution": "synthetic"}
    write_grid(path, axes, ("lat", "lon"), moment, fields, attributes)
