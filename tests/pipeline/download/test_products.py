"""Risk: the page that says which datasets are fetched is not true any more, or a name of a file is not recognised."""

from __future__ import annotations

import datetime as dt
import re
from pathlib import Path

import pytest

from oceanrecon.download_config import SourcesSettings
from oceanrecon.pipeline.download.products import FAMILIES
from oceanrecon.sources.daily.registry import DAILY

PAGE = Path(__file__).parents[3] / "docs" / "download.md"
#: Source of the tiles, and a name as the service has it.
NAMES = [
    ("glorys", "mercatorglorys12v1_gl12_mean_20230329_R20230405.nc"),
    ("l4_ssh", "dt_global_allsat_phy_l4_20230329_20240205.nc"),
    ("l4_sst", "20230329120000-UKMO-L4_GHRSST-SSTfnd-OSTIA-GLOB_REP-v02.0-fv02.0.nc"),
    ("l4_sss", "dataset-sss-ssd-nrt-daily_20230329T1200Z_P20230505T0000Z.nc"),
    ("l4_wind", "cmems_obs-wind_glo_phy_my_l4_0.125deg_PT1H_2023032917_R20230329T12_12.nc"),
    ("l4_wind", "cmems_obs-wind_glo_phy_my_l4_0.25deg_PT1H_2023032917_R20230329T12_12.nc"),
    ("l4_wind", "cmems_obs-wind_glo_phy_nrt_l4_0.125deg_PT1H_2023032917_R20230329T12_12.nc"),
    ("l3_sst", "20230329000000-IFR-L3S_GHRSST-SSTsubskin-ODYSSEA-GLOB_010_adjusted-v2.1-fv1.0.nc"),
    ("l3_sss_smos_asc", "SM_D2PX_DTBXY_CSF2QA_20230329T000000_20230329T235959_342_001_7.nc"),
    ("l3_sss_smos_desc", "SM_D2PX_DTBXY_CSF2QD_20230329T000000_20230329T235959_342_001_7.nc"),
    ("l3_ssh", "dt_global_s3a_phy_l3_1hz_20230329_20240205.nc"),
    ("l3_ssh", "dt_global_s6a_lr_phy_l3_1hz_20230329_20240205.nc"),
    ("l3_ssh", "nrt_global_al_phy_l3_1hz_20230329_20230420.nc"),
]


def test_the_page_lists_every_dataset_and_every_cut_off() -> None:
    rows = dict(re.findall(r"^\| `(\w+)` \| (.*) \|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE))
    assert rows.keys() == set(SourcesSettings.known())
    for key, family in FAMILIES.items():
        shown = []
        for one in family.datasets:
            limits = [f" {word} {day}" for word, day in (("from", one.first), ("to", one.last)) if day is not None]
            shown.append(f"`{one.id}`{''.join(limits)}")
        places = [rows[key].find(text) for text in shown]
        assert -1 not in places and places == sorted(places), key


@pytest.mark.parametrize(("key", "name"), NAMES)
def test_a_name_is_of_the_same_day_for_the_download_and_for_the_reader(key: str, name: str) -> None:
    source = DAILY[key]
    pattern = FAMILIES[source.folder].files.replace("{day}", r"(?P<day>\d{8})").replace("{hour}", r"(?P<hour>\d\d)")
    found = re.search(pattern, f"/PRODUCT/dataset_202311/2023/03/{name}")
    assert found is not None and found["day"] == "20230329"
    read = source.match(name, 1, 1)
    assert read is not None and read.day == dt.date(2023, 3, 29)
