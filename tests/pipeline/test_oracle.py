"""Risk: the numbers. Codes against a float64 oracle that shares no code with the pipeline, and against each reader."""

from __future__ import annotations

import datetime as dt
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import rioxarray
import xarray as xr
from distributed import Client
from numpy.typing import NDArray
from scipy.interpolate import RegularGridInterpolator

import oceanrecon
from oceanrecon.config import ExportSettings, parse_settings
from oceanrecon.grid import RasterGrid
from oceanrecon.synthetic.config import ArchiveSynthesis
from oceanrecon.synthetic.synthesize import synthesize

Field = NDArray[np.float64]
TARGETS = (dt.date(2012, 2, 29), dt.date(2012, 3, 7))
#: minimum, maximum by encoding
RANGES = {
    "thetao": ((270.15, 308.15), (268.15, 313.15)),
    "so": ((30.0, 40.0), (0.0, 45.0)),
    "analysed_sst": ((270.15, 308.15), (268.15, 313.15)),
    "adt": ((-2.0, 2.0), (-5.0, 5.0)),
    "sos": ((30.0, 40.0), (0.0, 45.0)),
    "dos": ((1000.0, 1035.0), (990.0, 1040.0)),
}
LAST = {"uint8": 254, "uint16": 65534}
PRODUCT = {"thetao": "glorys", "so": "glorys", "analysed_sst": "ostia", "adt": "sealevel", "sos": "sss", "dos": "sss"}


