"""A day of Argo floats as ``argopy`` gives it: one row per level of the upper 100 dbar, everything beside it."""

from __future__ import annotations

import datetime as dt
from functools import partial
from typing import Any

import netCDF4
import numpy as np
from numpy.typing import NDArray

from oceanrecon.grid.times import EPOCH
from oceanrecon.synthetic.casts import KINDS, float_casts, read
from oceanrecon.synthetic.floats import Fleet, Region
from oceanrecon.synthetic.job import Job
from oceanrecon.synthetic.truth import Ocean

_GLOBE: Region = (-180.0, -90.0, 180.0, 90.0)
_FIRST_NUMBER = 6_900_000
_CYCLE_DAYS = 10
_DEEPEST = 100.0
_SLOTS = max(kind.levels.size for kind in KINDS)
_ERRORS = {"PRES": 2.4, "TEMP": 0.002, "PSAL": 0.01}
_UNITS = {"PRES": "decibar", "TEMP": "degree_Celsius", "PSAL": "psu"}
_STANDARD = {"PRES": "sea_water_pressure", "TEMP": "sea_water_temperature", "PSAL": "sea_water_salinity"}


def argo_point_jobs(seed: int, day: dt.date, floats: int, region: Region = _GLOBE) -> list[Job]:
    """A day's file below ``argo/``, of the tenth of so many floats that come up on a day."""
    return [Job(f"argo/argo_{day:%Y%m%d}.nc", partial(_write, seed, day, floats, region))]


def _write(seed: int, day: dt.date, floats: int, region: Region, path: str) -> None:
    start = (day - EPOCH).days
    cycles = Fleet(seed, floats, _CYCLE_DAYS, _FIRST_NUMBER, region).cycles(start, start + 1)
    reading = read(Ocean(seed), float_casts(cycles, seed), _SLOTS)
    profile, slot = np.nonzero(reading.pressure <= _DEEPEST)
    columns: dict[str, tuple[NDArray[Any], dict[str, Any]]] = {
        "LATITUDE": (cycles.latitude[profile], {"standard_name": "latitude", "units": "degrees_north"}),
        "LONGITUDE": (cycles.longitude[profile], {"standard_name": "longitude", "units": "degrees_east"}),
        "TIME": (
            np.rint((cycles.juld[profile] - start) * 86400.0).astype(np.int64),
            {"standard_name": "time", "units": f"seconds since {day} 00:00:00", "calendar": "proleptic_gregorian"},
        ),
        "PLATFORM_NUMBER": (cycles.number[profile], {"long_name": "Float unique identifier"}),
        "CYCLE_NUMBER": (cycles.cycle[profile], {"long_name": "Float cycle number"}),
        "DIRECTION": (np.where(cycles.descending[profile], "D", "A").astype(object), {"long_name": "Direction"}),
    }
    for name, values, flags in (
        ("PRES", reading.pressure, reading.depth_flag),
        ("TEMP", reading.temperature, reading.temperature_flag),
        ("PSAL", reading.salinity, reading.salinity_flag),
    ):
        texts = {"standard_name": _STANDARD[name], "units": _UNITS[name]}
        found = values[profile, slot].astype(np.float32)
        columns[name] = found, texts
        columns[f"{name}_QC"] = _numbers(flags[profile, slot]), {"long_name": f"Quality flag of {name}"}
        error = np.where(np.isfinite(found), np.float32(_ERRORS[name]), np.float32(np.nan))
        columns[f"{name}_ERROR"] = error, {"units": _UNITS[name]}
    with netCDF4.Dataset(path, "w") as file:
        file.createDimension("N_POINTS", profile.size)
        for name, (values, attributes) in columns.items():
            text = values.dtype == object
            fill = np.nan if values.dtype.kind == "f" else None
            # a chunk has at least one point
            size = None if text else (max(profile.size, 1),)
            kind = str if text else values.dtype
            stored = file.createVariable(name, kind, ("N_POINTS",), fill_value=fill, chunksizes=size)
            stored.setncatts(attributes)
            stored[:] = values


def _numbers(flags: NDArray[np.bytes_]) -> NDArray[np.int64]:
    """Flags of Argo as integers; a blank, which has no level, is 9: missing."""
    return np.where(flags == b" ", b"9", flags).astype("S1").astype(np.int64)
