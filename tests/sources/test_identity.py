"""Profiles are rejected for the right reason, and one told twice is taken once, whatever the order of the rows."""

from __future__ import annotations

import datetime as dt
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from oceanrecon.sources.identity import (
    REASONS,
    distance,
    drop_en4_of_argo,
    drop_repeated_cycles,
    judge,
    position_rejected_reason,
)
from oceanrecon.sources.profiles import HEADER_COLUMNS
from tests.profile_files import JULD, days

MINUTE = 1 / 1440
#: Degrees of latitude per km, on a sphere of 6371 km.
KM = 360 / (2 * np.pi * 6371)
NAN = np.nan


def table(rows: int = 1, **columns: Any) -> pd.DataFrame:
    """A good Argo profile per row, with what is given instead."""
    good: dict[str, Any] = dict.fromkeys(HEADER_COLUMNS, 1)
    good |= {"path": "a.nc", "profile_idx": range(rows), "platform_number": "6901929", "direction": "A"}
    good |= {"data_mode": "D", "primary": True, "juld": JULD, "latitude": 10.0, "longitude": -30.0}
    return pd.DataFrame({**good, **columns}, index=range(rows)).astype(HEADER_COLUMNS)


def reasons(
    headers: pd.DataFrame, kind: Any = "argo", quality: Any = "standard", sampling: Any = "primary"
) -> list[str]:
    return judge(headers, kind, quality, sampling).tolist()


@pytest.mark.parametrize("quality", ["standard", "strict", "none"])
@pytest.mark.parametrize("kind", ["en4", "argo"])
def test_impossible_dates_and_places_in_every_quality(kind: str, quality: str) -> None:
    juld = [days(dt.datetime(1899, 12, 31, 23)), days(dt.datetime(1900, 1, 1)), days(dt.datetime(2099, 12, 31, 23)),
            days(dt.datetime(2100, 1, 1)), NAN, np.inf]  # fmt: skip
    bad, good = "date_impossible", ""
    assert reasons(table(6, juld=juld), kind, quality) == [bad, good, good, bad, bad, bad]
    latitude = [169, -99.999, -999.999, 90.0, -90.0, 90.001, NAN]
    bad = "position_impossible"
    assert reasons(table(7, latitude=latitude), kind, quality) == [bad, bad, bad, good, good, bad, bad]
    longitude = [-999.999, -180.0, 180, 359.9, 360, 360.1, -180.1, NAN, np.inf]
    assert reasons(table(9, longitude=longitude), kind, quality) == [bad, good, good, good, good, bad, bad, bad, bad]


def test_flags_of_date_and_position_by_source_and_quality() -> None:
    flags = [-1, 0, 1, 2, 3, 4, 5, 8, 9, 99]
    accepted = {
        ("en4", "standard"): [-1, 0, 1, 2, 3, 5, 8, 9],
        ("en4", "strict"): [1],
        ("en4", "none"): flags,
        ("argo", "standard"): [1, 2, 5, 8],
        ("argo", "strict"): [1],
        ("argo", "none"): flags,
    }
    for (kind, quality), good in accepted.items():
        for column, reason in (("juld_qc", "date_flag"), ("position_qc", "position_flag")):
            found = reasons(table(len(flags), **{column: flags}), kind, quality)
            assert found == ["" if flag in good else reason for flag in flags]


def test_the_first_reason_in_their_order_is_the_one() -> None:
    """Each row has one fault less than the row before it."""
    headers = table(
        7, juld=[NAN, *[JULD] * 6], juld_qc=[4, 4, 1, 1, 1, 1, 1], latitude=[99, 99, 99, 10, 10, 10, 10],
        position_qc=[4, 4, 4, 4, 1, 1, 1], primary=[False] * 5 + [True] * 2, data_mode=["R"] * 6 + ["D"],
    )  # fmt: skip
    assert reasons(headers, "argo", "strict") == [*REASONS[1:7], ""]
    # only Argo has data modes, and the mode matters to strict quality only
    assert reasons(headers, "en4", "strict")[-2:] == ["", ""]
    assert reasons(headers, "argo", "standard")[-2:] == ["", ""]
    assert reasons(headers, "argo", "none", "all")[3:] == [""] * 4


def test_the_index_of_the_rows_is_kept() -> None:
    headers = table(3, latitude=[10, 99, 10], cycle_number=[1, 2, 1]).set_index(pd.Index([7, 3, 5]))
    found = drop_repeated_cycles(headers, judge(headers, "argo", "standard", "primary"))
    assert found.to_dict() == {7: "", 3: "position_impossible", 5: "duplicate_cycle"}


