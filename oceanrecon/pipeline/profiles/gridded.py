"""The gridded store: its recipe, its columns, its index, and its section of the manifest."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from oceanrecon.config import TemperatureSource
from oceanrecon.grid import RasterGrid
from oceanrecon.stores.columns import Column, Table, metadata_files
from oceanrecon.stores.files import Root
from oceanrecon.stores.steps import Step, read_steps
from oceanrecon.transform.encode import EncodingName, Stretch, stretch

#: Folder of profiles in an export, the store in it, and what the manifest says of it.
ARGO, GRIDDED, SECTION = "argo", "argo_profiles_on_grid.zarr", "section.json"
#: Names of the enriched columns behind the temperature, by source.
_TEMPERATURE: dict[TemperatureSource, str] = {"potential": "potm", "in-situ": "temp"}
_FLAG = {"flag_values": [-1], "flag_meanings": "missing", "comment": "flags of the source, 4 is bad in all of them"}


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
            Column(
                f"argo_{name}_profile_qc", "int8", {"long_name": f"{what}: worst flag of the profile", **_FLAG}, fill=-1
            ),
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


def write_section(
    root: Root, recipe: GridRecipe, groups: Mapping[str, Step], rows: int, held: Mapping[str, Any]
) -> dict[str, Any]:
    """What the manifest of the export says of its profiles; also kept beside the store, for manifests made later.

    ``held`` says which months (``2012-03``) and days the enriched store has, profiles or none: others are not known.
    """
    shards, _ = read_steps(root, "shards")
    files = {
        f"{ARGO}/{file.path}": {"bytes": file.bytes, "sha256": file.sha256}
        for step in shards.values()
        for file in step.files
    }
    for path, data in root.read_many(metadata_files(root, GRIDDED)).items():
        files[f"{ARGO}/{path}"] = {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
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
        "window_days": recipe.window_days,
        **held,
        "encoding": recipe.encoding,
        "left_out": {name: sum(step.counts[name] for step in groups.values()) for name in ("outside_grid", "no_value")},
        "files": dict(sorted(files.items())),
    }
    root.write(SECTION, (json.dumps(section, indent=1) + "\n").encode())
    return section


def read_section(export: Root) -> dict[str, Any] | None:
    """What the manifest of an export says of its profiles; ``None`` where it has none."""
    path = f"{ARGO}/{SECTION}"
    return json.loads(export.read(path)) if export.exists(path) else None


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
