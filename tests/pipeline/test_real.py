"""Risk: real files are not like tidy ones. Each trap that they set, with the number it must give."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import rasterio
import xarray as xr
import yaml
from distributed import Client
from numpy.typing import NDArray

import oceanrecon
from oceanrecon.config import ExportSettings, parse_settings
from oceanrecon.grid import RasterGrid
from oceanrecon.pipeline.explain import explain
from oceanrecon.pipeline.open import open_days
from oceanrecon.pipeline.plan import plan
from oceanrecon.pipeline.verify import verify

Command = Callable[..., tuple[int, str, str]]
CONFIGS = Path(__file__).parents[2] / "configs"


@pytest.fixture(scope="module")
def exports(real_data: Path, client: Client, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The exports of ``configs/real-*.yaml`` (the fields, not the profiles), by the names of their outputs."""
    folder = tmp_path_factory.mktemp("real")
    for config in sorted({*CONFIGS.glob("real-*.yaml")} - {*CONFIGS.glob("*-profiles.yaml")}):
        data = yaml.safe_load(config.read_text())
        data["archive"]["root"] = str(real_data)
        data["output"] = str(folder / Path(data["output"]).name)
        assert oceanrecon.export(parse_settings(ExportSettings, data, config.name), client=client).complete
    return folder


def planned_of(real_data: Path, output: Path, product: str, files: dict[str, str], **more: Any) -> Any:
    data = {"archive": {"root": str(real_data), "products": {product: files}}, "output": str(output),
            "grid": {"resolution": 1}} | more  # fmt: skip
    return plan(parse_settings(ExportSettings, data, "test"))