def kept(headers: pd.DataFrame, sampling: str = "primary") -> list[tuple[str, int]]:
    """Path and row of the profiles that remain, which may not depend on the order of the rows."""
    found = []
    for order in (headers, headers.iloc[::-1], headers.sample(frac=1, random_state=2)):
        good = drop_repeated_cycles(order, judge(order, "argo", "standard", sampling)) == ""  # type: ignore[arg-type]
        found.append(sorted(zip(order.loc[good, "path"], order.loc[good, "profile_idx"], strict=True)))
    assert found[0] == found[1] == found[2]
    return found[0]


def test_of_a_repeated_cycle_the_best_is_kept() -> None:
    names = ["D1_001.nc", "R1_001.nc", "1_prof.nc"]
    assert kept(table(3, path=names, data_mode=["A", "R", "D"])) == [("1_prof.nc", 2)]
    assert kept(table(3, path=names, data_mode=["R", "A", "R"])) == [("R1_001.nc", 1)]
    assert kept(table(3, path=names, data_mode=["R", "", "R"])) == [("D1_001.nc", 0)]
    # a file of one cycle before the float's; then by path; then by row
    assert kept(table(2, path=["1_prof.nc", "R1_001.nc"])) == [("R1_001.nc", 1)]
    assert kept(table(2, path=["x/R1_001.nc", "a/R1_001.nc"])) == [("a/R1_001.nc", 1)]
    assert kept(table(2, path="1_prof.nc")) == [("1_prof.nc", 0)]


def test_what_is_not_the_same_cycle() -> None:
    assert len(kept(table(2, cycle_number=[1, 2]))) == 2
    assert len(kept(table(2, platform_number=["1", "2"]))) == 2
    assert len(kept(table(2, direction=["A", "D"]))) == 2
    # nothing is known of these
    assert len(kept(table(2, cycle_number=-1))) == 2
    assert len(kept(table(2, platform_number=""))) == 2


def test_a_worse_copy_does_not_take_the_place_of_a_better_one_that_is_rejected() -> None:
    headers = table(2, path=["D1_001.nc", "R1_001.nc"], data_mode=["D", "R"], position_qc=[4, 1])
    assert kept(headers) == []
    nowhere = table(2, path=["D1_001.nc", "R1_001.nc"], data_mode=["D", "R"], latitude=[np.nan, 10.0])
    assert kept(nowhere) == [("R1_001.nc", 1)]


def test_with_all_samplings_each_competes_with_its_like() -> None:
    headers = table(
        7, path=["D1_001.nc"] * 3 + ["R1_001.nc"] * 3 + ["1_prof.nc"], data_mode=["D", "R", "R", "R", "R", "A", "D"],
        profile_idx=[0, 1, 2, 0, 1, 2, 40], primary=[True, False, False, True, False, False, True],
    )  # fmt: skip
    assert kept(headers, "all") == [("D1_001.nc", 0), ("D1_001.nc", 1), ("R1_001.nc", 2)]
    assert kept(headers) == [("D1_001.nc", 0)]


def twin(argo: pd.DataFrame | None = None, **columns: Any) -> list[str]:
    """What becomes of EN4 profiles beside a float at 10 N 30 W."""
    rows = max((len(value) for value in columns.values() if isinstance(value, list)), default=1)
    headers = table(rows, **{"cycle_number": -1, "data_mode": "", "direction": "", **columns})
    found = drop_en4_of_argo(headers, judge(headers, "en4", "standard", "primary"), table() if argo is None else argo)
    assert found.index.equals(headers.index)
    return found.tolist()


SAME = "duplicate_of_argo"


def test_less_than_one_hour_apart_is_the_same() -> None:
    juld = [JULD + minutes * MINUTE for minutes in (0, 59, -59, 61, -61)]
    assert twin(juld=juld) == [SAME, SAME, SAME, "", ""]


def test_less_than_5_km_apart_is_the_same() -> None:
    """By hand: a degree of latitude is 111.195 km, one of longitude at 60 N half of that."""
    assert pytest.approx(111.195, abs=0.001) == 1 / KM
    assert twin(latitude=[10 + 4.9 * KM, 10 - 4.9 * KM, 10 + 5.1 * KM]) == [SAME, SAME, ""]
    north = table(latitude=60.0)
    assert twin(north, latitude=60.0, longitude=[-30 + 9.8 * KM, -30 - 9.8 * KM, -30 + 10.2 * KM]) == [SAME, SAME, ""]


def test_the_dateline_is_no_distance() -> None:
    line = table(longitude=179.99, latitude=0.0)
    assert twin(line, latitude=0.0, longitude=[-179.99, -179.97, 180.01, -180.0]) == [SAME, SAME, SAME, SAME]
    assert twin(line, latitude=0.0, longitude=[-179.96, 180.04]) == ["", ""]
    assert twin(table(longitude=359.99), longitude=[-0.01, 0.01]) == [SAME, SAME]


