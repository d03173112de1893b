"""The land mask, and the grid that any GeoTIFF defines."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.errors import RasterioError
from rasterio.io import MemoryFile

from oceanrecon.errors import ConfigError
from oceanrecon.grid.raster import RasterGrid
from oceanrecon.stores.geotiff import GDAL_OPTIONS, grid_profile, open_geotiff

LAND = 1
WATER = 0
#: The tag that says what a mask was made from.
SOURCE_TAG = "land_mask_source"


def read_grid(url: str) -> RasterGrid:
    """The grid of a GeoTIFF (path or URL).

    Raises:
        ConfigError: it cannot be read, is rotated or south-up, or is not in longitude and latitude (EPSG:4326).
    """
    try:
        with open_geotiff(url) as dataset:
            transform, crs = dataset.transform, dataset.crs
            width, height = dataset.width, dataset.height
    except (RasterioError, OSError) as error:
        raise ConfigError(f"cannot read a grid from {url}: {error.__cause__ or error}") from error
    if crs is None or crs.to_epsg() != 4326:
        name = crs.to_string() if crs is not None else "none"
        raise ConfigError(
            f"{url} has coordinate system {name}: a grid must be in EPSG:4326 (`gdalwarp -t_srs EPSG:4326`)"
        )
    if transform.b != 0 or transform.d != 0 or transform.a <= 0 or transform.e >= 0:
        raise ConfigError(
            f"{url} is not a north-up raster: its transform is {list(transform.to_gdal())}; row 0 must be north, "
            "column 0 west, without rotation"
        )
    return RasterGrid(transform.c, transform.f, transform.a, -transform.e, width, height)


def read_land_mask(url: str) -> NDArray[np.uint8]:
    """A land mask (path or URL): [height, width], 1 on land and 0 on water.

    Raises:
        ConfigError: it cannot be read, has several bands, or other values.
    """
    try:
        with open_geotiff(url) as dataset:
            bands = dataset.read()
    except (RasterioError, OSError) as error:
        raise ConfigError(
            f"cannot read the land mask {url}: {error.__cause__ or error}; correct its path, make one with `oceanrecon "
            "landmask`, or, of an export, run `oceanrecon verify --discard-bad`, then `oceanrecon export --resume`"
        ) from error
    values = np.unique(bands)
    if len(bands) != 1 or not np.isin(values, (WATER, LAND)).all():
        raise ConfigError(
            f"{url} is not a land mask: it has {len(bands)} band(s) with the values {values[:5].tolist()}; one band "
            "with 1 on land and 0 on water is needed (`oceanrecon landmask` makes one)"
        )
    mask: NDArray[np.uint8] = bands[0].astype(np.uint8)
    return mask


def read_land_mask_on(grid: RasterGrid, url: str, remedy: str) -> NDArray[np.uint8]:
    """The land mask of a grid: as ``read_land_mask``, of its pixels.

    Args:
        grid: whose mask it is to be.
        url: of the mask.
        remedy: what to do where it has other pixels.

    Raises:
        ConfigError: it cannot be read, is no land mask, or has other pixels.
    """
    mask = read_land_mask(url)
    if mask.shape != (grid.height, grid.width):
        raise ConfigError(
            f"the land mask {url} has {mask.shape[1]} x {mask.shape[0]} pixels and the grid {grid.width} x "
            f"{grid.height}: {remedy}"
        )
    return mask


def encode_land_mask(mask: NDArray[np.uint8], grid: RasterGrid, tags: Mapping[str, str]) -> bytes:
    """A land mask as a GeoTIFF.

    Args:
        mask: [height, width], 1 on land and 0 on water.
        grid: where its pixels are.
        tags: where it comes from.
    """
    described = {
        "grid": f"{grid.width}x{grid.height}",
        "resolution_deg": repr(grid.dx),
        "land_value": str(LAND),
        "water_value": str(WATER),
        **tags,
    }
    with rasterio.Env(**GDAL_OPTIONS), MemoryFile() as memory:
        # DEFLATE: a mask is small, and every reader has it.
        with memory.open(**grid_profile(grid, 256), count=1, dtype="uint8", compress="DEFLATE") as dataset:
            dataset.update_tags(**described)
            dataset.set_band_description(1, "land_mask")
            dataset.write(mask, 1)
        return bytes(memory.getbuffer())


def mask_source(url: str) -> str:
    """Where a land mask says that it comes from, or the name of its file.

    Raises:
        ConfigError: it cannot be read.
    """
    try:
        with open_geotiff(url) as dataset:
            return str(dataset.tags().get(SOURCE_TAG, url.rsplit("/", 1)[-1]))
    except (RasterioError, OSError) as error:
        raise ConfigError(f"cannot read the land mask {url}: {error.__cause__ or error}") from error
