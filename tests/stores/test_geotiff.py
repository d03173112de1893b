from __future__ import annotations

import datetime as dt
import json
import shutil
import subprocess
import uuid
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rioxarray
import xarray as xr
from numpy.typing import NDArray
from rasterio.io import MemoryFile
from rasterio.windows import Window

from oceanrecon.errors import OutputError
from oceanrecon.grid import RasterGrid
from oceanrecon.stores.files import Root
from oceanrecon.stores.geotiff import GeoTiffOptions, check_geotiff, encode_geotiff, read_codes
from oceanrecon.stores.receipts import BandStatistics
from oceanrecon.stores.tags import dataset_tags, level_description, level_tags
from oceanrecon.transform.encode import EncodingName, Stretch, stretch

GRID = RasterGrid.from_bounds(0.5, (-20.0, 30.0, 150.0, 70.0))  # 340 x 80: two tiles wide, not whole
DEPTHS = (0.494025, 1.541375, 5727.917)
STATISTICS = BandStatistics(5, 6, 1, 2, 271.0, 300.0, 285.0)


def some_codes(code: Stretch, bands: int = 3) -> NDArray[Any]:
    shape = (bands, GRID.height, GRID.width)
    codes = np.random.default_rng(1).integers(0, code.last_code, shape, dtype=code.dtype, endpoint=True)
    codes[:, :10, :10] = code.nodata
    return codes


def encode(codes: NDArray[Any], code: Stretch, options: GeoTiffOptions | None = None) -> bytes:
    return encode_geotiff(
        codes,
        GRID,
        code,
        tags={"variable": "thetao", "TIFFTAG_DATETIME": "2012:03:07 00:00:00"},
        band_tags=[level_tags(code, depth, STATISTICS) for depth in DEPTHS],
        descriptions=[level_description(depth) for depth in DEPTHS],
        options=options or GeoTiffOptions(),
    )


@pytest.mark.parametrize("encoding", ["uint8", "uint16"])
@pytest.mark.parametrize(
    "options", [GeoTiffOptions(), GeoTiffOptions(interleave="band", level=9), GeoTiffOptions(cog=True, blocksize=128)]
)
def test_codes_come_back_and_bytes_are_the_same_each_time(encoding: EncodingName, options: GeoTiffOptions) -> None:
    code = stretch("temperature_kelvin", encoding)
    codes = some_codes(code)
    data = encode(codes, code, options)
    assert data == encode(np.asfortranarray(codes), code, options)
    assert check_geotiff(data, GRID, code, 3) == []
    with MemoryFile(data) as memory, memory.open() as dataset:
        np.testing.assert_array_equal(dataset.read(), codes)
        assert dataset.interleaving.name == options.interleave
        assert bool(dataset.overviews(1)) == options.cog


# rioxarray 0.19 multiplies transforms in a way that affine 3.1 will deprecate
@pytest.mark.filterwarnings("ignore:Use `@` matmul:PendingDeprecationWarning")
@pytest.mark.parametrize("encoding", ["uint8", "uint16"])
def test_every_reader_decodes_the_same_values(tmp_path: Path, encoding: EncodingName) -> None:
    code = stretch("temperature_kelvin", encoding)
    codes = some_codes(code)
    path = tmp_path / "t.tif"
    path.write_bytes(encode(codes, code))
    # By hand: minimum + code / last * (maximum - minimum).
    low, high, last = (270.15, 308.15, 254) if encoding == "uint8" else (268.15, 313.15, 65534)
    expected = np.where(codes > last, np.nan, low + codes.astype(float) / last * (high - low))
    tolerance = (1e-3 if encoding == "uint8" else 0.05) * (high - low) / last
    opened = rioxarray.open_rasterio(path, mask_and_scale=True)
    assert isinstance(opened, xr.DataArray)
    np.testing.assert_allclose(np.asarray(opened), expected, rtol=0, atol=tolerance)
    assert float(opened.y[0]) == 69.75 and float(opened.x[0]) == -19.75
    opened.close()
    if shutil.which("gdalinfo") is None:
        pytest.skip("no gdalinfo on this machine")
    info = json.loads(subprocess.run(["gdalinfo", "-json", path], check=True, capture_output=True).stdout)
    band = info["bands"][2]
    assert band["description"] == "depth_5727.92_m"
    assert (band["offset"], band["unit"], band["noDataValue"]) == (low, "K", last + 1)
    assert band["scale"] == pytest.approx((high - low) / last, rel=1e-12)
    assert info["metadata"][""]["TIFFTAG_DATETIME"] == "2012:03:07 00:00:00"


