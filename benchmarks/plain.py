"""The same date in plain xarray: what a careful colleague would write by hand for the GeoTIFFs, in one process."""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import xarray as xr
from numpy.typing import NDArray
from rasterio.transform import from_origin

from benchmarks.data import Scale
from oceanrecon.transform.encode import EncodingName, Stretch, stretch

#: Variable: folder of its files, quantity, what is added to the decoded values.
_VARIABLES = {
    "thetao": ("glorys", "temperature_kelvin", 273.15),
    "so": ("glorys", "salinity", 0.0),
    "analysed_sst": ("ostia", "temperature_kelvin", 0.0),
    "adt": ("sealevel", "sea_height", 0.0),
    "sos": ("sss", "salinity", 0.0),
    "dos": ("sss", "density", 0.0),
}
#: Levels that are read at once: the chunks of the files have seven.
_SLAB = 7


def measure_plain(scale: Scale, encoding: EncodingName) -> dict[str, float]:
    """Write one GeoTIFF per variable; CPU-seconds and peak memory of this process."""
    size = scale.resolution
    latitude = np.arange(90 - size / 2, -90, -size)
    longitude = np.arange(-180 + size / 2, 180, size)
    started = time.process_time()
    for name, (folder, quantity, offset) in _VARIABLES.items():
        code = stretch(quantity, encoding)
        paths = sorted((scale.archive / folder).glob("*.nc"))
        levels = [
            code.encode((values + offset).interp(latitude=latitude, longitude=longitude).values)
            for slab in _fields(paths, name)
            for values in slab
        ]
        _write(scale.data / f"{name}.tif", np.stack(levels), code, size)
    return {
        "cpu_seconds": time.process_time() - started,
        "peak_memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    }


def _fields(paths: list[Path], name: str) -> Iterator[xr.DataArray]:
    """Slabs of levels of the only file, or the mean over all: [depth, latitude, longitude]."""
    if len(paths) == 1:
        with xr.open_dataset(paths[0], engine="netcdf4", cache=False) as dataset:
            for first in range(0, dataset.sizes["depth"], _SLAB):
                yield dataset[name].isel(time=0, depth=slice(first, first + _SLAB)).load()
        return
    total, count = None, None
    for path in paths:
        with xr.open_dataset(path, engine="netcdf4", cache=False) as dataset:
            day = dataset[name].isel(time=0).load()
        if total is None or count is None:
            total, count = day.fillna(0.0), day.notnull().astype("uint8")
        else:
            total, count = total + day.fillna(0.0), count + day.notnull()
    assert total is not None and count is not None
    mean = total / count.where(count > 0)
    names = {"lat": "latitude", "lon": "longitude"}
    mean = mean.rename({short: full for short, full in names.items() if short in mean.dims})
    yield mean if "depth" in mean.dims else mean.expand_dims("depth")


def _write(path: Path, codes: NDArray[Any], code: Stretch, size: float) -> None:
    bands, height, width = codes.shape
    tile = min(256, height // 16 * 16)
    with rasterio.open(
        path, "w", driver="GTiff", width=width, height=height, count=bands, dtype=code.storage_dtype,
        nodata=code.nodata, crs="EPSG:4326", transform=from_origin(-180, 90, size, size), tiled=True,
        blockxsize=tile, blockysize=tile, compress="ZSTD", zstd_level=1, predictor=2, interleave="pixel",
        bigtiff="IF_SAFER",
    ) as file:  # fmt: skip
        file.write(codes)
    path.unlink()


if __name__ == "__main__":
    json.dump(measure_plain(Scale(Path(sys.argv[1]), sys.argv[3] == "quick"), sys.argv[2]), sys.stdout)  # type: ignore[arg-type]
