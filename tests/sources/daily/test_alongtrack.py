"""Risk: points or values of an altimeter's day are lost, of another day, or of another revision than is said."""

from __future__ import annotations

import datetime as dt
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
import pytest

from oceanrecon.errors import SourceError
from oceanrecon.sources.daily.alongtrack import SOURCE, read, read_points
from oceanrecon.sources.daily.source import RawFile, natural
from oceanrecon.transform.binning import DayBins

NAME = "dt_global_j1_phy_l3_20070101_20190220.nc"


def raw(path: Path) -> RawFile:
    found = SOURCE.match(str(path), path.stat().st_size, 0)
    assert found is not None
    return found


def write(path: Path, variables: dict[str, tuple[Any, dict[str, Any]]], **attributes: str) -> RawFile:
    """A file of a dimension ``time``, every value as it is to be stored."""
    with netCDF4.Dataset(path, "w") as file:
        file.createDimension("time", len(next(iter(variables.values()))[0]))
        for name, (values, texts) in variables.items():
            stored = np.asarray(values)
            made = file.createVariable(name, stored.dtype, ("time",), fill_value=texts.pop("_FillValue", None))
            made.set_auto_maskandscale(False)
            made.setncatts(texts)
            made[:] = stored
        file.setncatts(attributes)
    return raw(path)


def variables(**heights: Sequence[float]) -> dict[str, tuple[Any, dict[str, Any]]]:
    size = len(next(iter(heights.values())))
    found: dict[str, tuple[Any, dict[str, Any]]] = {
        "time": (np.arange(size) / 4 + 20819.0, {"units": "days since 1950-01-01 00:00:00"}),
        "latitude": (np.linspace(-10.0, 10.0, size), {"units": "degrees_north"}),
        "longitude": (np.linspace(0.0, 350.0, size), {"units": "degrees_east"}),
    }
    return found | {name: (np.asarray(values), {"units": "m"}) for name, values in heights.items()}


def test_the_real_day_of_jason_1_gives_each_position_and_each_value_once(real_data: Path, tmp_path: Path) -> None:
    """It begins at 23:16 on the eve: a file is of the day of its name, whole."""
    path = tmp_path / NAME
    shutil.copyfile(real_data / "alongtrack" / "COAsT_example_altimetry_data.nc", path)
    file = raw(path)
    assert (file.day, file.part, file.revision) == (dt.date(2007, 1, 1), "j1", "dt 20190220")
    (day,) = read_points([file], file.day)
    with netCDF4.Dataset(path) as same:
        for name in ("sla_filtered", "sla_unfiltered", "mdt"):
            expected = same[name][:].filled(np.nan).astype(np.float32)
            np.testing.assert_array_equal(day.values[name].data, expected)
            assert day.values[name].attributes["units"] == "m"
        np.testing.assert_allclose(day.latitude, same["latitude"][:], rtol=0, atol=1e-9)
        np.testing.assert_allclose(day.longitude, same["longitude"][:], rtol=0, atol=1e-9)
    assert str(day.time[0]).startswith("2006-12-31T23:16:07.57")
    assert str(day.time[-1]).startswith("2007-01-01T23:33:42.61")
    bins = DayBins(7.0)
    bins.add(day)
    found = list(bins.finish())
    assert len(found) == 8
    assert (bins.placed, bins.unplaced) == (52_935, 0)
    assert sum(int(one.n_obs.sum()) for one in found) == 52_935
    assert sum(int(one.counts["sla_filtered"].sum()) for one in found) == 52_923
    assert {(track.name, track.platform) for one in found for track in one.tracks} == {(NAME, "Jason-1")}


