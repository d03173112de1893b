"""Risks: a date read from the wrong digits of a name, and a file taken for another product."""

from __future__ import annotations

import datetime as dt

import pytest

from oceanrecon.errors import ConfigError
from oceanrecon.sources.registry import PRODUCTS, product
from oceanrecon.transform.encode import stretch


@pytest.mark.parametrize(
    ("name", "file_name", "date", "revision"),
    [
        ("glorys", "mercatorglorys12v1_gl12_mean_20120229_R20120307.nc", "2012-02-29", "2012-03-07"),
        (
            "ostia",
            "20120307120000-UKMO-L4_GHRSST-SSTfnd-OSTIA-GLOB_REP-v02.0-fv02.0.nc",
            "2012-03-07",
            None,
        ),
        ("ostia", "20240307120000-UKMO-L4_GHRSST-SSTfnd-OSTIA-GLOB-v02.0-fv02.0.nc", "2024-03-07", None),
        ("sealevel", "dt_global_allsat_phy_l4_20190101_20190515.nc", "2019-01-01", "2019-05-15"),
        ("sealevel", "nrt_global_allsat_phy_l4_20240101_20240107.nc", "2024-01-01", "2024-01-07"),
        ("sss", "dataset-sss-ssd-rep-daily_20120307T1200Z_P20230703T0000Z.nc", "2012-03-07", "2023-07-03"),
        # the provider's subsets have eight digits that are no date of the data
        ("glorys", "cmems_mod_glo_phy_my_0.083deg_P1D-m_20240101.nc", None, None),
        # not in the calendar
        ("glorys", "mercatorglorys12v1_gl12_mean_20130229_R20130306.nc", None, "2013-03-06"),
    ],
)
def test_a_name_gives_its_product_date_and_revision(
    name: str, file_name: str, date: str | None, revision: str | None
) -> None:
    expected = tuple(dt.date.fromisoformat(text) if text else None for text in (date, revision))
    assert {key: item.date_of(file_name) for key, item in PRODUCTS.items() if item.date_of(file_name)} == {
        name: expected
    }


@pytest.mark.parametrize(
    "file_name",
    [
        "20160707000000-GOS-L4_GHRSST-SSTfnd-OISST_HR_REP-BLK-v02.0-fv01.0.nc",
        "dt_global_twosat_phy_l4_20190101_20190515.nc",
        "GLORYS_NA_20120101.nc",
        "mercatorglorys12v1_gl12_mean_20120229_R20120307.nc.part",
    ],
)
def test_a_similar_name_is_no_product(file_name: str) -> None:
    assert not any(item.date_of(file_name) for item in PRODUCTS.values())


def test_the_widest_stretch_does_not_code_what_is_taken_for_a_fill() -> None:
    for item in PRODUCTS.values():
        for variable in item.variables:
            wide = stretch(variable.quantity, "uint16")
            assert variable.plausible[0] <= wide.minimum
            assert wide.maximum <= variable.plausible[1]
            assert variable.units == wide.units


def test_an_unknown_product_is_named_with_the_known_ones() -> None:
    with pytest.raises(ConfigError, match=r"'argo': known are glorys, ostia, sealevel, sss"):
        product("argo")
