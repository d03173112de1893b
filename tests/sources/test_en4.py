"""EN4 files as they come: fills of every kind, flags that are none, variables that are not there."""

from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
import pytest

from oceanrecon.errors import SourceError
from oceanrecon.sources.profiles import read_headers
from tests.profile_files import JULD, levels, listed, write_en4

NAN = np.nan


def test_headers(tmp_path: Path) -> None:
    path = write_en4(
        tmp_path / "month.nc", 3, platform=["Q1900022", "  DBBH", ""], latitude=[10.5, 169.0, NAN],
        longitude=[-30.25, -999.999, 359.5], juld=[JULD, NAN, JULD + 1], juld_qc="10 ", position_qc="184",
        profile_depth_qc="1", profile_potm_qc="014", profile_psal_qc="4",
    )  # fmt: skip
    rows, notes = read_headers(listed(path))
    assert notes == ()
    assert rows["path"].tolist() == ["month.nc"] * 3
    assert rows["profile_idx"].tolist() == [0, 1, 2]
    assert rows["platform_number"].tolist() == ["Q1900022", "DBBH", ""]
    assert rows["cycle_number"].tolist() == [-1, -1, -1]
    assert rows["data_mode"].tolist() == ["", "", ""]
    assert rows["primary"].all()
    np.testing.assert_array_equal(rows["juld"], [JULD, NAN, JULD + 1])
    # what is not declared missing stays, to be counted as impossible
    np.testing.assert_array_equal(rows["latitude"], [10.5, 169.0, NAN])
    np.testing.assert_array_equal(rows["longitude"], [-30.25, -999.999, 359.5])
    assert rows["juld_qc"].tolist() == [1, 0, -1]
    assert rows["position_qc"].tolist() == [1, 8, 4]
    assert rows["profile_potm_qc"].tolist() == [0, 1, 4]


@pytest.mark.parametrize("fill", [99999.0, 999999.0, -99999.0, np.inf, 9.969209968386869e36, NAN])
@pytest.mark.parametrize("declared", [99999.0, None])
def test_fills_declared_or_not_are_missing(tmp_path: Path, fill: float, declared: float | None) -> None:
    path = write_en4(tmp_path / "month.nc", 1, depth=0.0, temp=0.0, potm=0.0, declared_fill=declared, slots=3)
    with netCDF4.Dataset(path, "a") as file:
        file.set_auto_maskandscale(False)
        for name in ("DEPH_CORRECTED", "TEMP", "POTM_CORRECTED", "PSAL_CORRECTED"):
            file[name][:] = np.array([[10.0, fill, 20.0]])
    found = levels(listed(path))
    for values in (found.depth, found.temp, found.potm, found.psal):
        np.testing.assert_array_equal(values, [[10.0, NAN, 20.0]])


def test_implausible_values_are_missing_and_small_negative_depths_are_not(tmp_path: Path) -> None:
    path = write_en4(
        tmp_path / "month.nc", 1,
        depth=(-999.99, -10.5, -10.0, -0.5, 0.0, 12000.0, 12001.0), temp=(-999.99, -5.1, -5, 50, 50.1, 0, 1),
        potm=(-999.99, -5.1, -5, 50, 50.1, 0, 1), psal=(-999.99, -0.1, 0, 50, 50.1, 35, 36),
    )  # fmt: skip
    found = levels(listed(path))
    np.testing.assert_array_equal(found.depth, [[NAN, NAN, -10, -0.5, 0, 12000, NAN]])
    np.testing.assert_array_equal(found.temp, [[NAN, NAN, -5, 50, NAN, 0, 1]])
    np.testing.assert_array_equal(found.potm, found.temp)
    np.testing.assert_array_equal(found.psal, [[NAN, NAN, 0, 50, NAN, 35, 36]])


def test_packed_values_are_unpacked(tmp_path: Path) -> None:
    path = tmp_path / "month.nc"
    write_en4(path, 1, depth=0.0, temp=0.0, potm=0.0, without=("TEMP",), slots=3)
    with netCDF4.Dataset(path, "a") as file:
        variable = file.createVariable("TEMP", "i2", ("N_PROF", "N_LEVELS"), fill_value=-7)
        variable.setncatts({"scale_factor": np.float32(0.5), "add_offset": np.float32(10)})
        variable.set_auto_maskandscale(False)
        variable[:] = np.array([[4, -7, 8]])
    np.testing.assert_array_equal(levels(listed(path)).temp, [[12.0, NAN, 14.0]])


def test_level_flags_and_their_blanks(tmp_path: Path) -> None:
    path = write_en4(tmp_path / "month.nc", 2, depth_qc=["1234", "0 "], temp_qc="9", potm_qc="14", psal_qc=[" ", "0"])
    found = levels(listed(path))
    assert found.depth_qc.tolist() == [[1, 2, 3, 4], [0, -1, -1, -1]]
    assert found.temp_qc.tolist() == [[9] * 4] * 2
    assert found.potm_qc.tolist() == [[1, 4, -1, -1]] * 2
    assert found.psal_qc.tolist() == [[-1] * 4, [0] * 4]
    assert found.depth_qc.dtype == np.int8


