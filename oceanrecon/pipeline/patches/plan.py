"""What an index will hold: its patches, dates, files, sides, and where its profiles come from."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from oceanrecon.config import ArchiveSettings
from oceanrecon.errors import ConfigError
from oceanrecon.grid.levels import GLORYS_DEPTH
from oceanrecon.grid.times import next_month
from oceanrecon.patch_config import PatchesSettings
from oceanrecon.pipeline.inventory import read_inventory
from oceanrecon.pipeline.patches.footprint import Footprint
from oceanrecon.pipeline.patches.match import Files, day_of
from oceanrecon.pipeline.patches.month import IndexRecipe, RowsTask, SeenTask, month_names
from oceanrecon.pipeline.patches.observed import FileMonth, GriddedMonth, Observed, gridded_months
from oceanrecon.pipeline.patches.output import resolved
from oceanrecon.pipeline.patches.rows import Dates, find_dates, with_files, with_profiles
from oceanrecon.pipeline.patches.spatial import spatial_table
from oceanrecon.pipeline.patches.split import Split
from oceanrecon.pipeline.patches.tiling import Tiling, make_tiling
from oceanrecon.pipeline.profiles.plan import EnrichPlan, plan_profiles
from oceanrecon.profile_config import ProfileFilesSettings, ProfilesSettings
from oceanrecon.sources.listing import list_files
from oceanrecon.sources.profile_file import is_profile_name
from oceanrecon.sources.registry import PRODUCTS
from oceanrecon.sources.select import Holding, holdings
from oceanrecon.stores.files import Root
from oceanrecon.stores.manifest import read_manifest
from oceanrecon.stores.steps import Step, StepFailure

#: Names of profile files and their paths below the archive, for profiles that know their file by its name only.
NAMES = "parts/names.json"


@dataclass(frozen=True, eq=False)
class IndexPlan:
    """All that the tasks of an index are made of."""

    #: with absolute paths
    settings: PatchesSettings
    tiling: Tiling
    #: the spatial table, with its phases
    spatial: pd.DataFrame
    dates: Dates
    #: of each row: [date, patch]
    phases: NDArray[np.uint8]
    #: sides that are asked for
    sides: tuple[str, ...]
    footprint: Footprint
    #: months of files; those of a gridded store are known once ``names`` is written
    months: tuple[Observed, ...]
    #: what the manifest of the export says of its profiles, where they are taken from there
    section: Mapping[str, Any] | None
    names: Mapping[str, str]
    failures: tuple[StepFailure, ...]
    notes: tuple[str, ...]

    @property
    def days(self) -> tuple[int, int]:
        """First and last day whose profiles count for a row."""
        half = (self.settings.rows.days - 1) // 2
        day = self.dates.table["day"]
        return int(day.iloc[0]) - half, int(day.iloc[-1]) + half

    @property
    def months_of_rows(self) -> int:
        """Months that have dates of rows."""
        return len({*month_names(self.dates.table["day"].to_numpy())})

    def recipe(self, spatial: str) -> IndexRecipe:
        """What all months have in common; ``spatial`` is the checksum of the spatial table."""
        rows = self.settings.rows
        return IndexRecipe(
            output=self.settings.output,
            patches=self.tiling.patches,
            days=rows.days,
            max_glorys_days=rows.max_glorys_days,
            quality=rows.quality,
            keep_empty=rows.keep_empty,
            spatial=spatial,
        )

    def observed(self, root: Root) -> list[Observed]:
        """The months that have profiles, from the one source or the other."""
        if self.section is None:
            return list(self.months)
        root.write(NAMES, (json.dumps(dict(sorted(self.names.items())), indent=0) + "\n").encode())
        export = self.settings.export
        assert export is not None  # it has a section
        gridded: list[GriddedMonth] = gridded_months(export, self.section, self.days, root.url_of(NAMES))
        return list(gridded)

    def seen_tasks(self, root: Root) -> list[SeenTask]:
        """A task per month of profiles."""
        most = self.settings.rows.max_glorys_days
        tasks = []
        for month in self.observed(root):
            low = day_of(month.first) - most
            high = low + 31 + 2 * most
            tasks.append(SeenTask(month, self.dates.ostia.between(low, high), self.dates.glorys.between(low, high)))
        return tasks

    def rows_tasks(self, seen: Mapping[str, Step]) -> list[RowsTask]:
        """A task per month of dates."""
        half = (self.settings.rows.days - 1) // 2
        day = self.dates.table["day"].to_numpy()
        months = np.array(month_names(day))
        tasks = []
        for month in np.unique(months):
            mine = np.flatnonzero(months == month)
            first, last = month_names(np.array([day[mine[0]] - half, day[mine[-1]] + half]))
            parts = [step.files[0] for name, step in seen.items() if first <= name <= last]
            tasks.append(
                RowsTask(
                    self.dates.table.iloc[mine].reset_index(drop=True),
                    self.phases[mine],
                    tuple((part.path, part.sha256) for part in parts),
                )
            )
        return tasks


def plan_index(settings: PatchesSettings) -> IndexPlan:
    """Resolve the settings against the export and the archive, which is scanned on all cores without an inventory.

    Raises:
        ConfigError: a setting is impossible with what is there, or there are no profiles.
        ArchiveError: no date has the files that it needs.
        OutputError: there is no finished export.
        PlanError: no profile lies between the dates.
    """
    settings = resolved(settings)
    export = None if settings.export is None else read_manifest(Root(settings.export))
    held = _held(settings.archive)
    tiling = make_tiling(settings, export)
    archive: dict[str, Files] = {name: Files.of_archive(held[name]) for name in ("glorys", "ostia") if name in held}
    dates = find_dates(settings, archive, export)
    section = _section(settings, export)
    if section is not None:
        dates = with_profiles(dates, section, settings.rows.days)
    months: tuple[FileMonth, ...] = ()
    failures: tuple[StepFailure, ...] = ()
    notes: tuple[str, ...] = ()
    if settings.en4 is not None or settings.argo is not None:
        planned = _plan_files(settings, export, held, dates)
        failures, notes = planned.failures, planned.notes
        dates = with_files(dates, *_held_months(planned), settings.rows.days)
        months = _file_months(settings, planned, dates)
    split = Split.of(settings.split, tiling)
    footprint = Footprint.of(settings.rows.days, dates.glorys.dates(), export)
    return IndexPlan(
        settings=settings,
        tiling=tiling,
        spatial=spatial_table(settings, tiling, split),
        dates=dates,
        phases=split.phases(dates.dates, footprint.spans(dates.dates), dates.notes),
        sides=split.asked,
        footprint=footprint,
        months=months,
        section=section,
        names={} if section is None or settings.archive is None else profile_paths(settings.archive.root),
        failures=failures,
        notes=(*dates.notes, *notes),
    )


def _held(archive: ArchiveSettings | None) -> dict[str, Holding]:
    if archive is None:
        return {}
    unknown = [name for name in archive.products if name not in PRODUCTS]
    if unknown:
        raise ConfigError(f"archive.products: there is no product {unknown[0]!r}: known are {', '.join(PRODUCTS)}")
    return holdings(read_inventory(archive), archive.products)


def _section(settings: PatchesSettings, export: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    """Gridded profiles, where they are what counts."""
    if settings.en4 is not None or settings.argo is not None:
        return None
    section: Mapping[str, Any] | None = None if export is None else export.get("argo")
    if section is None and not settings.rows.keep_empty:
        what = "there are no gridded profiles without an export"
        if settings.export is not None:
            what = f"{settings.export} has no gridded profiles: run `oceanrecon profiles grid CONFIG`"
        raise ConfigError(
            f"no row has a profile: {what}; or give the files themselves as `en4` and `argo`, or keep rows without "
            "profiles with rows.keep_empty"
        )
    return section


def _plan_files(
    settings: PatchesSettings, export: Mapping[str, Any] | None, held: Mapping[str, Holding], dates: Dates
) -> EnrichPlan:
    """The whole months that the days of the rows reach into: of one that is cut nobody could tell what it lacks."""
    form = held["glorys"].form if "glorys" in held else None
    native = () if form is None else form.depth
    depth = tuple(export["depth_axis_m"]) if export is not None else native
    first, last = _between(settings, dates)
    return plan_profiles(
        ProfilesSettings(
            en4=settings.en4,
            argo=settings.argo,
            output=settings.output,
            start=first.replace(day=1),
            end=next_month(last) - dt.timedelta(days=1),
            depth=depth or GLORYS_DEPTH,
        )
    )


def _held_months(planned: EnrichPlan) -> tuple[list[dt.date], str]:
    """The months whose profiles are known, by the rule of ``ArchivePatches``, and what files make them so."""
    if planned.settings.en4 is not None:
        return [month.first for month in planned.months if month.en4 is not None], "an EN4 file"
    return [month.first for month in planned.months if (month.argo["reason"] == "").any()], "an accepted Argo profile"


def _file_months(settings: PatchesSettings, planned: EnrichPlan, dates: Dates) -> tuple[FileMonth, ...]:
    prefixes = {
        kind: _prefix(settings.archive, files)
        for kind, files in (("en4", settings.en4), ("argo", settings.argo))
        if files is not None
    }
    first, last = _between(settings, dates)
    days = day_of(first), day_of(last)
    return tuple(
        FileMonth(month, planned.recipe, days, prefixes)
        for month in planned.months
        if first.replace(day=1) <= month.first <= last
    )


def _between(settings: PatchesSettings, dates: Dates) -> tuple[dt.date, dt.date]:
    """First and last day whose profiles count for a row."""
    half = dt.timedelta(days=(settings.rows.days - 1) // 2)
    return dates.dates[0] - half, dates.dates[-1] + half


def _prefix(archive: ArchiveSettings | None, files: ProfileFilesSettings) -> str:
    """What comes before a path so that it begins at the archive root; nothing where it is elsewhere."""
    if archive is None or not f"{files.root}/".startswith(f"{archive.root}/"):
        return ""
    below = files.root.removeprefix(archive.root).strip("/")
    return f"{below}/" if below else ""


def profile_paths(archive: str) -> dict[str, str]:
    """Paths of the profile files below an archive by their names, of those whose names are unique.

    Raises:
        ArchiveError: it cannot be listed.
    """
    found: dict[str, str] = {}
    several: set[str] = set()
    for path, _, _ in list_files(archive):
        name = path.rpartition("/")[2]
        if is_profile_name(name):
            several |= {name} & found.keys()
            found[name] = path
    return {name: path for name, path in found.items() if name not in several}
