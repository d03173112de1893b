"""A few samples of an index with an export, decoded for people: the one across the dateline, and three typical ones."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from oceanrecon.errors import ConfigError, OceanreconError
from oceanrecon.grid.times import parse_date
from oceanrecon.pipeline.patches.figures import INVALID, PatchFigures
from oceanrecon.pipeline.patches.stats import check_grid, middle_date, read_date
from oceanrecon.samples.export import ExportSource
from oceanrecon.samples.form import CHANNELS, FIELDS, SCENARIOS, Dense, Sample
from oceanrecon.samples.index import read_index
from oceanrecon.samples.rows import Rows
from oceanrecon.stores.files import Root
from oceanrecon.stores.manifest import read_manifest
from oceanrecon.transform.encode import stretch

#: Depths of the target that are shown, m: the nearest levels.
DEPTHS = (0.0, 100.0, 1000.0)


@dataclass(frozen=True, eq=False)
class Shown:
    """A field of an example: values in the units of the export, NaN where it has none: [row, column]."""

    channel: Dense
    #: m, or ``None`` for a surface field
    depth: float | None
    values: NDArray[np.float32]
    #: difference of neighbouring codes, in these units
    step: float
    #: means of the profiles at this depth, NaN where they have none: [point]
    observed: NDArray[np.float32] | None = None


@dataclass(frozen=True, eq=False)
class Example:
    """One sample. Longitudes go on beyond 180 where the patch crosses the dateline."""

    #: of ``choose``
    name: str
    patch_id: int
    date: dt.date
    phase: str
    #: profiles of its row in the table
    profiles: int
    #: of its columns and rows, degrees: [tile + 1], eastwards, and southwards
    longitude: NDArray[np.float64]
    latitude: NDArray[np.float64]
    #: True on land: [row, column]
    land: NDArray[np.bool_]
    #: row and column of pixels with profiles: [point] each
    points: tuple[NDArray[np.int64], NDArray[np.int64]]
    surface: tuple[Shown, ...]
    target: tuple[Shown, ...]


def find_examples(figures: PatchFigures) -> tuple[list[Example], list[str]]:
    """The examples of an index, and why there is none: no export, or something in it is lacking or damaged."""
    if figures.export is None:
        return [], []
    try:
        return read_examples(figures.export, figures), []
    except OceanreconError as error:
        return [], [f"no sample can be shown: {error}"]


def read_examples(export: str, figures: PatchFigures) -> list[Example]:
    """Read up to four samples at the middle date that index and export share.

    Args:
        export: folder or URL.
        figures: of the index.

    Raises:
        ConfigError: the export lacks what a sample needs, or has another grid.
        OutputError: a file is gone or damaged.
    """
    manifest = read_manifest(Root(export))
    check_grid(export, manifest, figures.patches.grid)
    names = {name for group in _stored(manifest).values() for name, entries in group.items() if entries}
    scenario = next((name for name in SCENARIOS if FIELDS[SCENARIOS[name][0]].variable in names), None)
    surface = [name for name in CHANNELS if name in names]
    if scenario is None or not surface:
        raise ConfigError(f"{export} has no target or no surface field: it has {', '.join(sorted(names)) or 'nothing'}")
    date = middle_date([int(f"{date:%Y%m%d}") for date in figures.dates], manifest["target_dates"])
    if date is None:
        raise ConfigError(f"{export} has none of the {len(figures.dates)} dates of the index")
    rows = read_date(Root(figures.index), f"{figures.frequency}.parquet", date)
    chosen = choose(figures, rows)
    ids = np.array(list(chosen.values()), np.int64)
    every = Rows(ids, np.full(ids.size, date, np.int32), figures.patches.tile)
    source = ExportSource(
        export, every, scenario=scenario, surface=surface, days=figures.days, quality=read_index(figures.index).quality
    )
    samples = source.samples(range(ids.size))
    return [_example(figures, source, sample, name, rows) for sample, name in zip(samples, chosen, strict=True)]


def choose(figures: PatchFigures, rows: pd.DataFrame) -> dict[str, int]:
    """Name -> ``patch_id`` of the examples: a patch across the dateline, and of the others the extremes and the middle.

    Args:
        figures: of the index.
        rows: of one date: ``patch_id``, ``phase`` and ``argo_profile_count``.
    """
    table = figures.table.assign(crossing=figures.crossing, used=figures.used)[figures.used | figures.crossing]
    pool = table.merge(rows[["patch_id", "argo_profile_count"]], on="patch_id", how="left")
    pool["argo_profile_count"] = pool["argo_profile_count"].fillna(-1)
    # one that is used, with much ocean, the dateline near its middle, and many profiles, in this order
    crossing = pool[pool["crossing"] & (pool["phase"] != INVALID)]
    off = 180.0 - crossing["lon_center"].abs()
    crossing = crossing.assign(
        open=crossing["ocean_fraction"] > 0.9,
        middle=off <= figures.patches.stride * figures.patches.grid.dx / 2 + 1e-9,
    ).sort_values(["used", "open", "middle", "argo_profile_count", "patch_id"])
    chosen = {"dateline": int(crossing["patch_id"].iloc[-1])} if len(crossing) else {}
    pool = pool[pool["used"] & (pool["argo_profile_count"] >= 0) & ~pool["patch_id"].isin(chosen.values())]
    by_profiles = pool.sort_values(["argo_profile_count", "patch_id"])["patch_id"].tolist()
    if by_profiles:
        by_land = pool.sort_values(["land_fraction", "argo_profile_count", "patch_id"])["patch_id"].tolist()
        middle = by_profiles[len(by_profiles) // 2]
        for name, patch in (("profiles", by_profiles[-1]), ("coast", by_land[-1]), ("typical", middle)):
            if patch not in chosen.values():
                chosen[name] = int(patch)
    return chosen


def _stored(manifest: Mapping[str, Any]) -> Mapping[str, Mapping[str, Sequence[Any]]]:
    """By product and variable, in the form that samples are read from."""
    stored: Mapping[str, Mapping[str, Sequence[Any]]] = (manifest["dense"] or {}).get("shards") or manifest["rasters"]
    return stored


def _example(figures: PatchFigures, source: ExportSource, sample: Sample, name: str, rows: pd.DataFrame) -> Example:
    grid, tile, form = source.grid, source.rows.tile, source.form
    row, column = sample.patch_id // grid.width, sample.patch_id % grid.width
    field = form.fields[0]
    levels = sorted({int(np.abs(np.array(form.depth) - depth).argmin()) for depth in DEPTHS})
    assert form.encoding is not None
    codes = {part.variable: stretch(part.quantity, form.encoding) for part in form.variables}
    mine = rows[rows["patch_id"] == sample.patch_id]
    place = figures.table.set_index("patch_id").loc[sample.patch_id]
    return Example(
        name=name,
        patch_id=sample.patch_id,
        date=parse_date(sample.date),
        phase=str(mine["phase"].iloc[0]) if len(mine) else str(place["phase"]),
        profiles=int(mine["argo_profile_count"].iloc[0]) if len(mine) else 0,
        longitude=np.round(grid.west + (column + np.arange(tile + 1)) * grid.dx, 10),
        latitude=np.round(grid.north - (row + np.arange(tile + 1)) * grid.dy, 10),
        land=sample.land == 1,
        points=(sample.points.astype(np.int64) // tile, sample.points.astype(np.int64) % tile),
        surface=tuple(
            Shown(channel, None, codes[channel.variable].decode(values), codes[channel.variable].step)
            for channel, values in zip(form.channels, sample.surface, strict=True)
        ),
        target=tuple(
            Shown(
                field,
                form.depth[level],
                codes[field.variable].decode(sample.target[field.name][level]),
                codes[field.variable].step,
                sample.observed[field.name][:, level],
            )
            for level in levels
        ),
    )
