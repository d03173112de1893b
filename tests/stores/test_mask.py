from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from rasterio.transform import Affine

from oceanrecon.errors import ConfigError
from oceanrecon.grid import RasterGrid
from oceanrecon.stores.mask import encode_land_mask, read_grid, read_land_mask


def write(path: Path, **changes: Any) -> str:
    values = changes.pop("values", np.zeros((1, 4, 6), np.uint8))
    profile = {
        "driver": "GTiff", "width": 6, "height": 4, "count": len(values), "dtype": values.dtype, "crs": "EPSG:4326",
        "transform": Affine(0.5, 0, -20, 0, -0.5, 60),
    }  # fmt: skip
    with rasterio.open(path, "w", **(profile | changes)) as dataset:
        dataset.write(values)
    return str(path)


def test_mask_and_grid_come_back(tmp_path: Path) -> None:
    grid = RasterGrid.from_bounds(0.1, (-180.0, -90.0, 180.0, 90.0))
    mask = np.zeros((1800, 3600), np.uint8)
    mask[0, 0] = mask[1799, 3599] = 1
    path = tmp_path / "mask.tif"
    path.write_bytes(encode_land_mask(mask, grid, {"source": "test"}))
    assert read_grid(str(path)) == grid
    np.testing.assert_array_equal(read_land_mask(str(path)), mask)
    with rasterio.open(path) as dataset:
        tags = dataset.tags()
    assert (tags["land_value"], tags["water_value"], tags["resolution_deg"]) == ("1", "0", "0.1")
    assert path.stat().st_size < 60_000


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"crs": "EPSG:3857"}, "EPSG:3857.*must be in EPSG:4326"),
        ({"crs": None}, "coordinate system none"),
        ({"transform": Affine(0.5, 0.1, -20, 0, -0.5, 60)}, "not a north-up raster"),
        ({"transform": Affine(0.5, 0, -20, 0, 0.5, 60)}, "not a north-up raster"),
    ],
)
def test_a_raster_that_is_no_grid_of_ours_is_refused(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        read_grid(write(tmp_path / "mask.tif", **changes))


@pytest.mark.parametrize("values", [np.full((1, 4, 6), 255, np.uint8), np.zeros((2, 4, 6), np.uint8)])
def test_a_raster_that_is_no_mask_is_refused(tmp_path: Path, values: Any) -> None:
    with pytest.raises(ConfigError, match="not a land mask"):
        read_land_mask(write(tmp_path / "mask.tif", values=values))


def test_a_missing_mask_is_named(tmp_path: Path) -> None:
    for read in (read_grid, read_land_mask):
        with pytest.raises(ConfigError, match=r"nowhere\.tif"):
            read(str(tmp_path / "nowhere.tif"))
