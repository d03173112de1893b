"""Salinity of the sea surface as SMOS has it: what the swaths of a day see, going north and going south apart."""

from __future__ import annotations

import datetime as dt
from functools import partial

import numpy as np
from numpy.typing import NDArray

from oceanrecon.synthetic.chance import uniform
from oceanrecon.synthetic.coast import coast
from oceanrecon.synthetic.daily.grids import Packed, global_axes, write_grid
from oceanrecon.synthetic.job import Job
from oceanrecon.synthetic.truth import Ocean, noon

_FILL = -32768
_ORBITS, _HALF_WIDTH = 14.4, 5.0
_DEVIATION, _NOISES = 0.6, 312
#: Quality: nothing against it, dubious, and two sets of bits as they occur.
_BITS = (0, 1, 255, 1024)


def smos_jobs(seed: int, day: dt.date, cells_per_degree: float = 4) -> list[Job]:
    """A day's two files below ``l3_sss_smos/``: of the passes that go north (A), and of those that go south (D)."""
    span = f"{day:%Y%m%d}T000000_{day:%Y%m%d}T235959"
    return [
        Job(
            f"l3_sss_smos/SM_RE07_MIR_CSF2Q{letter}_{span}_337_001_7.nc",
            partial(_write, seed, day, cells_per_degree, letter),
        )
        for letter in "AD"
    ]


def _across(letter: str, day: float, axes: tuple[NDArray[np.float64], NDArray[np.float64]]) -> NDArray[np.float64]:
    """Degrees of longitude from the next track to its east, up to half the distance of two: [row, column]."""
    apart = 360.0 / _ORBITS
    slant = 12.0 * np.tan(np.deg2rad(axes[0] * 0.8)) * (-1.0 if letter == "A" else 1.0)
    crossing = 7.1 * day + (0.0 if letter == "A" else apart / 3)
    return np.asarray((axes[1][None, :] + slant[:, None] - crossing + apart / 2) % apart - apart / 2)


def _write(seed: int, day: dt.date, cells_per_degree: float, letter: str, path: str) -> None:
    axes = global_axes(cells_per_degree)
    when = noon(day)
    across = _across(letter, when, axes)
    land = coast().land_at(*axes)
    width = _HALF_WIDTH / np.maximum(np.cos(np.deg2rad(axes[0])), 0.1)[:, None]
    seen = (np.abs(across) < width) & ~land & (np.abs(axes[0]) < 84.0)[:, None]
    truth = Ocean(seed).columns(*axes, when).surface_salinity
    cells = np.arange(truth.size, dtype=np.uint64)
    drawn = uniform(cells, "AD".index(letter), seed, _NOISES).reshape(truth.shape) - 0.5
    salinity = np.where(seen, truth + _DEVIATION * np.sqrt(12.0) * drawn, np.nan)
    error = np.where(seen, _DEVIATION + 0.02 * np.abs(across), np.nan)
    rating = uniform(cells, 7, seed, _NOISES).reshape(truth.shape)
    quality = np.where(seen, np.array(_BITS)[np.searchsorted((0.8, 0.93, 0.97), rating)], np.nan)
    about = {"units": "0.001", "standard_name": "sea_surface_salinity"}
    fields = {
        "Sea_Surface_Salinity": (Packed("i2", _FILL, {**about, "long_name": "Sea Surface Salinity"}, 0.001, 30.0),
                                 salinity),
        "Sea_Surface_Salinity_Error": (Packed("i2", _FILL, {"units": "0.001", "long_name": "Error"}, 0.001), error),
        "Sea_Surface_Salinity_QC": (
            Packed("i2", _FILL, {"long_name": "Quality", "flag_masks": np.array([1, 2, 4, 1024], np.int16),
                                 "flag_meanings": "dubious suspect_sea_state suspect_wind land_near"}),
            quality,
        ),
        "X_Swath": (Packed("i2", _FILL, {"units": "km", "long_name": "Distance to the track"}, 0.1),
                    np.where(seen, 111.2 * across * np.cos(np.deg2rad(axes[0]))[:, None], np.nan)),
    }  # fmt: skip
    attributes = {"Conventions": "CF-1.6", "title": "Sea surface salinity of SMOS, L3", "institution": "synthetic"}
    write_grid(path, axes, ("lat", "lon"), dt.datetime.combine(day, dt.time(12)), fields, attributes)
