"""Risk: made-up tracks look like no satellite's, or differ from run to run."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from oceanrecon.synthetic.coast import coast
from oceanrecon.synthetic.daily.alongtrack import MISSIONS, alongtrack_jobs
from oceanrecon.synthetic.daily.argo_points import argo_point_jobs
from oceanrecon.synthetic.daily.swot import swot_jobs
from oceanrecon.synthetic.job import Job
from oceanrecon.synthetic.truth import Ocean, noon

DAY = dt.date(2024, 2, 29)


def written(job: Job, folder: Path) -> Path:
    path = folder / job.path
    path.parent.mkdir(parents=True, exist_ok=True)
    job.write(str(path))
    return path


def distance(one: tuple[float, float], other: tuple[float, float]) -> float:
    """Great circle, km, of latitudes and longitudes."""
    (a, x), (b, y) = np.deg2rad(one), np.deg2rad(other)
    half = np.sin((b - a) / 2) ** 2 + np.cos(a) * np.cos(b) * np.sin((y - x) / 2) ** 2
    return float(2 * 6371.0 * np.arcsin(np.sqrt(half)))


@pytest.mark.parametrize("code", MISSIONS)
def test_a_ground_track_reaches_its_inclination_and_repeats(code: str) -> None:
    mission = MISSIONS[code]
    latitude, longitude = mission.track(np.arange(0.0, 86400.0, 10.0))
    tilt = mission.inclination
    assert np.abs(latitude).max() == pytest.approx(min(tilt, 180.0 - tilt), abs=0.05)
    again = mission.track(np.arange(0.0, 86400.0, 10.0) + mission.days * 86400.0)
    np.testing.assert_allclose(again[0], latitude, atol=1e-4)
    # nodal days of 9.9156 are not whole: the node has moved by the rest
    moved = (again[1] - longitude + 360.0 * mission.days + 180.0) % 360.0 - 180.0
    np.testing.assert_allclose(moved, 0.0, atol=1e-4)


def test_an_altimeter_measures_the_true_sea_level_over_water(tmp_path: Path) -> None:
    (job,) = alongtrack_jobs(1, DAY, ["j3n"])
    path = written(job, tmp_path)
    with xr.open_dataset(path) as file:
        found = file.load()
    assert 45_000 < found.sizes["time"] < 65_000
    assert not coast().is_land(found["latitude"].values, found["longitude"].values).any()
    assert np.isfinite(found["sla_filtered"]).all()
    at = int(np.abs(found["latitude"].values + 30.0).argmin())
    place = found["latitude"].values[at : at + 1], found["longitude"].values[at : at + 1]
    ocean = Ocean(1)
    mean = ocean.mean_columns(*place).sea_level
    level = ocean.columns(*place, noon(DAY)).sea_level
    # between the nodes of the lattice, in packed millimetres
    assert float(found["sla_filtered"][at]) == pytest.approx(float(level[0, 0] - mean[0, 0]), abs=0.03)
    assert float(found["mdt"][at]) == pytest.approx(float(mean[0, 0]), abs=0.03)


def test_a_swath_is_136_km_wide_with_a_gap_and_lines_two_km_apart(tmp_path: Path) -> None:
    jobs = swot_jobs(1, DAY)
    assert len(jobs) in (27, 28, 29)
    (job,) = swot_jobs(1, DAY, lines=400, passes=1)
    assert Path(job.path).name == Path(jobs[0].path).name
    with xr.open_dataset(written(job, tmp_path)) as file:
        found = file.load()
    places = np.stack([found["latitude"].values, found["longitude"].values], axis=-1)
    assert distance(places[5, 0], places[5, 68]) == pytest.approx(136.0, abs=0.1)
    assert distance(places[5, 34], places[6, 34]) == pytest.approx(2.0, abs=0.15)
    seen = np.isfinite(found["ssha_filtered"].values)
    assert 0.1 < seen.mean() < 0.8
    # 10 to 60 km on both sides
    offsets = np.abs(np.arange(-68, 69, 2))
    assert seen.any(axis=0).tolist() == ((offsets >= 10) & (offsets <= 60)).tolist()


def test_the_same_day_has_the_same_bytes(tmp_path: Path) -> None:
    def jobs() -> list[Job]:
        return [
            *alongtrack_jobs(2, DAY, ["s3a"]), *swot_jobs(2, DAY, lines=20, passes=1), *argo_point_jobs(2, DAY, 40)
        ]  # fmt: skip

    for one, other in zip(jobs(), jobs(), strict=True):
        assert written(one, tmp_path / "one").read_bytes() == written(other, tmp_path / "other").read_bytes()
