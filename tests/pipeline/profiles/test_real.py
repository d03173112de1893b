"""Risk: real floats are not like tidy ones. What they must give beside real fields, to the numbers of their README."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import gsw
import netCDF4
import numpy as np
import pytest
import xarray as xr
from distributed import Client
from numpy.typing import NDArray

import oceanrecon
from oceanrecon.config import ExportSettings, parse_settings
from oceanrecon.pipeline.profiles.enrich import EnrichResult
from oceanrecon.pipeline.verify import verify
from oceanrecon.profile_config import ProfilesSettings

Field = NDArray[np.float64]
#: Of float 6901929, cycle 124: reanalysis minus float, K and PSU, on the first eight of twelve depths.
TEMPERATURE = (0.258, 0.166, 0.092, 0.114, -0.143, 0.037, 0.041, 0.277)
SALINITY = (0.033, 0.033, 0.033, 0.060, 0.055, 0.030, 0.018, 0.053)
#: Eight floats around 2019-01-01: day, and place in their file.
WEEK = {
    "2901746": (20190103, 173), "3901897": (20190102, 61), "3901898": (20190102, 61), "3902131": (20181230, 82),
    "6901929": (20181231, 0), "6902652": (20181230, 103), "6902744": (20181230, 40), "6902761": (20190103, 68),
}  # fmt: skip
NEXT_DOOR = (20181231, 20190101, 20190102, 20190103)


def settings(real_data: Path, output: Path, **more: Any) -> ProfilesSettings:
    products = {
        "glorys": {"path": "glorys", "files": "GLORYS_coarse_*.nc"},
        "sealevel": {"path": "sealevel", "files": "dt_global_*.nc"},
    }
    data = {
        "argo": {"root": str(real_data)}, "archive": {"root": str(real_data), "products": products},
        "output": str(output), "cluster": {"workers": 2, "dashboard": "127.0.0.1:0"},
    }  # fmt: skip
    return parse_settings(ProfilesSettings, data | more, "test")


@pytest.fixture(scope="module")
def made(real_data: Path, client: Client, tmp_path_factory: pytest.TempPathFactory) -> EnrichResult:
    """A store of all floats, from the first file of the one without positions to the last beside the reanalysis."""
    output = tmp_path_factory.mktemp("real") / "profiles"
    chosen = settings(real_data, output, start="2018-02-01", end="2021-07-31")
    result = oceanrecon.enrich_profiles(chosen, client=client)
    assert result.complete
    return result


@pytest.fixture(scope="module")
def store(made: EnrichResult) -> xr.Dataset:
    opened: xr.Dataset = xr.open_zarr(made.store, chunks=None).load()
    return opened


def row(store: xr.Dataset, platform: str, cycle: int) -> xr.Dataset:
    found = np.flatnonzero((store["platform_number"] == platform) & (store["cycle_number"] == cycle))
    assert found.size == 1
    return store.isel(profile=found[0])


def test_the_reanalysis_minus_the_float_of_the_readme(store: xr.Dataset) -> None:
    mine = row(store, "6901929", 124)
    temperature = (mine["glorys_thetao"] - mine["argo_potm_on_glorys_depth"]).values
    salinity = (mine["glorys_so"] - mine["argo_psal_on_glorys_depth"]).values
    np.testing.assert_allclose(temperature[:8], TEMPERATURE, atol=0.005)
    np.testing.assert_allclose(salinity[:8], SALINITY, atol=0.005)
    for name in ("temp", "potm", "psal"):
        assert np.isnan(mine[f"argo_{name}_on_glorys_depth"][8:]).all()
        assert mine[f"argo_{name}_valid_on_glorys_depth"].values.tolist() == [True] * 8 + [False] * 4
        assert (mine[f"argo_{name}_qc_on_glorys_depth"][8:] == -1).all()
    assert int(mine["glorys_temporal_status"]) == 1  # the float came up the day before the only file
    assert int(mine["profile_date"]) == 20210628
    assert -3 < float(mine["glorys_zos"]) < 3
    assert np.isnan(mine["sealevel_adt"]) and int(mine["sealevel_temporal_status"]) == 3
    assert str(mine["profile_source_file"].values) == "D6901929_124.nc" and int(mine["profile_idx"]) == 0


def test_potential_temperature_and_depth_are_those_of_gsw(real_data: Path, store: xr.Dataset) -> None:
    mine = row(store, "6901929", 124)
    with netCDF4.Dataset(real_data / "argo/6901929/D6901929_124.nc") as file:
        assert b"".join(file["DATA_MODE"][:1].filled(b" ")) == b"D"
        pressure, temp, psal = (
            file[f"{name}_ADJUSTED"][0].filled(np.nan).astype(np.float64) for name in ("PRES", "TEMP", "PSAL")
        )
        good = np.isin(
            [file[f"{name}_ADJUSTED_QC"][0].filled(b" ") for name in ("PRES", "TEMP", "PSAL")], [b"1", b"2"]
        ).all(axis=0)
        latitude, longitude = float(file["LATITUDE"][0]), float(file["LONGITUDE"][0])
    assert good.sum() > 60
    pressure, temp, psal = pressure[good], temp[good], psal[good]
    depth = -gsw.z_from_p(pressure, latitude)
    absolute = gsw.SA_from_SP(psal, pressure, longitude, latitude)
    potential = gsw.pt0_from_t(absolute, temp, pressure)
    target = mine["glorys_depth"].values[:8].astype(np.float64)
    for name, values in (("temp", temp), ("potm", potential), ("psal", psal)):
        found = mine[f"argo_{name}_on_glorys_depth"].values[:8]
        np.testing.assert_allclose(found, np.interp(target, depth, values), rtol=0, atol=3e-5)
    assert 0.02 < float(mine["argo_temp_on_glorys_depth"][7] - mine["argo_potm_on_glorys_depth"][7]) < 0.06


def by_hand(real_data: Path, day: int, latitude: float, longitude: float) -> float:
    """Bilinear over what is valid of the four cells around, of the file of a day."""
    with netCDF4.Dataset(real_data / f"sealevel/dt_global_allsat_phy_l4_{day}_20190515.nc") as file:
        y, x = file["latitude"][:].filled().astype(np.float64), file["longitude"][:].filled().astype(np.float64)
        file.set_auto_mask(False)
        adt = file["adt"][0]
    south = int(np.searchsorted(y, latitude)) - 1
    east_of_first = (longitude - x[0]) % 360
    west = int(east_of_first // 0.25)
    north, east = (latitude - y[south]) / 0.25, east_of_first / 0.25 - west
    cells = adt[np.ix_([south, south + 1], [west, (west + 1) % x.size])]
    weights = np.outer([1 - north, north], [1 - east, east]) * (cells > -100)
    return float((cells * weights).sum() / weights.sum())


def test_the_floats_of_the_week_have_the_sea_level_around_them(real_data: Path, store: xr.Dataset) -> None:
    for platform, (date, index) in WEEK.items():
        mine = store.isel(profile=np.flatnonzero(store["platform_number"] == platform))
        mine = mine.isel(profile=np.flatnonzero(mine["profile_date"] == date))
        assert mine["profile_idx"].values.tolist() == [index]
        mine = mine.isel(profile=0)
        nearest = min(NEXT_DOOR, key=lambda day, date=date: abs(days(day) - days(date)))  # type: ignore[misc]
        wanted = by_hand(real_data, nearest, float(mine["latitude"]), float(mine["longitude"]))
        assert float(mine["sealevel_adt"]) == pytest.approx(wanted, abs=1e-6)
        assert int(mine["sealevel_temporal_status"]) == (1 if date < NEXT_DOOR[0] else 0)
        assert np.isnan(mine["sealevel_sla"])  # these files have no such variable


def days(date: int) -> int:
    return dt.datetime.strptime(str(date), "%Y%m%d").toordinal()


def test_the_floats_of_the_week_land_in_it(
    real_data: Path, made: EnrichResult, store: xr.Dataset, client: Client, tmp_path: Path
) -> None:
    """Into an export of sea level alone, which has no depths of its own."""
    archive = {"root": str(real_data), "products": {"sealevel": {"path": "sealevel", "files": "dt_global_*.nc"}}}
    wanted = {"archive": archive, "output": str(tmp_path / "export"), "grid": {"resolution": 0.5},
              "targets": {"dates": ["2019-01-01"]}, "formats": {"geotiff": {}},
              "profiles": {"store": made.store}}  # fmt: skip
    result = oceanrecon.export(parse_settings(ExportSettings, wanted, "test"), client=client)
    assert result.complete and result.profiles is not None
    gridded = xr.open_zarr(result.profiles.store, chunks=None)
    found = {
        str(platform): (int(date), int(index))
        for platform, date, index in zip(
            gridded["platform_number"].values, gridded["profile_date"].values, gridded["source_profile_idx"].values,
            strict=True,
        )
    }  # fmt: skip
    assert found == WEEK and gridded.sizes["profile"] == 8  # 2901746 was up on 12-27 too, five days before
    np.testing.assert_array_equal(gridded["glorys_depth"], store["glorys_depth"])
    observed = oceanrecon.open_observations(result.output)
    assert observed["temperature"].dims == ("time", "depth", "latitude", "longitude")
    with_value = observed["temperature_count"].isel(time=0).max("depth").values
    assert int((with_value > 0).sum()) == 8
    mine = row(store, "6901929", 33)
    at = observed["temperature"].isel(time=0).sel(
        latitude=float(mine["latitude"]), longitude=float(mine["longitude"]), method="nearest"
    )  # fmt: skip
    np.testing.assert_allclose(at.values - 273.15, mine["argo_potm_on_glorys_depth"].values, atol=0.0749)
    assert verify(result.output).good


def test_positions_that_are_not_declared_as_fill_give_no_row(made: EnrichResult, store: xr.Dataset) -> None:
    assert not (store["platform_number"] == "4902252").any()
    assert made.counts["position_impossible"] == 5
    assert float(np.abs(store["latitude"]).max()) < 90 and float(np.abs(store["longitude"]).max()) <= 180


def test_a_cycle_that_two_files_have_is_there_once(made: EnrichResult, store: xr.Dataset) -> None:
    mine = row(store, "2902269", 3)
    assert str(mine["profile_source_file"].values) == "R2902269_003.nc"  # of one mode, that of the cycle's own file
    assert made.counts["duplicate_cycle"] == 1


def test_no_near_surface_sampling_is_taken_for_a_profile(made: EnrichResult, store: xr.Dataset) -> None:
    mine = store.isel(profile=np.flatnonzero(store["platform_number"] == "6901929"))
    assert mine["profile_idx"].values.tolist() == [0] * 7
    assert sorted(mine["cycle_number"].values) == [32, 33, 34, 38, 39, 124, 125]
    assert made.counts["secondary_sampling"] == 7
