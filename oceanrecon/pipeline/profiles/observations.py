"""Opens the gridded profiles of an export as one lazy dataset on its grid: rasterised when a time is computed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import dask.array as da
import numpy as np
import xarray as xr
from dask.base import tokenize
from dask.highlevelgraph import HighLevelGraph
from numpy.typing import NDArray

from oceanrecon.errors import ConfigError, OutputError
from oceanrecon.grid import RasterGrid, parse_date
from oceanrecon.stores.columns import ColumnReader
from oceanrecon.stores.files import Root
from oceanrecon.stores.manifest import export_grid, read_manifest
from oceanrecon.transform.encode import Stretch, stretch
from oceanrecon.transform.rasterize import rasterize

_VARIABLES = {"temperature": ("temp", "temperature_kelvin"), "salinity": ("psal", "salinity")}
_TYPES = {"": np.dtype(np.float32), "_count": np.dtype(np.uint16), "_valid": np.dtype(np.bool_)}


def open_observations(url: str, *, box: tuple[float, float, float, float] | None = None) -> xr.Dataset:
    """Profiles of an export on its grid: means where there are some, in lazy dask blocks, one per time.

    ``temperature`` (K) and ``salinity``: float32, NaN where no profile has a value; with ``<name>_count``, the number
    of profiles behind the mean (uint16), and ``<name>_valid`` (bool). Dimensions are ``time``, ``depth`` (m),
    ``latitude`` (north to south) and ``longitude``, those of ``open_export``. Several profiles in one pixel are
    averaged.

    Args:
        url: folder or fsspec URL of an export that has gridded profiles.
        box: west, south, east, north in degrees: only the pixels whose centres are inside. It may cross the dateline
            (west > east). A block of the whole globe at 0.1 degree with 50 levels takes 2.3 GB, one of a box its share.

    Raises:
        OutputError: there is no export, or it has no gridded profiles.
        ConfigError: no pixel is inside the box.
    """
    root = Root(url)
    manifest = read_manifest(root)
    section = manifest.get("argo")
    if not section:
        raise OutputError(
            f"{root.url} has no gridded profiles: run `oceanrecon profiles grid CONFIG` with grid.export {root.url}"
        )
    grid = export_grid(manifest)
    rows, columns = _inside(grid, box)
    reader = ColumnReader(root, section["path"])
    dates, starts, counts = (reader.table(name) for name in ("target", "target_start", "target_count"))
    place = (root.url, section["path"])
    shape = (len(reader.depth), rows.size, columns.size)
    name = f"observations-{tokenize(place, section['files'], rows, columns)}"
    variables: dict[str, Any] = {}
    for variable, (short, quantity) in _VARIABLES.items():
        code = stretch(quantity, section["encoding"])
        stored = f"argo_{short}_{'kelvin_' if short == 'temp' else ''}{section['encoding']}"
        made = f"{name}-{variable}"
        graph: dict[Any, Any] = {
            (made, time): (_rasterized, place, stored, code, int(start), int(count), grid, rows, columns)
            for time, (start, count) in enumerate(zip(starts, counts, strict=True))
        }
        attributes = reader.attributes(stored)
        for part, (suffix, dtype) in enumerate(_TYPES.items()):
            own = f"{made}{suffix or '_mean'}"
            layer = graph | {(own, time, 0, 0, 0): (_part, (made, time), part) for time in range(len(dates))}
            chunks = ((1,) * len(dates), *((size,) for size in shape))
            array = da.Array(HighLevelGraph.from_collections(own, layer, dependencies=()), own, chunks, dtype=dtype)
            attrs = {key: attributes[key] for key in ("standard_name", "long_name", "units")}
            if suffix:
                what = "number of profiles behind" if suffix == "_count" else "whether there is"
                attrs = {"long_name": f"{what} {variable}", "units": "1"}
            variables[f"{variable}{suffix}"] = (("time", "depth", "latitude", "longitude"), array, attrs)
    times = np.array([parse_date(str(date)) for date in dates], dtype="datetime64[ns]")
    coordinates: dict[str, Any] = {
        "time": ("time", times, {"standard_name": "time"}),
        "depth": (
            "depth",
            np.array(reader.depth, np.float32),
            {"standard_name": "depth", "units": "m", "positive": "down"},
        ),
        "latitude": ("latitude", grid.latitude[rows], {"standard_name": "latitude", "units": "degrees_north"}),
        "longitude": ("longitude", grid.longitude[columns], {"standard_name": "longitude", "units": "degrees_east"}),
    }
    return xr.Dataset(variables, coordinates, {"Conventions": "CF-1.11"})


def _inside(grid: RasterGrid, box: Sequence[float] | None) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows, and columns in the order from west to east, whose centres are in the box."""
    if box is None:
        return np.arange(grid.height), np.arange(grid.width)
    west, south, east, north = box
    rows = np.flatnonzero((grid.latitude >= south) & (grid.latitude <= north))
    width = 360.0 if east - west >= 360.0 else np.mod(east - west, 360.0)
    beyond = np.mod(grid.longitude - west, 360.0)
    columns = np.flatnonzero(beyond <= width)
    columns = columns[np.argsort(beyond[columns], kind="stable")]
    if not (rows.size and columns.size):
        raise ConfigError(
            f"no pixel is inside the box {list(box)} (west, south, east, north): the grid has {list(grid.bounds)}"
        )
    return rows, columns


def _rasterized(
    place: tuple[str, str], name: str, code: Stretch, start: int, count: int, grid: RasterGrid,
    rows: NDArray[np.int64], columns: NDArray[np.int64],
) -> tuple[NDArray[Any], ...]:  # fmt: skip
    """Mean, count and validity of one time: [depth, latitude, longitude] each."""
    reader = ColumnReader(Root(place[0]), place[1])
    # sorted by row: those of the box are one slice
    row = reader.read(["grid_row"], start, start + count)["grid_row"]
    first, last = np.searchsorted(row, [rows[0], rows[-1] + 1])
    read = reader.read(["grid_row", "grid_col", name], start + int(first), start + int(last))
    column = np.full(grid.width, -1, np.int64)
    column[columns] = np.arange(columns.size)
    at = column[read["grid_col"]]
    inside = at >= 0
    mean, number = rasterize(
        read["grid_row"][inside] - rows[0], at[inside], code.decode(read[name][inside]), rows.size, columns.size
    )
    return mean, number, number > 0


def _part(made: tuple[NDArray[Any], ...], number: int) -> NDArray[Any]:
    return made[number][None]
