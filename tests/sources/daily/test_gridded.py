"""Risk: a field in the wrong units, of the wrong level or day, or a flag that becomes a measurement."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import netCDF4
import numpy as np
import pytest
import xarray as xr

from oceanrecon.errors import SourceError
from oceanrecon.grid.octants import OCTANTS, cut
from oceanrecon.sources.daily.products import GLORYS, L3_SST, L4_SSH, L4_SSS, L4_SST
from oceanrecon.sources.daily.source import DailySource, RawFile, natural
from oceanrecon.stores.files import Root
from oceanrecon.stores.tile_file import About, open_tile, write_gridded
from oceanrecon.synthetic.daily.grids import product_jobs
from oceanrecon.synthetic.daily.sst import sst_jobs
from oceanrecon.synthetic.job import Job
from oceanrecon.transform.day import GriddedDay

_DAY = dt.date(2024, 2, 29)


def _made(root: Path, job: Job) -> str:
    path = root / job.path
    path.parent.mkdir(parents=True, exist_ok=True)
    job.write(str(path))
    return str(path)


def _file(source: DailySource, path: str | Path) -> RawFile:
    file = source.match(str(path), 0, 0)
    assert file is not None
    return file


def _read(source: DailySource, path: str | Path, day: dt.date = _DAY) -> GriddedDay:
    assert source.read_grid is not None
    return source.read_grid([_file(source, path)], day)


def _write(
    path: Path, fields: Mapping[str, tuple[np.ndarray, Mapping[str, Any]]], *, depth: tuple[float, ...] = ()
) -> Path:
    """A file by the netCDF library: 4 rows, 6 columns of 0..360."""
    with netCDF4.Dataset(path, "w") as file:
        for name, values in (("lat", np.linspace(-60, 60, 4)), ("lon", np.arange(0.0, 360, 60)), ("depth", depth)):
            file.createDimension(name, len(values))
            file.createVariable(name, "f4", (name,))[:] = values
        file.createDimension("time", 1)
        for name, (values, attributes) in fields.items():
            dimensions = ("time", "depth", "lat", "lon") if values.ndim == 3 else ("time", "lat", "lon")
            fill = attributes.get("_FillValue")
            made = file.createVariable(name, values.dtype, dimensions, fill_value=fill)
            made.set_auto_maskandscale(False)
            made.setncatts({key: value for key, value in attributes.items() if key != "_FillValue"})
            made[0] = values
    return path


def test_each_product_of_the_synthetic_archive_is_read_as_xarray_reads_it(tmp_path: Path) -> None:
    jobs = product_jobs(1, _DAY, {"glorys": 0.5, "ostia": 1, "sealevel": 1, "sss": 1}) + sst_jobs(1, _DAY, 1)
    for source, job in zip((GLORYS, L4_SST, L4_SSH, L4_SSS, L3_SST), jobs, strict=True):
        path = _made(tmp_path, job)
        assert job.path.startswith(source.folder) and _file(source, path).day == _DAY
        day = _read(source, path)
        levels = {"uo": 10, "vo": 10}
        with xr.open_dataset(path, engine="netcdf4", mask_and_scale=True) as theirs:
            for name, values in day.values.items():
                field = theirs[name.removesuffix("_surface")].squeeze("time")
                if "depth" in field.dims:
                    field = field.isel(depth=levels.get(name, 0))
                if values.data.dtype.kind != "f":
                    assert values.data.dtype == theirs[name].encoding["dtype"]
                    expected = np.where(values.data == values.missing, np.nan, values.data)
                    stored = field.values
                    if np.issubdtype(stored.dtype, np.timedelta64):
                        continue  # xarray makes times of seconds
                    assert np.array_equal(stored, expected, equal_nan=True)
                    continue
                shift = 273.15 if values.attributes["units"] == "degree_Celsius" and source is not GLORYS else 0.0
                np.testing.assert_allclose(values.data, field.values - shift, rtol=1e-7, atol=4e-5)
        assert any(np.isfinite(values.data).any() for values in day.values.values() if values.data.dtype.kind == "f")
        assert day.start == np.datetime64("2024-02-29T00:00:00") and day.end == np.datetime64("2024-02-29T23:59:59")


def test_kelvin_becomes_celsius_once_and_celsius_stays(tmp_path: Path) -> None:
    name = "20240229120000-UKMO-L4_GHRSST-SSTfnd-OSTIA-GLOB-v02.0-fv02.0.nc"
    for units, value in (("kelvin", 288.65), ("celsius", 15.5)):
        field = np.full((4, 6), value, np.float32), {"units": units}
        error = np.full((4, 6), 0.5, np.float32), {"units": "kelvin"}
        day = _read(L4_SST, _write(tmp_path / name, {"analysed_sst": field, "analysis_error": error}))
        np.testing.assert_allclose(day.values["analysed_sst"].data, 15.5, atol=2e-5)
        assert day.values["analysed_sst"].attributes["units"] == "degree_Celsius"
        assert (day.values["analysis_error"].data == 0.5).all()  # a difference is not shifted


def test_integers_are_told_by_how_they_are_stored_and_not_by_names(tmp_path: Path) -> None:
    bits = np.array([[0, 255, 1024, -1, 7, 1]] * 4, np.int16)
    count = np.arange(24, dtype=np.int32).reshape(4, 6)
    packed = {"scale_factor": np.float32(0.5), "add_offset": np.float32(0), "_FillValue": np.int16(-99)}
    fields: dict[str, tuple[np.ndarray, dict[str, Any]]] = {
        "sla": (np.array([[1000, -99, 0, 1, 2, 3]] * 4, np.int16), {"units": "m", **packed}),
        # names that a guess would take for heights, and for flags
        "sla_quality": (
            bits,
            {"_FillValue": np.int16(-1), "flag_meanings": "a b", "flag_masks": np.array([1, 2], np.int16)},
        ),
        "mask_of_heights": (count, {"scale_factor": 1.0, "add_offset": 0.0}),
        "flag_error": (count.astype(np.int16), {"scale_factor": 0.1, "units": "m"}),
    }
    day = _read(L4_SSH, _write(tmp_path / "dt_global_allsat_phy_l4_20240229_20240801.nc", fields))
    assert day.values["sla_quality"].data.dtype == np.int16 and day.values["sla_quality"].missing == -1
    assert day.values["sla_quality"].data[0].tolist() == [0, 255, 1024, -1, 7, 1]
    assert day.values["sla_quality"].attributes["flag_masks"].tolist() == [1, 2]
    assert day.values["mask_of_heights"].data.dtype == np.int32 and day.values["mask_of_heights"].missing is None
    assert day.values["flag_error"].data.dtype == np.float32 and day.values["flag_error"].data[1, 1] == np.float32(0.7)
    # 500 m of sea level is no height: an undeclared fill, which is counted
    assert day.implausible == {"sla": 4}
    np.testing.assert_array_equal(day.values["sla"].data[0], np.array([np.nan, np.nan, 0, 0.5, 1, 1.5], np.float32))


def test_a_height_that_does_not_fit_its_packing_arrives_and_an_undeclared_fill_is_neither_kept_nor_counted(
    tmp_path: Path,
) -> None:
    """40 m was taken for a fill, so that the float32 that is there for it could not be reached."""
    height = np.array([[400_000, -2147483647, 1000, 0, 5_000_000, 1]] * 4, np.int32)
    fields = {"sla": (height, {"units": "m", "scale_factor": 1e-4})}
    path = _write(tmp_path / "dt_global_allsat_phy_l4_20240229_20240801.nc", fields)
    day = _read(L4_SSH, path)
    np.testing.assert_array_equal(day.values["sla"].data[0], np.array([40, np.nan, 0.1, 0, np.nan, 1e-4], np.float32))
    assert day.implausible == {"sla": 4}
    number, rows, columns = cut(day.latitude, day.longitude)[-2]
    assert OCTANTS[number].name == "NORTH_INDIAN"
    about = About("l4_ssh", "DUACS", _DAY, (path.name,), "cut")
    write_gridded(Root(str(tmp_path)), "tile.nc", OCTANTS[number], day, rows, columns, about)
    with open_tile(tmp_path / "tile.nc") as tile:
        assert tile.read("sla")[0, 0] == 40.0 and "40" in tile.attributes_of("sla")["packing_note"]


@pytest.mark.parametrize(
    ("attributes", "missing", "first"),
    [
        ({"missing_value": np.int16(-999)}, None, 5),
        ({"missing_value": np.array([np.nan, 0.5])}, None, 5),
        ({"missing_value": "none"}, None, 5),
        ({"_FillValue": np.int8(-1), "missing_value": np.int16(5)}, -1, -1),
    ],
)
def test_fills_that_an_integer_cannot_be_are_none_and_the_second_one_is_one(
    tmp_path: Path, attributes: dict[str, Any], missing: int | None, first: int
) -> None:
    flags = np.array([[5, 1, -1, 2, 3, 4]] * 4, np.int8)
    fields: dict[str, tuple[np.ndarray, dict[str, Any]]] = {
        "sla": (np.zeros((4, 6), np.float32), {"units": "m"}),
        "flag": (flags, attributes),
    }
    day = _read(L4_SSH, _write(tmp_path / "dt_global_allsat_phy_l4_20240229_20240801.nc", fields))
    assert day.values["flag"].missing == missing and day.values["flag"].data[0].tolist() == [first, 1, -1, 2, 3, 4]


@pytest.mark.parametrize(
    "longitude", [np.arange(-180.0, 181, 60), np.arange(0.0, 361, 60), np.arange(180.0, -181, -60)]
)
def test_a_column_that_is_there_again_after_a_turn_is_there_once(tmp_path: Path, longitude: np.ndarray) -> None:
    path = tmp_path / "dt_global_allsat_phy_l4_20240229_20240801.nc"
    with netCDF4.Dataset(path, "w") as file:
        for name, axis in (("lat", np.array([-1.0, 1.0])), ("lon", longitude)):
            file.createDimension(name, axis.size)
            file.createVariable(name, "f4", (name,))[:] = axis
        for name in ("sla", "count"):
            file.createVariable(name, "f4" if name == "sla" else "i2", ("lat", "lon"))[:] = np.arange(7)
        file["sla"].units = "m"
    day = _read(L4_SSH, path)
    assert day.longitude.tolist() == longitude[:6].tolist()
    assert all(values.data.tolist() == [[0, 1, 2, 3, 4, 5]] * 2 for values in day.values.values())
    assert sum(columns.size for _, _, columns in cut(day.latitude, day.longitude)) == 2 * 6


def test_currents_are_of_the_level_by_its_depth_and_not_by_its_place(tmp_path: Path) -> None:
    depth = (0.494, 5.08, 15.81, 21.6)
    flow = np.stack([np.full((4, 6), level / 100, np.float32) for level in depth]), {"units": "m s-1"}
    warm = np.stack([np.full((4, 6), 20 - level / 10, np.float32) for level in depth]), {"units": "degrees_C"}
    name = "mercatorglorys12v1_gl12_mean_20240229_R20240306.nc"
    day = _read(GLORYS, _write(tmp_path / name, {"thetao": warm, "uo": flow, "mlotst": (warm[0][0], {})}, depth=depth))
    assert set(day.values) == {"thetao", "uo", "uo_surface"}
    assert day.values["uo"].data[0, 0] == np.float32(0.1581) and day.values["uo"].attributes["depth"] == 15.81
    assert day.values["uo_surface"].data[0, 0] == np.float32(0.00494)
    assert day.values["thetao"].data[0, 0] == np.float32(19.9506)
    shallow = {"thetao": (warm[0][:2], warm[1]), "uo": (flow[0][:2], flow[1])}
    assert set(_read(GLORYS, _write(tmp_path / name, shallow, depth=depth[:2])).values) == {"thetao", "uo_surface"}


def test_the_grid_of_the_reanalysis_and_of_0_to_360_arrives_whole(tmp_path: Path) -> None:
    latitude = np.linspace(-80, 90, 2041)
    latitude[960] = -4.5e-12  # the equator, as real files have it
    assert abs(latitude[960]) < 1e-6
    longitude = np.arange(0, 360, 7.5)
    height = np.random.default_rng(0).normal(0, 0.5, (2041, 48)).astype(np.float32)
    path = tmp_path / "mercatorglorys12v1_gl12_mean_20240229_R20240306.nc"
    with netCDF4.Dataset(path, "w") as file:
        for name, axis in (("latitude", latitude), ("longitude", longitude)):
            file.createDimension(name, axis.size)
            file.createVariable(name, "f8", (name,))[:] = axis
        for name in ("zos", "thetao"):
            made = file.createVariable(name, "f4", ("latitude", "longitude"))
            made[:] = height
            made.units = {"zos": "m", "thetao": "degrees_C"}[name]
    day = _read(GLORYS, path)
    found = np.full(height.shape, np.nan)
    rows = 0
    about = About("glorys", "GLORYS", _DAY, (path.name,), "cut")
    for number, some, columns in cut(day.latitude, day.longitude):
        write_gridded(Root(str(tmp_path)), "tile.nc", OCTANTS[number], day, some, columns, about)
        with open_tile(tmp_path / "tile.nc") as tile:
            down = np.searchsorted(latitude, tile.latitude - 1e-9)
            across = np.searchsorted(longitude, tile.longitude % 360 - 1e-9)
            found[np.ix_(down, across)] = tile.read("zos")
            rows += tile.latitude.size
            assert tile.latitude[0] >= OCTANTS[number].south and tile.latitude[-1] <= OCTANTS[number].north
    assert rows == 4 * 2041  # 960 south of the equator, 1081 with it and the pole
    np.testing.assert_allclose(found, height, rtol=0, atol=0.25e-3 + 1e-6)


@pytest.mark.parametrize(
    ("source", "names"),
    [
        (GLORYS, ["mercatorglorys12v1_gl12_mean_20240229_R20240306.nc"]),
        (L4_SSH, ["nrt_global_allsat_phy_l4_20240229_20250301.nc", "dt_global_allsat_phy_l4_20240229_20240801.nc"]),
        (
            L4_SST,
            [
                "20240229120000-UKMO-L4_GHRSST-SSTfnd-OSTIA-GLOB-v02.0-fv02.0.nc",
                "20240229120000-UKMO-L4_GHRSST-SSTfnd-OSTIA-GLOB_REP-v02.0-fv02.0.nc",
            ],
        ),
        (
            L4_SSS,
            [
                "dataset-sss-ssd-nrt-daily_20240229T1200Z_P20240307T0000Z.nc",
                "dataset-sss-ssd-rep-daily_20240229T1200Z_P20250215T0000Z.nc",
            ],
        ),
        (L3_SST, ["20240229000000-IFR-L3S_GHRSST-SSTfnd-ODYSSEA-GLOB_010-v02.1-fv01.0.nc"]),
    ],
)
def test_names_tell_the_day_and_which_of_two_files_counts(source: DailySource, names: list[str]) -> None:
    files = [_file(source, f"/raw/{source.folder}/2024/02/{name}") for name in names]
    assert all(file.day == _DAY and file.part == "" for file in files)
    assert sorted(files, key=lambda file: natural(file.revision)) == files
    assert source.match(names[0].replace("20240229", "20240230"), 0, 0) is None
    assert source.match(f"copy of {names[0]}", 0, 0) is None


def test_sea_level_of_a_part_of_the_ocean_takes_the_place_of_no_global_file() -> None:
    assert L4_SSH.match("dt_europe_allsat_phy_l4_20240229_20240801.nc", 0, 0) is None


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    name = "dt_global_allsat_phy_l4_20240229_20240801.nc"
    sla = {"sla": (np.zeros((4, 6), np.float32), {"units": "m"})}
    whole = _write(tmp_path / name, sla).read_bytes()
    for content in (whole[: len(whole) // 2], b"", b"<html>"):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(SourceError, match=f"{name}: .*download it again"):
            _read(L4_SSH, tmp_path / name)
    _write(tmp_path / name, {"err_sla": sla["sla"]})
    with pytest.raises(SourceError, match=f"{name}: missing variable sla or adt: it has err_sla"):
        _read(L4_SSH, tmp_path / name)
    _write(tmp_path / name, {"sla": (sla["sla"][0], {"units": "furlong"})})
    with pytest.raises(SourceError, match=f"{name}: sla is in 'furlong'"):
        _read(L4_SSH, tmp_path / name)
    _write(tmp_path / name, sla)
    with netCDF4.Dataset(tmp_path / name, "a") as file:
        file.createDimension("t", 2)
        file.createVariable("adt", "f4", ("t", "lat", "lon"))
    with pytest.raises(SourceError, match=f"{name}: it has 2 times: one day a file is expected"):
        _read(L4_SSH, tmp_path / name)
    _write(tmp_path / name, sla)
    with h5py.File(tmp_path / name, "r+") as file:
        file["lat"][2] = file["lat"][1]
    with pytest.raises(SourceError, match=f"{name}: not a regular grid"):
        _read(L4_SSH, tmp_path / name)
