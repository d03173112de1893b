"""Argo files: the values that the data mode says, TEOS-10 as gsw has it, and what real files of the centres hold."""

from pathlib import Path

import gsw
import netCDF4
import numpy as np
import pandas as pd
import pytest

from oceanrecon.errors import SourceError
from oceanrecon.sources.identity import drop_repeated_cycles, judge
from oceanrecon.sources.profiles import LevelReader, Levels, list_profile_files, read_headers
from tests.profile_files import JULD, NEAR_SURFACE, PRIMARY, levels, listed, write_argo

NAN = np.nan


def test_headers(tmp_path: Path) -> None:
    path = write_argo(
        tmp_path / "a_prof.nc", 3, platform=["6901929", "13857  ", ""], cycle=[1, 12, 99999], direction="AD ",
        data_mode="RA ", juld=[JULD, NAN, JULD], latitude=[10, -99.999, NAN], longitude=[-180, -999.999, 359.75],
        juld_qc="148", position_qc="19 ", profile_pressure_qc="ABC", profile_temp_qc="D F", profile_psal_qc="E1X",
    )  # fmt: skip
    rows, notes = read_headers(listed(path, "argo"))
    assert rows["platform_number"].tolist() == ["6901929", "13857", ""]
    assert rows["cycle_number"].tolist() == [1, 12, -1]
    assert rows["direction"].tolist() == ["A", "D", ""]
    assert rows["data_mode"].tolist() == ["R", "A", ""]
    np.testing.assert_array_equal(rows["juld"], [JULD, NAN, JULD])
    np.testing.assert_array_equal(rows["latitude"], [10, -99.999, NAN])
    np.testing.assert_array_equal(rows["longitude"], [-180, -999.999, 359.75])
    assert rows["juld_qc"].tolist() == [1, 4, 8]
    assert rows["position_qc"].tolist() == [1, 9, -1]
    assert rows["profile_depth_qc"].tolist() == [65, 66, 67]
    assert rows["profile_potm_qc"].tolist() == [68, -1, 70]
    assert rows["profile_psal_qc"].tolist() == [69, 1, 99]
    assert len(notes) == 1 and "PROFILE_PSAL_QC has the unknown flag 'X' 1 times" in notes[0]


def test_what_is_the_primary_sampling(tmp_path: Path) -> None:
    """Where a file says nothing of it, the first profile of a cycle is."""
    path = write_argo(
        tmp_path / "a.nc", 7, cycle=[1, 1, 2, 2, 2, 3, 3], direction="AAAADAA",
        scheme=[PRIMARY, NEAR_SURFACE, "", "", "", NEAR_SURFACE, ""],
    )  # fmt: skip
    rows, _ = read_headers(listed(path, "argo"))
    assert rows["primary"].tolist() == [True, False, True, False, True, False, False]
    path = write_argo(tmp_path / "old.nc", 2, without=("VERTICAL_SAMPLING_SCHEME",))
    assert read_headers(listed(path, "argo"))[0]["primary"].tolist() == [True, False]


def test_adjusted_values_and_flags_where_the_data_mode_says_so(tmp_path: Path) -> None:
    path = write_argo(
        tmp_path / "a.nc", 4, data_mode="RDA ", cycle=[1, 2, 3, 4], slots=2,
        pressure=100.0, temp=10.0, psal=35.0, pressure_qc="1", temp_qc="2", psal_qc="3",
        pressure_adjusted=200.0, temp_adjusted=11.0, psal_adjusted=36.0,
        pressure_adjusted_qc="5", temp_adjusted_qc="8", psal_adjusted_qc="4",
    )  # fmt: skip
    found = levels(listed(path, "argo"))
    assert found.temp[:, 0].tolist() == [10, 11, 11, 10]
    assert found.psal[:, 0].tolist() == [35, 36, 36, 35]
    np.testing.assert_allclose(found.depth[:, 0], -gsw.z_from_p([100, 200, 200, 100], 10.0), rtol=1e-7)
    assert found.depth_qc[:, 0].tolist() == [1, 5, 5, 1]
    assert found.temp_qc[:, 0].tolist() == found.potm_qc[:, 0].tolist() == [2, 8, 8, 2]
    assert found.psal_qc[:, 0].tolist() == [3, 4, 4, 3]


def test_adjusted_values_that_are_missing_stay_missing(tmp_path: Path) -> None:
    """A delayed-mode salinity that is beyond repair is fill: the one of real time is no substitute."""
    path = write_argo(tmp_path / "a.nc", data_mode="D", psal_adjusted=NAN, psal_adjusted_qc="4")
    found = levels(listed(path, "argo"))
    assert np.isnan(found.psal).all()
    assert np.isfinite(found.potm).all()
    path = write_argo(tmp_path / "b.nc", data_mode="A", without=("TEMP_ADJUSTED",))
    with pytest.raises(SourceError, match=r"b\.nc: missing variable TEMP_ADJUSTED, .* data mode A or D"):
        read_headers(listed(path, "argo"))
    path = write_argo(tmp_path / "c.nc", data_mode="R", without=("PRES_ADJUSTED", "TEMP_ADJUSTED", "PSAL_ADJUSTED"))
    assert np.isfinite(levels(listed(path, "argo")).psal).all()


