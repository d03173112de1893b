"""Rows of the tiny export as the table of an index has them, and settings to write them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from oceanrecon.config import parse_settings
from oceanrecon.grid import PatchGrid, RasterGrid
from oceanrecon.patch_config import PatchesSettings
from oceanrecon.pipeline.patches.schema import ROW_COLUMNS, numbered
from oceanrecon.pipeline.patches.write_plan import WritePlan, plan_rows
from oceanrecon.samples.rows import every_row

DATES = (20120222, 20120229, 20120307)
#: 3 degree cells: 120 columns, 60 rows; 8 of 40 tiles across the dateline or beside it
PATCHES = PatchGrid(RasterGrid.from_bounds(3.0, (-180, -90, 180, 90)), 20, 15, "regular", periodic=True)
#: those of the middle of the globe, from the Americas to the dateline and across
CHOSEN = np.isin(PATCHES.ids // 120, (15, 30)) & np.isin(PATCHES.ids % 120, (15, 30, 90, 105))


def table_of(dates: tuple[int, ...] = DATES) -> pa.Table:
    """Eight places at each date; odd columns of tiles are for validation."""
    rows = every_row(PATCHES, dates, CHOSEN)
    at = np.searchsorted(PATCHES.ids, rows.patch_id)
    south, north, west, east = (edge[at] for edge in PATCHES.bounds())
    latitude, longitude = (centre[at] for centre in PATCHES.centres())
    size = len(rows)
    columns: dict[str, Any] = {
        "export_index": np.arange(size) + 1000,
        "patch_id": rows.patch_id, "date": rows.date,
        "lat_center": latitude, "lon_center": longitude, "lat0": south, "lat1": north, "lon0": west, "lon1": east,
        "invalid_fraction": np.zeros(size), "invalid_percentage": np.zeros(size),
        "phase": np.where(rows.patch_id % 120 // 15 % 2, "val", "train"),
        "ostia_file_path": ["ostia/with, comma.nc"] * size,
        "matched_glorys_date": rows.date, "matched_glorys_file_path": [None] * size,
        "matched_glorys_abs_day_delta": np.zeros(size, int),
        "argo_valid": np.ones(size, int), "argo_profile_count": np.ones(size, int),
        "argo_month_key": rows.date // 100, "argo_file_path": [None] * size,
    }  # fmt: skip
    return pa.table(columns, schema=numbered(ROW_COLUMNS, "export_index"))


def planned(
    export: Path, output: Path, form: str = "zarr", table: pa.Table | None = None, *, archive: Path | None = None,
    **write: Any,
) -> WritePlan:  # fmt: skip
    """The plan to write these rows; ``write`` are more of its settings."""
    data: dict[str, Any] = {
        "export": str(export),
        "output": str(output.parent / "index"),
        "write": {"output": str(output), "form": form, "block": 5, "bands": [0, 2], **write},
    }
    if archive is not None:
        data["archive"] = {"root": str(archive), "products": {"ostia": None}}
    return plan_rows(parse_settings(PatchesSettings, data, "test"), table_of() if table is None else table, 20)
