"""Makes a land mask for a grid: from the 1 km coastline of ``global-land-mask``, or from a reanalysis file."""

from __future__ import annotations

import datetime as dt
import os

import numpy as np
from numpy.typing import NDArray

from oceanrecon.access.systems import state_of
from oceanrecon.errors import ConfigError, OutputError, SourceError
from oceanrecon.grid import RasterGrid
from oceanrecon.pipeline.make import land_of
from oceanrecon.sources.block import Block, Source
from oceanrecon.sources.header import read_header
from oceanrecon.sources.registry import product as find_product
from oceanrecon.stores.files import Root
from oceanrecon.stores.mask import SOURCE_TAG, encode_land_mask

#: Points per side of a cell at which the coastline is asked; a cell is land where most of them are.
_SAMPLES = 5


def coastline_mask(grid: RasterGrid) -> NDArray[np.uint8]:
    """Land mask of a grid from the coastline: [height, width], 1 where most of a cell is land.

    Antarctic ice shelves are water in it. Takes 0.94 GB and 7 CPU-seconds to load the coastline.
    """
    from global_land_mask import globe  # 0.94 GB: only this function may load it

    offsets = (np.arange(_SAMPLES) + 0.5) / _SAMPLES - 0.5
    latitude = (grid.latitude[:, None] + offsets * grid.dy).ravel()
    longitude = (grid.longitude[:, None] + offsets * grid.dx).ravel()
    longitude = np.mod(longitude + 180.0, 360.0) - 180.0
    mask = np.empty((grid.height, grid.width), dtype=np.uint8)
    for row in range(grid.height):  # a row of cells at a time: the globe at 1 km would be gigabytes again
        band = latitude[row * _SAMPLES : (row + 1) * _SAMPLES]
        land = globe.is_land(*np.meshgrid(band, longitude, indexing="ij"))
        mask[row] = land.reshape(_SAMPLES, grid.width, _SAMPLES).mean(axis=(0, 2)) > 0.5
    return mask


def reanalysis_mask(grid: RasterGrid, path: str) -> NDArray[np.uint8]:
    """Land mask of a grid from where ``thetao`` of a GLORYS file is missing at its first level: [height, width].

    Raises:
        SourceError: the file cannot be read.
    """
    folder, _, name = Root(path).url.rpartition("/")
    try:
        header = read_header(f"{folder}/{name}", find_product("glorys"))
        state = state_of(f"{folder}/{name}")
    except Exception as error:  # remote drivers raise classes of their own
        raise SourceError(f"{path}: {error}") from error
    source = Source(name, dt.date(1950, 1, 1), 0, state.bytes, state.mtime_ns)
    block = Block(folder, "glorys", "thetao", source.date, (source,), header.latitude, header.longitude, header.depth)
    return land_of(block, grid, 0.5)


def write_land_mask(grid: RasterGrid, output: str, reanalysis: str | None = None) -> float:
    """Make a land mask and write it as a GeoTIFF; returns the share of land.

    Raises:
        ConfigError: ``output`` is not a .tif file.
        SourceError: the reanalysis file cannot be read.
        OutputError: the file is there already, or cannot be written.
    """
    folder, _, name = Root(output).url.rpartition("/")
    if not name.endswith((".tif", ".tiff")):
        raise ConfigError(f"{output} is not a .tif file: a land mask is a GeoTIFF")
    if Root(folder).exists(name):
        raise OutputError(f"{output} is there already: remove it, or choose another name")
    if reanalysis is None:
        mask, origin = coastline_mask(grid), "coastline of global-land-mask (GLOBE, 1 km), majority of each cell"
    else:
        mask = reanalysis_mask(grid, reanalysis)
        origin = f"missing values of thetao at its first level in {os.path.basename(reanalysis)}"
    root = Root(folder)
    root.write(name, encode_land_mask(mask, grid, {SOURCE_TAG: origin}))
    root.clear_staging()
    return float(mask.mean())
