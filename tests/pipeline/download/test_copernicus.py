"""Risk: a day comes from the wrong dataset, is said to be there and is not, or the package changes under our feet."""

from __future__ import annotations

import datetime as dt
import hashlib
import importlib.util
import inspect
import os
from dataclasses import replace
from pathlib import Path

import pytest

from oceanrecon.download_config import AltimeterSettings, CopernicusSettings, DatasetSettings
from oceanrecon.errors import ConfigError
from oceanrecon.pipeline.download.attempts import Manner
from oceanrecon.pipeline.download.copernicus import CopernicusSource
from oceanrecon.pipeline.download.received import STATE, Received
from oceanrecon.pipeline.download.remote import Listing, Outcome, days_of
from oceanrecon.pipeline.download.toolbox import Toolbox
from tests.pipeline.download.catalogue import Catalogue

MY, INTERIM = "cmems_mod_glo_phy_my_0.083deg_P1D-m", "cmems_mod_glo_phy_myint_0.083deg_P1D-m"
REP, NRT = "METOFFICE-GLO-SST-L4-REP-OBS-SST", "METOFFICE-GLO-SST-L4-NRT-OBS-SST-V2"
FIRST = dt.date(2023, 3, 29)
WEEK = days_of(FIRST, FIRST + dt.timedelta(days=6))


def opened(key: str, folder: Path, manner: Manner, settings: CopernicusSettings | None = None) -> CopernicusSource:
    # the files of a week are asked for at once
    many = replace(manner, connections=4)
    return CopernicusSource(key, settings or CopernicusSettings(), Toolbox(), Received(folder), many)


def listed(source: CopernicusSource, days: list[dt.date]) -> Listing:
    (listing,) = source.listings(days[0], days[-1])
    if listing.error is not None:
        raise listing.error
    return listing


def fetched(source: CopernicusSource, listing: Listing) -> list[Outcome]:
    return [outcome for group in source.groups(listing.files) for outcome in source.fetch(group)]


def test_a_day_that_the_preferred_dataset_has_not_comes_from_the_next(
    catalogue: Catalogue, tmp_path: Path, manner: Manner
) -> None:
    catalogue.add(MY, *WEEK[:3])
    catalogue.add(INTERIM, *WEEK[2:6])
    listing = listed(opened("glorys", tmp_path, manner), WEEK)
    assert [(file.day, file.dataset) for file in listing.files] == [
        *[(day, MY) for day in WEEK[:3]],
        *[(day, INTERIM) for day in WEEK[3:6]],
    ]
    assert listing.missing == (WEEK[6],)


def test_the_cut_off_between_datasets_is_that_of_the_settings(
    catalogue: Catalogue, tmp_path: Path, manner: Manner
) -> None:
    days = days_of(dt.date(2024, 1, 14), dt.date(2024, 1, 17))
    catalogue.add(REP, *days)
    catalogue.add(NRT, *days)
    assert [file.dataset for file in listed(opened("l4_sst", tmp_path, manner), days).files] == [REP, REP, NRT, NRT]
    mine = CopernicusSettings(datasets=(DatasetSettings(id=NRT, version="202501"),))
    assert [file.dataset for file in listed(opened("l4_sst", tmp_path, manner, mine), days).files] == [
        f"{NRT}_202501"
    ] * 4
    assert catalogue.calls[-1]["version"] == "202501"


def test_a_dataset_that_cannot_be_listed_is_an_error_and_not_a_reason_for_the_next(
    catalogue: Catalogue, tmp_path: Path, manner: Manner
) -> None:
    catalogue.add("cmems_obs-sl_glo_phy-ssh_nrt_s6a-hr-l3-duacs_PT1S", *WEEK)
    source = opened("l3_ssh", tmp_path, manner, AltimeterSettings(satellites=("s6a",)))
    with pytest.raises(LookupError, match="my_s6a-lr-l3"):
        listed(source, WEEK)
    catalogue.add("cmems_obs-sl_glo_phy-ssh_my_s6a-lr-l3-duacs_PT1S", *WEEK)
    listing = listed(source, WEEK)
    assert listing.stream == "l3_ssh s6a" and len(listing.files) == 7


