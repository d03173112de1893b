"""The tasks: the profiles of a month, then the rows of a month; each leaves a part and a receipt."""

from __future__ import annotations

import datetime as dt
import hashlib
import io
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from oceanrecon.errors import OceanreconError, OutputError
from oceanrecon.grid import PatchGrid
from oceanrecon.grid.times import EPOCH
from oceanrecon.pipeline.patches.assemble import read_part
from oceanrecon.pipeline.patches.counts import Counter
from oceanrecon.pipeline.patches.match import Files, numbers
from oceanrecon.pipeline.patches.observed import Observed
from oceanrecon.pipeline.patches.output import SPATIAL
from oceanrecon.pipeline.patches.schema import PROFILE_COLUMNS, ROW_COLUMNS, typed
from oceanrecon.pipeline.patches.spatial import INVALID
from oceanrecon.pipeline.patches.split import PHASES
from oceanrecon.pipeline.profiles.group import days_of
from oceanrecon.stores.files import Root
from oceanrecon.stores.memory import keep_freed_memory, peak_memory
from oceanrecon.stores.steps import Step, StepFailure, StoredFile, UsedFile, step_path, write_failure, write_step
from oceanrecon.stores.tables import encode_parquet

#: Kinds of receipts, which are the folders of the parts too.
SEEN, ROWS = "profiles", "rows"
_FORMAT = 2
#: Columns of the spatial table that every row repeats.
_PLACE = (
    "patch_id", "lat_center", "lon_center", "lat0", "lat1", "lon0", "lon1", "invalid_fraction", "invalid_percentage",
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class IndexRecipe:
    """What is common to all months of an index."""

    output: str
    patches: PatchGrid
    days: int
    max_glorys_days: int
    quality: tuple[int, ...]
    keep_empty: bool
    #: sha256 of the spatial table
    spatial: str

    def tiling(self) -> list[Any]:
        """The patch grid, for JSON."""
        grid = self.patches
        return [grid.grid.to_dict(), grid.tile, grid.stride, grid.edges, grid.periodic]


@dataclass(frozen=True, eq=False)
class SeenTask:
    """The profiles of a month, with the files that are nearest to each."""

    observed: Observed
    #: files of the days around the month
    ostia: Files
    glorys: Files

    @property
    def name(self) -> str:
        """``2012-03``."""
        return f"{self.observed.first:%Y-%m}"

    def key(self, recipe: IndexRecipe) -> str:
        """sha256 of everything that decides the bytes."""
        files = [sorted(some.paths.items()) + sorted(some.bad.items()) for some in (self.ostia, self.glorys)]
        return _digest(
            [self.observed.identity(), files, recipe.quality, recipe.max_glorys_days, recipe.patches.grid.to_dict()]
        )


@dataclass(frozen=True, eq=False)
class RowsTask:
    """The rows of the dates of a month."""

    #: of ``Dates``
    dates: pd.DataFrame
    #: number of ``PHASES`` for each row: [date, patch of the spatial table that is kept]
    phases: NDArray[np.uint8]
    #: parts of the profiles of these days: path and sha256
    seen: tuple[tuple[str, str], ...]

    @property
    def name(self) -> str:
        """``2012-03``."""
        return _month(int(self.dates["day"].iloc[0]))

    def key(self, recipe: IndexRecipe) -> str:
        """sha256 of everything that decides the bytes."""
        return _digest(
            [
                self.dates.to_dict("list"), hashlib.sha256(self.phases.tobytes()).hexdigest(), self.seen,
                recipe.tiling(), recipe.days, recipe.keep_empty, recipe.spatial,
            ]
        )  # fmt: skip


def month_names(days: NDArray[np.int64]) -> list[str]:
    """The month of each day (since 1950-01-01): ``2012-03``."""
    return [_month(int(day)) for day in days]


def _month(day: int) -> str:
    return f"{EPOCH + dt.timedelta(days=day):%Y-%m}"


def _digest(decides: list[Any]) -> str:
    return hashlib.sha256(json.dumps([_FORMAT, *decides], sort_keys=True).encode()).hexdigest()


Made = Step | StepFailure | OutputError


def make_seen(task: SeenTask, recipe: IndexRecipe) -> Made:
    """Write the profiles of a month; a failure, or what stops the run, is returned."""

    def make(root: Root) -> Step:
        clock = _Clock.start()
        found, bad = task.observed.read(recipe.quality, recipe.patches.grid)
        inside = (found["grid_row"] >= 0).to_numpy()
        found = found[inside].reset_index(drop=True)
        day = found["day"].to_numpy(np.int64)
        date = numbers(day)
        most = recipe.max_glorys_days
        matched = task.glorys.matched(day, most, "glorys")
        nearest = task.glorys.nearest(day, most)
        delta = pd.array(np.abs(nearest - day), dtype="Int32")
        delta[matched["matched_glorys_date"].isna().to_numpy()] = pd.NA
        table = pd.concat(
            [
                pd.DataFrame({"argo_month_key": date // 100, "argo_profile_date": date}),
                found.drop(columns="day"),
                task.ostia.matched(day, most, "ostia"),
                matched.assign(matched_glorys_abs_day_delta=delta),
            ],
            axis=1,
        )
        for failure in bad:
            write_failure(root, failure)
        counts = {"profiles": len(table), "outside_grid": int((~inside).sum())}
        # a month that lacks a file is made again by the next run
        key = "" if bad else task.key(recipe)
        return _write(root, SEEN, task.name, key, typed(table, PROFILE_COLUMNS), clock, counts, task.observed.used)

    return _safely(recipe.output, SEEN, task.name, make)


def make_rows(task: RowsTask, recipe: IndexRecipe) -> Made:
    """Write the rows of a month; a failure, or what stops the run, is returned."""

    def make(root: Root) -> Step:
        clock = _Clock.start()
        place = pq.read_table(io.BytesIO(root.read(f"{SPATIAL}.parquet"))).to_pandas()
        place = place[place["phase"] != INVALID].reset_index(drop=True)
        tile = _tiles(recipe.patches, place["patch_id"].to_numpy())
        seen = _seen(root, task.seen)
        counter = Counter.of(
            recipe.patches, *(seen[name].to_numpy(np.int64) for name in ("grid_row", "grid_col", "day"))
        )
        paths = np.array([*seen["argo_file_path"], ""], dtype=object)
        tables: list[pd.DataFrame] = []
        names = np.array(PHASES, dtype=object)
        profiles = np.zeros(len(names), np.int64)
        for number, date in enumerate(task.dates.to_dict("records")):
            count, nearest = (found[tile] for found in counter.around(date["day"], recipe.days))
            keep = np.ones(count.size, np.bool_) if recipe.keep_empty else count > 0
            phase = task.phases[number][keep]
            profiles += np.bincount(phase, minlength=len(names))
            tables.append(
                place.loc[keep, list(_PLACE)].assign(
                    **{str(name): value for name, value in date.items() if name != "day"},
                    phase=names[phase],
                    argo_valid=(count[keep] > 0).astype(np.int8),
                    argo_profile_count=count[keep],
                    argo_month_key=date["date"] // 100,
                    argo_file_path=paths[nearest[keep]],
                )
            )
        counts = {name: int(number) for name, number in zip(PHASES, profiles, strict=True)}
        return _write(root, ROWS, task.name, task.key(recipe), typed(pd.concat(tables), ROW_COLUMNS), clock, counts, ())

    return _safely(recipe.output, ROWS, task.name, make)


def _tiles(patches: PatchGrid, ids: NDArray[np.int64]) -> NDArray[np.int64]:
    """Which tile of the patch grid each patch is."""
    return np.asarray(np.searchsorted(patches.ids, ids), np.int64)


def _seen(root: Root, parts: tuple[tuple[str, str], ...]) -> pd.DataFrame:
    """Profiles of some months, by day."""
    names = ["argo_profile_date", "argo_file_path", "grid_row", "grid_col"]
    tables = [
        pq.read_table(io.BytesIO(read_part(root, path, sha256)), columns=names).to_pandas() for path, sha256 in parts
    ]
    if not tables:
        return pd.DataFrame({name: np.empty(0) for name in (*names, "day")})
    table: pd.DataFrame = pd.concat(tables, ignore_index=True)
    return table.assign(day=days_of(table["argo_profile_date"].to_numpy(np.int64)))


@dataclass(frozen=True)
class _Clock:
    wall: float
    cpu: float

    @classmethod
    def start(cls) -> _Clock:
        return cls(time.perf_counter(), time.process_time())

    def timing(self) -> dict[str, float]:
        return {
            "wall": round(time.perf_counter() - self.wall, 3),
            "cpu": round(time.process_time() - self.cpu, 3),
            "peak_memory_bytes": peak_memory(),
        }


def _write(
    root: Root,
    kind: str,
    name: str,
    key: str,
    table: pa.Table,
    clock: _Clock,
    counts: dict[str, int],
    used: tuple[UsedFile, ...],
) -> Step:
    data = encode_parquet(table)
    path = f"parts/{kind}/{name}.parquet"
    root.remove(step_path("receipts", kind, name))  # nothing tells of a file that is being replaced
    root.write(path, data)
    file = StoredFile(path, len(data), hashlib.sha256(data).hexdigest(), table.num_rows)
    step = Step(kind, name, key, (file,), sources=used, counts=counts, timing=clock.timing())
    write_step(root, step)
    return step


def _safely(output: str, kind: str, name: str, make: Callable[[Root], Step]) -> Made:
    keep_freed_memory()
    root = Root(output)
    try:
        try:
            return make(root)
        except OutputError:
            raise
        except (OceanreconError, MemoryError, ValueError, OSError, RuntimeError) as error:
            return record_failure(root, kind, name, error)
    except OutputError as error:
        return error


def record_failure(root: Root, kind: str, name: str, error: BaseException) -> StepFailure:
    """Record that the profiles or the rows of a month cannot be made.

    Raises:
        OutputError: it cannot be recorded.
    """
    failure = StepFailure(kind, name, type(error).__name__, str(error) or repr(error))
    write_failure(root, failure)
    return failure
