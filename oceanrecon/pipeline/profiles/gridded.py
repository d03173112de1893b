"""The gridded store: its columns, the task that makes one group of targets, its index and its section of the manifest."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from oceanrecon.config import TemperatureSource
from oceanrecon.errors import OceanreconError, OutputError
from oceanrecon.grid import RasterGrid
from oceanrecon.grid.times import EPOCH
from oceanrecon.pipeline.memory import keep_freed_memory
from oceanrecon.pipeline.profiles.locate import find_store
from oceanrecon.stores.columns import Column, ColumnLayout, ColumnReader, Table, metadata
from oceanrecon.stores.files import Root
from oceanrecon.stores.part import encode_part
from oceanrecon.stores.steps import Step, StepFailure, StoredFile, read_steps, write_failure, write_step
from oceanrecon.transform.encode import EncodingName, Stretch, stretch

#: Folder of profiles in an export, the store in it, and what the manifest says of it.
ARGO, GRIDDED, SECTION = "argo", "argo_profiles_on_grid.zarr", "section.json"
_FORMAT = 1
_KELVIN = 273.15
#: Names of the enriched columns behind the temperature, by source.
_TEMPERATURE: dict[TemperatureSource, str] = {"potential": "potm", "in-situ": "temp"}
_FLAG = {"flag_values": [-1], "flag_meanings": "missing", "comment": "flags of the source, 4 is bad in all of them"}
#: Argo's letters grade a profile and are no flags.
_FIRST_LETTER = 65


@dataclass(frozen=True)
class GridRecipe:
    """What is common to all groups of a gridded store."""

    output: str
    #: enriched store
    store: str
    grid: RasterGrid
    encoding: EncodingName
    temperature: TemperatureSource
    depth: tuple[float, ...]
    targets: tuple[dt.date, ...]
    window_days: int

    @property
    def stretches(self) -> dict[str, Stretch]:
        """The code of ``temp`` and of ``psal``."""
        return {
            "temp": stretch("temperature_kelvin", self.encoding),
            "psal": stretch("salinity", self.encoding),
        }

    @property
    def names(self) -> dict[str, str]:
        """The columns of codes: ``argo_temp_kelvin_uint8``."""
        return {"temp": f"argo_temp_kelvin_{self.encoding}", "psal": f"argo_psal_{self.encoding}"}

    @property
    def sources(self) -> dict[str, str]:
        """Enriched short names of ``temp`` and ``psal``."""
        return {"temp": _TEMPERATURE[self.temperature], "psal": "psal"}

    def attributes(self) -> dict[str, Any]:
        """Of the store; the same inputs and settings give the same."""
        half = (self.window_days - 1) // 2
        return {
            "title": "Ocean profiles on the grid and the target dates of an export",
            "featureType": "profile",
            "source_kind": "enriched",
            "temperature_source": self.temperature,
            "temperature_source_variable": f"argo_{self.sources['temp']}_on_glorys_depth",
            "temperature_standard_name": "sea_water_potential_temperature"
            if self.temperature == "potential"
            else "sea_water_temperature",
            "temperature_scale": "ITS-90",
            "temperature_units": "K",
            "temperature_reference_pressure_dbar": 0 if self.temperature == "potential" else None,
            "temperature_stretch": self.stretches["temp"].manifest(),
            "salinity_stretch": self.stretches["psal"].manifest(),
            "temporal_assignment": f"nearest target, ties to the earlier, at most {half} days away",
            "window_days": self.window_days,
            "grid": self.grid.to_dict(),
        }


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


def gridded_columns(recipe: GridRecipe) -> tuple[Column, ...]:
    """The columns of the store."""
    columns = [
        Column("profile", "int64", {"long_name": "row of the store"}),
        Column("profile_date", "int32", {"long_name": "date of the profile as YYYYMMDD"}),
        Column("target_date", "int32", {"long_name": "target that it is nearest to, as YYYYMMDD"}),
        Column("latitude", "float32", {"standard_name": "latitude", "units": "degrees_north"}),
        Column("longitude", "float32", {"standard_name": "longitude", "units": "degrees_east"}),
        Column("grid_row", "int32", {"long_name": "row of the grid, 0 is north"}),
        Column("grid_col", "int32", {"long_name": "column of the grid, 0 is west"}),
        Column("platform_number", "string", {"long_name": "WMO platform number", "standard_name": "platform_id"}),
        Column("profile_source_file", "string", {"long_name": "name of the file that the profile is from"}),
        Column("source_profile_idx", "int32", {"long_name": "row of the profile in that file"}),
        Column("enriched_profile", "int64", {"long_name": "row of the profile in the enriched store"}),
    ]
    named = {
        "temp": (recipe.attributes()["temperature_standard_name"], f"{recipe.temperature} temperature"),
        "psal": ("sea_water_practical_salinity", "practical salinity"),
    }
    for name, (standard_name, what) in named.items():
        code = recipe.stretches[name]
        attrs = {
            "standard_name": standard_name,
            "long_name": what,
            "units": code.units,
            "scale_factor": code.step,
            "add_offset": code.minimum,
            "_FillValue": code.nodata,
            "decode": code.manifest()["decode"],
        }
        columns += [
            Column(recipe.names[name], recipe.encoding, attrs, levels=True, fill=code.nodata),
            Column(f"argo_{name}_valid", "bool", {"long_name": f"{what}: has a value"}, levels=True),
            Column(f"argo_{name}_profile_qc", "int8", {"long_name": f"{what}: worst flag of the profile", **_FLAG}, fill=-1),
            Column(
                f"argo_{name}_qc_on_glorys_depth", "int8",
                {"long_name": f"{what}: worst flag of the levels used", **_FLAG}, levels=True, fill=-1,
            ),
        ]  # fmt: skip
    columns.append(
        Column(
            "argo_depth_qc_on_glorys_depth", "int8", {"long_name": "depth: worst flag of the levels used", **_FLAG},
            levels=True, fill=-1,
        )
    )  # fmt: skip
    return tuple(columns)


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
    from oceanrecon.pipeline.profiles.grid import _days, assign_targets

    started, cpu = time.perf_counter(), time.process_time()
    reader = ColumnReader(*find_store(recipe.store))
    read = {
        "profile_date", "latitude", "longitude", "platform_number", "profile_source_file", "profile_idx",
        "argo_juld_qc", "argo_position_qc", "argo_profile_depth_qc", "argo_profile_potm_qc", "argo_profile_psal_qc",
        "argo_depth_qc_on_glorys_depth",
    }  # fmt: skip
    for name in recipe.sources.values():
        read |= {f"argo_{name}_on_glorys_depth", f"argo_{name}_qc_on_glorys_depth"}
    rows = reader.read(sorted(read), group.start, group.stop)
    rows["enriched_profile"] = np.arange(group.start, group.stop)
    index = assign_targets(_days(rows["profile_date"]), recipe.targets, recipe.window_days)
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
        counts |= {f"{name}_{what}": number for what, number in _statistics(values, columns[recipe.names[name]], code).items()}
    for target in range(first, last + 1):
        counts[f"{recipe.targets[target]:%Y%m%d}"] = int((index[keep] == target).sum())
    path = f"parts/{group.name}/0000.parquet"
    data = encode_part(gridded_columns(recipe), columns)
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
    known = [np.where(flag < _FIRST_LETTER, flag, -1) for flag in of_profile]
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


def index_tables(recipe: GridRecipe, groups: Mapping[str, Step]) -> tuple[Table, ...]:
    """Where the rows of each target begin, and how many there are: [target] each."""
    names = [f"{target:%Y%m%d}" for target in recipe.targets]
    counts = np.array([sum(step.counts.get(name, 0) for step in groups.values()) for name in names], np.int64)
    start = np.concatenate([[0], np.cumsum(counts)[:-1]]).astype(np.int64)
    return (
        Table("target", "target", np.array([int(name) for name in names], np.int32), {"long_name": "target, YYYYMMDD"}),
        Table("target_start", "target", start, {"long_name": "first row of the target's profiles"}),
        Table("target_count", "target", counts, {"long_name": "number of the target's profiles"}),
    )


def write_section(root: Root, recipe: GridRecipe, groups: Mapping[str, Step], rows: int) -> dict[str, Any]:
    """What the manifest of the export says of its profiles; also kept beside the store, for manifests made later."""
    layout = ColumnLayout(gridded_columns(recipe), recipe.depth, recipe.attributes())
    shards, _ = read_steps(root, "shards")
    files = {
        f"{ARGO}/{file.path}": {"bytes": file.bytes, "sha256": file.sha256}
        for step in shards.values()
        for file in step.files
    }
    for path, data in metadata(layout, rows, index_tables(recipe, groups)).items():
        files[f"{ARGO}/{GRIDDED}/{path}"] = {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    section = {
        "path": f"{ARGO}/{GRIDDED}",
        "profile_count": rows,
        "source_kind": "enriched",
        "source": recipe.store.rpartition("/")[2],
        "temperature_source": recipe.temperature,
        "temperature_source_variable": recipe.attributes()["temperature_source_variable"],
        "temperature_stats": _total(groups, "temp", recipe.stretches["temp"]),
        "salinity_stats": _total(groups, "psal", recipe.stretches["psal"]),
        "target_dates": [int(f"{target:%Y%m%d}") for target in recipe.targets],
        "coverage_days": [(target - EPOCH).days for target in (recipe.targets[0], recipe.targets[-1])],
        "window_days": recipe.window_days,
        "encoding": recipe.encoding,
        "left_out": {
            name: sum(step.counts[name] for step in groups.values()) for name in ("outside_grid", "no_value")
        },
        "files": dict(sorted(files.items())),
    }
    root.write(SECTION, (json.dumps(section, indent=1) + "\n").encode())
    return section


def _total(groups: Mapping[str, Step], name: str, code: Stretch) -> dict[str, int | float | None]:
    counters = ("valid_count", "nodata_count", "clipped_low_count", "clipped_high_count")
    total: dict[str, int | float | None] = {
        counter: sum(step.counts[f"{name}_{counter}"] for step in groups.values()) for counter in counters
    }
    valid = sum(step.counts[f"{name}_valid_count"] for step in groups.values())
    codes = {
        "minimum": min((step.counts[f"{name}_code_min"] for step in groups.values()), default=0),
        "maximum": max((step.counts[f"{name}_code_max"] for step in groups.values()), default=0),
        "mean": sum(step.counts[f"{name}_code_sum"] for step in groups.values()) / max(valid, 1),
    }
    for what, value in codes.items():
        total[what] = code.minimum + value * code.step if valid else None
    return total