def test_the_newest_of_two_files_of_a_day_and_every_hour_of_a_wind_day(
    catalogue: Catalogue, tmp_path: Path, manner: Manner
) -> None:
    for produced in ("20230501", "20240101", "20230601"):
        catalogue.add(MY, FIRST, name=f"mercatorglorys12v1_gl12_mean_{{day}}_R{produced}.nc")
    catalogue.add(INTERIM)
    listing = listed(opened("glorys", tmp_path, manner), [FIRST])
    assert [file.name[-11:] for file in listing.files] == ["20240101.nc"] and len(listing.notes) == 2
    wind = "cmems_obs-wind_glo_phy_my_l4_0.125deg_PT1H"
    for hour in range(24):
        catalogue.add(wind, *WEEK[: 2 if hour != 5 else 1], name=f"{wind}_{{day}}{hour:02}_R{{day}}T00_13.nc")
    catalogue.datasets |= {"cmems_obs-wind_glo_phy_nrt_l4_0.125deg_PT1H": {}}
    listing = listed(opened("l4_wind", tmp_path, manner), WEEK[:2])
    assert len(listing.files) == 47 and listing.missing == (WEEK[1],)


@pytest.mark.parametrize(("mine", "others", "taken"), [(1, 24, "nrt"), (20, 12, "my"), (24, 24, "my")])
def test_a_wind_day_that_is_not_whole_comes_from_the_dataset_with_more_of_it(
    catalogue: Catalogue, tmp_path: Path, manner: Manner, mine: int, others: int, taken: str
) -> None:
    for kind, hours in (("my", mine), ("nrt", others)):
        dataset = f"cmems_obs-wind_glo_phy_{kind}_l4_0.125deg_PT1H"
        for hour in range(hours):
            catalogue.add(dataset, FIRST, name=f"{dataset}_{{day}}{hour:02}_R{{day}}T00_13.nc")
    listing = listed(opened("l4_wind", tmp_path, manner), [FIRST])
    assert len(listing.files) == max(mine, others)
    assert {file.dataset for file in listing.files} == {f"cmems_obs-wind_glo_phy_{taken}_l4_0.125deg_PT1H"}
    assert listing.missing == ((FIRST,) if max(mine, others) < 24 else ())


def test_the_newest_is_that_of_the_later_time_and_then_of_the_larger_number(
    catalogue: Catalogue, tmp_path: Path, manner: Manner
) -> None:
    ascending, descending = (f"cmems_obs-mob_glo_phy-sss_mynrt_smos-{way}_P1D" for way in ("asc", "des"))
    for dataset, letter in ((ascending, "A"), (descending, "D")):
        for number in (10, 9):
            name = f"SM_D2PX_DTBXY_CSF2Q{letter}_{{day}}T000000_{{day}}T235959_342_001_{number}.nc"
            catalogue.add(dataset, FIRST, name=name)
    catalogue.modified["SM_D2PX_DTBXY_CSF2QD_20230329T000000_20230329T235959_342_001_9.nc"] = "2024-03-01T00:00:00"
    listings = list(opened("l3_sss_smos", tmp_path, manner).listings(FIRST, FIRST))
    assert [listing.files[0].name[-6:] for listing in listings] == ["_10.nc", "1_9.nc"]


def test_what_a_killed_run_brought_of_one_dataset_outlives_the_next_run_of_another(
    catalogue: Catalogue, tmp_path: Path, manner: Manner
) -> None:
    for satellite in ("s3a", "s3b"):
        dataset = f"cmems_obs-sl_glo_phy-ssh_my_{satellite}-l3-duacs_PT1S"
        catalogue.add(dataset, *WEEK, name=f"dt_global_{satellite}_phy_l3_1hz_{{day}}_20240205.nc")
        catalogue.datasets[dataset.replace("_my_", "_nrt_")] = {}
    settings = AltimeterSettings(satellites=("s3a", "s3b"))
    source = opened("l3_ssh", tmp_path, manner, settings)
    listings = list(source.listings(WEEK[0], WEEK[-1]))
    catalogue.faults = [(5, KeyboardInterrupt())]
    with pytest.raises(KeyboardInterrupt):
        fetched(source, listings[1])
    again = opened("l3_ssh", tmp_path, manner, settings)
    assert {outcome.status for listing in listings for outcome in fetched(again, listing)} == {"fetched"}
    assert [len(names) for names in catalogue.downloads] == [7, 7, 2]


