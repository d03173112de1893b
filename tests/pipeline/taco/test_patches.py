"""Risk: what a query read is written without its depths and times, so that nobody knows what it is of."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import numpy as np
import xarray as xr

from oceanrecon.pipeline.taco.patches import write_patches
from oceanrecon.samples.regional.query import RegionalQuery, open_taco
from oceanrecon.samples.regional.read import Reading, read_patches
from tests.taco_files import small


def test_points_have_depths_and_stacked_fields_have_days(tmp_path: Path) -> None:
    small(tmp_path / "regions").build(tmp_path / "dataset")
    query = RegionalQuery((-50, 0, 0, 30), dt.date(2024, 1, 9), dt.date(2024, 1, 11))
    dataset = open_taco(str(tmp_path / "dataset"))
    patches, _ = read_patches(dataset, query, ["argo", "l4_sst"], Reading(aggregate="stack"))
    with xr.open_dataset(write_patches(str(tmp_path / "query.nc"), patches, query), engine="h5netcdf") as written:
        assert written["argo_pressure"].values.tolist() == [0, 1, 0, 1]
        assert written["argo"].coords["argo_time"].values[2] == np.datetime64("2024-01-11T06:00:00")
        days = written["l4_sst"].coords["l4_sst_day"].values
        assert days.astype("datetime64[D]").tolist() == query.days
