"""An export by hand: temperature on two levels and sea height over two years, as GeoTIFF, with numbers to check.

24 x 12 pixels of one degree at the equator. Land in columns 0 to 3; the second level begins in column 8. Every pixel
has the same season, and a checkerboard on it that is ``BOARD`` high, whose mean over any cell of 4 degrees is 0.
"""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from oceanrecon.config import parse_settings
from oceanrecon.grid import PatchGrid, RasterGrid
from oceanrecon.statistics_config import StatisticsSettings
from oceanrecon.stores.geotiff import GeoTiffOptions, encode_geotiff
from oceanrecon.stores.mask import encode_land_mask
from oceanrecon.transform.encode import stretch
from oceanrecon.transform.harmonic import season
from tests.pipeline.patches.small_index import spatial_table, write_index

GRID = RasterGrid.from_bounds(1.0, (0.0, -6.0, 24.0, 6.0))
DEPTH = (0.5, 100.0)
#: K; with its neighbour 1:2:1 in the logarithm 0.4 and 0.1
BOARD = np.array([0.8, 0.05])
#: K: mean, cosine and sine of the year, of half the year: [level, term]
SEASON = np.array([[295.0, 3.0, -1.0, 0.5, 0.25], [285.0, 0.5, 0.0, 0.0, 0.0]])
SEA = np.array([0.3, 0.1, 0.0, 0.0, 0.05])
WEEKS = tuple(dt.date(2011, 1, 5) + dt.timedelta(weeks=week) for week in range(104))  # one is 29 February
LATER = tuple(dt.date(2013, 1, 2) + dt.timedelta(weeks=week) for week in range(3))
LAND = np.zeros((12, 24), np.uint8)
LAND[:, :4] = 1

#: Changes the values of a date: [level, row, column].
Change = Callable[[dt.date, NDArray[np.float64]], None]


def number(date: dt.date) -> int:
    """YYYYMMDD."""
    return int(f"{date:%Y%m%d}")


def temperature(date: dt.date) -> NDArray[np.float64]:
    """K, NaN on land and below the sea floor: [level, row, column]."""
    board = (-1.0) ** np.add.outer(np.arange(12), np.arange(24)) * (1 if date.toordinal() // 7 % 2 else -1)
    values = (SEASON @ season(date))[:, None, None] + BOARD[:, None, None] * board
    values[:, LAND == 1] = np.nan
    values[1, :, :8] = np.nan
    return values


def write_export(folder: Path, *, change: Change | None = None) -> Path:
    """Write it; ``change`` may change temperatures."""
    files: dict[str, dict[str, list[dict[str, Any]]]] = {"glorys": {"thetao": []}, "sealevel": {"adt": []}}

    def store(product: str, variable: str, date: dt.date, quantity: str, values: NDArray[np.float64]) -> None:
        code = stretch(quantity, "uint16")
        bands = len(values)
        data = encode_geotiff(
            code.encode(values), GRID, code, tags={}, band_tags=[{}] * bands, descriptions=[""] * bands,
            options=GeoTiffOptions(),
        )  # fmt: skip
        path = folder / f"{variable}_{number(date)}.tif"
        path.write_bytes(data)
        sha256 = hashlib.sha256(data).hexdigest()
        files[product][variable].append({"date": number(date), "path": path.name, "sha256": sha256})

    folder.mkdir(parents=True)
    for date in (*WEEKS, *LATER):
        values = temperature(date)
        if change is not None:
            change(date, values)
        store("glorys", "thetao", date, "temperature_kelvin", values)
        store("sealevel", "adt", date, "sea_height", np.where(LAND == 1, np.nan, SEA @ season(date))[None])
    (folder / "land.tif").write_bytes(encode_land_mask(LAND, GRID, {}))
    manifest = {
        "schema_version": 1, "depth_axis_m": list(DEPTH), "encoding": "uint16", "dense": None, "rasters": files,
        "files": {}, "argo": None, "surface_temporal_aggregation": {"window_days": 7},
        "grid": {"source": "land.tif", "width": 24, "height": 12, "crs": GRID.crs,
                 "transform_gdal": list(GRID.transform_gdal)},
    }  # fmt: skip
    (folder / "manifest.yaml").write_text(yaml.safe_dump(manifest))
    return folder


def write_rows(
    folder: Path, export: Path, patches: PatchGrid, rows: Sequence[tuple[int, int, str]], method: str
) -> Path:
    """An index of patches at dates and their phases, split by ``method``."""
    table = spatial_table(patches, dict.fromkeys(patches.ids.tolist(), "train"), np.zeros(_shape(patches), np.uint8))
    write_index(folder, patches, table, [(*row, 1) for row in rows], export=str(export))
    path = folder / "manifest.yaml"
    path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | {"split": {"method": method}}))
    return folder


def years(folder: Path, export: Path) -> Path:
    """Its index: one patch; ``LATER`` is for validation."""
    patches = PatchGrid(GRID, 8, 8, "regular")
    rows = [(0, number(date), "train") for date in WEEKS] + [(0, number(date), "val") for date in LATER]
    return write_rows(folder, export, patches, rows, "year")


def chosen(export: Path, index: Path, output: Path, **more: Any) -> StatisticsSettings:
    """Settings whose climatology is exact."""
    data: Mapping[str, Any] = {
        "export": str(export), "index": str(index), "output": str(output), "resolution": 4.0, "smoothing": 0.0,
        "ridge": 1e-6,
    }  # fmt: skip
    return parse_settings(StatisticsSettings, {**data, **more}, "test")


def _shape(patches: PatchGrid) -> tuple[int, int]:
    return patches.grid.height, patches.grid.width
