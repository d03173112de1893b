"""A tiny archive of all products, by the netCDF4 library: seconds to export, numbers that can be checked by hand.

5 degree cells, three levels, one land mass that crosses longitude 0. Sea level has longitudes 0..360 and declares no
fill value; salinity has its latitudes from north to south; the reanalysis has two levels in a disk chunk.
"""

from __future__ import annotations

import datetime as dt
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
from numpy.typing import NDArray

from oceanrecon.config import ExportSettings, parse_settings

Field = NDArray[np.float64]
DEPTH = (0.494025, 97.04131, 541.0889)
WEEKLY = tuple(dt.date(2012, 2, 22) + dt.timedelta(days=7 * n) for n in range(3))  # the second is 29 February
#: from three days before the first week to two days after the last: its window has six of seven days
DAILY = tuple(WEEKLY[0] + dt.timedelta(days=n) for n in range(-3, 17))
PRODUCTS = ("glorys", "ostia", "sealevel", "sss")
VARIABLES = {"glorys": ("thetao", "so"), "ostia": ("analysed_sst",), "sealevel": ("adt",), "sss": ("sos", "dos")}


def land(latitude: Field, longitude: Field) -> NDArray[np.bool_]:
    """[latitude, longitude]: a continent over longitude 0, and the south pole."""
    y, x = np.meshgrid(latitude, (longitude + 180) % 360 - 180, indexing="ij")
    return ((np.abs(x) < 31) & (y > -21) & (y < 42)) | (y < -74)


def truth(name: str, date: dt.date, latitude: Field, longitude: Field, depth: float = 0.0) -> Field:
    """Physical values of a variable, degC for temperatures: [latitude, longitude], a day is worth a known step."""
    y, x = np.meshgrid(np.deg2rad(latitude), np.deg2rad(longitude), indexing="ij")
    day = (date - WEEKLY[0]).days
    wave = np.cos(y) * np.sin(3 * x) + 0.5 * np.sin(2 * y) * np.cos(5 * x)
    values: dict[str, Field] = {
        "thetao": 14 + 10 * wave - 4 * depth / 541 + 0.02 * day,
        "so": 35 + 2 * wave + 0.5 * depth / 541 + 0.004 * day,
        "analysed_sst": 14 + 11 * wave + 0.5 * day,
        "adt": 0.9 * wave + 0.05 * day,
        "sos": 35 + 2.5 * wave + 0.1 * day,
        "dos": 1022 + 5 * wave + 0.2 * day,
    }
    return values[name]


def glorys(root: Path, date: dt.date, revision: dt.date | None = None, *, units: str = "degrees_C") -> Path:
    """One file of the reanalysis: nodes on -80..90 and -180..175."""
    latitude, longitude = np.arange(-80.0, 90.1, 5), np.arange(-180.0, 180, 5)
    name = f"mercatorglorys12v1_gl12_mean_{date:%Y%m%d}_R{revision or date + dt.timedelta(days=7):%Y%m%d}.nc"
    packing = {"thetao": (0.000732444226741791, 21.0, units), "so": (0.00152592547237873, -0.00152592547237873, "1e-3")}
    with _new(root / "glorys" / name, ("time", "depth", "latitude", "longitude"), latitude, longitude, DEPTH) as file:
        _time(file, "f8", "hours since 1950-01-01", [(date - dt.date(1950, 1, 1)).days * 24 + 12])
        for variable, (scale, offset, unit) in packing.items():
            fields = [np.where(land(latitude, longitude), np.nan, truth(variable, date, latitude, longitude, z))
                      for z in DEPTH]  # fmt: skip
            fields[-1][latitude > 60] = np.nan  # a shallow sea
            _packed(file, variable, np.array([fields]), scale, offset, unit, -32767, chunks=(1, 2, 20, 30))
        return Path(file.filepath())


def ostia(root: Path, date: dt.date, *, units: str | None = "kelvin") -> Path:
    """One file of surface temperature: 2.5 degree cells, half a target cell of 5 degrees."""
    latitude, longitude = np.arange(-88.75, 90, 2.5), np.arange(-178.75, 180, 2.5)
    name = f"{date:%Y%m%d}120000-UKMO-L4_GHRSST-SSTfnd-OSTIA-GLOB_REP-v02.0-fv02.0.nc"
    with _new(root / "ostia" / name, ("time", "lat", "lon"), latitude, longitude) as file:
        _time(file, "i4", "seconds since 1981-01-01 00:00:00", [((date - dt.date(1981, 1, 1)).days * 24 + 12) * 3600])
        values = np.where(land(latitude, longitude), np.nan, truth("analysed_sst", date, latitude, longitude))
        values[40, (date.day * 5) % 144] = np.nan  # a cell that is missing on some days only
        _packed(file, "analysed_sst", values[None] + 273.15, 0.01, 273.15, units, -32768)
        return Path(file.filepath())


