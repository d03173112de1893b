"""Temperature of the sea surface from several sensors, in the form of ODYSSEA: what clouds leave of a day."""

from __future__ import annotations

import datetime as dt
from functools import partial

import numpy as np
from numpy.typing import NDArray

from oceanrecon.synthetic.chance import uniform
from oceanrecon.synthetic.coast import coast
from oceanrecon.synthetic.daily.grids import Packed, global_axes, write_grid
from oceanrecon.synthetic.job import Job
from oceanrecon.synthetic.netcdf import Attributes
from oceanrecon.synthetic.truth import Ocean, noon

_FILL, _BYTE_FILL = -32768, -128
_KELVIN, _BIAS, _DEVIATION = 273.15, 0.12, 0.3
_NOISES = 311
_KINDS: Attributes = {
    "standard_name": "status_flag", "flag_values": np.arange(6, dtype=np.int8),
    "flag_meanings": "no_data bad_data worst_quality low_quality acceptable_quality best_quality",
}  # fmt: skip


def sst_jobs(seed: int, day: dt.date, cells_per_degree: float = 10) -> list[Job]:
    """A day's file below ``l3_sst/``."""
    name = f"{day:%Y%m%d}000000-IFR-L3S_GHRSST-SSTfnd-ODYSSEA-GLOB_010-v02.1-fv01.0.nc"
    return [Job(f"l3_sst/{name}", partial(_write, seed, day, cells_per_degree))]


def clear(seed: int, day: float, latitude: NDArray[np.float64], longitude: NDArray[np.float64]) -> NDArray[np.float64]:
    """How far from clouds each place is, 0..1, negative below them: [row, column]."""
    phi, lam = np.deg2rad(latitude)[:, None], np.deg2rad(longitude)[None, :]
    x, y, z = np.cos(phi) * np.cos(lam), np.cos(phi) * np.sin(lam), np.sin(phi) + 0.0 * lam
    turn = 0.9 * day + seed
    waves = np.sin(9 * x + 7 * y + turn) + np.sin(11 * y - 8 * z + 2 * turn) + np.sin(13 * z + 12 * x - turn)
    return np.asarray((waves + np.sin(29 * x - 31 * y + 3 * turn)) / 4.0 + 0.1)


def _write(seed: int, day: dt.date, cells_per_degree: float, path: str) -> None:
    axes = global_axes(cells_per_degree)
    when = noon(day)
    sight = clear(seed, when, *axes)
    seen = (sight > 0.0) & ~coast().land_at(*axes)
    truth = Ocean(seed).columns(*axes, when).surface_temperature + _KELVIN
    drawn = uniform(np.arange(truth.size, dtype=np.uint64), 0, seed, _NOISES).reshape(truth.shape) - 0.5
    measured = np.where(seen, truth + _DEVIATION * np.sqrt(12.0) * drawn, np.nan)
    quality = np.where(seen, np.clip(2 + np.floor(sight * 8), 2, 5), 0.0)
    kelvin = {"units": "kelvin", "standard_name": "sea_surface_subskin_temperature"}
    fields = {
        "sea_surface_temperature": (
            Packed("i2", _FILL, {**kelvin, "long_name": "sea surface temperature"}, 0.01, _KELVIN), measured + _BIAS,
        ),
        "adjusted_sea_surface_temperature": (
            Packed("i2", _FILL, {**kelvin, "long_name": "adjusted sea surface temperature"}, 0.01, _KELVIN), measured,
        ),
        "sses_standard_deviation": (
            Packed("i1", _BYTE_FILL, {"units": "kelvin", "long_name": "deviation of the error"}, 0.01),
            np.where(seen, _DEVIATION, np.nan),
        ),
        "quality_level": (Packed("i1", _BYTE_FILL, {**_KINDS, "long_name": "quality level"}), quality),
        "sst_dtime": (
            Packed("i4", -2147483648, {"units": "second", "long_name": "time since the start of the day"}),
            np.where(seen, 43200.0 + np.rint(drawn * 80000.0), np.nan),
        ),
    }  # fmt: skip
    attributes = {"Conventions": "CF-1.7", "title": "Merged sea surface temperature, L3S", "gds_version_id": "2.1"}
    write_grid(path, axes, ("lat", "lon"), dt.datetime.combine(day, dt.time()), fields, attributes)
