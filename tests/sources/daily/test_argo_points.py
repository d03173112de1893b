"""Risk: rows of a day of floats lose a variable, a text or a flag, or a row without a place gets into a region."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from oceanrecon.errors import SourceError
from oceanrecon.grid.octants import OCTANTS, octant_of
from oceanrecon.sources.daily.argo_points import SOURCE, read
from oceanrecon.sources.daily.source import RawFile
from oceanrecon.stores.files import Root
from oceanrecon.stores.tile_file import About, write_points
from oceanrecon.synthetic.daily.argo_points import argo_point_jobs

DAY = dt.date(2024, 2, 29)


def raw(path: Path) -> RawFile:
    found = SOURCE.match(str(path), path.stat().st_size, 0)
    assert found is not None
    return found


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> RawFile:
    (job,) = argo_point_jobs(1, DAY, floats=60)
    path = tmp_path_factory.mktemp("argo") / Path(job.path).name
    job.write(str(path))
    return raw(path)


def table(file: RawFile) -> xr.Dataset:
    with xr.open_dataset(file.url) as opened:
        return opened.load()


def test_each_row_has_all_that_the_file_has(file: RawFile) -> None:
    day, same = read(file), table(file)
    assert file.day == DAY
    assert day.latitude.size == same.sizes["N_POINTS"] > 50
    np.testing.assert_array_equal(day.latitude, same["LATITUDE"])
    np.testing.assert_array_equal(day.longitude, same["LONGITUDE"])
    np.testing.assert_array_equal(day.time, same["TIME"].values.astype("M8[us]"))
    assert {*day.values, "LATITUDE", "LONGITUDE", "TIME"} == set(same.data_vars)
    for name, values in day.values.items():
        stored = same[name].values
        expected = stored.astype(values.data.dtype)
        np.testing.assert_array_equal(values.data, expected)
        assert values.data.dtype.kind == {"U": "S", "O": "S"}.get(stored.dtype.kind, stored.dtype.kind)
    assert day.values["PRES"].data.dtype == np.float32
    assert day.values["TEMP"].attributes["units"] == "degree_Celsius"
    assert (day.track.size, day.tracks) == (0, ())


def test_texts_and_flags_come_out_however_they_are_stored(file: RawFile, tmp_path: Path) -> None:
    same = table(file)
    number = same["PLATFORM_NUMBER"].values
    characters = np.array([f"{one} " for one in number], "S8")
    same["PLATFORM_NUMBER"] = ("N_POINTS", characters)
    same["DIRECTION"] = ("N_POINTS", same["DIRECTION"].values.astype("S1"))
    same["TEMP_QC"] = ("N_POINTS", np.where(same["TEMP_QC"] > 1, 127, same["TEMP_QC"]).astype("i1"))
    same["TEMP_QC"].encoding = {"_FillValue": np.int8(127)}
    path = tmp_path / file.name
    same.to_netcdf(path, engine="h5netcdf")
    day = read(raw(path))
    assert day.values["PLATFORM_NUMBER"].data.tolist() == [str(one).encode() for one in number]
    assert set(day.values["DIRECTION"].data.tolist()) <= {b"A", b"D"}
    assert day.values["TEMP_QC"].missing == 127
    np.testing.assert_array_equal(day.values["TEMP_QC"].data, same["TEMP_QC"])


def test_a_second_time_reaches_the_file_of_a_region_as_seconds(file: RawFile, tmp_path: Path) -> None:
    same = table(file)
    size = same.sizes["N_POINTS"]
    about = {"standard_name": "time", "units": "days since 1950-01-01 00:00:00", "conventions": "Relative julian days"}
    same["JULD"] = ("N_POINTS", np.full(size, 27087.25), about)
    same["JULD"][0] = np.nan
    path = tmp_path / file.name
    same.to_netcdf(path, engine="h5netcdf")
    day = read(raw(path))
    number = int(octant_of(day.latitude, day.longitude)[0])
    points = np.flatnonzero(octant_of(day.latitude, day.longitude) == number)
    tile = write_points(
        Root(str(tmp_path)), "tile.nc", OCTANTS[number], day, points, About("argo", "Argo", DAY, (file.name,), "as is")
    )
    assert tile.valid["JULD"] == points.size - 1
    with xr.open_dataset(tmp_path / "tile.nc") as theirs:
        times = theirs["JULD"].values.astype("M8[s]")
        assert np.isnat(times[0]) and set(times[1:].astype(str)) <= {"2024-02-29T06:00:00"}
        assert "conventions" not in theirs["JULD"].attrs


def test_rows_without_a_place_are_there_and_in_no_region(file: RawFile, tmp_path: Path) -> None:
    same = table(file)
    for row, (latitude, longitude) in enumerate(
        [(np.nan, 10.0), (99999.0, 99999.0), (-99.999, -999.999), (10.0, np.nan), (90.0, 180.0)]
    ):
        same["LATITUDE"][row], same["LONGITUDE"][row] = latitude, longitude
    path = tmp_path / file.name
    same.to_netcdf(path, engine="h5netcdf")
    day = read(raw(path))
    where = octant_of(day.latitude, day.longitude)
    assert where[:5].tolist() == [-1, -1, -1, -1, 4]
    assert day.latitude.size == same.sizes["N_POINTS"] == np.count_nonzero(where >= 0) + 4
    # what they measured is not lost
    np.testing.assert_array_equal(day.values["TEMP"].data, same["TEMP"])


def test_a_day_without_floats_is_an_empty_one(tmp_path: Path) -> None:
    (job,) = argo_point_jobs(1, DAY, floats=0)
    path = tmp_path / Path(job.path).name
    job.write(str(path))
    day = read(raw(path))
    assert (day.latitude.size, day.time.size, day.values["DIRECTION"].data.size) == (0, 0, 0)


def test_a_file_that_is_none_of_these_or_damaged_is_named(file: RawFile, tmp_path: Path) -> None:
    path = tmp_path / file.name
    table(file).drop_vars("PRES").to_netcdf(path, engine="h5netcdf")
    with pytest.raises(SourceError, match=f"{file.name}: missing variable PRES"):
        read(raw(path))
    path.write_bytes(Path(file.url).read_bytes()[:3000])
    with pytest.raises(SourceError, match=file.name):
        read(raw(path))
