"""Risks: a bad file stops a scan or slips through it, a date is wrong, a rescan misses a change."""

from __future__ import annotations

import datetime as dt
import json
import os
import pickle
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import fsspec
import netCDF4
import numpy as np
import pandas as pd
import pytest

from oceanrecon.errors import ArchiveError, ConfigError
from oceanrecon.sources.inventory import ProductFiles, read_parquet, scan, write_parquet
from oceanrecon.sources.summary import summary

LATITUDES = (10.0, 10.25, 10.5)
LONGITUDES = (0.125, 0.375, 0.625, 0.875)
UNITS = {"adt": "m", "thetao": "degC", "so": "1e-3"}


def write(
    path: Path,
    *,
    variables: Sequence[str] = ("adt",),
    latitude: Sequence[float] = LATITUDES,
    longitude: Sequence[float] = LONGITUDES,
    depth: Sequence[float] | None = None,
    times: Sequence[float] | None = (0.0,),
    time_units: str | None = "days since 2012-03-07 12:00:00",
    calendar: str = "Gregorian",
    units: Mapping[str, str] = UNITS,
    fill: int | None = -32767,
    format: Any = "NETCDF4",
) -> Path:
    """A small file of a product, by the netCDF4 library; ``times=None`` leaves the dimension without coordinate."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with netCDF4.Dataset(path, "w", format=format) as file:
        file.title = "made on 19990101"
        dimensions = {"time": len(times or (0,)), "latitude": len(latitude), "longitude": len(longitude)}
        if depth is not None:
            dimensions = {"time": dimensions.pop("time"), "depth": len(depth), **dimensions}
            file.createDimension("depth", len(depth))
            file.createVariable("depth", "f4", ("depth",))[:] = depth
        for name in ("time", "latitude", "longitude"):
            file.createDimension(name, dimensions[name])
        file.createVariable("latitude", "f4", ("latitude",))[:] = latitude
        file.createVariable("longitude", "f4", ("longitude",))[:] = longitude
        if times is not None:
            time = file.createVariable("time", "f8", ("time",), fill_value=-1.0)
            time[:] = times
            time.calendar = calendar
            if time_units is not None:
                time.units = time_units
        for name in variables:
            stored = file.createVariable(name, "i2", tuple(dimensions), fill_value=False if fill is None else fill)
            stored.scale_factor = 0.001
            if name in units:
                stored.units = units[name]
    return path


def sea_level(root: Path, day: str, revision: str = "20190515", **how: Any) -> Path:
    """A file with a name of the sea-level product whose time says the same date."""
    how.setdefault("time_units", f"days since {day[:4]}-{day[4:6]}-{day[6:]}")
    return write(root / f"dt_global_allsat_phy_l4_{day}_{revision}.nc", **how)


def only(inventory: pd.DataFrame) -> dict[str, Any]:
    """The row of an inventory that has one."""
    assert len(inventory) == 1
    return {str(name): value for name, value in inventory.iloc[0].items()}


def test_the_real_sea_level_is_seen_as_global_without_a_fill(real_data: Path) -> None:
    inventory = scan(str(real_data / "sealevel"))
    good = inventory[inventory["problem"] == ""]
    assert [str(date.date()) for date in good["date"]] == ["2018-12-31", "2019-01-01", "2019-01-02", "2019-01-03"]
    assert set(good["revision"]) == {pd.Timestamp("2019-05-15")}
    assert json.loads(good["longitude"].iloc[0]) == {"first": 0.125, "step": 0.25, "size": 1440, "period": 360.0}
    assert json.loads(good["variables"].iloc[0])["adt"] == {
        "dtype": "<i4",
        "scale_factor": 0.0001,
        "add_offset": None,
        "fill_value": None,
        "units": "m",
        "chunks": [1, 720, 1440],
        "shape": [1, 720, 1440],
        "dimensions": ["time", "latitude", "longitude"],
        "filters": [2, 1],
        "missing_value": None,
    }
    black_sea = only(inventory[inventory["problem"] != ""])
    assert black_sea["path"] == "dt_blacksea_allsat_phy_l4_20160707_20200801.nc"
    assert black_sea["problem"].startswith("off-grid: 56 x 120 of 0.125 x 0.125 deg, 40.0625..46.9375N")
    assert "4 of 5 of sealevel have 720 x 1440 of 0.25" in black_sea["problem"]
    (told,) = summary(inventory)
    assert (told.periodic, told.longitudes, told.latitudes) == (True, "0..360", "south to north")
    assert (told.first, told.last, told.cadence_days) == (dt.date(2018, 12, 31), dt.date(2019, 1, 3), 1)
    assert told.variables[0].fill == ("not declared",)
    assert told.notes == (("adt declares no _FillValue: values outside the plausible range are taken as missing", 4),)


@pytest.mark.parametrize(
    ("name", "files", "date", "note"),
    [
        # no time dimension, a scalar time
        ("glorys", "glorys/*_12lev.nc", "2021-06-29", "dated by its time coordinate"),
        # a global attribute says 2020-12-31
        ("glorys", "glorys/GLORYS_NA_*.nc", "2012-01-01", "dated by its time coordinate"),
        # a time dimension without a coordinate
        ("sealevel", "traps/dt_med_*.nc", "2016-05-15", "dated by its name: no time coordinate"),
        ("ostia", "sst/*.nc", "2016-07-07", "dated by its time coordinate"),
    ],
)
def test_real_files_are_dated_by_what_they_have(real_data: Path, name: str, files: str, date: str, note: str) -> None:
    row = only(scan(str(real_data), {name: ProductFiles(files=files)}))
    assert (str(row["date"].date()), row["problem"], row["note"]) == (date, "", note)
    assert (row["product"], row["time_index"]) == (name, 0)


def test_the_real_reanalysis_keeps_its_depths_as_written(real_data: Path) -> None:
    row = only(scan(str(real_data), {"glorys": ProductFiles("glorys", "*_12lev.nc")}))
    depth = json.loads(row["depth"])
    assert depth[:2] == [3.271191, 8.837043]
    assert (len(depth), depth[-1]) == (12, 4626.446)
    assert json.loads(row["variables"])["thetao"]["dimensions"] == ["depth", "latitude", "longitude"]


def test_real_files_of_no_product_become_rows(real_data: Path) -> None:
    others = scan(str(real_data / "column"))
    assert others["product"].tolist() == [""] * 4
    assert others["problem"].str.startswith("no product has files of this name").all()
    # seven files of profiles lie beside the sea level: another command's
    assert scan(str(real_data / "traps"))["product"].tolist() == ["sealevel"]
    profile = only(scan(str(real_data), {"sealevel": ProductFiles("traps", "R2902269_003.nc")}))
    assert profile["problem"].startswith("classic NetCDF, not NetCDF-4: convert it with `nccopy")


def _truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def _empty(path: Path) -> None:
    path.write_bytes(b"")


def _page(path: Path) -> None:
    path.write_bytes(b"<html>504 Gateway Time-out</html>")


def _damage(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[100:2000] = bytes(1900)
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        (_truncate, "truncated: "),
        (_empty, "empty file"),
        (_page, "not a NetCDF-4 (HDF5) file: it starts with b'<html>50'"),
        (_damage, "unreadable: "),
    ],
)
def test_a_damaged_file_is_a_row_and_the_rest_is_scanned(
    tmp_path: Path, damage: Callable[[Path], None], problem: str
) -> None:
    damage(sea_level(tmp_path, "20120307"))
    sea_level(tmp_path, "20120308")
    inventory = scan(str(tmp_path))
    assert inventory["problem"].iloc[0].startswith(problem)
    assert inventory["problem"].iloc[1] == ""
    # the name still says which day is lost
    assert [str(date.date()) for date in inventory["date"]] == ["2012-03-07", "2012-03-08"]
    assert str(tmp_path) not in inventory["problem"].iloc[0]


@pytest.mark.parametrize(
    ("how", "problem"),
    [
        ({"format": "NETCDF3_CLASSIC"}, "classic NetCDF"),
        ({"variables": ("sla",)}, "missing variable: none of adt; the file holds latitude, longitude, sla, time"),
        ({"units": {"adt": "feet"}}, "unknown units 'feet' of adt: accepted are m, "),
        ({"latitude": (10.0, 10.25, 11.0)}, "not a regular grid: latitude: the axis is not regularly spaced"),
        ({"latitude": (1000.0, 2000.0, 3000.0)}, "not a regular grid in degrees: latitudes 1000..3000"),
        ({"depth": (0.0, 10.0)}, "variable adt has the dimensions"),
        (
            {"time_units": "days since 2012-03-09"},
            "the name says 2012-03-07 and the time coordinate 2012-03-09: rename",
        ),
        ({"times": (-1.0,)}, "undated: time value 0 is missing"),
        ({"times": (np.nan,)}, "undated: time value 0 is missing"),
    ],
)
def test_a_file_that_breaks_its_products_promise_is_a_row(tmp_path: Path, how: dict[str, Any], problem: str) -> None:
    sea_level(tmp_path, "20120307", **how)
    assert only(scan(str(tmp_path)))["problem"].startswith(problem)


def test_two_dimensional_coordinates_are_not_a_regular_grid(tmp_path: Path) -> None:
    path = tmp_path / "dt_global_allsat_phy_l4_20120307_20190515.nc"
    with netCDF4.Dataset(path, "w") as file:
        for name, size in (("y", 3), ("x", 4)):
            file.createDimension(name, size)
        for name in ("nav_lat", "nav_lon", "adt"):
            file.createVariable(name, "f4", ("y", "x"))[:] = 0.0
    assert only(scan(str(tmp_path)))["problem"].startswith("not a regular grid: latitude has 2 dimensions")


@pytest.mark.parametrize("depth", [(100.0, 10.0), (-100.0, -10.0), (5.0, 5.0)])
def test_depths_that_do_not_go_down_are_refused(tmp_path: Path, depth: tuple[float, ...]) -> None:
    how: dict[str, Any] = {"variables": ("thetao",), "depth": depth, "time_units": "days since 2012-03-07"}
    write(tmp_path / "mercatorglorys12v1_gl12_mean_20120307_R20120314.nc", **how)
    assert "is not positive and ascending" in only(scan(str(tmp_path)))["problem"]


def test_a_file_without_name_or_coordinate_for_a_date_is_undated(tmp_path: Path) -> None:
    write(tmp_path / "month19990101x.nc", times=None)
    row = only(scan(str(tmp_path), {"sealevel": ProductFiles()}))
    assert pd.isna(row["date"])
    assert row["problem"].startswith("undated: no time coordinate, and the name of the file gives no date")


@pytest.mark.parametrize(
    ("units", "value", "calendar", "date"),
    [
        ("hours since 1950-01-01", 543492.0, "gregorian", "2012-01-01"),
        ("seconds since 1981-01-01 00:00:00", 1120694400.0, "Gregorian", "2016-07-07"),
        ("days since 1950-01-01T00:00:00Z", 22646.0, "proleptic_gregorian", "2012-01-02"),
        # a second before midnight is the rounding of a float32, not the day before
        ("seconds since 2012-02-29", 86399.0, "standard", "2012-03-01"),
        ("days since 2011-02-28", 1.0, "noleap", "2011-03-01"),
    ],
)
def test_time_units_are_decoded(tmp_path: Path, units: str, value: float, calendar: str, date: str) -> None:
    write(tmp_path / "any.nc", times=(value,), time_units=units, calendar=calendar)
    row = only(scan(str(tmp_path), {"sealevel": ProductFiles()}))
    assert (str(row["date"].date()), row["problem"]) == (date, "")


@pytest.mark.parametrize(("units", "said"), [(None, "has no units"), ("fortnights since 2012", "cannot be decoded")])
def test_times_that_cannot_be_read_leave_the_date_to_the_name(tmp_path: Path, units: str | None, said: str) -> None:
    sea_level(tmp_path, "20120307", time_units=units)
    row = only(scan(str(tmp_path)))
    assert (str(row["date"].date()), row["problem"]) == ("2012-03-07", "")
    assert said in row["note"]


def test_several_days_in_a_file_are_a_row_each(tmp_path: Path) -> None:
    write(tmp_path / "a.nc", times=(0.0, 1.0, -1.0, 7.0, 7.4), time_units="days since 2012-02-28")
    inventory = scan(str(tmp_path), {"sealevel": ProductFiles()})
    dates = {row.time_index: (str(row.date)[:10], row.problem) for row in inventory.itertuples()}
    assert dates[0] == ("2012-02-28", "")
    assert dates[1] == ("2012-02-29", "")
    assert dates[2] == ("NaT", "undated: time value 2 is missing: write the time coordinate")
    assert dates[3] == ("2012-03-06", "")
    assert dates[4] == ("2012-03-06", "duplicate of a.nc (time 3): the first time of a day is taken")


def test_the_later_revision_of_a_date_wins_and_is_reported(tmp_path: Path) -> None:
    sea_level(tmp_path / "z", "20120307", "20180101")
    sea_level(tmp_path / "a", "20120307", "20190515")
    sea_level(tmp_path / "b", "20120308", "20190515")
    shutil.copy(
        tmp_path / "b/dt_global_allsat_phy_l4_20120308_20190515.nc",
        tmp_path / "b/nrt_global_allsat_phy_l4_20120308_20190515.nc",
    )
    problems = dict(scan(str(tmp_path))[["path", "problem"]].to_numpy().tolist())
    assert problems == {
        "a/dt_global_allsat_phy_l4_20120307_20190515.nc": "",
        "z/dt_global_allsat_phy_l4_20120307_20180101.nc": (
            "duplicate of a/dt_global_allsat_phy_l4_20120307_20190515.nc: the later revision wins"
        ),
        "b/nrt_global_allsat_phy_l4_20120308_20190515.nc": "",
        "b/dt_global_allsat_phy_l4_20120308_20190515.nc": (
            "duplicate of b/nrt_global_allsat_phy_l4_20120308_20190515.nc: same revision, the later name wins"
        ),
    }


def test_a_duplicate_that_cannot_be_used_does_not_win(tmp_path: Path) -> None:
    sea_level(tmp_path, "20120307", "20180101")
    _truncate(sea_level(tmp_path, "20120307", "20190515"))
    assert sorted(scan(str(tmp_path))["problem"].str[:9]) == ["", "truncated"]


def test_files_are_held_against_most_of_their_product(tmp_path: Path) -> None:
    def reanalysis(day: int, **how: Any) -> None:
        settings: dict[str, Any] = {"variables": ("thetao", "so"), "depth": (0.5, 1.5), **how}
        name = f"mercatorglorys12v1_gl12_mean_201203{day:02}_R20120401.nc"
        write(tmp_path / name, time_units=f"days since 2012-03-{day:02}", **settings)

    reanalysis(7)
    reanalysis(14)
    reanalysis(15, depth=(0.5, 1.5, 2.5))
    reanalysis(16, longitude=(0.0, 0.25, 0.5, 0.75))
    reanalysis(17, variables=("thetao",))
    problems = scan(str(tmp_path))["problem"].tolist()
    assert problems[:2] == ["", ""]
    assert problems[2].startswith("depth axis differs: 3 levels 0.5..2.5 m; most of glorys have 2 levels 0.5..1.5 m")
    assert problems[3].startswith("off-grid: 3 x 4 of 0.25 x 0.25 deg, 10..10.5N 0..0.75E; 4 of 5 of glorys have")
    assert problems[4] == "missing variable: so, which 2 of 3 of glorys have"


def test_undeclared_units_and_fills_are_remarks(tmp_path: Path) -> None:
    sea_level(tmp_path, "20120307", units={}, fill=None)
    row = only(scan(str(tmp_path)))
    assert row["problem"] == ""
    assert row["note"] == (
        "adt declares no _FillValue: values outside the plausible range are taken as missing; "
        "adt has no units: they are decided from its values"
    )


def test_a_rescan_opens_only_what_changed_and_compares_anew(tmp_path: Path) -> None:
    sea_level(tmp_path, "20120307", "20180101")
    newer = sea_level(tmp_path, "20120307", "20190515")
    other = sea_level(tmp_path, "20120308")
    opened: list[str] = []

    def remember(function: Callable[[Any], list[dict[str, Any]]], batches: Iterable[Any]) -> Iterable[Any]:
        for batch in batches:
            opened.extend(file.path for file in batch)
            # as a cluster would get it
            yield pickle.loads(pickle.dumps(function))(batch)

    first = scan(str(tmp_path), map_function=remember)
    assert len(opened) == 3
    opened.clear()
    pd.testing.assert_frame_equal(scan(str(tmp_path), previous=first, map_function=remember), first)
    assert opened == []
    newer.unlink()
    os.utime(other, ns=(1, 1))
    again = scan(str(tmp_path), previous=first, map_function=remember)
    assert opened == [other.name]
    assert again["problem"].tolist() == ["", ""]
    pd.testing.assert_frame_equal(again, scan(str(tmp_path)))


def test_an_inventory_is_stored_with_relative_paths_and_equal_bytes(tmp_path: Path) -> None:
    root = tmp_path / "archive"
    sea_level(root / "2012", "20120307")
    _empty(sea_level(root, "20120308"))
    inventory = scan(str(root))
    for name in ("one.parquet", "two.parquet"):
        write_parquet(inventory, str(tmp_path / name))
    stored = read_parquet(str(tmp_path / "one.parquet"))
    pd.testing.assert_frame_equal(stored, inventory)
    assert stored.attrs["root"] == str(root)
    assert stored["path"].tolist()[0] == "2012/dt_global_allsat_phy_l4_20120307_20190515.nc"
    content = (tmp_path / "one.parquet").read_bytes()
    assert content == (tmp_path / "two.parquet").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["archive", "one.parquet", "two.parquet"]
    pd.testing.assert_frame_equal(scan(str(root), previous=stored), inventory)


def test_a_table_that_is_no_inventory_is_refused(tmp_path: Path) -> None:
    pd.DataFrame({"a": [1]}).to_parquet(tmp_path / "other.parquet")
    (tmp_path / "text.parquet").write_text("product,date\n")
    with pytest.raises(ArchiveError, match="not an inventory of this version: scan"):
        read_parquet(str(tmp_path / "other.parquet"))
    with pytest.raises(ArchiveError, match="cannot be read as an inventory"):
        read_parquet(str(tmp_path / "text.parquet"))
    with pytest.raises(ArchiveError, match="there is no inventory at"):
        read_parquet(str(tmp_path / "none.parquet"))


def test_another_file_system_gives_the_same_rows(tmp_path: Path) -> None:
    sea_level(tmp_path / "x", "20120307")
    _truncate(sea_level(tmp_path / "x", "20120308"))
    remote = fsspec.filesystem("memory")
    remote.put(str(tmp_path), "memory://archive", recursive=True)
    try:
        local, far = (scan(url).drop(columns="mtime_ns") for url in (str(tmp_path), "memory://archive"))
    finally:
        remote.rm("/archive", recursive=True)
    pd.testing.assert_frame_equal(local, far)


def test_only_the_products_asked_for_are_scanned(tmp_path: Path) -> None:
    sea_level(tmp_path / "sea", "20120307")
    write(tmp_path / "sea/other.nc")
    (tmp_path / "20120307120000-UKMO-L4_GHRSST-SSTfnd-OSTIA-GLOB_REP-v02.0-fv02.0.nc").touch()
    (tmp_path / "sea/.dt_global_allsat_phy_l4_20120308_20190515.nc.x7").touch()
    (tmp_path / "sea/up").symlink_to(tmp_path)
    assert scan(str(tmp_path))["product"].tolist() == ["", "ostia", "sealevel"]
    assert scan(str(tmp_path), {"sealevel": None})["product"].tolist() == ["", "sealevel"]
    row = only(scan(str(tmp_path), {"sealevel": ProductFiles("sea", "other.nc")}))
    assert (row["path"], row["problem"]) == ("sea/other.nc", "")
    with pytest.raises(ArchiveError, match=r"no file below .*/sea matches '\*.nc4'"):
        scan(str(tmp_path), {"sealevel": ProductFiles("sea", "*.nc4")})
    with pytest.raises(ArchiveError, match=r"there is no folder .*/nowhere"):
        scan(str(tmp_path / "nowhere"))
    with pytest.raises(ConfigError, match="there is no product 'ssh'"):
        scan(str(tmp_path), {"ssh": None})


def test_an_empty_tree_is_an_empty_inventory(tmp_path: Path) -> None:
    inventory = scan(str(tmp_path))
    assert len(inventory) == 0
    assert summary(inventory) == ()


def test_the_summary_counts_days_and_names_gaps(tmp_path: Path) -> None:
    for day in ("20120229", "20120307", "20120321"):
        sea_level(tmp_path, day)
    _empty(sea_level(tmp_path, "20120314"))
    write(tmp_path / "other.nc")
    told, unknown = summary(scan(str(tmp_path)))
    assert (told.files, told.days, told.cadence_days) == (4, 3, 7)
    assert told.missing_dates == (dt.date(2012, 3, 14),)
    assert [path for path, _ in told.problems] == ["dt_global_allsat_phy_l4_20120314_20190515.nc"]
    assert (told.periodic, told.grid) == (False, "3 x 4 of 0.25 x 0.25 deg, 10..10.5N 0.125..0.875E")
    assert (unknown.product, unknown.files, unknown.first) == ("", 1, None)
    assert json.loads(json.dumps(told.to_dict()))["missing_dates"] == ["2012-03-14"]
