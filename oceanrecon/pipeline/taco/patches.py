"""Writes what a query read, as NetCDF."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import dask
import numpy as np
import xarray as xr

from oceanrecon.samples.regional.query import RegionalQuery
from oceanrecon.samples.regional.read import Patch
from oceanrecon.stores.files import Root

_LATITUDE = {"standard_name": "latitude", "units": "degrees_north"}
_TIME = {"standard_name": "time"}
_PRESSURE = {"standard_name": "sea_water_pressure", "units": "dbar"}
_LONGITUDE = {"standard_name": "longitude", "units": "degrees_east"}


def write_patches(path: str, patches: Mapping[str, Patch], query: RegionalQuery) -> str:
    """Write variables of a box as a NetCDF file, NaN where missing; where it is.

    Each variable has rows and columns of its own (``l4_sst_lat``), as sources have, and days (``l4_sst_day``) where
    they are stacked; points have ``argo_point``, with their times and their pressure.

    Raises:
        OutputError: it cannot be written.
    """
    found: dict[str, xr.DataArray] = {}
    for token, patch in patches.items():
        name = token.replace(":", "_")
        data = np.where(patch.mask, patch.data, np.float32(np.nan))
        if data.ndim == 1:
            point = f"{name}_point"
            places: dict[str, Any] = {
                f"{name}_lat": (point, patch.lats, _LATITUDE), f"{name}_lon": (point, patch.lons, _LONGITUDE)
            }  # fmt: skip
            if patch.times is not None:
                places[f"{name}_time"] = (point, patch.times.astype("datetime64[ns]"), _TIME)
            if patch.pressure is not None:
                places[f"{name}_pressure"] = (point, patch.pressure, _PRESSURE)
            found[name] = xr.DataArray(data, dims=(point,), coords=places)
            continue
        rows, columns = f"{name}_lat", f"{name}_lon"
        axes: dict[str, Any] = {rows: (rows, patch.lats, _LATITUDE), columns: (columns, patch.lons, _LONGITUDE)}
        days = () if data.ndim == 2 else (f"{name}_day",)
        if days:
            axes[days[0]] = (days[0], np.array(query.days, "datetime64[ns]"), _TIME)
        found[name] = xr.DataArray(data, dims=(*days, rows, columns), coords=axes)
    attributes = {
        "Conventions": "CF-1.11", "geospatial_bounds": " ".join(map(str, query.box)),
        "time_coverage_start": str(query.start), "time_coverage_end": str(query.end),
    }  # fmt: skip
    # else it would ask a cluster for a lock of a file that is in memory alone
    with dask.config.set(scheduler="sync"):
        content = xr.Dataset(found, attrs=attributes).to_netcdf(engine="h5netcdf")
    folder, _, name = Root(path).url.rpartition("/")
    Root(folder).write(name, bytes(content))
    return Root(folder).url_of(name)