@pytest.mark.parametrize(
    ("name", "part", "revision"),
    [
        ("dt_global_s3a_phy_l3_1hz_20190102_20240205.nc", "s3a", "dt 20240205"),
        ("nrt_global_al_phy_l3_1hz_20240801_20240822.nc", "al", "20240822"),
        ("dt_global_c2_phy_vxxc_l3_20150101_20170110.nc", "c2", "dt 20170110"),
        # more points a second, or a part of the ocean: they take the place of no global file at 1 Hz
        ("dt_global_s3a_phy_l3_5hz_20190102_20240205.nc", None, None),
        ("dt_europe_s3a_phy_l3_1hz_20190102_20240205.nc", None, None),
        ("dt_global_allsat_phy_l4_20190102.nc", None, None),
        ("dt_global_j1_phy_l3_20071301_20190220.nc", None, None),
    ],
)
def test_names_say_whose_day_and_which_revision(name: str, part: str | None, revision: str | None) -> None:
    found = SOURCE.match(f"/raw/{name}", 1, 0)
    assert (found and found.part, found and found.revision) == (part, revision)


@pytest.mark.parametrize(
    ("delayed", "near"),
    [
        ("dt_global_alg_phy_l3_1hz_20230401_20230407.nc", "nrt_global_al_phy_l3_1hz_20230401_20230408.nc"),
        ("dt_global_s6a_lr_phy_l3_1hz_20230401_20240101.nc", "nrt_global_s6a_hr_phy_l3_1hz_20230401_20230408.nc"),
        ("dt_global_c2n_phy_l3_1hz_20230401_20230407.nc", "nrt_global_c2_phy_l3_1hz_20230401_20230408.nc"),
        ("dt_global_h2ag_phy_l3_20160401_20160402.nc", "nrt_global_h2a_phy_l3_20160401_20230408.nc"),
    ],
)
def test_a_satellite_counts_once_and_delayed_time_goes_before_a_later_production(delayed: str, near: str) -> None:
    first, second = (SOURCE.match(f"/raw/{name}", 1, 0) for name in (delayed, near))
    assert first is not None and second is not None
    assert first.part == second.part and natural(first.revision) > natural(second.revision)
    later = SOURCE.match(f"/raw/{delayed.rpartition('_')[0]}_20991231.nc", 1, 0)
    assert later is not None and natural(later.revision) > natural(first.revision)


def test_a_platform_is_named_whatever_the_code_of_its_file(tmp_path: Path) -> None:
    for name, platform in (("s6a_lr", "Sentinel-6A"), ("s6a_hr", "Sentinel-6A"), ("alg", "SARAL/AltiKa")):
        file = write(tmp_path / f"dt_global_{name}_phy_l3_1hz_20230401_20240101.nc", variables(sla_filtered=[0.1]))
        assert read(file).tracks[0].platform == platform


def test_a_file_with_the_older_variable_alone_gives_it_and_says_so(tmp_path: Path) -> None:
    file = write(tmp_path / NAME, variables(sla=[0.1, 0.2], mdt=[1.0, 1.5]))
    day = read(file)
    assert list(day.values) == ["sla_filtered", "mdt"]
    np.testing.assert_array_equal(day.values["sla_filtered"].data, np.array([0.1, 0.2], np.float32))
    assert day.values["sla_filtered"].attributes["comment"] == f"sla of {NAME}, which has no sla_filtered"
    # no attribute says the platform, but the name does
    assert day.tracks[0].platform == "Jason-1"


