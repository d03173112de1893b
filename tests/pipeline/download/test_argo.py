"""Risk: Argo's last day is cut, a bad level counts, or a day is made out of a part of its files."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import numpy as np
import pytest

from oceanrecon.download_config import ArgoSettings
from oceanrecon.pipeline.download.argo import ArgoSource
from oceanrecon.pipeline.download.argo_points import write_points
from oceanrecon.pipeline.download.attempts import Manner
from oceanrecon.pipeline.download.received import Received
from oceanrecon.pipeline.download.remote import Outcome
from oceanrecon.sources.daily.argo_points import SOURCE, read
from oceanrecon.transform.day import PointDay
from tests.pipeline.download.servers import Fault, Site
from tests.profile_files import days, write_argo

LAST = dt.date(2023, 4, 11)
NOON = days(dt.datetime(2023, 4, 11, 12))


def points(path: Path) -> PointDay:
    file = SOURCE.match(str(path), path.stat().st_size, 0)
    assert file is not None
    return read(file)


def profiles(path: Path, platform: str = "6901929", juld: float = NOON) -> bytes:
    return write_argo(path, platform=platform, juld=juld).read_bytes()


def source(site: Site, folder: Path, manner: Manner) -> ArgoSource:
    settings = ArgoSettings(url=f"{site.url}/{{basin}}/{{date:%Y%m%d}}_prof.nc", basins=("atlantic", "indian"))
    return ArgoSource(settings, Received(folder), manner)


def run(opened: ArgoSource, first: dt.date, last: dt.date) -> dict[str, Outcome]:
    (listing,) = opened.listings(first, last)
    assert listing.error is None
    outcomes = [one for group in opened.groups(listing.files) for one in opened.fetch(group)]
    failed = frozenset(one.target for one in outcomes if one.status == "failed")
    return {one.target: one for one in [*outcomes, *opened.finish(listing.files, failed)]}


def test_the_last_day_comes_and_its_basins_become_one_file_that_the_reader_knows(
    site: Site, tmp_path: Path, manner: Manner
) -> None:
    for basin, platform in (("atlantic", "6901929"), ("indian", "1900022")):
        site.files[f"/{basin}/20230411_prof.nc"] = profiles(tmp_path / f"{basin}.nc", platform)
    opened = source(site, tmp_path, manner)
    (listing,) = opened.listings(LAST - dt.timedelta(days=1), LAST)
    assert [file.day for file in listing.files] == [LAST, LAST]
    assert listing.missing == (LAST - dt.timedelta(days=1),)
    assert run(opened, LAST, LAST)["argo/argo_20230411.nc"].status == "made"
    day = points(tmp_path / "argo" / "argo_20230411.nc")
    # levels of 5, 10 and 100 dbar, not that of 300
    assert day.values["PRES"].data.tolist() == [5, 10, 100] * 2
    assert sorted(set(day.values["PLATFORM_NUMBER"].data.tolist())) == [1900022, 6901929]
    assert set(day.time.tolist()) == {dt.datetime(2023, 4, 11, 12)}
    # made once only
    assert run(source(site, tmp_path, manner), LAST, LAST)["argo/argo_20230411.nc"].status == "kept"


def test_a_day_is_not_made_without_a_basin_that_there_is(site: Site, tmp_path: Path, manner: Manner) -> None:
    for basin in ("atlantic", "indian"):
        site.files[f"/{basin}/20230411_prof.nc"] = profiles(tmp_path / f"{basin}.nc")
    site.faults["/indian/20230411_prof.nc"] = [Fault(status=500)] * 3
    made = run(source(site, tmp_path, manner), LAST, LAST)["argo/argo_20230411.nc"]
    assert made.status == "failed" and "argo_gdac/indian/20230411_prof.nc" in str(made.error)
    assert not (tmp_path / "argo").exists()


@pytest.mark.parametrize(("mode", "expected"), [("R", [20.0, 19.0, np.nan]), ("D", [20.5, 19.5, np.nan])])
def test_levels_count_by_their_flags_and_values_by_their_mode(tmp_path: Path, mode: str, expected: list[float]) -> None:
    file = write_argo(
        tmp_path / "profiles.nc", data_mode=mode, juld=NOON,
        pressure=(5.0, 10.0, 20.0, 30.0), pressure_qc="1114",
        temp=(20.0, 19.0, 18.0, 17.0), temp_adjusted=(20.5, 19.5, 18.5, 17.5), temp_qc="1241", psal=35.0,
    )  # fmt: skip
    assert write_points(tmp_path / "argo_20230411.nc", [file], None, (1, 2)) == 3
    day = points(tmp_path / "argo_20230411.nc")
    np.testing.assert_array_equal(day.values["TEMP"].data, np.array(expected, np.float32))
    assert day.values["TEMP_QC"].data.tolist() == [1, 2, 4]
    assert day.values["PSAL"].data.tolist() == [35.0] * 3


def test_bad_places_are_left_out_a_profile_of_two_files_counts_once_and_bytes_repeat(tmp_path: Path) -> None:
    good = write_argo(tmp_path / "a.nc", 2, juld=NOON, cycle=[1, 2], position_qc="14")
    again = write_argo(tmp_path / "b.nc", 2, juld=NOON, cycle=[1, 3])
    outputs = [tmp_path / "argo_20230411.nc", tmp_path / "again.nc"]
    for output in outputs:
        assert write_points(output, [good, again], None, (1,)) == 8
    assert sorted(set(points(outputs[0]).values["CYCLE_NUMBER"].data.tolist())) == [1, 3]
    assert outputs[0].read_bytes() == outputs[1].read_bytes()


def test_a_day_that_is_complete_here_is_not_made_smaller_when_a_basin_is_gone_there(
    site: Site, tmp_path: Path, manner: Manner
) -> None:
    for basin, platform in (("atlantic", "6901929"), ("indian", "1900022")):
        site.files[f"/{basin}/20230411_prof.nc"] = profiles(tmp_path / f"{basin}.nc", platform)
    run(source(site, tmp_path, manner), LAST, LAST)
    del site.files["/indian/20230411_prof.nc"]
    # that the other one is new makes the day again
    site.files["/atlantic/20230411_prof.nc"] = profiles(tmp_path / "atlantic.nc", "6901930")
    opened = source(site, tmp_path, manner)
    (listing,) = opened.listings(LAST, LAST)
    assert "argo_gdac/indian/20230411_prof.nc is used as it came before" in listing.notes[0]
    gone = next(file for file in listing.files if "indian" in file.target)
    assert Received(tmp_path).has(gone)
    outcomes = [*opened.fetch([file for file in listing.files if file is not gone])]
    outcomes += opened.finish(listing.files, frozenset())
    assert [outcome.status for outcome in outcomes] == ["fetched", "made"]
    day = points(tmp_path / "argo" / "argo_20230411.nc")
    assert sorted(set(day.values["PLATFORM_NUMBER"].data.tolist())) == [1900022, 6901930]


def test_a_file_that_cannot_be_read_comes_again(site: Site, tmp_path: Path, manner: Manner) -> None:
    whole = profiles(tmp_path / "whole.nc")
    site.files["/atlantic/20230411_prof.nc"] = whole
    site.files["/indian/20230411_prof.nc"] = b"no profiles" * 100
    made = run(source(site, tmp_path, manner), LAST, LAST)["argo/argo_20230411.nc"]
    assert made.status == "failed" and "indian" in str(made.error) and "the file is removed" in str(made.error)
    assert [path.parent.name for path in (tmp_path / "argo_gdac").rglob("*.nc")] == ["atlantic"]


@pytest.mark.parametrize("template", ["{basin}/{date:%Y/%m/%d}_prof.nc", "get?basin={basin}&date={date:%Y%m%d}"])
def test_days_are_told_apart_whatever_the_address_ends_with(
    site: Site, tmp_path: Path, manner: Manner, template: str
) -> None:
    settings = ArgoSettings(url=f"{site.url}/{template}", basins=("a",))
    for day in (dt.date(2023, 3, 11), LAST):
        site.files["/" + template.format(basin="a", date=day)] = profiles(tmp_path / "profiles.nc")
    opened = ArgoSource(settings, Received(tmp_path), manner)
    (listing,) = opened.listings(dt.date(2023, 3, 11), LAST)
    assert [file.target for file in listing.files] == ["argo_gdac/a/20230311_prof.nc", "argo_gdac/a/20230411_prof.nc"]
