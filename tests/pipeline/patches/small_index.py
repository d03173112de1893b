"""Writes a patch index by hand: the tables and the manifest that readers of one need, with the columns of the real."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from oceanrecon.config import dump_settings, parse_settings
from oceanrecon.grid import PatchGrid, RasterGrid
from oceanrecon.patch_config import PatchesSettings
from oceanrecon.stores.manifest import PATCHES as KIND
from oceanrecon.stores.mask import encode_land_mask

#: Patch, date, phase and number of accepted profiles.
Row = tuple[int, int, str, int]


#: 12 x 4 pixels of 30 degrees, from 60 N to 60 S; tiles of two pixels, one apart, across the dateline.
GRID = RasterGrid.from_bounds(30.0, (-180.0, -60.0, 180.0, 60.0))
PATCHES = PatchGrid(GRID, 2, 1, "even", periodic=True)
#: Columns 5 and 6 are land.
LAND = np.zeros((4, 12), np.uint8)
LAND[:, 5:7] = 1
#: 11 lies across the dateline, in columns 11 and 0; 0 is its neighbour; 4 is half on land; 26 is in row 2, column 2.
PHASES = {0: "train", 4: "val", 11: "train", 14: "guard", 26: "test", 29: "invalid"}
ROWS: list[Row] = [
    (0, 20120229, "train", 0), (4, 20120229, "val", 3), (11, 20120229, "train", 1), (26, 20120229, "test", 0),
    (0, 20120307, "train", 5), (4, 20120307, "val", 3), (11, 20120307, "train", 1), (26, 20120307, "test", 2),
    (14, 20120307, "guard", 4), (11, 20120314, "train", 1),
]  # fmt: skip


def spatial_table(patches: PatchGrid, phases: dict[int, str], land: np.ndarray[Any, Any]) -> pd.DataFrame:
    """The patches with a phase: patch -> phase; land is [row, column], 1 on land."""
    rows, columns = patches.corners
    latitude, longitude = patches.centres()
    south, north, west, east = patches.bounds()
    share = patches.means(land)
    table = pd.DataFrame(
        {
            "patch_id": patches.ids, "grid_y0": rows, "grid_x0": columns, "lat_center": latitude,
            "lon_center": longitude, "lat0": south, "lat1": north, "lon0": west, "lon1": east, "land_fraction": share,
            "ocean_fraction": 1 - share, "invalid_fraction": share, "invalid_percentage": 100 * share,
            "force_included": np.uint8(0), "force_include_region": "", "block": 0,
        }
    )  # fmt: skip
    table = table[table["patch_id"].isin(phases)].reset_index(drop=True)
    return table.assign(phase=[phases[patch] for patch in table["patch_id"]], wkt="")


def write_index(
    folder: Path,
    patches: PatchGrid,
    table: pd.DataFrame,
    rows: Sequence[Row],
    *,
    frequency: str = "weekly",
    **given: Any,
) -> Path:
    """An index of these patches and rows; ``given`` are more of its settings, such as ``export``."""
    folder.mkdir(parents=True)
    settings = parse_settings(
        PatchesSettings, {"output": str(folder), "rows": {"frequency": frequency}, **given}, "here"
    )
    (folder / "patches.yaml").write_text(dump_settings(settings))
    table.to_parquet(folder / "patches.parquet")
    frame = pd.DataFrame(list(rows), columns=["patch_id", "date", "phase", "argo_profile_count"])
    frame = frame.sort_values(["date", "patch_id"], ignore_index=True).astype(
        {"patch_id": "int64", "date": "int32", "phase": "str", "argo_profile_count": "int32"}
    )
    frame.assign(argo_valid=(frame["argo_profile_count"] > 0).astype("int8")).to_parquet(
        folder / f"{frequency}.parquet", row_group_size=4
    )
    manifest = {
        "schema_version": 1, "kind": KIND, "output_dir": str(folder), "grid": patches.grid.to_dict(),
        "tiling": {"tile": patches.tile, "stride": patches.stride, "edges": patches.edges, "periodic": patches.periodic,
                   "rows": patches.shape[0], "columns": patches.shape[1]},
        "frequency": frequency, "days": settings.rows.days, "dates": sorted({date for _, date, *_ in rows}),
        "profiles": {"quality": list(settings.rows.quality)},
        "archive": settings.archive and settings.archive.root, "export": settings.export, "notes": ["a <note>"],
        "footprint": {"days": settings.rows.days, "window_days": 1, "target_dates": [],
                      "glorys_dates": sorted({date for _, date, *_ in rows})},
        "counts": {"rows": frame["phase"].value_counts().to_dict()}, "failures": [],
    }  # fmt: skip
    (folder / "manifest.yaml").write_text(yaml.safe_dump(manifest))
    return folder


def make(folder: Path, phases: dict[int, str] = PHASES, rows: list[Row] = ROWS, **more: Any) -> Path:
    """The index of the hand, without an export."""
    mask = folder.parent / f"{folder.name}.tif"
    mask.write_bytes(encode_land_mask(LAND, GRID, {}))
    given: dict[str, Any] = {
        "tiling": {"mask": str(mask), "tile": 2, "stride": 1, "periodic": True},
        "archive": {"root": str(folder), "products": {"glorys": None}},
    }
    return write_index(folder, PATCHES, spatial_table(PATCHES, phases, LAND), rows, **given | more)
