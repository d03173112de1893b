"""Raw files for the tests of regional tiles: a few days of along-track sea level, SMOS and Argo, by hand."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import numpy as np

from oceanrecon.region_config import RegionSettings, SourceKey
from oceanrecon.synthetic.daily.alongtrack import alongtrack_jobs
from oceanrecon.synthetic.daily.argo_points import argo_point_jobs

DAYS = (dt.date(2023, 4, 1), dt.date(2023, 4, 2), dt.date(2023, 4, 3))


def write_raw(folder: Path, days: tuple[dt.date, ...] = DAYS, satellites: tuple[str, ...] = ("s3a", "j3n")) -> Path:
    """Sea level of some satellites, and points of floats, of some days."""
    for day in days:
        for job in (*alongtrack_jobs(1, day, satellites), *argo_point_jobs(1, day, 200)):
            path = folder / job.path
            path.parent.mkdir(parents=True, exist_ok=True)
            job.write(str(path))
    return folder


def settings(
    raw: Path, output: Path, *sources: SourceKey, start: dt.date | None = None, end: dt.date | None = None
) -> RegionSettings:
    """Settings of the tiles of some sources."""
    chosen: tuple[SourceKey, ...] = sources or ("l3_ssh", "argo")
    return RegionSettings(raw=str(raw), output=str(output), sources=chosen, start=start, end=end)


def positions(path: Path) -> int:
    """How many positions a file along a track has."""
    import netCDF4

    with netCDF4.Dataset(path) as file:
        return int(np.isfinite(np.ma.filled(file["latitude"][:].astype(float), np.nan)).sum())
