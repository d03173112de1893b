"""Opens an export as one lazy dataset of physical values, from ``dense.zarr`` or from its GeoTIFFs."""

from __future__ import annotations

import datetime as dt
import itertools
import json
from typing import Any, Literal

import dask.array as da
import numpy as np
import xarray as xr
from dask.base import tokenize
from dask.highlevelgraph import HighLevelGraph
from numpy.typing import NDArray
from rasterio.windows import Window
from zarr.core.buffer.cpu import Buffer
from zarr.storage import MemoryStore

from oceanrecon.errors import OutputError
from oceanrecon.grid import RasterGrid, parse_date
from oceanrecon.pipeline.recipe import DENSE
from oceanrecon.sources.registry import PRODUCTS
from oceanrecon.stores.byte_ranges import REMEDY, Files
from oceanrecon.stores.files import Root
from oceanrecon.stores.geotiff import read_codes
from oceanrecon.stores.manifest import export_grid, read_manifest
from oceanrecon.stores.shard_reader import Box, ShardArray, group_metadata, is_sharded
from oceanrecon.stores.zarr_store import chunk_names
from oceanrecon.transform.encode import Stretch, stretch

#: Rows of a GeoTIFF that are read at once: one row of tiles.
_ROWS = 256
#: Side in pixels of what one task reads of the zarr store.
_TASK_SIDE = 512


def open_export(url: str, *, source: Literal["zarr", "geotiff"] | None = None) -> xr.Dataset:
    """Open an export: variables as float32 in physical units, NaN where missing, in lazy dask chunks.

    Dimensions are ``time``, ``depth`` (m), ``latitude`` (north to south) and ``longitude``. A time that was never
    written, or failed, reads as missing.

    Args:
        url: folder or fsspec URL of the export.
        source: which of the two stores to read; default: ``dense.zarr`` where the export has it.

    Raises:
        OutputError: there is no export, or it has not that store.
    """
    root = Root(url)
    has_zarr = source != "geotiff" and root.exists(f"{DENSE}/zarr.json")
    if source == "zarr" or (source is None and has_zarr):
        if not has_zarr:
            raise OutputError(f"{root.url} has no {DENSE}: export with formats.zarr, or open it with source='geotiff'")
        return _from_zarr(root)
    manifest = read_manifest(root)
    if not any(entries for rasters in manifest["rasters"].values() for entries in rasters.values()):
        raise OutputError(f"{root.url} has no GeoTIFFs: export with formats.geotiff, or open it with source='zarr'")
    return _from_geotiff(root, manifest)


def open_days(url: str) -> xr.Dataset:
    """How many days are behind each pixel of the surface variables, from ``dense.zarr``: ``<variable>_days``.

    Raises:
        OutputError: the export has no ``dense.zarr``.
    """
    root = Root(url)
    if not root.exists(f"{DENSE}/zarr.json"):
        raise OutputError(f"{root.url} has no {DENSE}, which holds the days used per pixel: export with formats.zarr")
    return _open_zarr(root, days=True)


def _from_zarr(root: Root) -> xr.Dataset:
    dataset = _open_zarr(root, days=False)
    for array in dataset.data_vars.values():
        for name in ("valid_min", "valid_max"):  # of the codes
            array.attrs.pop(name, None)
    # xarray decodes to float64, since JSON knows no float32 scale factors
    return dataset.map(lambda array: array.astype(np.float32), keep_attrs=True)


def _open_zarr(root: Root, *, days: bool) -> xr.Dataset:
    """The store as xarray decodes it; its codes are read by the reader that loaders use, also from far away."""
    group = group_metadata(root, DENSE)
    arrays: dict[str, dict[str, Any]] = group["consolidated_metadata"]["metadata"]
    small = [name for name, metadata in arrays.items() if not is_sharded(metadata)]
    paths = [f"{DENSE}/{name}/{chunk}" for name in small for chunk in chunk_names(arrays[name])]
    found = root.read_many(paths)
    for path in paths:
        if path not in found:
            raise OutputError(f"{root.url_of(path)} is not there; {REMEDY}")
    files = {"zarr.json": json.dumps(group).encode()} | {
        path.removeprefix(f"{DENSE}/"): content for path, content in found.items()
    }
    store = MemoryStore({path: Buffer.from_bytes(content) for path, content in files.items()}, read_only=True)
    dataset: xr.Dataset = xr.open_zarr(store, chunks=None, consolidated=True, zarr_format=3, decode_cf=False)
    for name in arrays.keys() - set(small):
        if name.endswith("_days") == days:
            dataset[name] = dataset[name].copy(data=_codes(root, name, arrays[name]))
        else:
            dataset = dataset.drop_vars(name)
    decoded = xr.decode_cf(dataset)
    return decoded[list(decoded.data_vars)]  # without a coordinate that none of them has


