"""Tables of patches at full size: every day of 14 years, an inventory of files that are not there, made-up profiles."""

from __future__ import annotations

import datetime as dt
import json
import sys
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.processes import cpu_seconds, run_module
from oceanrecon.config import ClusterSettings, parse_settings
from oceanrecon.grid import Axis, RasterGrid
from oceanrecon.grid.times import EPOCH, next_month
from oceanrecon.patch_config import PatchesSettings
from oceanrecon.pipeline.patches.index import run_index
from oceanrecon.pipeline.patches.plan import plan_index
from oceanrecon.pipeline.patches.proof import prove
from oceanrecon.pipeline.patches.stats import patch_figures
from oceanrecon.service.connect import connect
from oceanrecon.sources.inventory import COLUMNS, write_parquet
from oceanrecon.stores.files import Root
from oceanrecon.stores.memory import peak_memory
from oceanrecon.stores.steps import StepFailure, UsedFile

FIRST = dt.date(2010, 1, 1)
#: Days of the surface products, and profiles of each: 6.6 million in all.
DAYS, PER_DAY = 5326, 1240


@dataclass(frozen=True)
class IndexRun:
    """What making the tables took."""

    patches: int
    days: int
    rows: int
    profiles: int
    plan_seconds: float
    wall_seconds: float
    #: of all processes
    cpu_seconds: float
    #: CPU-seconds of the proof, which the run has in it, once more, and of counting for ``patches stats``
    proof_seconds: float
    stats_seconds: float
    #: largest of the workers, and of this process, MB
    worker_mb: float
    client_mb: float
    csv_bytes: int
    parquet_bytes: int


@dataclass(frozen=True)
class MadeUpMonth:
    """Profiles of a month, all over the globe."""

    first: dt.date
    per_day: int

    @property
    def used(self) -> tuple[UsedFile, ...]:
        """None."""
        return ()

    def identity(self) -> Any:
        """Of the receipt."""
        return [str(self.first), self.per_day]

    def read(self, quality: tuple[int, ...], grid: RasterGrid) -> tuple[pd.DataFrame, list[StepFailure]]:
        """Where and when they are; all are accepted."""
        low, high = (self.first - EPOCH).days, (next_month(self.first) - EPOCH).days
        count = (high - low) * self.per_day
        random = np.random.default_rng(low)
        latitude = np.rad2deg(np.arcsin(random.uniform(-0.95, 0.99, count))).round(3)
        longitude = random.uniform(-180, 180, count).round(3)
        row, column = grid.pixels(longitude, latitude)
        table = pd.DataFrame(
            {
                "day": np.repeat(np.arange(low, high), self.per_day),
                "profile_idx": np.arange(count, dtype=np.int32),
                "argo_file_path": f"en4/EN.4.2.2.f.profiles.g10.{self.first:%Y%m}.nc",
                "platform_number": random.integers(1900000, 7000000, count).astype(str),
                "latitude": latitude,
                "longitude": longitude,
                "grid_row": row.astype(np.int32),
                "grid_col": column.astype(np.int32),
            }
        )
        return table, []


def measure_index(folder: Path, mask: str, *, days: int, tile: int) -> IndexRun:
    """Make the daily tables of ``days`` days below ``folder``, which is made, in a process of its own.

    Args:
        folder: for the tables and the inventory.
        mask: a land mask; patches are half a tile apart.
        days: how many.
        tile: side of a patch, pixels.
    """
    return IndexRun(**run_module("benchmarks.patch_index", [str(folder), mask, str(days), str(tile)]))


def _measure(folder: Path, mask: str, days: int, tile: int) -> IndexRun:
    folder.mkdir(parents=True)
    settings = _settings(folder, mask, days, tile)
    started = time.perf_counter()
    planned = plan_index(settings)
    months = {date.replace(day=1) for date in planned.dates.dates}
    planned = replace(planned, months=tuple(MadeUpMonth(first, PER_DAY) for first in sorted(months)))
    ready = time.perf_counter()
    with connect(None, ClusterSettings(workers=2, dashboard="127.0.0.1:0")) as client:
        before = cpu_seconds()
        result = run_index(planned, client)
        used = cpu_seconds() - before
    assert result.complete
    client_memory = peak_memory()
    output = Path(result.output)
    before = time.process_time()
    assert prove(Root(result.output)).holds
    proven = time.process_time()
    assert patch_figures(result.output).all_rows.rows
    counted = time.process_time()
    return IndexRun(
        patches=result.patches,
        days=len(planned.dates.dates),
        rows=sum(result.rows.values()),
        profiles=result.profiles,
        plan_seconds=ready - started,
        wall_seconds=result.wall_seconds,
        cpu_seconds=used,
        proof_seconds=proven - before,
        stats_seconds=counted - proven,
        worker_mb=result.peak_memory / 1e6,
        client_mb=client_memory / 1e6,
        csv_bytes=(output / "daily.csv").stat().st_size,
        parquet_bytes=(output / "daily.parquet").stat().st_size,
    )


def _settings(folder: Path, mask: str, days: int, tile: int) -> PatchesSettings:
    archive = folder / "archive"
    dates = [FIRST + dt.timedelta(days=number) for number in range(days)]
    names = {
        "ostia": [f"ostia/{date:%Y%m%d}120000-UKMO-L4_GHRSST-SSTfnd-OSTIA-GLOB_REP-v02.0-fv02.0.nc" for date in dates],
        "glorys": [f"glorys/mercatorglorys12v1_gl12_mean_{date:%Y%m%d}_R{date:%Y%m%d}.nc" for date in dates[3::7]],
    }
    when = {"ostia": dates, "glorys": dates[3::7]}
    globe = {
        "latitude": json.dumps(Axis(-89.5, 1.0, 180).to_dict()),
        "longitude": json.dumps(Axis(-179.5, 1.0, 360, 360.0).to_dict()),
        "depth": "[]", "variables": "{}", "grid_hash": "", "depth_hash": "", "problem": "", "note": "",
        "time_index": 0, "revision": pd.NaT, "bytes": 1, "mtime_ns": 0,
    }  # fmt: skip
    rows = [
        {**globe, "product": product, "date": pd.Timestamp(date), "path": path}
        for product, paths in names.items()
        for date, path in zip(when[product], paths, strict=True)
    ]
    inventory = pd.DataFrame(rows, columns=list(COLUMNS)).astype(COLUMNS)
    inventory.attrs["root"] = str(archive)
    first = archive / inventory["path"].iloc[0]  # the one that is looked for
    first.parent.mkdir(parents=True)
    first.touch()
    write_parquet(inventory, str(folder / "inventory.parquet"))
    return parse_settings(
        PatchesSettings,
        {
            "archive": {
                "root": str(archive),
                "inventory": str(folder / "inventory.parquet"),
                "products": {"glorys": None, "ostia": None},
            },
            "output": str(folder / "index"),
            "tiling": {"mask": mask, "tile": tile, "stride": tile // 2},
            "rows": {"frequency": "daily", "keep_empty": True},
        },
        "benchmark",
    )


if __name__ == "__main__":
    output, land, *numbers = sys.argv[1:]
    days, tile = map(int, numbers)
    json.dump(asdict(_measure(Path(output), land, days, tile)), sys.stdout)
