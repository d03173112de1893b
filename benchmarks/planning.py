"""What the bookkeeping costs: planning 761 weeks, resuming when all is there, and the scheduler's share."""

from __future__ import annotations

import datetime as dt
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from distributed import Client, LocalCluster, as_completed

from benchmarks.data import Scale
from oceanrecon.config import ArchiveSettings, ExportSettings
from oceanrecon.pipeline.export import run_plan
from oceanrecon.pipeline.output import GUARD, resolved
from oceanrecon.pipeline.plan import Plan, plan
from oceanrecon.pipeline.recipe import DENSE, MASK, Recipe, raster_path
from oceanrecon.sources.block import Block
from oceanrecon.sources.inventory import write_parquet
from oceanrecon.sources.registry import product as find_product
from oceanrecon.stores.files import Root
from oceanrecon.stores.mask import encode_land_mask
from oceanrecon.stores.receipts import BandStatistics, Receipt, SourceUsed, WrittenFile, write_receipt
from oceanrecon.stores.zarr_store import shard_key

_START = dt.date(2010, 1, 1)


def measure_planning(scale: Scale, weeks: int) -> dict[str, float]:
    """Plan, resume and schedule ``weeks`` weekly targets of six variables; seconds of wall and of CPU, and sizes."""
    settings = made_up_settings(scale, weeks)
    started, cpu = time.perf_counter(), time.process_time()
    planned = plan(settings)
    figures: dict[str, float] = {
        "plan_wall_seconds": time.perf_counter() - started,
        "plan_cpu_seconds": time.process_time() - cpu,
        "tasks": planned.tasks,
        "files": len(planned.inventory),
        "graph_bytes": planned.graph_bytes,
    }
    local = LocalCluster(n_workers=1, threads_per_worker=1, host="127.0.0.1", dashboard_address="127.0.0.1:0")
    with local as cluster, Client(cluster) as client:
        figures["schedule_cpu_seconds_per_task"] = _schedule(client, planned)
        _finish(planned)
        started, cpu = time.perf_counter(), time.process_time()
        result = run_plan(planned, client, resume=True)
        figures["resume_wall_seconds"] = time.perf_counter() - started
        figures["resume_cpu_seconds"] = time.process_time() - cpu
    if (result.kept, result.written) != (planned.tasks, 0):
        raise SystemExit(f"the resume kept {result.kept} of {planned.tasks} blocks and wrote {result.written}")
    shutil.rmtree(planned.recipe.output)
    return figures


def made_up_settings(scale: Scale, weeks: int) -> ExportSettings:
    """An export of an archive that exists only as an inventory: the files of one date, on every date."""
    output = scale.data / "planning"
    shutil.rmtree(output, ignore_errors=True)
    one = scale.plan("both", "uint8").inventory
    parts = []
    for name, rows in one.groupby("product"):
        days = 7 * np.arange(weeks) if name == "glorys" else np.arange(-3, 7 * weeks - 4)
        part = rows.iloc[np.zeros(days.size, dtype=int)].copy()
        part["date"] = pd.Timestamp(_START) + pd.to_timedelta(days, unit="D")
        part["path"] = [
            rows["path"].iloc[0].replace(f"{rows['date'].iloc[0]:%Y%m%d}", f"{d:%Y%m%d}") for d in part["date"]
        ]
        parts.append(part)
    inventory = pd.concat(parts, ignore_index=True).astype(one.dtypes.to_dict())
    root = scale.data / "made-up"
    inventory.attrs["root"] = str(root)
    table = str(scale.data / "made-up.parquet")
    write_parquet(inventory, table)
    first = root / inventory["path"].iloc[0]  # a plan looks whether the archive is there
    first.parent.mkdir(parents=True, exist_ok=True)
    first.touch()
    settings = scale.settings("both", "uint8", output)
    archive = ArchiveSettings(root=str(root), inventory=table, products=settings.archive.products)
    return settings.model_copy(update={"archive": archive})


def _schedule(client: Client, planned: Plan) -> float:
    """CPU-seconds of client and scheduler (this process) per task that does nothing but carry what blocks carry."""
    waiting = iter(enumerate(planned.blocks))

    def submit() -> Iterator[Any]:
        for number, block in waiting:
            yield client.submit(_nothing, block, planned.recipe, number, key=f"nothing-{number}", pure=False)
            return

    cpu = time.process_time()
    running = as_completed([future for _ in range(2) for future in submit()])
    for future in running:
        future.result()
        for following in submit():
            running.add(following)
    return (time.process_time() - cpu) / planned.tasks


def _nothing(block: Block, recipe: Recipe, number: int) -> Receipt:
    return made_up_receipt(block, recipe)


def made_up_receipt(block: Block, recipe: Recipe) -> Receipt:
    """A receipt as the block would leave it."""
    date = f"{block.date:%Y%m%d}"
    product = find_product(block.product)
    variable = product.variable(block.variable)
    week = (block.date - _START).days // 7
    return Receipt(
        product=block.product,
        variable=block.variable,
        date=date,
        key=recipe.key(block),
        files=(
            WrittenFile(raster_path(block.product, block.variable, date), 1, "0" * 64, "geotiff"),
            WrittenFile(shard_key(DENSE, recipe.dense_variable(product, variable), week), 1, "0" * 64, "zarr"),
        ),
        sources=tuple(
            SourceUsed(source.path, f"{source.date:%Y%m%d}", 0, source.bytes, source.mtime_ns, None)
            for source in block.sources
        ),
        statistics=(BandStatistics(1_000_000, 1_000_000, 0, 0, 273.15, 303.15, 283.15),) * block.levels,
        days_used=tuple(f"{source.date:%Y%m%d}" for source in block.sources),
        target_distance_days=0,
        warnings=(),
        timing={"wall": 1.0, "cpu": 1.0, "peak_memory_bytes": 1.0},
        versions={},
    )


def _finish(planned: Plan) -> None:
    """Leave what an export that has made every block leaves, with files of one byte."""
    root = Root(planned.recipe.output)
    mask = np.zeros((planned.recipe.grid.height, planned.recipe.grid.width), np.uint8)
    root.write(MASK, encode_land_mask(mask, planned.recipe.grid, {}))
    GUARD.write(root, resolved(planned))
    for block in planned.blocks:
        receipt = made_up_receipt(block, planned.recipe)
        write_receipt(root, receipt)
        for file in receipt.files:
            path = Path(root.url_of(file.path))
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"0")