def test_platforms_as_en4_writes_them() -> None:
    names = ["6901929", " 6901929 ", "Q6901929", "q6901929", "QQ6901929", "6901928", "", "Q", "929"]
    assert twin(platform_number=names) == [SAME, SAME, SAME, SAME, "", "", "", "", ""]
    assert twin(table(platform_number="Q6901929"), platform_number="6901929") == [SAME]
    assert twin(table(platform_number="13857"), platform_number=["Q13857", "13857"]) == [SAME, SAME]
    # a ship of four digits, and what has no name, are nobody's twin
    assert twin(table(platform_number=""), platform_number=["", " "]) == ["", ""]
    assert twin(table(platform_number="1385"), platform_number="Q1385") == [""]


def test_one_of_many_profiles_of_the_float_is_enough() -> None:
    cycles = table(5, juld=[JULD + hours / 24 for hours in (-240, -0.5, 0.5, 240, 480)], latitude=[10, 40, 10, 10, 10])
    assert twin(cycles.iloc[::-1], juld=[JULD, JULD + 10.0, JULD + 5.0]) == [SAME, SAME, ""]
    assert twin(cycles.iloc[:2]) == [""]


def test_an_en4_profile_that_is_rejected_keeps_its_reason() -> None:
    assert twin(position_qc=4) == ["position_flag"]
    assert twin(juld=NAN) == ["date_impossible"]


@pytest.mark.parametrize(("ours", "theirs"), [(0, 1), (1, 0), (0, 0)])
def test_nothing_on_one_side(ours: int, theirs: int) -> None:
    en4, argo = table(ours), table(theirs)
    found = drop_en4_of_argo(en4, judge(en4, "en4", "standard", "primary"), argo)
    assert found.tolist() == [""] * ours
    assert drop_repeated_cycles(argo, judge(argo, "argo", "standard", "all")).tolist() == [""] * theirs


_profile = st.tuples(
    st.sampled_from(["6901929", "Q6901929", "1900022", "", "DBBH"]), st.integers(-100, 100), st.integers(-8, 8)
)


@given(st.lists(_profile, max_size=12), st.lists(_profile, max_size=12))
@settings(max_examples=100)
def test_equal_to_comparing_every_pair(ours: list[Any], theirs: list[Any]) -> None:
    en4, argo = (
        table(
            len(rows),
            platform_number=[name for name, _, _ in rows],
            juld=[JULD + minutes * MINUTE for _, minutes, _ in rows],
            latitude=[10 + 0.99 * kilometres * KM for _, _, kilometres in rows],
        )
        for rows in (ours, theirs)
    )
    expected = [
        SAME
        if any(
            name.removeprefix("Q") == other.removeprefix("Q") != "" and abs(t - u) < 60 and 0.99 * abs(x - y) < 5
            for other, u, y in theirs
        )
        else ""
        for name, t, x in ours
    ]
    assume(not any(abs(t - u) == 60 for _, t, _ in ours for _, u, _ in theirs))  # within rounding of the limit
    assert drop_en4_of_argo(en4, judge(en4, "en4", "standard", "all"), argo).tolist() == expected


def test_distance() -> None:
    """By hand: a quarter of the globe, from pole to pole, and nothing."""
    latitude, other = np.array([0.0, 90.0, 12.0]), np.array([0.0, -90.0, 12.0])
    longitude, across = np.array([0.0, 33.0, 180.0]), np.array([90.0, -12.0, -180.0])
    quarter = 6371 * np.pi / 2
    np.testing.assert_allclose(distance(latitude, longitude, other, across), [quarter, 2 * quarter, 0], atol=1e-9)


def test_what_is_against_a_position() -> None:
    flags = table(10, position_qc=[-1, 0, 1, 2, 3, 4, 5, 8, 9, 99])
    argo, en4 = position_rejected_reason(flags, "argo"), position_rejected_reason(flags, "en4")
    assert argo.tolist() == [-1, 1, 0, 0, 1, 1, 0, 2, 1, 1]
    assert en4.tolist() == [-1, 0, 0, 0, 0, 1, 0, 0, 0, 1]
    assert argo.dtype == en4.dtype == np.int8


def test_a_million_rows() -> None:
    """A pass over every row in Python would take minutes, and hit the time limit of the tests."""
    count = 1_000_000
    rng = np.random.default_rng(0)
    headers = table(
        count, platform_number=rng.integers(1900000, 1904000, count).astype(str), cycle_number=np.arange(count) // 2,
        juld=rng.uniform(21000, 27000, count), latitude=rng.uniform(-90, 90, count),
    )  # fmt: skip
    headers["platform_number"] = headers["platform_number"].where(
        headers.index % 2 == 0, headers["platform_number"].shift()
    )
    found = drop_repeated_cycles(headers, judge(headers, "argo", "standard", "primary"))
    assert (found == "duplicate_cycle").sum() == count // 2
    en4 = headers.assign(juld=headers["juld"] + 30 * MINUTE)
    twins = drop_en4_of_argo(en4, judge(en4, "en4", "standard", "primary"), headers[found == ""])
    assert (twins[found == ""] == SAME).all()