def sealevel(root: Path, date: dt.date, revision: str = "20190515", *, raised: float = 0.0) -> Path:
    """One file of sea level: 5 degree cells, longitudes 0..360, a fill that is not declared."""
    latitude, longitude = np.arange(-87.5, 90, 5), np.arange(2.5, 360, 5)
    with _new(
        root / "sealevel" / f"dt_global_allsat_phy_l4_{date:%Y%m%d}_{revision}.nc", ("time", "latitude", "longitude"),
        latitude, longitude,
    ) as file:  # fmt: skip
        _time(file, "f4", "days since 1950-01-01 00:00:00", [(date - dt.date(1950, 1, 1)).days])
        values = np.where(land(latitude, longitude), np.nan, truth("adt", date, latitude, longitude) + raised)
        _packed(file, "adt", values[None], 0.0001, None, "m", -2147483647, declared=False)
        return Path(file.filepath())


def sss(root: Path, date: dt.date) -> Path:
    """One file of salinity and density: 5 degree cells, north first, a depth of one level."""
    latitude, longitude = np.arange(87.5, -90, -5), np.arange(-177.5, 180, 5)
    name = f"dataset-sss-ssd-rep-daily_{date:%Y%m%d}T1200Z_P20240215T0000Z.nc"
    with _new(root / "sss" / name, ("time", "depth", "lat", "lon"), latitude, longitude, (0.0,)) as file:
        _time(file, "f4", "hours since 1950-01-01 00:00:00", [(date - dt.date(1950, 1, 1)).days * 24 + 12])
        for variable, offset, unit in (("sos", 20.0, "1e-3"), ("dos", 1010.0, "kg/m3")):
            values = np.where(land(latitude, longitude), np.nan, truth(variable, date, latitude, longitude))
            _packed(file, variable, values[None, None], 0.001, offset, unit, -32768)
        return Path(file.filepath())


def write_archive(root: Path, weekly: Sequence[dt.date] = WEEKLY, daily: Sequence[dt.date] = DAILY) -> Path:
    """The whole archive."""
    for date in weekly:
        glorys(root, date)
    for date in daily:
        for surface in (ostia, sealevel, sss):
            surface(root, date)
    return root


def copied(archive: Path, to: Path) -> Path:
    """A copy of an archive or an export, times included, to do harm to."""
    return Path(shutil.copytree(archive, to))


def settings(root: Path, output: Path | str, **more: Any) -> ExportSettings:
    """Settings of an export of all products on a grid of 3 degrees; ``more`` are top-level settings."""
    data: dict[str, Any] = {
        "archive": {"root": str(root), "products": dict.fromkeys(PRODUCTS)},
        "output": str(output),
        "grid": {"resolution": 3},
        "cluster": {"workers": 2, "dashboard": "127.0.0.1:0"},  # tests run side by side
    }
    return parse_settings(ExportSettings, data | more, "test")


def only(*products: str, archive: Path) -> dict[str, Any]:
    """The ``archive`` settings of an export of some products."""
    return {"root": str(archive), "products": dict.fromkeys(products)}


def files_of(root: Path, *folders: str) -> dict[str, bytes]:
    """Content of every file below some folders of an export, by relative path; of all but its jobs if none is named."""
    tops = [root / folder for folder in folders] or [root]
    found = {
        path.relative_to(root).as_posix(): path.read_bytes()
        for top in tops for path in sorted(top.rglob("*")) if path.is_file()
    }  # fmt: skip
    return {name: content for name, content in found.items() if not name.startswith(("jobs/", "lease/"))}


def litter(root: Path) -> list[str]:
    """What an export must not hold when nobody writes to it."""
    return [str(path) for path in root.rglob("*") if path.name.endswith(".partial") or path.name == ".staging"]


def truncate(path: Path, part: float = 0.6) -> None:
    """Cut a file short, as a download that broke off."""
    os.truncate(path, int(path.stat().st_size * part))


def _new(
    path: Path, dimensions: Sequence[str], latitude: Field, longitude: Field, depth: Sequence[float] | None = None
) -> netCDF4.Dataset:
    path.parent.mkdir(parents=True, exist_ok=True)
    file = netCDF4.Dataset(path, "w")
    values: dict[str, Any] = {dimensions[-2]: latitude, dimensions[-1]: longitude}
    if depth is not None:
        values["depth"] = depth
    for name in dimensions:
        file.createDimension(name, len(values.get(name, (0,))))
        if name in values:
            file.createVariable(name, "f4", (name,))[:] = values[name]
    return file


def _time(file: netCDF4.Dataset, dtype: str, units: str, values: Sequence[float]) -> None:
    time = file.createVariable("time", dtype, ("time",))
    time.units = units
    time[:] = values


def _packed(
    file: netCDF4.Dataset, name: str, values: Field, scale: float, offset: float | None, units: str | None, fill: int,
    *, declared: bool = True, chunks: Sequence[int] | None = None,
) -> None:  # fmt: skip
    dtype = "i4" if fill < -40000 else "i2"
    stored = file.createVariable(
        name, dtype, tuple(file.dimensions), fill_value=fill if declared else False, zlib=True, chunksizes=chunks
    )
    stored.set_auto_maskandscale(False)
    stored.scale_factor = scale
    if offset is not None:
        stored.add_offset = offset
    if units is not None:
        stored.units = units
    whole = np.rint((np.nan_to_num(values, nan=0.0 if offset is None else offset) - (offset or 0.0)) / scale)
    stored[:] = np.where(np.isnan(values), fill, whole).astype(dtype)
