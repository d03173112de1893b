"""What statistics will be of: fields, training dates and pixels, floats; and the folder that they go to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from oceanrecon.errors import ConfigError
from oceanrecon.grid.coarse import coarse_grid
from oceanrecon.pipeline.guard import Guard
from oceanrecon.pipeline.statistics.recipe import TRAINING, Recipe, write_arrays
from oceanrecon.samples.export import reanalysis_dates
from oceanrecon.samples.form import CHANNELS, FIELDS
from oceanrecon.samples.index import Index
from oceanrecon.samples.rows import Rows
from oceanrecon.samples.withheld import FLOAT_SIDES
from oceanrecon.statistics_config import StatisticsSettings
from oceanrecon.stores.byte_ranges import REMEDY
from oceanrecon.stores.files import Root
from oceanrecon.stores.manifest import export_fingerprint, export_grid, read_manifest, surface_window
from oceanrecon.stores.mask import LAND, read_land_mask_on
from oceanrecon.stores.statistics import ARRAYS, read_statistics

#: Part of the climatology of all variables.
TERMS_PATH = "parts/terms.npz"
GUARD = Guard(
    what="folder of statistics",
    name="statistics.yaml",
    fixed=("export", "index", "source", "floats", "resolution", "smoothing", "ridge", "every", "bathymetry"),
    folders=("receipts", "failures", "parts"),
    files=(ARRAYS,),
)


def resolved(settings: StatisticsSettings) -> StatisticsSettings:
    """The settings with paths that mean the same from any working directory."""
    paths = {name: getattr(settings, name) for name in ("export", "index", "output", "bathymetry")}
    return settings.model_copy(update={name: path and Root(path).url for name, path in paths.items()})


def check_output(settings: StatisticsSettings, *, resume: bool, overwrite: bool) -> None:
    """Refuse an output that is not ours to write; changes nothing.

    Raises:
        OutputError: see ``Guard.check``.
    """
    reads = [settings.export, settings.index, settings.bathymetry]
    GUARD.check(Root(settings.output), settings, reads, resume=resume, overwrite=overwrite)


@dataclass(frozen=True, eq=False)
class StatisticsPlan:
    """All that the tasks are made of."""

    #: as it is without the rows
    recipe: Recipe
    #: of the export
    manifest: Mapping[str, Any]
    #: for training
    rows: Rows
    #: whether dates are for training as a whole
    whole: bool
    #: how many there are by side
    platforms: Mapping[str, int]

    @property
    def dates(self) -> tuple[int, ...]:
        """Training dates, YYYYMMDD, ascending."""
        return self.recipe.dates

    def shared(self) -> Recipe:
        """What tasks share; training rows are written where dates are not for training as a whole."""
        if self.whole:
            return self.recipe
        rows: dict[str, NDArray[Any]] = {"patch_id": self.rows.patch_id, "date": self.rows.date}
        return replace(self.recipe, training=write_arrays(self.recipe.root, TRAINING, rows))

    def sea_floor(self) -> NDArray[np.int8]:
        """Levels with water, where profiles are all there is: of other statistics, or all where the mask has water.

        Raises:
            ConfigError: the other statistics are of another grid or other depths.
            OutputError: they cannot be read.
        """
        settings, recipe = self.recipe.settings, self.recipe
        if settings.bathymetry is None:
            mask = Root(settings.export).url_of(self.manifest["grid"]["source"])
            land = read_land_mask_on(recipe.grid, mask, REMEDY)
            return np.where(land == LAND, 0, len(recipe.depth)).astype(np.int8)
        other = read_statistics(settings.bathymetry)
        if other.grid != recipe.grid or other.depth != recipe.depth:
            raise ConfigError(
                f"bathymetry {settings.bathymetry} is of another grid or other depths than {settings.export}: give "
                "statistics of this grid, or leave it out"
            )
        return other.deepest


def plan_statistics(settings: StatisticsSettings) -> StatisticsPlan:
    """Resolve the settings against the export and the index.

    Raises:
        OutputError: there is no finished export or index.
        ConfigError: they do not belong together, or the export lacks what the settings want.
    """
    settings = resolved(settings)
    manifest = read_manifest(Root(settings.export))
    index = Index(settings.index)
    grid = export_grid(manifest)
    if index.patches.grid != grid:
        raise ConfigError(
            f"{settings.index} is of another grid ({index.patches.grid.width} x {index.patches.grid.height}) than "
            f"{settings.export} ({grid.width} x {grid.height}): make the index of this export"
        )
    entries = (manifest["dense"] or {}).get("shards") or manifest["rasters"]
    stored = {name: {entry["date"] for entry in some} for group in entries.values() for name, some in group.items()}
    rows = index.rows("train", require_profiles=False)
    window = surface_window(manifest)
    index.check_export(settings.export, window, reanalysis_dates(manifest), rows)
    fields, days = tuple(FIELDS.values()), index.days if manifest.get("argo") else 0
    if settings.source == "reanalysis":
        fields = tuple(field for field in fields if stored.get(field.variable))
        if not fields:
            raise ConfigError(
                f"{settings.export} has no reanalysis (it has {', '.join(stored) or 'nothing'}): export it, or take "
                "`source: profiles`"
            )
    elif not days:
        raise ConfigError(
            f"{settings.export} has no gridded profiles, which `source: profiles` is of: run `oceanrecon profiles grid "
            "CONFIG`, or take `source: reanalysis`"
        )
    surface = tuple(channel for channel in CHANNELS.values() if stored.get(channel.variable))
    dense = (*fields, *surface) if settings.source == "reanalysis" else surface
    used = np.unique(rows.date)[:: settings.every].tolist()
    for part in dense:
        if not stored[part.variable].intersection(used):
            held = sorted(stored[part.variable])
            raise ConfigError(
                f"{settings.export} has {part.variable} at none of the {len(used)} training dates ({used[0]} to "
                f"{used[-1]}): it has {len(held)} dates from {held[0]} to {held[-1]}; export those dates, or make the "
                "index of this export"
            )
    recipe = Recipe(
        settings=settings,
        fingerprint=export_fingerprint(manifest),
        grid=grid,
        coarse=coarse_grid(grid, settings.resolution),
        depth=tuple(manifest["depth_axis_m"]),
        fields=fields,
        surface=surface,
        dates=tuple(np.unique(rows.date).tolist()),
        days=days,
        tile=rows.tile,
        training=None,
    )
    sides: Counter[str] = Counter()
    if days:
        sides.update(recipe.floats.side(name) for name in recipe.open_profiles(manifest).platforms())
    whole = index.manifest["split"]["method"] == "year"
    return StatisticsPlan(recipe, manifest, rows, whole, {side: sides[side] for side in FLOAT_SIDES})