def test_a_flag_that_is_none_is_reported_with_file_variable_character_and_count(tmp_path: Path) -> None:
    path = write_en4(tmp_path / "month.nc", 2, potm_qc=["1x", "xx?1"], position_qc="1!")
    rows, notes = read_headers(listed(path))
    assert rows["position_qc"].tolist() == [1, 99]
    assert len(notes) == 1
    for part in ("month.nc", "POSITION_QC", "'!'", " 1 times"):
        assert part in notes[0]
    found = levels(listed(path))
    assert found.potm_qc.tolist() == [[1, 99, -1, -1], [99, 99, 99, 1]]
    assert ["month.nc" in note and "POTM_CORRECTED_QC" in note for note in found.notes] == [True, True]
    assert {note.split("flag ")[1].split(":")[0] for note in found.notes} == {"'?' 1 times", "'x' 3 times"}


@pytest.mark.parametrize(
    "name", ["PSAL_CORRECTED", "POTM_CORRECTED", "TEMP", "DEPH_CORRECTED", "JULD", "LATITUDE", "LONGITUDE"]
)
def test_a_file_without_a_variable_is_refused_by_name(tmp_path: Path, name: str) -> None:
    path = write_en4(tmp_path / "month.nc", without=(name,))
    with pytest.raises(SourceError, match=rf"month\.nc: missing variable {name}, .*download"):
        read_headers(listed(path))


def test_flags_that_are_not_there_are_missing_and_noted(tmp_path: Path) -> None:
    """TEMP_QC is not in every release: temperatures are judged as the potential ones."""
    absent = ("TEMP_QC", "DEPH_CORRECTED_QC", "PROFILE_DEPH_QC", "PLATFORM_NUMBER")
    path = write_en4(tmp_path / "month.nc", 1, potm_qc="14", without=absent)
    rows, notes = read_headers(listed(path))
    assert notes == ("month.nc: it has no PROFILE_DEPH_QC, DEPH_CORRECTED_QC: these flags count as missing",)
    assert rows["profile_depth_qc"].tolist() == [-1]
    assert rows["platform_number"].tolist() == [""]
    found = levels(listed(path))
    assert found.depth_qc.tolist() == [[-1] * 4]
    assert found.temp_qc.tolist() == [[1, 4, -1, -1]]


@pytest.mark.parametrize("file_format", ["NETCDF3_CLASSIC", "NETCDF4"])
def test_an_empty_month_is_an_empty_table_and_a_note(tmp_path: Path, file_format: Any) -> None:
    path = write_en4(tmp_path / "month.nc", 0, file_format=file_format)
    rows, notes = read_headers(listed(path))
    full, _ = read_headers(listed(write_en4(tmp_path / "full.nc", 1)))
    assert len(rows) == 0
    assert rows.dtypes.equals(full.dtypes)
    assert notes == ("month.nc: there are no profiles in it",)
    assert levels(listed(path)).depth.shape == (0, 4)


def test_a_variable_of_another_shape_or_kind_is_refused(tmp_path: Path) -> None:
    path = write_en4(tmp_path / "month.nc", without=("TEMP", "POSITION_QC"))
    with netCDF4.Dataset(path, "a") as file:
        file.createVariable("TEMP", "f4", ("N_LEVELS", "N_PROF"))
    with pytest.raises(SourceError, match=r"TEMP has the shape \(4, 2\) instead of \(2, 4\)"):
        read_headers(listed(path))
    path = write_en4(tmp_path / "other.nc", without=("POSITION_QC",))
    with netCDF4.Dataset(path, "a") as file:
        file.createVariable("POSITION_QC", "i1", ("N_PROF",))[:] = 1
    with pytest.raises(SourceError, match="POSITION_QC holds int8 instead of characters"):
        read_headers(listed(path))


def test_characters_with_a_dimension_of_one(tmp_path: Path) -> None:
    """As xarray writes them."""
    path = write_en4(tmp_path / "month.nc", without=("POTM_CORRECTED_QC", "POSITION_QC"))
    with netCDF4.Dataset(path, "a") as file:
        file.createDimension("string1", 1)
        file.createVariable("POTM_CORRECTED_QC", "S1", ("N_PROF", "N_LEVELS", "string1"))[:] = np.full((2, 4, 1), b"4")
        file.createVariable("POSITION_QC", "S1", ("N_PROF", "string1"))[:] = np.array([[b"1"], [b"4"]])
    rows, _ = read_headers(listed(path))
    assert rows["position_qc"].tolist() == [1, 4]
    assert levels(listed(path)).potm_qc.tolist() == [[4] * 4] * 2
