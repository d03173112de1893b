"""Sea surface salinity of SMOS, the passes that go north and those that go south apart: daily, with gaps.

The two have one folder; their names hold CSF2QA and CSF2QD. Quality is a number of bits: it stays an integer.
"""

from __future__ import annotations

import re

from oceanrecon.sources.daily.gridded import reader
from oceanrecon.sources.daily.source import DailySource
from oceanrecon.sources.product import PRACTICAL_SALINITY, ProductVariable, Sampled


def _salinity(name: str, long_name: str, *, error: bool = False) -> ProductVariable:
    return Sampled(
        name=name,
        standard_name="sea_surface_salinity standard_error" if error else "sea_surface_salinity",
        long_name=long_name,
        units="PSU",
        conversions=PRACTICAL_SALINITY,
        plausible=(0.0, 50.0),
    )


_READ = reader(
    (
        _salinity("Sea_Surface_Salinity", "Sea surface practical salinity"),
        _salinity("Sea_Surface_Salinity_Error", "Error of the salinity", error=True),
        _salinity("Sea_Surface_Salinity_Rain_Corrected", "Sea surface practical salinity, corrected for rain"),
        _salinity("Sea_Surface_Salinity_Rain_Corrected_Error", "Error of the corrected salinity", error=True),
    ),
    ("Sea_Surface_Salinity",),
)


def _source(key: str, letter: str, direction: str) -> DailySource:
    return DailySource(
        key=key,
        folder="l3_sss_smos",
        title=f"SMOS sea surface salinity, {direction} passes",
        kind="grid",
        # a reprocessing (RE07) is greater than operations (OPER), and a version than an earlier one
        names=(re.compile(rf"(?P<revision>SM_[A-Z0-9]{{4}}_[A-Z]+_CSF2Q{letter}_(?P<date>\d{{8}}).*)\.nc"),),
        variable="sss",
        sensor="SMOS",
        modality="satellite",
        satellite_pass=direction,
        read_grid=_READ,
    )


ASCENDING = _source("l3_sss_smos_asc", "A", "ascending")
DESCENDING = _source("l3_sss_smos_desc", "D", "descending")
