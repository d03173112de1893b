"""The export opens in other people's code: one sample by the published contract, from ``manifest.yaml`` alone.

``rebuilt`` knows rasterio, xarray and the published conventions (keys, shapes, types, masks, normalisation), and
nothing of this package. It differs from the published loader where this package does on purpose: profiles are accepted
level by level, not as a whole; 29 February stays.
"""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import xarray as xr
import yaml
from numpy.typing import NDArray
from rasterio.windows import Window

from oceanrecon.samples.export import ExportSource
from oceanrecon.samples.form import Scenario, collate
from oceanrecon.samples.rows import Rows
from oceanrecon.training.data.decode import Decode, to_tensors

TILE = 20


def rebuilt(export: Path, date: int, y0: int, x0: int, scenario: str) -> dict[str, Any]:
    """One sample as the published loader gives it."""
    manifest = yaml.safe_load((export / "manifest.yaml").read_text())
    mean_std = {
        "temperature_kelvin": (289.74267177946783, 10.933397487585731),
        "salinity": (34.54260282159372, 1.158266487751096),
        "sea_height": (0.0, 2.0),
    }

    def normalised(codes: NDArray[Any], name: str) -> tuple[NDArray[Any], NDArray[Any]]:
        stated = manifest["stretch"][name]
        valid = codes != stated["nodata"]
        span = stated["maximum"] - stated["minimum"]
        values = stated["minimum"] + codes.astype(np.float64) / stated["valid_code_max"] * span
        mean, std = mean_std[name]
        return np.where(valid, (values - mean) / std, 0.0), valid

    def raster(product: str, variable: str) -> NDArray[Any]:
        entries = manifest["rasters"][product][variable]
        path = next(entry["path"] for entry in entries if str(entry["date"]) == str(date))
        with rasterio.open(export / path) as opened:
            return np.asarray(opened.read(window=Window(x0, y0, TILE, TILE)))

    def profiles(short: str, name: str) -> tuple[NDArray[Any], NDArray[Any]]:
        store = xr.open_zarr(export / manifest["argo"]["path"], mask_and_scale=False, chunks=None)
        stated = manifest["stretch"][name]
        row, column = store["grid_row"].values - y0, store["grid_col"].values - x0
        mine = (store["target_date"].values == date) & (row >= 0) & (row < TILE) & (column >= 0) & (column < TILE)
        unit = "kelvin_" if short == "temp" else ""
        codes = store[f"argo_{short}_{unit}{manifest['encoding']}"].values[mine]
        valid = store[f"argo_{short}_valid"].values[mine]
        valid &= np.isin(store[f"argo_{short}_qc_on_glorys_depth"].values[mine], (-1, 1, 2))
        span = stated["maximum"] - stated["minimum"]
        values = stated["minimum"] + codes.astype(np.float64) / stated["valid_code_max"] * span
        total = np.zeros((codes.shape[1], TILE, TILE))
        count = np.zeros(total.shape, np.uint16)
        for y, x, some, good in zip(row[mine], column[mine], values, valid, strict=True):
            total[good, y, x] += some[good]
            count[good, y, x] += 1
        mean, std = mean_std[name]
        there = count > 0
        return np.where(there, (total / np.maximum(count, 1) - mean) / std, 0.0), there

    grid = manifest["grid"]
    west, dx, _, north, _, dy = grid["transform_gdal"]
    surface = [
        normalised(raster("ostia", "analysed_sst"), "temperature_kelvin"),
        normalised(raster("sss", "sos"), "salinity"),
        normalised(raster("sealevel", "adt"), "sea_height"),
    ]
    sample: dict[str, Any] = {
        "eo": np.concatenate([values for values, _ in surface]).astype(np.float32),
        "eo_valid_mask": np.concatenate([valid for _, valid in surface]),
        "date": int(date),
        "coords": np.array([north + dy * (y0 + TILE / 2), west + dx * (x0 + TILE / 2)], np.float32),
    }
    ocean = np.zeros((1, TILE, TILE), bool)
    parts = {
        "temperature": ("thetao", "temperature_kelvin", "temp", ""),
        "salinity": ("so", "salinity", "psal", "_salinity"),
    }
    for field, (variable, name, short, suffix) in parts.items():
        if scenario not in (field, "joint"):
            continue
        y, y_valid = normalised(raster("glorys", variable), name)
        x, x_valid = profiles(short, name)
        sample |= {
            f"y{suffix}": y.astype(np.float32),
            f"x{suffix}": x.astype(np.float32),
            f"y{suffix}_valid_mask": y_valid,
            f"x{suffix}_valid_mask": x_valid,
            f"x{suffix}_valid_mask_1d": x_valid.any(axis=0, keepdims=True),
            f"y{suffix}_supervision_weight": y_valid.astype(np.float32),
        }
        ocean |= y_valid.any(axis=0, keepdims=True)
    sample["land_mask"] = ocean.astype(np.float32)
    return sample


@pytest.mark.parametrize("scenario", ["temperature", "salinity", "joint"])
@pytest.mark.parametrize("encoding", ["uint8", "uint16"])
def test_the_published_contract_rebuilds_our_sample(
    scenario: Scenario, encoding: str, with_profiles: dict[str, Path]
) -> None:
    export = with_profiles[encoding]
    dates = yaml.safe_load((export / "manifest.yaml").read_text())["target_dates"]
    assert dt.datetime.strptime(str(dates[1]), "%Y%m%d").day == 29
    observed = 0
    for y0, x0, date in ((10, 20, dates[0]), (22, 50, dates[1]), (40, 100, dates[2])):  # ocean, coast, south pole
        rows = Rows(np.array([y0 * 120 + x0]), np.array([date], np.int32), TILE)
        source = ExportSource(str(export), rows, scenario=scenario)
        ours = Decode(source.form)(to_tensors(collate(source.samples([0]), source.form.fields)))
        theirs = rebuilt(export, int(date), y0, x0, scenario)
        assert set(ours) - {"row", "patch_id", "x_age"} == set(theirs)
        assert ours["date"].tolist() == [theirs.pop("date")]
        for key, expected in theirs.items():
            found = ours[key][0].numpy()
            assert (found.dtype, found.shape) == (expected.dtype, expected.shape), key
            if expected.dtype == bool:
                np.testing.assert_array_equal(found, expected, err_msg=key)
            else:  # float32, by way of an offset of up to 30 standard deviations
                np.testing.assert_allclose(found, expected, rtol=0, atol=5e-6, err_msg=key)
        observed += sum(int(values.sum()) for key, values in theirs.items() if key.startswith("x") and "1d" in key)
    assert observed > 2