def test_fills_declared_or_not_and_impossible_positions_are_missing(tmp_path: Path) -> None:
    found = variables(sla_filtered=[0.0] * 6)
    heights = np.array([32767, -32767, 100, 200, 300, 400], np.int16)
    found["sla_filtered"] = heights, {"scale_factor": 0.01, "units": "cm", "_FillValue": 32767}
    found["mdt"] = (
        np.array([2147483646, 1, 2, 3, 4, 5], np.int32),
        {"scale_factor": 1e-4, "units": "m", "missing_value": np.array([1e20, 1.0])},
    )
    packed = np.array([-2147483647, 95_000_000, -90_000_000, 90_000_000, 0, 1], np.int32)
    found["latitude"] = packed, {"scale_factor": 1e-6}
    found["longitude"] = np.array([0.0, 0.0, 359.5, -180.0, -999.999, 180.0]), {}
    day = read(write(tmp_path / NAME, found))
    np.testing.assert_array_equal(
        day.values["sla_filtered"].data, np.array([np.nan, -3.2767, 0.01, 0.02, 0.03, 0.04], np.float32)
    )
    # 214748.3646 m; declared by a second attribute, beside what no integer can be
    assert np.isnan(day.values["mdt"].data).tolist() == [True, True, False, False, False, False]
    assert np.isfinite(day.latitude).tolist() == [False, False, True, True, False, True]
    assert np.isnan(day.longitude[~np.isfinite(day.latitude)]).all()
    bins = DayBins(7.0)
    bins.add(day)
    assert (bins.placed, bins.unplaced) == (3, 3)


@pytest.mark.parametrize("bytes_kept", [0, 4, 2000])
def test_a_damaged_file_is_named(tmp_path: Path, bytes_kept: int) -> None:
    file = write(tmp_path / NAME, variables(sla_filtered=[0.1, 0.2]))
    Path(file.url).write_bytes(Path(file.url).read_bytes()[:bytes_kept])
    with pytest.raises(SourceError, match=NAME):
        read(file)


@pytest.mark.parametrize("without", ["time", "longitude", "sla_filtered"])
def test_a_file_that_is_none_of_these_is_refused(tmp_path: Path, without: str) -> None:
    found = variables(sla_filtered=[0.1, 0.2])
    del found[without]
    with pytest.raises(SourceError, match=f"{NAME}: missing variable {without}"):
        read(write(tmp_path / NAME, found))


def test_units_that_are_none_of_length_or_of_time_are_refused(tmp_path: Path) -> None:
    found = variables(sla_filtered=[0.1])
    found["sla_filtered"][1]["units"] = "K"
    with pytest.raises(SourceError, match="sla_filtered is in 'K'"):
        read(write(tmp_path / NAME, found))
    found = variables(sla_filtered=[0.1])
    found["time"][1]["units"] = "years since 1950-01-01"
    with pytest.raises(SourceError, match="years since"):
        read(write(tmp_path / NAME, found))


@pytest.mark.parametrize(
    ("stored", "units", "expected"),
    [
        (np.array([1.5]), "days since 1950-01-01", "1950-01-02T12:00:00"),
        (np.array([90], np.int64), "minutes since 2000-01-01 00:30:00", "2000-01-01T02:00:00"),
        (np.array([1_500_000_000], np.int64), "nanoseconds since 2024-02-29", "2024-02-29T00:00:01.5"),
        (np.array([762_480_000.25]), "seconds since 2000-01-01 00:00:00.0", "2024-02-29T00:00:00.25"),
        (np.array([np.nan]), "days since 1950-01-01", "NaT"),
    ],
)
def test_times_are_exact_in_each_unit(tmp_path: Path, stored: Any, units: str, expected: str) -> None:
    found = variables(sla_filtered=[0.1])
    found["time"] = stored, {"units": units}
    (time,) = read(write(tmp_path / NAME, found)).time
    np.testing.assert_equal(time, np.datetime64(expected, "us"))


@pytest.mark.parametrize("stored", [np.array([1.0, 30.0]), np.array([1, 30], np.int32)])
def test_times_that_are_packed_are_unpacked(tmp_path: Path, stored: Any) -> None:
    found = variables(sla_filtered=[0.1, 0.2])
    found["time"] = stored, {"units": "seconds since 2023-04-01", "scale_factor": 3600.0, "add_offset": 60.0}
    assert [str(time) for time in read(write(tmp_path / NAME, found)).time] == [
        "2023-04-01T01:01:00.000000", "2023-04-02T06:01:00.000000"
    ]  # fmt: skip
