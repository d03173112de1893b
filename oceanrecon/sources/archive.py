"""The dask face of an archive: one lazy, chunked dataset on the target grid and times."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Any

import dask.array as da
import numpy as np
import pandas as pd
import xarray as xr
from dask.base import tokenize
from dask.highlevelgraph import HighLevelGraph
from numpy.typing import NDArray

from oceanrecon.errors import ArchiveError, ConfigError, SourceError
from oceanrecon.grid import RasterGrid, parse_date
from oceanrecon.sources.block import Block, read_block
from oceanrecon.sources.inventory import moved, read_parquet, scan
from oceanrecon.sources.listing import absolute_root
from oceanrecon.sources.product import Variable
from oceanrecon.sources.registry import PRODUCTS
from oceanrecon.sources.select import Form, Missing, holdings, select_block, target_dates


def open_archive(
    root: str,
    *,
    grid: RasterGrid | None = None,
    products: Sequence[str] | None = None,
    inventory: str | pd.DataFrame | None = None,
    times: Sequence[str | dt.date] | None = None,
    start: str | dt.date | None = None,
    end: str | dt.date | None = None,
    every_days: int | None = None,
    window_days: int = 7,
    minimum_files: int = 1,
    maximum_distance_days: int = 3,
    minimum_valid_fraction: float = 0.5,
) -> xr.Dataset:
    """Open an archive as one lazy dataset on one grid.

    Variables keep their names: ``thetao``, ``so`` (time, depth, latitude, longitude); ``analysed_sst``, ``adt``,
    ``sos``, ``dos`` (time, latitude, longitude). Values are float32 in K, 1e-3, m and kg m-3, NaN where missing;
    one dask task makes one (variable, time, slab of depth levels).

    Args:
        root: folder or fsspec URL of the archive.
        grid: target grid; default: 0.1 degrees over the globe.
        products: which products; default: those that the archive has.
        inventory: of the archive: the Parquet file of `oceanrecon inventory`, the folder of `oceanrecon virtualize`, or
            a table; default: scanned now, at about 3 ms per file.
        times: target dates; default: the dates of the GLORYS files.
        start: first date.
        end: last date, included.
        every_days: a target every so many days from ``start`` to ``end``.
        window_days: odd number of days that surface products are averaged over.
        minimum_files: a mean over fewer files is missing.
        maximum_distance_days: how far the nearest GLORYS file may be from a target.
        minimum_valid_fraction: least valid weight of a target cell.

    Raises:
        ArchiveError: the archive has no usable files or no targets.
        SourceError: when computed, where a file cannot be read.

    Example:
        >>> ocean = open_archive("demo/archive", grid=RasterGrid.from_bounds(0.5, (-60, 20, 0, 60)))  # doctest: +SKIP
        >>> ocean.thetao.sel(depth=100, method="nearest").mean("time").compute()  # doctest: +SKIP
    """
    grid = grid or RasterGrid.from_bounds(0.1, (-180.0, -90.0, 180.0, 90.0))
    root = absolute_root(root)  # workers may have another working directory
    table = read_parquet(inventory) if isinstance(inventory, str) else inventory
    table = scan(root) if table is None else moved(table, root)
    present = [name for name in PRODUCTS if name in set(table["product"])]
    held = holdings(table, present if products is None else products)
    if not held:
        raise ConfigError(f"{root} holds no file that a product knows: run `oceanrecon inventory {root}` to see why")
    targets = target_dates(
        held,
        start=None if start is None else parse_date(start),
        end=None if end is None else parse_date(end),
        dates=None if times is None else [parse_date(time) for time in times],
        every_days=every_days,
    )
    variables: dict[str, xr.DataArray] = {}
    for holding in held.values():
        if holding.form is None:
            raise ArchiveError(
                f"no file of product {holding.product.name!r} can be used, such as "
                f"{next(iter(holding.unusable.values()))}: mend them, or leave the product out"
            )
        for name in holding.variables:
            variable = holding.product.variable(name)
            blocks = [
                select_block(
                    root, holding, variable, date, window=window_days, minimum_files=minimum_files,
                    maximum_distance_days=maximum_distance_days,
                )
                for date in targets
            ]  # fmt: skip
            variables[name] = _lazy(blocks, holding.form, variable, grid, minimum_valid_fraction)
            variables[name].attrs["cell_methods"] = (
                "time: mean (over the window)" if holding.product.windowed else "time: point"
            )
    coordinates: dict[str, Any] = {
        "time": ("time", np.array(targets, dtype="datetime64[ns]"), {"standard_name": "time"}),
        "latitude": ("latitude", grid.latitude, {"standard_name": "latitude", "units": "degrees_north"}),
        "longitude": ("longitude", grid.longitude, {"standard_name": "longitude", "units": "degrees_east"}),
    }
    depth = next((holding.form.depth for holding in held.values() if holding.form and holding.form.depth), ())
    if depth:
        attributes = {"standard_name": "depth", "units": "m", "positive": "down"}
        coordinates["depth"] = ("depth", np.array(depth, dtype=np.float32), attributes)
    return xr.Dataset(variables, coordinates, {"Conventions": "CF-1.11", "archive": root})


def _lazy(
    blocks: list[Block | Missing], form: Form, variable: Variable, grid: RasterGrid, minimum_valid_fraction: float
) -> xr.DataArray:
    """One variable: a graph with exactly one task per (time, slab)."""
    levels = len(form.depth) if variable.levels else 1
    step = form.levels_per_chunk(variable.name) if variable.levels else 1
    slabs = [(first, min(first + step, levels)) for first in range(0, levels, step)]
    # their text is hashed a hundred times faster than the objects
    name = f"{variable.name}-{tokenize(repr(blocks), grid, minimum_valid_fraction)}"
    tail = (0, 0)
    graph: dict[Any, Any] = {}
    for time, block in enumerate(blocks):
        if variable.levels:
            for slab, bounds in enumerate(slabs):
                graph[name, time, slab, *tail] = (_read, block, grid, minimum_valid_fraction, bounds)
        else:
            graph[name, time, *tail] = (_read, block, grid, minimum_valid_fraction, None)
    times = (1,) * len(blocks)
    depths = (tuple(last - first for first, last in slabs),) if variable.levels else ()
    chunks = (times, *depths, (grid.height,), (grid.width,))
    layer = HighLevelGraph.from_collections(name, graph, dependencies=())
    dimensions = ("time", *(("depth",) if variable.levels else ()), "latitude", "longitude")
    attributes = {
        "standard_name": variable.standard_name,
        "long_name": variable.long_name,
        "units": variable.units,
    }
    return xr.DataArray(da.Array(layer, name, chunks, dtype=np.float32), dims=dimensions, attrs=attributes)


def _read(
    block: Block | Missing, grid: RasterGrid, minimum_valid_fraction: float, bounds: tuple[int, int] | None
) -> NDArray[np.float32]:
    """One task: [1, level, latitude, longitude], or [1, latitude, longitude] for a surface variable."""
    first, last = bounds or (0, 1)
    if isinstance(block, Missing) and block.unusable:
        raise SourceError(block.message)
    if isinstance(block, Missing):
        values = np.full((last - first, grid.height, grid.width), np.nan, dtype=np.float32)
    else:
        values = read_block(block, grid, minimum_valid_fraction=minimum_valid_fraction, levels=slice(first, last))
    return values if bounds is None else values[None]