def _codes(root: Root, name: str, metadata: dict[str, Any]) -> da.Array:
    """The codes of a variable, many whole chunks to a task: one task per stored chunk would be thousands for a map."""
    array = ShardArray(Files(root), f"{DENSE}/{name}", metadata)
    side = array.chunk[-1] * max(1, _TASK_SIDE // array.chunk[-1])
    chunks = tuple(
        tuple(min(size, total - low) for low in range(0, total, size))
        for size, total in zip((1, *array.shape[1:-2], side, side), array.shape, strict=True)
    )
    made = f"{name}-{tokenize(root.url, metadata)}"
    corners = [list(itertools.accumulate(sizes, initial=0)) for sizes in chunks]
    graph: dict[Any, Any] = {}
    for place in itertools.product(*(range(len(sizes)) for sizes in chunks)):
        box = tuple((corner[number], corner[number + 1]) for corner, number in zip(corners, place, strict=True))
        graph[made, *place] = (_read_box, root.url, name, metadata, box)
    return da.Array(HighLevelGraph.from_collections(made, graph, dependencies=()), made, chunks, dtype=array.dtype)


def _read_box(url: str, name: str, metadata: dict[str, Any], box: Box) -> NDArray[Any]:
    # a reader of its own for each task: threads must not share one
    return ShardArray(Files(Root(url)), f"{DENSE}/{name}", metadata, sparse=True).read(box)


def _from_geotiff(root: Root, manifest: dict[str, Any]) -> xr.Dataset:
    grid = export_grid(manifest)
    targets = [parse_date(str(date)) for date in manifest["target_dates"]]
    depth = np.array(manifest["depth_axis_m"], dtype=np.float32)
    variables: dict[str, xr.DataArray] = {}
    for product_name, rasters in manifest["rasters"].items():
        for name, entries in rasters.items():
            variable = PRODUCTS[product_name].variable(name)
            paths = {parse_date(str(entry["date"])): entry["path"] for entry in entries}
            code = stretch(variable.quantity, manifest["encoding"])
            bands = len(depth) if variable.levels else 1
            array = _lazy(root, paths, targets, grid, code, bands)
            dims = ("time", "depth", "latitude", "longitude")
            attributes = {
                "standard_name": variable.standard_name, "long_name": variable.long_name, "units": variable.units
            }  # fmt: skip
            data = xr.DataArray(array, dims=dims, attrs=attributes)
            variables[name] = data if variable.levels else data.isel(depth=0)
    coordinates: dict[str, Any] = {
        "time": ("time", np.array(targets, dtype="datetime64[ns]"), {"standard_name": "time"}),
        "latitude": ("latitude", grid.latitude, {"standard_name": "latitude", "units": "degrees_north"}),
        "longitude": ("longitude", grid.longitude, {"standard_name": "longitude", "units": "degrees_east"}),
    }
    if any("depth" in array.dims for array in variables.values()):
        coordinates["depth"] = ("depth", depth, {"standard_name": "depth", "units": "m", "positive": "down"})
    return xr.Dataset(variables, coordinates, {"Conventions": "CF-1.11"})


def _lazy(
    root: Root, paths: dict[dt.date, str], targets: list[dt.date], grid: RasterGrid, code: Stretch, bands: int
) -> da.Array:
    """One task per time and row of tiles: a whole 50-level field as float32 would be 1.3 GB."""
    name = f"geotiff-{tokenize(root.url, paths, targets, code)}"
    heights = tuple(min(_ROWS, grid.height - top) for top in range(0, grid.height, _ROWS))
    graph: dict[Any, Any] = {}
    for time, date in enumerate(targets):
        url = root.url_of(paths[date]) if date in paths else None
        for part, height in enumerate(heights):
            window = Window(0, part * _ROWS, grid.width, height)
            graph[name, time, 0, part, 0] = (_read, url, code, bands, window)
    chunks = ((1,) * len(targets), (bands,), heights, (grid.width,))
    return da.Array(HighLevelGraph.from_collections(name, graph, dependencies=()), name, chunks, dtype=np.float32)


def _read(url: str | None, code: Stretch, bands: int, window: Window) -> NDArray[np.float32]:
    if url is None:
        return np.full((1, bands, window.height, window.width), np.nan, dtype=np.float32)
    return code.decode(read_codes(url, window=window))[None]
