"""Risk: pixels of a swath get the time of another line, another day, or are lost over land and below the satellite."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import netCDF4
import numpy as np
import pytest

from oceanrecon.errors import SourceError
from oceanrecon.sources.daily.source import RawFile, natural
from oceanrecon.sources.daily.swot import SOURCE, read, read_points
from oceanrecon.synthetic.daily.swot import swot_jobs
from oceanrecon.transform.binning import DayBins

DAY = dt.date(2024, 2, 29)


@pytest.fixture(scope="module")
def half_orbits(tmp_path_factory: pytest.TempPathFactory) -> list[RawFile]:
    """Two of 30 lines about the equator, from the Pacific on."""
    folder = tmp_path_factory.mktemp("swot")
    found = []
    for job in swot_jobs(1, DAY, lines=30, passes=2):
        path = folder / Path(job.path).name
        job.write(str(path))
        file = SOURCE.match(str(path), path.stat().st_size, 0)
        assert file is not None
        found.append(file)
    return found


def test_each_pixel_has_its_place_the_time_of_its_line_and_its_values(half_orbits: list[RawFile]) -> None:
    day = read(half_orbits[0])
    with netCDF4.Dataset(half_orbits[0].url) as same:
        assert same["ssha_filtered"].shape == (30, 69)
        for name in ("ssha_filtered", "ssha_unfiltered", "mdt"):
            expected = same[name][:].filled(np.nan).astype(np.float32).ravel()
            np.testing.assert_array_equal(day.values[name].data, expected)
        np.testing.assert_allclose(day.latitude, same["latitude"][:].ravel(), rtol=0, atol=1e-9)
        line = same["time"][7]
        assert same["longitude"][:].min() >= 0
    seconds = (day.time - np.datetime64("2000-01-01")) / np.timedelta64(1, "s")
    np.testing.assert_allclose(seconds[7 * 69 : 8 * 69], line, rtol=0, atol=1e-6)
    assert [track.platform for track in day.tracks] == ["SWOT"]


def test_all_pixels_of_all_files_are_counted_with_values_or_without(half_orbits: list[RawFile]) -> None:
    bins = DayBins(2.0)
    for day in read_points(half_orbits, DAY):
        bins.add(day)
    found = list(bins.finish())
    assert sum(int(one.n_obs.sum()) for one in found) == bins.placed == 2 * 30 * 69
    stored = 0
    for file in half_orbits:
        with netCDF4.Dataset(file.url) as same:
            stored += int(same["ssha_filtered"][:].count())
    assert 0 < stored < bins.placed
    assert sum(int(one.counts["ssha_filtered"].sum()) for one in found) == stored


def test_a_half_orbit_is_of_the_day_on_which_it_starts() -> None:
    file = SOURCE.match("x/SWOT_L3_LR_SSH_Basic_011_099_20240229T234500_20240301T003626_v2.0.1.nc", 1, 0)
    assert file is not None
    assert (file.day, file.part, file.revision) == (DAY, "011_099", "2.0.1")
    assert SOURCE.match("SWOT_L3_LR_SSH_Expert_011_099_20240229T234500_20240301T003626_v2.0.1.nc", 1, 0) is None


def test_versions_are_compared_by_their_numbers() -> None:
    name = "SWOT_L3_LR_SSH_Basic_001_002_20230401T000000_20230401T005000_v{}.nc"
    files = [SOURCE.match(name.format(version), 1, 0) for version in ("1.0", "1.0.2", "1.0.10", "2.0.1", "10.0")]
    found = [natural(file.revision) for file in files if file is not None]
    assert len(found) == 5 and sorted(found) == found


def test_a_file_whose_lines_do_not_agree_is_refused_and_named(half_orbits: list[RawFile], tmp_path: Path) -> None:
    name = half_orbits[0].name
    with netCDF4.Dataset(tmp_path / name, "w") as file:
        for dimension, size in (("num_lines", 3), ("num_pixels", 69), ("others", 4)):
            file.createDimension(dimension, size)
        file.createVariable("time", "f8", ("num_lines",)).units = "seconds since 2000-01-01"
        for variable in ("latitude", "longitude", "ssha_unfiltered"):
            file.createVariable(variable, "f8", ("num_lines", "num_pixels"))[:] = 1.0
        file.createVariable("ssha_filtered", "f8", ("others", "num_pixels"))[:] = 1.0
    odd = SOURCE.match(str(tmp_path / name), 1, 0)
    assert odd is not None
    with pytest.raises(SourceError, match=rf"{name}: variable ssha_filtered has the shape \(4, 69\)"):
        read(odd)
