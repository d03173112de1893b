"""A land flag is land in every way that files say it, and never a number that happens to have its bit."""

from pathlib import Path

import netCDF4
import numpy as np
import pytest
from numpy.typing import NDArray

from oceanrecon.errors import ConfigError, SourceError
from oceanrecon.sources.flags import parse_flags, read_flagged

Numbers = NDArray[np.int8]
STORED = np.array([[1, 2, 3, 4], [6, 8, -128, 2]], np.int8)


def write(path: Path, stored: Numbers = STORED, **attributes: object) -> str:
    """An OSTIA file of 2 x 4 cells."""
    with netCDF4.Dataset(path, "w") as file:
        for name, values in (("time", [0]), ("lat", [-0.25, 0.25]), ("lon", [10.0, 10.5, 11.0, 11.5])):
            file.createDimension(name, len(values))
            file.createVariable(name, "f4", (name,))[:] = values
        file["time"].units = "seconds since 1981-01-01"
        dimensions = ("time", "lat", "lon")
        file.createVariable("analysed_sst", "i2", dimensions, fill_value=-32768).units = "kelvin"
        mask = file.createVariable("mask", "i1", dimensions, fill_value=-128)
        mask.set_auto_mask(False)
        mask.setncatts(attributes)
        mask[0] = stored
    return str(path)


def test_bits(tmp_path: Path) -> None:
    url = write(
        tmp_path / "bits.nc",
        flag_masks=np.array([1, 2, 4, 8], np.int8),
        flag_meanings="water land  optional_lake_surface sea_ice",
    )
    cells = read_flagged(url, ["land"])
    # a lake on land is land; what has no flags at all is not known to be sea
    assert cells.flagged.tolist() == [[False, True, True, False], [True, False, True, True]]
    assert (cells.latitude.first, cells.longitude.first) == (-0.25, 10.0)
    assert read_flagged(url, ["land", "sea_ice"]).flagged.sum() == 6


def test_values_are_not_bits(tmp_path: Path) -> None:
    url = write(tmp_path / "values.nc", flag_values=np.array([1, 2, 3, 4], np.int8), flag_meanings="sea land lake ice")
    assert read_flagged(url, ["land"]).flagged.tolist() == [[False, True, False, False], [False, False, True, True]]


def test_values_under_masks() -> None:
    flags = parse_flags({"flag_masks": [3, 3, 4], "flag_values": [1, 2, 4], "flag_meanings": b"sea land ice"})
    stored = np.array([0, 1, 2, 3, 5, 6], np.int8)
    assert flags["land"].of(stored).tolist() == [False, False, True, False, False, True]
    assert flags["ice"].of(stored).tolist() == [False, False, False, False, True, True]


def test_the_real_file(real_data: Path) -> None:
    (path,) = (real_data / "sst").glob("*BLK*.nc")
    with netCDF4.Dataset(path) as file:
        file.set_auto_mask(False)
        stored = file["mask"][0]
    assert (stored == -128).all()
    with pytest.raises(SourceError, match="mask is missing in every cell: take another file"):
        read_flagged(str(path), ["land"])
    with pytest.raises(ConfigError, match="has no flag 'sea_ice': its mask says sea, land, lake, ice"):
        read_flagged(str(path), ["sea_ice"])


def test_what_is_wrong_is_said(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="mask has 2 flag_masks for 3 flag_meanings"):
        read_flagged(write(tmp_path / "a.nc", flag_masks=np.array([1, 2], np.int8), flag_meanings="a b c"), ["a"])
    with pytest.raises(SourceError, match=r"b.nc: mask has no flag_meanings"):
        read_flagged(write(tmp_path / "b.nc"), ["a"])
    with pytest.raises(SourceError, match=r"c.nc: the file does not exist"):
        read_flagged(str(tmp_path / "c.nc"), ["a"])
