"""The task: a day of a source, read once and cut into its regions."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import asdict

import numpy as np

from oceanrecon.errors import OceanreconError, OutputError, SourceError
from oceanrecon.grid.octants import OCTANTS, cut, octant_of
from oceanrecon.pipeline.memory import forget_peak, keep_freed_memory, peak_memory
from oceanrecon.pipeline.regions.plan import DayTask
from oceanrecon.sources.daily.registry import DAILY
from oceanrecon.sources.daily.source import DailySource
from oceanrecon.sources.unchanged import check_unchanged
from oceanrecon.stores.files import Root
from oceanrecon.stores.steps import (
    Step,
    StepFailure,
    StoredFile,
    UsedFile,
    read_step,
    step_path,
    write_failure,
    write_step,
)
from oceanrecon.stores.tile_file import About, StoredTile, tile_path, write_cells, write_gridded, write_points
from oceanrecon.stores.tile_inventory import TileRow
from oceanrecon.transform.binning import DayBins

#: What is in ``processing`` of a file.
_PROCESSING = {
    "grid": "cut from the daily field",
    "cells": "mean, spread and number of the values in each cell, no smoothing",
    "points": "as they are",
}


def make_day(task: DayTask, output: str) -> Step | StepFailure | OutputError:
    """Make the tiles of a day of a source, on a worker; a failure, or what stops the run, is returned."""
    keep_freed_memory()
    forget_peak()
    wall, cpu = time.perf_counter(), time.process_time()
    root = Root(output)
    try:
        try:
            for file in task.files:
                check_unchanged(file.url, file.size, file.mtime_ns)
            before = read_step(root, task.source, task.name)
            # nothing tells of a file that is being replaced
            root.remove(step_path("receipts", task.source, task.name))
            tiles, counts = _tiles(root, task, DAILY[task.source])
        except (OceanreconError, MemoryError, ValueError, OSError, RuntimeError) as error:
            if isinstance(error, OutputError):
                raise
            return record(root, task, error)
        made = {tile.path for tile in tiles}
        for old in before.files if before is not None else ():
            if old.path not in made:
                root.remove(old.path)
        timing = {
            "wall": round(time.perf_counter() - wall, 3),
            "cpu": round(time.process_time() - cpu, 3),
            "peak_memory_bytes": peak_memory(),
        }
        step = Step(
            task.source,
            task.name,
            task.key,
            tuple(StoredFile(tile.path, tile.bytes, tile.sha256) for tile in tiles),
            tuple(UsedFile(task.source, file.name, file.size, file.mtime_ns) for file in task.files),
            counts=counts,
            notes=tuple(f"{name} is replaced by a newer file" for name in task.replaced),
            timing=timing,
            rows=tuple(asdict(_row(task, DAILY[task.source], tile)) for tile in tiles),
        )
        write_step(root, step)
        return step
    except OutputError as error:
        return error


def record(root: Root, task: DayTask, error: BaseException) -> StepFailure:
    """Record why a day of a source has no tiles.

    Raises:
        OutputError: it cannot be recorded.
    """
    failure = StepFailure(task.source, task.name, type(error).__name__, str(error) or repr(error))
    write_failure(root, failure)
    return failure


def _tiles(root: Root, task: DayTask, source: DailySource) -> tuple[list[StoredTile], dict[str, int]]:
    about = About(source.key, source.title, task.day, tuple(file.name for file in task.files), _PROCESSING[source.kind])
    if source.read_grid is not None:
        day = source.read_grid(task.files, task.day)
        tiles = [
            write_gridded(root, _path(task, number), OCTANTS[number], day, rows, columns, about)
            for number, rows, columns in cut(day.latitude, day.longitude)
        ]
        return tiles, {"cells": int(day.latitude.size * day.longitude.size)}
    assert source.read_points is not None  # it is one or the other
    days = source.read_points(task.files, task.day)
    if source.cell_km is not None:
        bins = DayBins(source.cell_km)
        for points in days:
            bins.add(points)
        tiles = [
            write_cells(root, _path(task, OCTANTS.index(binned.grid.octant)), binned.grid, binned, about)
            for binned in bins.finish()
        ]
        return tiles, {"points": bins.placed, "without position": bins.unplaced}
    tiles, counts = [], {"points": 0, "without position": 0}
    several = list(days)
    if len(several) != 1:
        raise SourceError(f"{len(several)} files of points of one day: {', '.join(file.name for file in task.files)}")
    where = octant_of(several[0].latitude, several[0].longitude)
    for number in range(len(OCTANTS)):
        if (inside := np.flatnonzero(where == number)).size:
            tiles.append(write_points(root, _path(task, number), OCTANTS[number], several[0], inside, about))
            counts["points"] += inside.size
    counts["without position"] = int(np.count_nonzero(where < 0))
    return tiles, counts


def _path(task: DayTask, octant: int) -> str:
    return tile_path(task.source, OCTANTS[octant].name, task.day)


def _row(task: DayTask, source: DailySource, tile: StoredTile) -> TileRow:
    """What the inventory says of a tile."""
    revisions = sorted({file.revision for file in task.files} - {""})
    return TileRow(
        path=tile.path,
        source=source.key,
        region=tile.region,
        date=task.name,
        variable=source.variable,
        sensor=source.sensor,
        box=tile.extent,
        start=tile.start,
        end=tile.end,
        size=tile.bytes,
        sha256=tile.sha256,
        source_files=tuple(file.name for file in task.files),
        source_version=", ".join(revisions),
        resolution=tile.spacing,
        observations=tile.n_obs,
        valid=sum(tile.valid.values()),
        profiles=tile.n_obs if source.kind == "points" else None,
        satellite_pass=source.satellite_pass,
        gridded=source.kind != "points",
        tracks=tile.n_tracks if source.kind == "cells" else None,
    )


def rows_of(steps: Iterable[Step]) -> list[TileRow]:
    """What the inventory says of the tiles of some receipts."""
    return [TileRow.of(row) for step in steps for row in step.rows]
