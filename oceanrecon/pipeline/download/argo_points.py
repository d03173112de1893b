"""Profiles of Argo floats as points: one row per level that counts, in a file as ``sources.daily`` reads it."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
from numpy.typing import NDArray

from oceanrecon.errors import SourceError
from oceanrecon.sources.netcdf import NetcdfFile, naming


class UnreadableError(SourceError):
    """A file of profiles cannot be read, or lacks what every such file has."""

    def __init__(self, file: Path, message: str) -> None:
        """Of which file."""
        super().__init__(message)
        self.file = file


_MEASURED = ("PRES", "TEMP", "PSAL")
_REQUIRED = (
    "JULD", "LATITUDE", "LONGITUDE", "PLATFORM_NUMBER", "CYCLE_NUMBER", "DIRECTION", "DATA_MODE", "PRES", "TEMP",
)  # fmt: skip
#: Data modes whose adjusted values count.
_ADJUSTED = ("A", "D")
_NO_FLAG = np.int8(9)
_NUMBERS: Mapping[str, Mapping[str, str]] = {
    "LATITUDE": {"standard_name": "latitude", "units": "degrees_north"},
    "LONGITUDE": {"standard_name": "longitude", "units": "degrees_east"},
    "TIME": {"standard_name": "time", "units": "days since 1950-01-01 00:00:00", "calendar": "standard"},
    "PRES": {"standard_name": "sea_water_pressure", "long_name": "Sea water pressure", "units": "decibar"},
    "TEMP": {"standard_name": "sea_water_temperature", "long_name": "In-situ temperature", "units": "degree_Celsius"},
    "PSAL": {"standard_name": "sea_water_practical_salinity", "long_name": "Practical salinity", "units": "1"},
    "PRES_ERROR": {"long_name": "Error of the adjusted pressure", "units": "decibar"},
    "TEMP_ERROR": {"long_name": "Error of the adjusted temperature", "units": "degree_Celsius"},
    "PSAL_ERROR": {"long_name": "Error of the adjusted salinity", "units": "1"},
}

Points = dict[str, NDArray[Any]]


def write_points(path: Path, files: Sequence[Path], deepest: float | None, flags: Sequence[int]) -> int:
    """Write the levels of some files of profiles that count; how many.

    A level counts where its pressure is flagged well and not above ``deepest``, temperature or salinity is, and the
    place and the time of its profile are; a measurement that is not is missing. Adjusted values are taken of profiles
    of data mode A and D. A profile that several files have is taken from the first.

    Args:
        path: of the file of points, NetCDF-4; the same profiles give the same bytes.
        files: of profiles, in Argo's format of many profiles.
        deepest: dbar; ``None``: no limit.
        flags: of Argo's reference table 2 that are well.

    Raises:
        UnreadableError: a file cannot be read, or lacks what every such file has; names the file.
    """
    seen: set[tuple[Any, ...]] = set()
    parts = []
    for file in files:
        try:
            with naming(str(file)), NetcdfFile(str(file), file.name) as opened:
                opened.require(_REQUIRED, "Argo core profile file")
                parts.append(_levels(opened, deepest, flags, seen))
        except SourceError as error:
            raise UnreadableError(file, str(error)) from error
    points = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    _write(path, points, deepest, flags)
    return len(points["PRES"])


def _levels(opened: NetcdfFile, deepest: float | None, flags: Sequence[int], seen: set[tuple[Any, ...]]) -> Points:
    """Levels of one file; ``seen`` are the profiles of those before, and gets these."""
    size, slots = opened.shape("PRES")
    profile: Points = {
        "LATITUDE": opened.numbers("LATITUDE"),
        "LONGITUDE": opened.numbers("LONGITUDE"),
        "TIME": opened.numbers("JULD"),
        "PLATFORM_NUMBER": _wmo(opened),
        "CYCLE_NUMBER": np.nan_to_num(opened.numbers("CYCLE_NUMBER"), nan=-1).astype(np.int32),
        "DIRECTION": opened.texts("DIRECTION").astype("S1"),
        "DATA_MODE": opened.texts("DATA_MODE").astype("S1"),
    }
    cycle = ("PLATFORM_NUMBER", "CYCLE_NUMBER", "DIRECTION", "TIME")
    keys = list(zip(*(profile[name].tolist() for name in cycle), strict=True))
    new = np.array([key not in seen for key in keys], np.bool_)
    seen |= set(keys)
    placed = np.isfinite(profile["LATITUDE"]) & np.isfinite(profile["LONGITUDE"]) & np.isfinite(profile["TIME"])
    for name in ("POSITION_QC", "JULD_QC"):
        placed &= np.isin(opened.flags_or_missing(name, (size,)), flags)
    adjusted = np.isin(profile["DATA_MODE"].astype("U1"), _ADJUSTED)
    level: Points = {}
    for name in _MEASURED:
        values, codes, error = _measured(opened, name, adjusted, (size, slots))
        well = np.isin(codes, flags) & np.isfinite(values)
        level |= {
            name: np.where(well, values, np.float32(np.nan)), f"{name}_QC": codes, f"{name}_ERROR": error
        }  # fmt: skip
    counts = np.isfinite(level["PRES"]) & (np.isfinite(level["TEMP"]) | np.isfinite(level["PSAL"]))
    counts &= (new & placed)[:, None]
    if deepest is not None:
        counts &= level["PRES"] <= deepest
    row, slot = np.nonzero(counts)
    return {name: values[row] for name, values in profile.items()} | {
        name: values[row, slot] for name, values in level.items()
    }


def _measured(
    opened: NetcdfFile, name: str, adjusted: NDArray[np.bool_], shape: tuple[int, int]
) -> tuple[NDArray[np.float32], NDArray[np.int8], NDArray[np.float32]]:
    """Values, flags and errors of a variable, adjusted or not for each profile: [profile, slot]."""
    values, error = np.full(shape, np.nan, np.float32), np.full(shape, np.nan, np.float32)
    codes = np.full(shape, _NO_FLAG)
    for which, source in ((~adjusted, name), (adjusted, f"{name}_ADJUSTED")):
        if not which.any():
            continue
        if source not in opened:
            if name != "PSAL":  # there are floats without a conductivity sensor
                raise SourceError(f"missing variable {source}, which profiles of this data mode have")
            continue
        rows = np.flatnonzero(which)
        opened.check_shape((source, f"{source}_QC", f"{source}_ERROR"), shape)
        values[which] = opened.numbers(source, rows, "f4")
        codes[which] = opened.flags_or_missing(f"{source}_QC", (len(rows), shape[1]), rows)
        if f"{source}_ERROR" in opened:
            error[which] = opened.numbers(f"{source}_ERROR", rows, "f4")
    return values, codes, error


def _wmo(opened: NetcdfFile) -> NDArray[np.int32]:
    texts = opened.texts("PLATFORM_NUMBER").tolist()
    strange = [text for text in texts if not text.isdigit()]
    if strange:
        raise SourceError(f"PLATFORM_NUMBER {strange[0]!r} is no WMO number: download the file again")
    return np.array([int(text) for text in texts], np.int32)


def _write(path: Path, points: Points, deepest: float | None, flags: Sequence[int]) -> None:
    with netCDF4.Dataset(path, "w", format="NETCDF4") as file:
        file.setncatts(
            {
                "Conventions": "CF-1.11",
                "title": "Levels of profiles of Argo floats",
                "flags": ", ".join(map(str, sorted(flags))),
                "deepest_dbar": "none" if deepest is None else f"{deepest:g}",
            }
        )
        file.createDimension("N_POINTS", len(points["PRES"]))
        for name, values in points.items():
            whole = values.dtype.kind != "f"
            variable = file.createVariable(
                name, values.dtype, ("N_POINTS",), zlib=True, shuffle=True, fill_value=None if whole else np.nan
            )
            variable.setncatts(_NUMBERS.get(name, {}))
            if name.endswith("_QC"):
                variable.setncatts({"long_name": "Quality flag", "conventions": "Argo reference table 2"})
            variable[:] = values
    with open(path, "rb+") as written:
        os.fsync(written.fileno())
