"""The task: the enriched profiles of some consecutive targets, on the grid and in the code of an export."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from oceanrecon.errors import OceanreconError, OutputError, SourceError
from oceanrecon.grid.times import EPOCH
from oceanrecon.pipeline.profiles.gridded import GridRecipe, gridded_columns
from oceanrecon.pipeline.profiles.locate import find_store
from oceanrecon.stores.columns import ColumnReader
from oceanrecon.stores.files import Root
from oceanrecon.stores.memory import keep_freed_memory
from oceanrecon.stores.part import encode_part
from oceanrecon.stores.steps import Step, StepFailure, StoredFile, step_path, write_failure, write_step
from oceanrecon.transform.encode import Stretch

_FORMAT = 1
_KELVIN = 273.15
#: Argo's letters, A to F, grade a profile and are no flags.
_LETTERS = (65, 70)


@dataclass(frozen=True)
class Group:
    """Some consecutive targets, and the enriched rows that hold their profiles."""

    first: dt.date
    targets: tuple[dt.date, ...]
    start: int
    stop: int
    #: keys of the shards of the enriched store that these rows are in
    identity: tuple[str, ...]

    @property
    def name(self) -> str:
        """``20120307``: the first target."""
        return f"{self.first:%Y%m%d}"

    def key(self, recipe: GridRecipe) -> str:
        """sha256 of everything that decides the bytes of the group."""
        decides = {
            "format": _FORMAT,
            "targets": [str(target) for target in self.targets],
            # a target's neighbours share the days between them
            "around": [str(target) for target in _neighbours(recipe.targets, self.targets)],
            "rows": [self.start, self.stop],
            "identity": self.identity,
            "grid": recipe.grid.to_dict(),
            "encoding": recipe.encoding,
            "temperature": recipe.temperature,
            "depth": recipe.depth,
            "window_days": recipe.window_days,
        }
        return hashlib.sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest()


def _neighbours(targets: tuple[dt.date, ...], some: tuple[dt.date, ...]) -> tuple[dt.date, ...]:
    first, last = targets.index(some[0]), targets.index(some[-1])
    return (*targets[max(first - 1, 0) : first], *targets[last + 1 : last + 2])


def assign_targets(days: NDArray[np.int64], targets: Sequence[dt.date], window: int) -> NDArray[np.int64]:
    """For each day (since 1950-01-01), the index of the nearest target, ties to the earlier; -1 outside its window."""
    wanted = np.array([(target - EPOCH).days for target in targets], np.int64)
    after = np.clip(np.searchsorted(wanted, days), 0, wanted.size - 1)
    before = np.maximum(after - 1, 0)
    index = np.where(np.abs(wanted[before] - days) <= np.abs(wanted[after] - days), before, after)
    return np.where(np.abs(wanted[index] - days) <= (window - 1) // 2, index, -1)


def days_of(dates: NDArray[np.int64]) -> NDArray[np.int64]:
    """Days since 1950-01-01 of YYYYMMDD."""
    unique, where = np.unique(dates, return_inverse=True)
    days = [(dt.date(int(date) // 10000, int(date) // 100 % 100, int(date) % 100) - EPOCH).days for date in unique]
    return np.array(days, np.int64)[where]


def make_group(group: Group, recipe: GridRecipe) -> Step | StepFailure | OutputError:
    """Make one group of targets as a part, then its receipt; a failure or what stops the run is returned."""
    keep_freed_memory()
    root = Root(recipe.output)
    try:
        try:
            return _make(root, group, recipe)
        except OutputError:
            raise
        except (OceanreconError, MemoryError, ValueError, OSError, RuntimeError) as error:
            return record_group_failure(root, group, error)
    except OutputError as error:
        return error


def record_group_failure(root: Root, group: Group, error: BaseException) -> StepFailure:
    """Record that a group cannot be made.

    Raises:
        OutputError: it cannot be recorded.
    """
    failure = StepFailure("groups", group.name, type(error).__name__, str(error) or repr(error))
    write_failure(root, failure)
    return failure


def _make(root: Root, group: Group, recipe: GridRecipe) -> Step:
    started, cpu = time.perf_counter(), time.process_time()
    read = {
        "profile_date", "latitude", "longitude", "platform_number", "profile_source_file", "profile_idx",
        "argo_juld_qc", "argo_position_qc", "argo_profile_depth_qc", "argo_profile_potm_qc", "argo_profile_psal_qc",
        "argo_depth_qc_on_glorys_depth",
    }  # fmt: skip
    for name in recipe.sources.values():
        read |= {f"argo_{name}_on_glorys_depth", f"argo_{name}_qc_on_glorys_depth"}
    try:
        rows = ColumnReader(*find_store(recipe.store)).read(sorted(read), group.start, group.stop)
    except OutputError as error:  # of what is read, not of what is written: the other groups may fare better
        raise SourceError(str(error)) from error
    rows["enriched_profile"] = np.arange(group.start, group.stop)
    index = assign_targets(days_of(rows["profile_date"]), recipe.targets, recipe.window_days)
    row, column = recipe.grid.pixels(rows["longitude"], rows["latitude"])
    valid = {name: np.isfinite(rows[f"argo_{source}_on_glorys_depth"]) for name, source in recipe.sources.items()}
    first, last = recipe.targets.index(group.targets[0]), recipe.targets.index(group.targets[-1])
    mine = (index >= first) & (index <= last)
    inside = row >= 0
    has_value = valid["temp"].any(axis=1) | valid["psal"].any(axis=1)
    keep = np.flatnonzero(mine & inside & has_value)
    keep = keep[np.lexsort((keep, column[keep], row[keep], index[keep]))]
    rows = {name: values[keep] for name, values in rows.items()}
    number = np.array([int(f"{target:%Y%m%d}") for target in recipe.targets], np.int32)
    columns: dict[str, NDArray[Any]] = {
        "profile_date": rows["profile_date"],
        "target_date": number[index[keep]],
        "latitude": rows["latitude"],
        "longitude": rows["longitude"],
        "grid_row": row[keep],
        "grid_col": column[keep],
        "platform_number": rows["platform_number"],
        "profile_source_file": rows["profile_source_file"],
        "source_profile_idx": rows["profile_idx"],
        "enriched_profile": rows["enriched_profile"],
        "argo_depth_qc_on_glorys_depth": rows["argo_depth_qc_on_glorys_depth"],
    }
    counts = {
        "profiles": int(keep.size),
        "outside_grid": int((mine & ~inside).sum()),
        "no_value": int((mine & inside & ~has_value).sum()),
    }
    for name, source in recipe.sources.items():
        values = rows[f"argo_{source}_on_glorys_depth"].astype(np.float64) + (_KELVIN if name == "temp" else 0.0)
        code = recipe.stretches[name]
        flags = rows[f"argo_{source}_qc_on_glorys_depth"]
        columns |= {
            recipe.names[name]: code.encode(values),
            f"argo_{name}_valid": np.isfinite(values),
            f"argo_{name}_qc_on_glorys_depth": flags,
            f"argo_{name}_profile_qc": _worst(rows, name, flags),
        }
        counts |= {
            f"{name}_{what}": number for what, number in _statistics(values, columns[recipe.names[name]], code).items()
        }
    for target in range(first, last + 1):
        counts[f"{recipe.targets[target]:%Y%m%d}"] = int((index[keep] == target).sum())
    path = f"parts/{group.name}/0000.parquet"
    data = encode_part(gridded_columns(recipe), columns)
    root.remove(step_path("receipts", "groups", group.name))  # nothing tells of a file that is being replaced
    root.write(path, data)
    step = Step(
        kind="groups",
        name=group.name,
        key=group.key(recipe),
        files=(StoredFile(path, len(data), hashlib.sha256(data).hexdigest(), int(keep.size)),),
        counts=counts,
        timing={"wall": round(time.perf_counter() - started, 3), "cpu": round(time.process_time() - cpu, 3)},
    )
    write_step(root, step)
    return step


def _worst(rows: Mapping[str, NDArray[Any]], name: str, flags: NDArray[np.int8]) -> NDArray[np.int8]:
    """The worst flag of date, position, depth and variable, and of the levels used; -1 where there is none."""
    of_profile = [
        rows["argo_juld_qc"],
        rows["argo_position_qc"],
        rows["argo_profile_depth_qc"],
        rows["argo_profile_potm_qc" if name == "temp" else "argo_profile_psal_qc"],
    ]
    known = [np.where((flag < _LETTERS[0]) | (flag > _LETTERS[1]), flag, -1) for flag in of_profile]
    known += [flags.max(axis=1, initial=-1), rows["argo_depth_qc_on_glorys_depth"].max(axis=1, initial=-1)]
    return np.asarray(np.max(known, axis=0), np.int8)


def _statistics(values: NDArray[np.float64], codes: NDArray[Any], code: Stretch) -> dict[str, int]:
    found = codes[codes != code.nodata]
    return {
        "valid_count": int(found.size),
        "nodata_count": int(codes.size - found.size),
        "clipped_low_count": int((values < code.minimum).sum()),
        "clipped_high_count": int((values > code.maximum).sum()),
        "code_sum": int(found.sum(dtype=np.int64)),
        "code_min": int(found.min()) if found.size else code.nodata,
        "code_max": int(found.max()) if found.size else -1,
    }
