"""The task: a day of a source, read once and cut into its regions."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import asdict
from functools import partial

import numpy as np

from oceanrecon.errors import OutputError, SourceError
from oceanrecon.grid.octants import OCTANTS, cut, octant_of
from oceanrecon.pipeline.regions.plan import DayTask
from oceanrecon.sources.daily.registry import DAILY
from oceanrecon.sources.daily.source import DailySource, RawFile
from oceanrecon.sources.unchanged import check_unchanged
from oceanrecon.stores.files import Root
from oceanrecon.stores.memory import forget_peak, keep_freed_memory, peak_memory
from oceanrecon.stores.steps import (
    Step,
    StepFailure,
    StoredFile,
    UsedFile,
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
    """Make the tiles of a day of a source, on a worker; a failure, or what stops the run, is returned.

    Files are read before anything is written: a file that is bad leaves the tiles that were there, and their receipt.
    """
    keep_freed_memory()
    forget_peak()
    wall, cpu = time.perf_counter(), time.process_time()
    root, source = Root(output), DAILY[task.source]
    try:
        try:
            for file in task.files:
                _check(file)
            writers, counts = _read(root, task, source)
            # nothing tells of a file that is being replaced
            root.remove(step_path("receipts", task.source, task.name))
            tiles = [write() for write in writers]
        except OutputError:
            raise
        except Exception as error:
            return record(root, task, error)
        made = {tile.path for tile in tiles}
        # of an earlier run, finished or not, which had points there
        for number in range(len(OCTANTS)):
            if (path := _path(task, number)) not in made:
                root.remove(path)
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
            rows=tuple(asdict(_row(task, source, tile)) for tile in tiles),
        )
        write_step(root, step)
        return step
    except OutputError as error:
        return error


def _check(file: RawFile) -> None:
    try:
        check_unchanged(file.url, file.size, file.mtime_ns)
    except SourceError as error:
        raise SourceError(f"{file.url}: {error}") from error


def record(root: Root, task: DayTask, error: BaseException) -> StepFailure:
    """Record why a day of a source could not be made; tiles of an earlier run, and their receipt, stay.

    Raises:
        OutputError: it cannot be recorded.
    """
    failure = StepFailure(task.source, task.name, type(error).__name__, str(error) or repr(error))
    write_failure(root, failure, keep=True)
    return failure


#: Writes a tile.
_Writer = Callable[[], StoredTile]


def _read(root: Root, task: DayTask, source: DailySource) -> tuple[Iterable[_Writer], dict[str, int]]:
    """What writes the tiles of a day whose files have been read, and how much is in them."""
    names = tuple(file.name for file in task.files)
    about = About(source.key, source.title, task.day, names, _PROCESSING[source.kind])
    if source.read_grid is not None:
        day = source.read_grid(task.files, task.day)
        parts = cut(day.latitude, day.longitude)
        return (
            partial(write_gridded, root, _path(task, number), OCTANTS[number], day, rows, columns, about)
            for number, rows, columns in parts
        ), {
            "cells": int(day.latitude.size * day.longitude.size),
            **{f"implausible {name}": count for name, count in day.implausible.items() if count},
        }
    assert source.read_points is not None  # it is one or the other
    days = source.read_points(task.files, task.day)
    if source.cell_km is not None:
        bins = DayBins(source.cell_km)
        for points in days:
            bins.add(points)
        return (
            partial(write_cells, root, _path(task, OCTANTS.index(binned.grid.octant)), binned.grid, binned, about)
            for binned in bins.finish()
        ), {"points": bins.placed, "without position": bins.unplaced}
    several = list(days)
    if len(several) != 1:
        raise SourceError(f"{len(several)} files of points of one day, where one is read: {', '.join(names)}")
    where = octant_of(several[0].latitude, several[0].longitude)
    inside = {number: found for number in range(len(OCTANTS)) if (found := np.flatnonzero(where == number)).size}
    return (
        partial(write_points, root, _path(task, number), OCTANTS[number], several[0], points, about)
        for number, points in inside.items()
    ), {"points": int(np.count_nonzero(where >= 0)), "without position": int(np.count_nonzero(where < 0))}


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
