"""Risk: a daily wind that is of the wrong hours, or of components that were averaged over different ones."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import numpy as np
import pytest

from oceanrecon.errors import SourceError
from oceanrecon.sources.daily.source import RawFile, natural
from oceanrecon.sources.daily.wind import SOURCE, read
from oceanrecon.synthetic.daily.grids import Packed, write_grid
from oceanrecon.synthetic.daily.winds import wind_jobs, winds_at
from oceanrecon.synthetic.truth import noon

_DAY = dt.date(2024, 2, 29)
_AXES = np.array([-30.0, 30.0]), np.array([-90.0, 0.0, 90.0])


def _file(root: Path, name: str) -> RawFile:
    found = SOURCE.match(str(root / name), 0, 0)
    assert found is not None
    return found


def _hour(
    root: Path, hour: int, east: list[float], north: list[float], axes: tuple[np.ndarray, np.ndarray],
    grid: str = "0.125deg",
) -> RawFile:  # fmt: skip
    """A file whose first row has these winds, and whose others have none."""
    file = _file(root, f"cmems_obs-wind_glo_phy_my_l4_{grid}_PT1H_20240229{hour:02d}_R20240601T12_01.nc")
    fields = {}
    for name, row in (("eastward_wind", east), ("northward_wind", north)):
        values = np.full((axes[0].size, axes[1].size), np.nan)
        values[0, :3] = row
        fields[name] = Packed("i2", -32768, {"units": "m s-1"}, 0.01), values
    write_grid(file.url, axes, ("lat", "lon"), dt.datetime.combine(_DAY, dt.time(hour)), fields, {})
    return file


def test_the_statistics_of_a_day_by_hand(tmp_path: Path) -> None:
    nan = np.nan
    files = [
        _hour(tmp_path, 0, [3.0, 1.0, 2.0], [0.0, 0.0, -4.0], _AXES),
        _hour(tmp_path, 6, [-1.0, 9.0, nan], [0.0, nan, 1.0], _AXES),
        _hour(tmp_path, 21, [7.0, 5.0, 2.0], [6.0, 2.0, -2.0], _AXES),
    ]
    day = read(files, _DAY)
    found = {name: values.data[0].tolist() for name, values in day.values.items()}
    # an hour without one component counts for neither
    assert found["n_hours"] == [3, 2, 2] and day.values["n_hours"].data.dtype == np.int8
    assert found["eastward_wind"] == [3.0, 3.0, 2.0] and found["northward_wind"] == [2.0, 1.0, -3.0]
    np.testing.assert_allclose(found["eastward_wind_std"], [np.sqrt(32 / 3), 2.0, 0.0], rtol=1e-6)
    assert found["eastward_wind_min"] == [-1.0, 1.0, 2.0] and found["northward_wind_max"] == [6.0, 2.0, -2.0]
    assert "00, 06, 21" in day.values["n_hours"].attributes["comment"]
    assert day.start == np.datetime64("2024-02-29T00:00:00") and day.end == np.datetime64("2024-02-29T21:59:59")
    # no hour at all is no wind of zero
    assert all(np.isnan(values.data[1]).all() for name, values in day.values.items() if name != "n_hours")
    assert (day.values["n_hours"].data[1] == 0).all()


def test_a_single_hour_has_a_mean_and_no_spread(tmp_path: Path) -> None:
    day = read([_hour(tmp_path, 5, [1.0, 2.0, 3.0], [0.0, 0.0, 0.0], _AXES)], _DAY)
    assert day.values["eastward_wind"].data[0].tolist() == [1.0, 2.0, 3.0]
    assert np.isnan(day.values["eastward_wind_std"].data).all()


def test_a_whole_day_is_the_mean_of_the_truth(tmp_path: Path) -> None:
    files = []
    for job in wind_jobs(3, _DAY, 0.25):
        (tmp_path / job.path).parent.mkdir(exist_ok=True)
        job.write(str(tmp_path / job.path))
        files.append(_file(tmp_path, job.path))
    assert [int(file.part) for file in files] == list(range(24)) and len({file.revision for file in files}) == 1
    day = read(files, _DAY)
    hours = np.stack(
        [np.round(winds_at(3, noon(_DAY) + (hour - 12) / 24, day.latitude, day.longitude), 2) for hour in range(24)]
    )
    wet = day.values["n_hours"].data == 24
    assert wet.any() and (day.values["n_hours"].data[~wet] == 0).all()
    for number, name in enumerate(("eastward_wind", "northward_wind")):
        np.testing.assert_allclose(day.values[name].data[wet], hours[:, number].mean(axis=0)[wet], atol=1e-5)
        np.testing.assert_allclose(day.values[f"{name}_std"].data[wet], hours[:, number].std(axis=0)[wet], atol=1e-5)
        np.testing.assert_allclose(day.values[f"{name}_max"].data[wet], hours[:, number].max(axis=0)[wet], atol=1e-5)


def test_hours_of_two_grids_are_not_mixed(tmp_path: Path) -> None:
    finer = np.array([-30.0, 30.0]), np.array([-90.0, 0.0, 45.0, 90.0])
    files = [_hour(tmp_path, 0, [1, 2, 3], [1, 2, 3], _AXES), _hour(tmp_path, 1, [1, 2, 3], [1, 2, 3], finer)]
    with pytest.raises(SourceError, match=rf"{files[1].name}: its grid of 2 x 4 is not that of {files[0].name}"):
        read(files, _DAY)


def test_the_finer_set_counts_where_both_have_an_hour() -> None:
    names = [
        "cmems_obs-wind_glo_phy_my_l4_0.25deg_PT1H_2008010205_R20220501T12_01.nc",
        "cmems_obs-wind_glo_phy_nrt_l4_0.125deg_PT1H_2008010205_R20220601T12_01.nc",
        "cmems_obs-wind_glo_phy_my_l4_0.125deg_PT1H_2008010205_R20220301T12_01.nc",
        "cmems_obs-wind_glo_phy_my_l4_0.125deg_PT1H_2008010205_R20220401T12_01.nc",
    ]
    files = [_file(Path("/raw"), name) for name in names]
    assert {file.part for file in files} == {"05"} and {file.day for file in files} == {dt.date(2008, 1, 2)}
    assert sorted(files, key=lambda file: natural(file.revision)) == files


def test_an_hour_that_only_the_coarser_set_has_is_left_out_and_named(tmp_path: Path) -> None:
    """It was a day without tiles: two grids."""
    finer = np.array([-30.0, 30.0]), np.array([-90.0, 0.0, 45.0, 90.0])
    files = [
        _hour(tmp_path, 0, [3.0, 1.0, 2.0], [0.0] * 3, finer),
        _hour(tmp_path, 1, [8.0] * 3, [0.0] * 3, _AXES, "0.25deg"),
        _hour(tmp_path, 2, [5.0, 1.0, 4.0], [0.0] * 3, finer),
    ]
    day = read(files, _DAY)
    assert day.longitude.size == 4 and day.values["n_hours"].data[0].tolist() == [2, 2, 2, 0]
    assert day.values["eastward_wind"].data[0, :3].tolist() == [4.0, 1.0, 3.0]
    assert "hours 00, 02; 01 have a coarser" in day.values["n_hours"].attributes["comment"]
    # alone, the coarser set makes the day
    day = read([files[1]], _DAY)
    assert day.longitude.size == 3 and day.values["eastward_wind"].data[0].tolist() == [8.0] * 3


def test_winds_that_are_none_are_counted_over_the_hours(tmp_path: Path) -> None:
    files = [_hour(tmp_path, hour, [150.0, 1.0, 2.0], [0.0] * 3, _AXES) for hour in (0, 1)]
    day = read(files, _DAY)
    assert day.implausible == {"eastward_wind": 2} and np.isnan(day.values["eastward_wind"].data[0, 0])
