"""Which datasets of Copernicus Marine the sources are, how their files are called, and until when each counts.

The last days of reprocessed datasets are those of the published collection, so that the same settings give the same
files later on; ``datasets`` in the settings changes them.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass

from oceanrecon.download_config import DatasetSettings


@dataclass(frozen=True)
class Family:
    """A source of Copernicus Marine."""

    #: preferred first; of several streams: by the name of the stream
    datasets: tuple[DatasetSettings, ...]
    #: of addresses; ``{day}`` stands for the date, ``{hour}`` for an hour
    files: str
    #: files of a day
    per_day: int = 1
    #: every dataset is fetched, instead of the first one that has a day
    all_of_them: bool = False


FAMILIES: Mapping[str, Family] = {
    "glorys": Family(
        (
            DatasetSettings(id="cmems_mod_glo_phy_my_0.083deg_P1D-m"),
            # the months that the reanalysis has not reached yet
            DatasetSettings(id="cmems_mod_glo_phy_myint_0.083deg_P1D-m"),
        ),
        r"_mean_{day}_R\d+[^/]*\.nc$",
    ),
    "l4_ssh": Family(
        (
            DatasetSettings(id="cmems_obs-sl_glo_phy-ssh_my_allsat-l4-duacs-0.125deg_P1D"),
            DatasetSettings(id="cmems_obs-sl_glo_phy-ssh_nrt_allsat-l4-duacs-0.125deg_P1D"),
        ),
        r"_allsat_phy_l4_{day}_\d{8}\.nc$",
    ),
    "l4_sst": Family(
        (
            DatasetSettings(id="METOFFICE-GLO-SST-L4-REP-OBS-SST", last=dt.date(2024, 1, 15)),
            DatasetSettings(id="METOFFICE-GLO-SST-L4-NRT-OBS-SST-V2"),
        ),
        r"/{day}\d{0,6}-UKMO-L4_GHRSST-SSTfnd-OSTIA-[^/]*\.nc$",
    ),
    "l4_sss": Family(
        (
            DatasetSettings(id="cmems_obs-mob_glo_phy-sss_my_multi_P1D", last=dt.date(2022, 12, 31)),
            DatasetSettings(id="cmems_obs-mob_glo_phy-sss_nrt_multi_P1D"),
        ),
        r"daily_(?:[A-Z]+_)?{day}T[^/]*\.nc$",
    ),
    "l4_wind": Family(
        (
            DatasetSettings(id="cmems_obs-wind_glo_phy_my_l4_0.125deg_PT1H", first=dt.date(2007, 10, 10)),
            DatasetSettings(id="cmems_obs-wind_glo_phy_my_l4_0.25deg_PT1H", last=dt.date(2009, 10, 31)),
            DatasetSettings(id="cmems_obs-wind_glo_phy_nrt_l4_0.125deg_PT1H"),
        ),
        r"_{day}{hour}_[^/]*\.nc$",
        per_day=24,
    ),
    "l3_sst": Family(
        (DatasetSettings(id="cmems_obs-sst_glo_phy_my_l3s_P1D-m"),),
        r"/{day}\d{0,6}-IFR-L3S_GHRSST-[^/]*\.nc$",
    ),
    "l3_sss_smos": Family(
        (
            DatasetSettings(id="cmems_obs-mob_glo_phy-sss_mynrt_smos-asc_P1D"),
            DatasetSettings(id="cmems_obs-mob_glo_phy-sss_mynrt_smos-des_P1D"),
        ),
        r"CSF2Q[AD]_{day}[^/]*\.nc$",
        all_of_them=True,
    ),
    "l3_ssh": Family(
        (
            DatasetSettings(
                id="cmems_obs-sl_glo_phy-ssh_my_{satellite}-l3-duacs_PT1S",
                last=dt.date(2025, 8, 2),
                satellites={"s6a": "s6a-lr"},
            ),
            DatasetSettings(
                id="cmems_obs-sl_glo_phy-ssh_nrt_{satellite}-l3-duacs_PT1S",
                satellites={"s6a": "s6a-hr", "alg": "al"},
            ),
        ),
        r"_{day}_\d{8}\.nc$",
    ),
}