def test_the_samples_run_as_the_readme_says(
    real_data: Path, tmp_path: Path, command: Command, shared_cluster: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(CONFIGS.parent)
    for config in ("real-sample-glorys.yaml", "real-sample-blacksea.yaml"):
        output = tmp_path / config
        at = ("--set", f"output={output}", "--set", f"archive.root={real_data}")
        code, out, err = command("export", f"configs/{config}", *at)
        assert code == 0, out + err
        code, out, _ = command("verify", output, "--deep")
        assert code == 0, out


def test_sea_level_has_no_cell_of_its_undeclared_fill(real_data: Path, exports: Path) -> None:
    with h5py.File(real_data / "sealevel/dt_global_allsat_phy_l4_20190101_20190515.nc") as file:
        assert "_FillValue" not in file["adt"].attrs
        stored = file["adt"][0]
    filled = stored == -2147483647
    assert round(100 * filled.mean(), 1) == 42.4
    assert stored[filled][0] * 0.0001 == pytest.approx(-214748.3647)
    (receipt,) = (json.loads(path.read_text()) for path in (exports / "sealevel/receipts/adt").glob("*.json"))
    (counts,) = receipt["statistics"]
    real = stored[~filled] * 0.0001
    assert real.min() - 0.01 <= counts["minimum"] and counts["maximum"] <= real.max() + 0.01
    # 0.1 degree pixels whose cells at 0.25 degrees are missing, in area what the file has missing
    assert counts["nodata_count"] / (3600 * 1800) == pytest.approx(0.424, abs=0.005)
    for source in ("zarr", "geotiff"):
        opened = oceanrecon.open_export(str(exports / "sealevel"), source=source)["adt"]
        assert float(opened.min()) > -2.01


def test_four_of_seven_days_are_used_and_said_so(exports: Path) -> None:
    manifest = yaml.safe_load((exports / "sealevel/manifest.yaml").read_text())
    (entry,) = manifest["rasters"]["sealevel"]["adt"]
    assert (entry["date"], entry["days_used"]) == (20190101, [20181231, 20190101, 20190102, 20190103])
    assert manifest["surface_temporal_aggregation"]["window_days"] == 7
    days = np.bincount(open_days(str(exports / "sealevel"))["adt_days"].values.ravel(), minlength=8)
    assert days[5:].sum() == 0 and days[4] > 100 * days[1:4].sum()  # the edge of the ice moves
    with rasterio.open(exports / "sealevel" / entry["path"]) as dataset:
        assert dataset.tags()["days_used"] == "20181231,20190101,20190102,20190103"
        assert dataset.tags()["aggregate_days"] == "7"


def steps(field: NDArray[np.float32]) -> NDArray[np.float64]:
    """Mean step from each column to the next, round the globe."""
    return np.asarray(np.nanmean(np.abs(np.diff(field, axis=1, append=field[:, :1])), axis=0), dtype=np.float64)


def test_there_is_no_seam_where_the_files_begin_and_end(exports: Path) -> None:
    field = oceanrecon.open_export(str(exports / "sealevel"), source="geotiff")["adt"].isel(time=0).values
    between = steps(field)
    # the files begin at 0 degrees (column 1800), the grid at 180
    for column in (1798, 1799, 1800, 3598, 3599, 0):
        assert between[column] < 1.5 * np.median(between)
        assert np.isfinite(field[:, column]).mean() == pytest.approx(np.isfinite(field[:, column - 3]).mean(), abs=0.02)


def test_the_mean_of_a_real_pixel_by_hand(real_data: Path, exports: Path) -> None:
    # 30.05 N, 40.05 W: between cells at 30.125 and 29.875 N, 319.875 and 320.125 E
    values = []
    for day in ("20181231", "20190101", "20190102", "20190103"):
        with h5py.File(real_data / f"sealevel/dt_global_allsat_phy_l4_{day}_20190515.nc") as file:
            assert file["latitude"][479:481].tolist() == [29.875, 30.125]
            assert file["longitude"][1279:1281].tolist() == [319.875, 320.125]
            values.append(file["adt"][0, 479:481, 1279:1281] * 0.0001)
    mean = np.mean(values, axis=0)
    north, east = (30.05 - 29.875) / 0.25, (319.95 - 319.875) / 0.25
    by_hand = (np.array([1 - north, north]) @ mean) @ np.array([1 - east, east])
    found = explain(str(exports / "sealevel"), "adt", "2019-01-01", -40.05, 30.05)
    assert found.value == pytest.approx(by_hand, abs=1e-9) and found.agrees
    assert found.code == round((by_hand + 2) / 4 * 254)


def test_a_reanalysis_without_a_time_dimension_is_dated_by_its_scalar_time(real_data: Path, exports: Path) -> None:
    manifest = yaml.safe_load((exports / "glorys/manifest.yaml").read_text())
    assert manifest["target_dates"] == [20210629]
    assert len(manifest["depth_axis_m"]) == 12
    opened = oceanrecon.open_export(str(exports / "glorys"))
    assert dict(opened.sizes) == {"time": 1, "depth": 12, "latitude": 250, "longitude": 260}
    with xr.open_dataset(real_data / "glorys/GLORYS_coarse_test_data_v1_12lev.nc") as file:
        np.testing.assert_allclose(opened["depth"], file["depth"], rtol=1e-6)
        near = {"latitude": 60.0, "longitude": -13.0}
        theirs = file["thetao"].sel(near, method="nearest")
        at = {"latitude": float(theirs["latitude"]), "longitude": float(theirs["longitude"])}
        ours = opened["thetao"].isel(time=0).sel(at, method="nearest")
        np.testing.assert_allclose(ours.values - 273.15, theirs.values, atol=0.15)  # half a pixel of gradient
    assert 34 < float(opened["so"].sel(near, method="nearest").mean()) < 36


def test_the_coordinate_dates_a_file_whose_attribute_says_otherwise(real_data: Path, tmp_path: Path) -> None:
    planned = planned_of(real_data, tmp_path / "export", "glorys", {"path": "glorys", "files": "GLORYS_NA_*.nc"})
    assert [str(date) for date in planned.targets] == ["2012-01-01"]
    assert {(block.variable, str(block.date), len(block.depth)) for block in planned.blocks} == {
        ("thetao", "2012-01-01", 5), ("so", "2012-01-01", 5)
    }  # fmt: skip


def test_a_file_without_a_time_coordinate_is_dated_by_its_name(real_data: Path, tmp_path: Path, client: Client) -> None:
    files = {"path": "traps", "files": "dt_med_*.nc"}
    data = {"archive": {"root": str(real_data), "products": {"sealevel": files}}, "output": str(tmp_path / "export"),
            "grid": {"resolution": 0.25, "bounds": [-6, 30, 37, 46]}, "window_days": 1,
            "targets": {"dates": ["2016-05-15", "2019-01-01"]}}  # fmt: skip
    result = oceanrecon.export(parse_settings(ExportSettings, data, "test"), client=client)
    assert [failure.date for failure in result.failures] == ["20190101"]  # the day of production is no date
    adt = oceanrecon.open_export(str(tmp_path / "export"))["adt"]
    assert np.isfinite(adt.isel(time=0)).any() and not np.isfinite(adt.isel(time=1)).any()
    assert -1 < float(adt.min()) and float(adt.max()) < 1


def test_an_all_fill_mask_and_midnight_do_not_blank_the_black_sea(real_data: Path, exports: Path) -> None:
    opened = oceanrecon.open_export(str(exports / "blacksea"))
    assert opened["time"].values.astype("datetime64[D]").tolist() == [np.datetime64("2016-07-07").astype(object)]
    sst = opened["analysed_sst"].isel(time=0)
    with xr.open_dataset(next((real_data / "sst").glob("*-BLK-*.nc"))) as file:
        assert np.isnan(file["mask"]).all()
        theirs = file["analysed_sst"].isel(time=0)
        share = float(np.isfinite(theirs).mean())
        assert float(sst.min()) >= float(theirs.min()) - 0.01 and float(sst.max()) <= float(theirs.max()) + 0.01
        assert float(sst.mean()) == pytest.approx(float(theirs.mean()), abs=0.1)
    covered = np.isfinite(sst.sel(latitude=slice(48.7, 38.8), longitude=slice(26.45, 42.3)))
    assert float(covered.mean()) == pytest.approx(share, abs=0.02)
    both = np.isfinite(sst) & np.isfinite(opened["adt"].isel(time=0))
    assert int(both.sum()) > 3000


def test_the_real_exports_verify_and_agree_with_their_sources(exports: Path) -> None:
    random = np.random.default_rng(1)
    for name, variable, date in (
        ("glorys", "thetao", "2021-06-29"), ("glorys", "so", "2021-06-29"), ("blacksea", "analysed_sst", "2016-07-07"),
        ("blacksea", "adt", "2016-07-07"), ("sealevel", "adt", "2019-01-01"),
    ):  # fmt: skip
        assert verify(str(exports / name)).good
        west, south, east, north = RasterGrid.from_bounds(
            0.1, tuple(yaml.safe_load((exports / name / "export.yaml").read_text())["grid"]["bounds"])
        ).bounds
        for longitude, latitude in random.uniform((west, south), (east, north), (3, 2)):
            assert explain(str(exports / name), variable, date, longitude, latitude).agrees