@pytest.mark.parametrize("name", ["PRES", "TEMP", "JULD", "LATITUDE", "PLATFORM_NUMBER", "CYCLE_NUMBER", "DATA_MODE"])
def test_a_file_without_a_variable_is_refused_by_name(tmp_path: Path, name: str) -> None:
    path = write_argo(tmp_path / "a.nc", without=(name,))
    with pytest.raises(SourceError, match=rf"a\.nc: missing variable {name},"):
        read_headers(listed(path, "argo"))


def test_depth_and_potential_temperature_are_those_of_gsw(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    pressure = np.sort(rng.uniform(0, 6000, (5, 40)))
    temp, psal = rng.uniform(-1.8, 30, (5, 40)), rng.uniform(5, 40, (5, 40))
    latitude, longitude = np.array([-77.0, -30, 0, 45, 60]), np.array([170.0, -179.5, 359, 5, 20])
    path = write_argo(
        tmp_path / "a.nc", 5, pressure=pressure, temp=temp, psal=psal, latitude=latitude, longitude=longitude
    )
    found = levels(listed(path, "argo"))
    p, t, s = (np.float64(np.float32(values)) for values in (pressure, temp, psal))
    absolute = gsw.SA_from_SP(s, p, longitude[:, None], latitude[:, None])
    np.testing.assert_array_equal(found.depth, np.float32(-gsw.z_from_p(p, latitude[:, None])))
    np.testing.assert_array_equal(found.potm, np.float32(gsw.pt0_from_t(absolute, t, p)))
    np.testing.assert_array_equal(found.temp, np.float32(t))
    np.testing.assert_array_equal(found.psal, np.float32(s))


def test_known_values_of_teos10(tmp_path: Path) -> None:
    """UNESCO 44's check value of depth is 9712.653 m by EOS-80 at 10000 dbar, 30 degrees; TEOS-10 is within 0.1 %."""
    path = write_argo(tmp_path / "a.nc", pressure=(0.0, 10000.0), temp=(10.0, 10.0), latitude=30.0)
    found = levels(listed(path, "argo"))
    assert found.depth[0, 0] == 0
    assert found.depth[0, 1] == pytest.approx(9712.653, rel=1e-3)
    assert found.potm[0, 0] == pytest.approx(10.0, abs=1e-5)
    # UNESCO 44: 40 degC at 10000 dbar and salinity 40 is 36.89073 degC potential
    path = write_argo(tmp_path / "b.nc", pressure=10000.0, temp=40.0, psal=40.0, latitude=30.0)
    assert levels(listed(path, "argo")).potm[0, 0] == pytest.approx(36.89073, abs=0.02)


def test_a_salinity_of_35_stands_in_for_one_that_is_missing_or_bad(tmp_path: Path) -> None:
    salinity = [[35.0, 38.0, 38.0, 38.0, NAN]] * 2
    path = write_argo(
        tmp_path / "a.nc", 2, pressure=2000.0, temp=5.0, psal=salinity, psal_qc=["11234", "9 180"], slots=5
    )
    found = levels(listed(path, "argo"))
    p35 = found.potm[0, 0]
    p38 = np.float32(gsw.pt0_from_t(gsw.SA_from_SP(38.0, 2000.0, -30.0, 10.0), 5.0, 2000.0))
    assert p38 != p35
    assert found.potm.tolist() == [[p35, p38, p38, p35, p35], [p35, p35, p38, p35, p35]]
    np.testing.assert_array_equal(found.psal, np.array(salinity, dtype=np.float32))
    # what is lost by it, over all that the ocean has
    worst = max(
        abs(
            gsw.pt0_from_t(gsw.SA_from_SP(s, p, -30.0, 10.0), t, p)
            - gsw.pt0_from_t(gsw.SA_from_SP(35.0, p, -30.0, 10.0), t, p)
        )
        for s in (30.0, 40.0) for t in (-1.0, 10.0, 25.0) for p in (100.0, 1000.0, 2000.0)
    )  # fmt: skip
    assert worst < 0.02


def test_a_float_without_salinity(tmp_path: Path) -> None:
    path = write_argo(tmp_path / "a.nc", 2, psal=None)
    rows, notes = read_headers(listed(path, "argo"))
    assert notes == ()
    assert rows["profile_psal_qc"].tolist() == [-1, -1]
    found = levels(listed(path, "argo"))
    assert np.isnan(found.psal).all() and (found.psal_qc == -1).all()
    with_it = levels(listed(write_argo(tmp_path / "b.nc", 2, psal=35.0), "argo"))
    np.testing.assert_array_equal(found.potm, with_it.potm)


def test_nothing_is_computed_from_fills_and_impossible_places(tmp_path: Path) -> None:
    path = write_argo(
        tmp_path / "a.nc", 4, pressure=(-12.0, 10, 20, NAN), temp=(10, NAN, -99.0, 12), psal=(35, 35, NAN, 35),
        latitude=[10, -99.999, NAN, -89], longitude=[-30, -30, -30, 0],
    )  # fmt: skip
    found = levels(listed(path, "argo"))
    assert np.isfinite(found.depth).tolist() == [[False, True, True, False], [False] * 4, [False] * 4,
                                                 [False, True, True, False]]  # fmt: skip
    assert np.isnan(found.potm).all()
    np.testing.assert_array_equal(found.temp, [[10, NAN, NAN, 12]] * 4)
    # the atlas of salinity anomalies ends before the south pole
    path = write_argo(tmp_path / "b.nc", pressure=0.0, latitude=-89.0, longitude=10.0)
    np.testing.assert_allclose(levels(listed(path, "argo")).potm, [[20.1, 20.0, 15.0, 10.0]], atol=1e-5)


def _accepted(folder: Path, pattern: str, quality: str = "standard", sampling: str = "primary") -> pd.DataFrame:
    tables = [read_headers(file)[0] for file in list_profile_files(str(folder), "argo", pattern)]
    rows = pd.concat(tables, ignore_index=True)
    reasons = judge(rows, "argo", quality, sampling)  # type: ignore[arg-type]
    return rows.assign(reason=drop_repeated_cycles(rows, reasons))


def _levels(folder: Path, rows: pd.DataFrame) -> Levels:
    (path,) = rows["path"].unique()
    (file,) = (file for file in list_profile_files(str(folder), "argo") if file.path == path)
    with LevelReader(file) as reader:
        return reader.read(rows)


def test_real_primary_profile_ends_at_654_m(real_data: Path) -> None:
    folder = real_data / "argo"
    rows = _accepted(folder, "D6901929_124.nc")
    assert rows["reason"].tolist() == ["", "secondary_sampling"]
    assert _accepted(folder, "D6901929_124.nc", sampling="all")["reason"].tolist() == ["", ""]
    accepted = rows[rows["reason"] == ""].assign(path="6901929/D6901929_124.nc")
    found = _levels(folder, accepted)
    assert np.nanmax(found.depth) == pytest.approx(654.0, abs=0.5)
    with netCDF4.Dataset(folder / "6901929" / "D6901929_124.nc") as file:
        p, t, s = (file[f"{name}_ADJUSTED"][0].astype(float) for name in ("PRES", "TEMP", "PSAL"))
        latitude, longitude = float(file["LATITUDE"][0]), float(file["LONGITUDE"][0])
    kept = ~np.ma.getmaskarray(p)
    p, t, s = (np.asarray(values[kept]) for values in (p, t, s))
    np.testing.assert_array_equal(found.depth[0, kept], np.float32(-gsw.z_from_p(p, latitude)))
    expected = gsw.pt0_from_t(gsw.SA_from_SP(s, p, longitude, latitude), t, p)
    np.testing.assert_array_equal(found.potm[0, kept], np.float32(expected))
    assert np.isnan(found.depth[0, ~kept]).all()


def test_real_files_hold_what_is_known_of_them(real_data: Path) -> None:
    traps, folder = real_data / "traps", real_data / "argo"
    assert set(_accepted(traps, "D4902252_*")["reason"]) == {"position_impossible"}
    assert set(_accepted(traps, "D4902252_*", "none")["reason"]) == {"position_impossible"}
    cycles = _accepted(traps, "*2902269*")
    third = cycles[(cycles["cycle_number"] == 3) & (cycles["direction"] == "A")]
    assert dict(zip(third["path"], third["reason"], strict=True)) == {
        "2902269_prof.nc": "duplicate_cycle",
        "R2902269_003.nc": "",
    }
    dates = _accepted(folder, "2901746_prof.nc")
    assert (dates["reason"] == "date_flag").sum() == 73
    assert (dates["juld_qc"] == 4).sum() == 73
    for quality, reason in (("standard", ""), ("strict", "position_flag")):
        estimated = _accepted(folder, "3901898_prof.nc", quality)
        assert estimated.loc[estimated["position_qc"] == 8, "reason"].tolist() == [reason]


def test_real_salinity_stand_in_costs_less_than_a_hundredth_of_a_degree(real_data: Path) -> None:
    """Over all good levels of the real floats: what potential temperature would be with salinity 35 throughout."""
    worst = 0.0
    for file in list_profile_files(str(real_data / "argo"), "argo"):
        found = levels(file)
        rows, _ = read_headers(file)
        good = np.isfinite(found.potm) & np.isin(found.psal_qc, (1, 2)) & (found.depth >= 0)
        row, slot = np.nonzero(good)
        latitude, longitude = rows["latitude"].to_numpy()[row], rows["longitude"].to_numpy()[row]
        p = gsw.p_from_z(-found.depth[row, slot].astype(float), latitude)
        usual = gsw.pt0_from_t(gsw.SA_from_SP(35.0, p, longitude, latitude), found.temp[row, slot].astype(float), p)
        worst = max(worst, float(np.abs(usual - found.potm[row, slot]).max(initial=0.0)))
    assert 0 < worst < 0.01