def test_tags_are_those_that_existing_loaders_read() -> None:
    code = stretch("sea_height", "uint8")
    days = [dt.date(2012, 3, 6), dt.date(2012, 3, 7)]
    tags = dataset_tags(
        "sealevel",
        "adt",
        code,
        dt.date(2012, 3, 7),
        source_files=["a.nc", "b.nc"],
        days_used=days,
        aggregate_days=7,
        regridding="bilinear",
        statistics=STATISTICS,
    )
    assert tags == {
        "source_product": "sealevel",
        "variable": "adt",
        "stretch_name": "sea_height",
        "storage_dtype": "uint8",
        "stretch_min": "-2.0",
        "stretch_max": "2.0",
        "stretch_units": "m",
        "nodata": "255",
        "valid_code_min": "0",
        "valid_code_max": "254",
        "valid_code_count": "255",
        "quantization_step": repr(4 / 254),
        "max_abs_quantization_error": repr(2 / 254),
        "decode_formula": "minimum + code / 254 * (maximum - minimum)",
        "date": "20120307",
        "aggregate_days": "7",
        "source_files": "a.nc,b.nc",
        "valid_count": "5",
        "nodata_count": "6",
        "clipped_low_count": "1",
        "clipped_high_count": "2",
        "TIFFTAG_DATETIME": "2012:03:07 00:00:00",
        "days_used": "20120306,20120307",
        "time_coverage_start": "2012-03-06",
        "time_coverage_end": "2012-03-07",
        "regridding": "bilinear",
    }


def test_a_file_of_levels_counts_each_pixel_once() -> None:
    # A reader adds the counters of the file and of its bands.
    code = stretch("temperature_kelvin", "uint8")
    date = dt.date(2012, 2, 29)
    tags = dataset_tags(
        "glorys", "thetao", code, date, source_files=["m.nc"], days_used=[date], aggregate_days=None, regridding="none"
    )
    assert tags["source_file"] == "m.nc" and tags["date"] == "20120229"
    assert not {"valid_count", "source_files", "aggregate_days"} & tags.keys()
    band = level_tags(code, 0.494025, STATISTICS)
    assert band["depth_m"] == "0.494025" and band["valid_count"] == "5" and band["name"] == "temperature_kelvin"
    assert {"minimum", "maximum", "units", "nodata", "decode"} <= band.keys()
    assert level_description(0.494025) == "depth_0.494025_m"


def test_damage_inside_a_file_is_found(tmp_path: Path) -> None:
    code = stretch("temperature_kelvin", "uint8")
    data = encode(some_codes(code), code)
    with MemoryFile(data) as memory, memory.open() as dataset:
        tile = int(dataset.get_tag_item("BLOCK_OFFSET_1_0", "TIFF", bidx=1))
    spoilt = data[:tile] + bytes(8) + data[tile + 8 :]
    (problem,) = check_geotiff(spoilt, GRID, code, 3)
    assert "cannot be read" in problem and "previous exception" not in problem
    assert check_geotiff(data[: len(data) // 3], GRID, code, 3)
    assert "cannot be read" in check_geotiff(tmp_path / "missing.tif", GRID, code, 3)[0]
    (tmp_path / "t.tif").write_bytes(spoilt)
    with pytest.raises(OutputError, match=r"t\.tif.*--resume"):
        read_codes(str(tmp_path / "t.tif"))


def test_a_file_of_another_grid_or_code_is_found() -> None:
    code = stretch("temperature_kelvin", "uint8")
    data = encode(some_codes(code), code)
    shifted = RasterGrid.from_bounds(0.5, (-19.5, 30.0, 150.5, 70.0))
    assert [problem.split(" is ")[0] for problem in check_geotiff(data, shifted, code, 3)] == ["transform"]
    salinity = check_geotiff(data, GRID, stretch("salinity", "uint8"), 1)
    assert [problem.split(" is ")[0] for problem in salinity] == ["band count", "scale", "offset"]


@pytest.mark.parametrize("kind", ["local", "memory"])
def test_windows_and_bands_are_read_from_any_url(tmp_path: Path, kind: str) -> None:
    code = stretch("temperature_kelvin", "uint16")
    codes = some_codes(code)
    root = Root(str(tmp_path) if kind == "local" else f"memory://{uuid.uuid4().hex}")
    root.write("t.tif", encode(codes, code))
    read = read_codes(root.url_of("t.tif"), bands=[3, 1], window=Window(250, 70, 20, 10))
    np.testing.assert_array_equal(read, codes[[2, 0], 70:80, 250:270])


def test_codes_that_do_not_fit_are_refused() -> None:
    code = stretch("temperature_kelvin", "uint8")
    with pytest.raises(OutputError, match=r"uint8\[2, 80, 340\].*uint8\[2, 80, 340\]|3 band tags"):
        encode(some_codes(code, bands=2), code)
    with pytest.raises(OutputError, match="multiple of 16"):
        GeoTiffOptions(blocksize=100)
    with pytest.raises(OutputError, match="pixel-interleaved"):
        GeoTiffOptions(cog=True, interleave="band")


def test_a_raster_smaller_than_a_tile_is_not_padded_to_one() -> None:
    grid = RasterGrid.from_bounds(1.0, (0.0, 0.0, 20.0, 5.0))
    code = stretch("sea_height", "uint8")
    data = encode_geotiff(
        np.zeros((1, 5, 20), np.uint8), grid, code, tags={}, band_tags=[{}], descriptions=["adt"],
        options=GeoTiffOptions(),
    )  # fmt: skip
    with MemoryFile(data) as memory, memory.open() as dataset:
        assert dataset.block_shapes == [(16, 32)] and dataset.descriptions == ("adt",)
    assert len(data) < 2000