def test_files_that_came_before_an_error_are_kept_and_damaged_ones_come_again(
    catalogue: Catalogue, tmp_path: Path, manner: Manner
) -> None:
    catalogue.add(MY, *WEEK)
    catalogue.faults = [(3, ConnectionResetError("cut"))]
    source = opened("glorys", tmp_path, manner)
    listing = listed(source, WEEK)
    damaged = listing.files[1].name
    catalogue.damage = {damaged: bytes(listing.files[1].size or 0)}
    outcomes = fetched(source, listing)
    names = [file.name for file in listing.files]
    assert catalogue.downloads == [names, [damaged, *names[3:]]]
    assert {outcome.status for outcome in outcomes} == {"fetched"} and len(outcomes) == 7
    for outcome in outcomes:
        content = catalogue.datasets[MY][next(file.url for file in listing.files if file.target == outcome.target)]
        assert (tmp_path / outcome.target).read_bytes() == content
        assert outcome.sha256 == hashlib.sha256(content).hexdigest()
    assert outcomes[0].target.startswith(f"glorys/PRODUCT/{MY}_202311/2023/03/mercator")


def test_a_killed_run_keeps_the_files_that_its_tool_had_brought_and_are_still_those(
    catalogue: Catalogue, tmp_path: Path, manner: Manner
) -> None:
    catalogue.add(MY, *WEEK)
    catalogue.faults = [(4, KeyboardInterrupt())]
    source = opened("glorys", tmp_path, manner)
    listing = listed(source, WEEK)
    with pytest.raises(KeyboardInterrupt):
        fetched(source, listing)
    assert len(list((tmp_path / STATE).rglob("mercator*.nc"))) == 4
    # one of the four was replaced at the source since, by another of the same size
    replaced = listing.files[0].url
    catalogue.datasets[MY][replaced] = catalogue.datasets[MY][replaced][::-1]
    again = opened("glorys", tmp_path, manner)
    assert {outcome.status for outcome in fetched(again, listed(again, WEEK))} == {"fetched"}
    assert [len(names) for names in catalogue.downloads] == [7, 4]
    assert (tmp_path / listing.files[0].target).read_bytes() == catalogue.datasets[MY][replaced]
    assert not list((tmp_path / STATE).rglob("*.nc"))


def test_a_file_that_never_comes_is_a_failure_and_the_others_are_there(
    catalogue: Catalogue, tmp_path: Path, manner: Manner
) -> None:
    catalogue.add(MY, *WEEK)
    catalogue.faults = [(6, None), (0, None), (0, None)]
    source = opened("glorys", tmp_path, manner)
    outcomes = fetched(source, listed(source, WEEK))
    assert [outcome.status for outcome in outcomes].count("fetched") == 6
    assert "ended without it" in str(outcomes[-1].error)


def test_no_login_is_said_before_the_package_would_ask_for_one(catalogue: Catalogue) -> None:
    catalogue.signed_in = False
    with pytest.raises(ConfigError, match="run `copernicusmarine login`"):
        Toolbox().check_login()


@pytest.mark.skipif(
    importlib.util.find_spec("copernicusmarine") is None and not os.environ.get("CI"),
    reason="the extra download is not installed",
)
def test_the_package_still_has_what_we_call() -> None:
    package = importlib.import_module("copernicusmarine")
    ours = inspect.signature(Catalogue.get).parameters.keys() - {"self"}
    assert ours <= inspect.signature(package.get).parameters.keys()
    assert "check_credentials_valid" in inspect.signature(package.login).parameters
    used = {"s3_url", "file_size", "etag", "last_modified_datetime"}
    assert used <= package.FileGet.model_fields.keys()
    assert "files" in package.ResponseGet.model_fields