@pytest.fixture(scope="module")
def ocean(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A synthetic archive of 1.5 and 1 degrees, with a quarter of a year of faults that must not matter."""
    archive = tmp_path_factory.mktemp("oracle") / "archive"
    surface = {"start": "2012-02-26", "end": "2012-03-09"}
    synthesis = {
        "seed": 3,
        "glorys": {"cells_per_degree": 0.5, "start": "2012-02-29", "end": "2012-03-07", "every_days": 7, "levels": 9,
                   "variables": ["thetao", "so"]},
        "ostia": {"cells_per_degree": 1, **surface},
        "sealevel": {"cells_per_degree": 0.5, "longitudes": "0..360", "variables": ["adt"], **surface},
        "sss": {"cells_per_degree": 0.5, "latitudes": "descending", **surface},
        "faults": [
            {"product": "ostia", "kind": "celsius", "dates": ["2012-02-29", "2012-03-01"]},
            {"product": "sealevel", "kind": "undeclared_fill", "dates": ["2012-03-06"]},
            {"product": "sss", "kind": "missing", "dates": ["2012-03-02"]},
        ],
    }  # fmt: skip
    synthesize(parse_settings(ArchiveSynthesis, synthesis, "test"), archive)
    return archive


@pytest.fixture(scope="module", params=["uint8", "uint16"])
def made(request: pytest.FixtureRequest, ocean: Path, client: Client) -> tuple[Path, str]:
    """An export of it on two degrees, and its encoding."""
    output = ocean.parent / request.param
    settings = {
        "archive": {"root": str(ocean), "products": dict.fromkeys(["glorys", "ostia", "sealevel", "sss"])},
        "output": str(output), "grid": {"resolution": 2}, "encoding": request.param,
    }  # fmt: skip
    assert oceanrecon.export(parse_settings(ExportSettings, settings, "test"), client=client).complete
    return output, request.param


def decoded(path: Path, name: str) -> tuple[Field, Field, Field]:
    """A variable as float64 by xarray's own means, kelvin for temperature, latitudes ascending, and its axes."""
    with xr.open_dataset(path, mask_and_scale=False, decode_times=False) as file:
        array = file[name].isel(time=0)
        array = array.rename({long: short for short, long in (("lat", "latitude"), ("lon", "longitude"))
                              if long in array.dims})  # fmt: skip
        if name in ("sos", "dos", "adt", "analysed_sst"):
            array = array.squeeze(drop=True)
        array = array.sortby("lat")
        attributes = array.attrs
        stored = array.values.astype(np.float64)
        fills = [attributes[key] for key in ("_FillValue", "missing_value") if key in attributes] or [-2147483647]
        values = stored * float(attributes.get("scale_factor", 1)) + float(attributes.get("add_offset", 0))
        values[np.isin(stored, fills)] = np.nan
        if attributes["units"] in ("degrees_C", "celsius"):
            values += 273.15
        return values, array["lat"].values.astype(np.float64), array["lon"].values.astype(np.float64)


def sources(archive: Path, name: str, target: dt.date) -> list[Path]:
    """Files of the window, by the text of their names."""
    reach = 0 if PRODUCT[name] == "glorys" else 3
    days = [f"{target + dt.timedelta(days=n):%Y%m%d}" for n in range(-reach, reach + 1)]
    marks = {"glorys": "_mean_{}_R", "ostia": "{}120000-", "sealevel": "_l4_{}_", "sss": "daily_{}T"}[PRODUCT[name]]
    return [
        path
        for path in sorted((archive / PRODUCT[name]).glob("*.nc"))
        if any(marks.format(day) in path.name for day in days)
    ]


def oracle(archive: Path, name: str, target: dt.date) -> Field:
    """Decode, mean over the window, normalised bilinear in float64 on the 2 degree grid: [level, y, x]."""
    found = [decoded(path, name) for path in sources(archive, name, target)]
    _, latitude, longitude = found[0]
    stack = np.stack([values.reshape(-1, latitude.size, longitude.size) for values, _, _ in found])
    count = np.isfinite(stack).sum(axis=0)
    mean = np.divide(np.nansum(stack, axis=0), count, out=np.full(count.shape, np.nan), where=count > 0)
    # the globe closed by hand: a column more at either side, a row half a cell further towards each pole
    step = longitude[1] - longitude[0]
    lon = np.concatenate([[longitude[0] - step], longitude, [longitude[-1] + step]])
    half = (latitude[1] - latitude[0]) / 2
    lat = np.concatenate([[latitude[0] - half], latitude, [latitude[-1] + half]])
    field = np.concatenate([mean[..., -1:], mean, mean[..., :1]], axis=-1)
    field = np.concatenate([field[:, :1], field, field[:, -1:]], axis=1)
    y = 89.0 - 2 * np.arange(90)
    x = (-179.0 + 2 * np.arange(180) - longitude[0]) % 360 + longitude[0]
    points = np.stack(np.meshgrid(y, x, indexing="ij"), axis=-1)
    out = np.full((len(field), y.size, x.size), np.nan)
    for level, values in enumerate(field):
        valid = np.isfinite(values).astype(np.float64)
        weight, total = (
            RegularGridInterpolator((lat, lon), part, bounds_error=False, fill_value=0.0)(points)
            for part in (valid, np.where(valid > 0, values, 0.0))
        )
        enough = weight >= 0.5 - 1e-6
        out[level][enough] = total[enough] / weight[enough]
    return out


@pytest.mark.parametrize("name", list(PRODUCT))
def test_codes_equal_a_float64_oracle(made: tuple[Path, str], ocean: Path, name: str) -> None:
    output, encoding = made
    last = LAST[encoding]
    low, high = RANGES[name][encoding == "uint16"]
    for target in TARGETS:
        values = oracle(ocean, name, target)
        missing = np.isnan(values)
        wanted = np.rint(np.clip((np.where(missing, 0, values) - low) / (high - low), 0, 1) * last).astype(np.int64)
        with rasterio.open(output / f"rasters/{PRODUCT[name]}/{name}/{name}_{target:%Y%m%d}.tif") as dataset:
            codes = dataset.read().astype(np.int64)
        assert codes.shape == values.shape == ((9 if PRODUCT[name] == "glorys" else 1), 90, 180)
        assert 0.1 < missing.mean() < 0.8
        np.testing.assert_array_equal(codes == last + 1, missing)
        different = np.abs(codes - wanted)[~missing]
        assert different.max() <= 1
        assert np.mean(different > 0) <= (0.001 if encoding == "uint8" else 0.01)


@pytest.mark.filterwarnings("ignore:Use `@` matmul:PendingDeprecationWarning")  # in rioxarray
def test_all_readers_see_the_same_values(made: tuple[Path, str]) -> None:
    output, encoding = made
    within = 1e-3 if encoding == "uint8" else 0.05
    stored = xr.open_zarr(output / "dense.zarr")
    ours = {source: oceanrecon.open_export(str(output), source=source) for source in ("zarr", "geotiff")}
    for name, product in PRODUCT.items():
        low, high = RANGES[name][encoding == "uint16"]
        step = (high - low) / LAST[encoding]
        for target in TARGETS:
            path = output / f"rasters/{product}/{name}/{name}_{target:%Y%m%d}.tif"
            with rasterio.open(path) as dataset:
                codes = dataset.read()
                scaled = np.ma.filled(dataset.read(masked=True).astype(np.float64), np.nan) * dataset.scales[0]
                scaled += dataset.offsets[0]
            defined = np.where(codes == LAST[encoding] + 1, np.nan, low + codes / LAST[encoding] * (high - low))
            opened = rioxarray.open_rasterio(path, mask_and_scale=True)
            assert isinstance(opened, xr.DataArray)
            rio = opened.values
            np.testing.assert_allclose(opened["y"], stored["latitude"], atol=1e-9)
            np.testing.assert_allclose(opened["x"], stored["longitude"], atol=1e-9)
            opened.close()
            at = {"time": np.datetime64(target)}
            readings = {"rasterio": scaled, "rioxarray": rio, "xarray": stored[name].sel(at).values}
            readings |= {source: dataset[name].sel(at).values for source, dataset in ours.items()}
            for reader, values in readings.items():
                # float32, which most readers decode to, cannot hold density to 0.05 of a uint16 code
                atol = max(within * step, 1.1 * float(np.spacing(np.float32(high))) / 2)
                np.testing.assert_allclose(
                    values.reshape(codes.shape), defined, rtol=0, atol=atol, err_msg=f"{reader} {name}"
                )


@pytest.mark.skipif(shutil.which("gdalinfo") is None, reason="no gdalinfo: install gdal-bin")
def test_gdalinfo_decodes_to_the_recorded_values(made: tuple[Path, str]) -> None:
    output, encoding = made
    path = output / "rasters/glorys/thetao/thetao_20120229.tif"
    told = json.loads(subprocess.run(
        ["gdalinfo", "-json", "-mm", str(path)], check=True, capture_output=True, text=True).stdout)  # fmt: skip
    low, high = RANGES["thetao"][encoding == "uint16"]
    step = (high - low) / LAST[encoding]
    assert told["size"] == [180, 90] and told["geoTransform"] == [-180.0, 2.0, 0.0, 90.0, 0.0, -2.0]
    receipt = json.loads((output / "receipts/thetao/thetao_20120229.json").read_text())
    for band, recorded in zip(told["bands"], receipt["statistics"], strict=True):
        assert (band["noDataValue"], band["unit"]) == (LAST[encoding] + 1, "K")
        for key in ("minimum", "maximum"):
            code = band[f"computed{key[:3].capitalize()}"]
            assert code * band["scale"] + band["offset"] == pytest.approx(low + code * step, abs=1e-3 * step)
            assert code * band["scale"] + band["offset"] == pytest.approx(recorded[key], abs=1e-3 * step)


def test_the_lazy_archive_encodes_to_the_codes_of_the_export(made: tuple[Path, str], ocean: Path) -> None:
    output, encoding = made
    grid = RasterGrid.from_bounds(2, (-180, -90, 180, 90))
    lazy = oceanrecon.open_archive(str(ocean), grid=grid)
    assert list(lazy["time"].values.astype("datetime64[D]").astype(dt.date)) == list(TARGETS)
    for name, product in PRODUCT.items():
        low, high = RANGES[name][encoding == "uint16"]
        values = lazy[name].isel(time=1).values.astype(np.float64).reshape(-1, 90, 180)
        codes = np.where(np.isnan(values), LAST[encoding] + 1, np.rint(
            np.clip((np.nan_to_num(values) - low) / (high - low), 0, 1) * LAST[encoding]))  # fmt: skip
        with rasterio.open(output / f"rasters/{product}/{name}/{name}_20120307.tif") as dataset:
            written = dataset.read().astype(np.float64)
        np.testing.assert_array_equal(codes > LAST[encoding], written > LAST[encoding])
        # the archive gives float32, the export rounds from float64: at 1025 kg m-3 they are 0.08 of a uint16 code apart
        few = 0.001 if encoding == "uint8" else 0.05 if name == "dos" else 0.01
        assert np.abs(codes - written).max() <= 1
        assert np.mean(codes != written) <= few


def test_the_lazy_archive_computes_on_a_cluster_as_it_does_alone(ocean: Path, client: Client) -> None:
    lazy = oceanrecon.open_archive(str(ocean), grid=RasterGrid.from_bounds(5, (-180, -90, 180, 90)))
    shallow: Any = lazy["thetao"].isel(depth=slice(0, 8)).mean("depth")
    np.testing.assert_array_equal(client.compute(shallow).result().values, shallow.compute(scheduler="sync").values)


def test_the_rim_of_a_global_export_is_not_lost(made: tuple[Path, str]) -> None:
    output, _ = made
    for source in ("zarr", "geotiff"):
        dataset = oceanrecon.open_export(str(output), source=source)
        for name in PRODUCT:
            values = dataset[name].isel(time=0).values.reshape(-1, 90, 180)[0]
            for edge in (values[:, 0], values[:, -1]):
                assert np.isfinite(edge).mean() > 0.5, f"{name} has no data along the dateline"
            assert np.isfinite(values[0]).any(), f"{name} has no data in the northernmost row"
            # no seam: the step over the dateline and over longitude 0 is like the steps elsewhere
            steps = np.abs(np.diff(np.concatenate([values, values[:, :1]], axis=1), axis=1))
            for column in (89, 179):
                assert np.nanmean(steps[:, column]) < 2 * np.nanmean(steps), f"{name}: seam after column {column}"
