"""Where written samples come from: the export, or the archive where there is none, and what identifies their bytes."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from oceanrecon.errors import ConfigError
from oceanrecon.grid import RasterGrid
from oceanrecon.patch_config import PatchesSettings, WriteSettings
from oceanrecon.pipeline.patches.tiling import grid_and_land
from oceanrecon.samples.archive import ArchiveSource
from oceanrecon.samples.export import ExportSource
from oceanrecon.samples.form import CHANNELS, FIELDS, SCENARIOS, Sample, SampleForm
from oceanrecon.samples.rows import Rows
from oceanrecon.samples.tiles import Tile
from oceanrecon.samples.written_bands import MonthField
from oceanrecon.samples.written_rows import decoded
from oceanrecon.sources.block import Block
from oceanrecon.sources.box import BoxReader
from oceanrecon.sources.listing import list_files
from oceanrecon.sources.registry import product as find_product
from oceanrecon.sources.select import holdings
from oceanrecon.sources.stated import stated_inventory
from oceanrecon.stores.files import Root
from oceanrecon.stores.manifest import read_manifest, valid_fraction

_OSTIA = "ostia"
#: Least valid weight of a cell where no export says another.
_USUAL_FRACTION = 0.5
_STAMP = re.compile(r"^(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)")


def surface_of(write: WriteSettings) -> tuple[str, ...]:
    """The surface fields that a form needs."""
    return write.surface if write.form == "zarr" else ("analysed_sst",)


def from_export(settings: PatchesSettings) -> bool:
    """Whether samples come from the export; daily rows are of days that an export does not have."""
    return settings.export is not None and settings.rows.frequency == "weekly"


def open_source(settings: PatchesSettings, rows: Rows) -> ExportSource | ArchiveSource:
    """The source of some rows.

    Raises:
        OceanreconError: it lacks a variable, a date, profiles or days; or cannot be read.
    """
    write = settings.write
    assert write is not None
    if from_export(settings):
        assert settings.export is not None
        if write.form == "npy" and not read_manifest(Root(settings.export)).get("argo"):
            raise ConfigError(
                f"{settings.export} has no gridded profiles; samples of the form npy have none either, but are read as "
                "all samples of an export are: run `oceanrecon profiles grid CONFIG` with grid.export "
                f"{settings.export}, or give `archive` with `en4` or `argo` and no `export`"
            )
        return ExportSource(
            settings.export, rows, scenario=write.scenario, surface=surface_of(write), days=settings.rows.days,
            quality=settings.rows.quality,
        )  # fmt: skip
    if settings.archive is None:
        raise ConfigError("no samples: give `export` (weekly rows) or `archive` with `en4` or `argo`")
    grid, land = grid_and_land(settings)
    return ArchiveSource(
        settings.archive, rows, grid=grid, land=land, en4=settings.en4, argo=settings.argo, scenario=write.scenario,
        surface=surface_of(write), days=settings.rows.days, quality=settings.rows.quality,
        maximum_distance_days=settings.rows.max_glorys_days, minimum_valid_fraction=_fraction(settings),
    )  # fmt: skip


def _fraction(settings: PatchesSettings) -> float:
    """Least valid weight of a cell, for samples of an archive: as in the export, where there is one."""
    return _USUAL_FRACTION if settings.export is None else valid_fraction(read_manifest(Root(settings.export)))


@dataclass(frozen=True)
class Origin:
    """What is known of the fields of a source, by date."""

    #: digest of everything that is read for a date, besides the rows: date -> text
    identity: Mapping[int, str]
    #: file of the reanalysis: date -> path
    glorys: Mapping[int, str]
    #: by product and date: how many days a field is of
    days_used: Mapping[str, Mapping[int, int]]


def origin_of(settings: PatchesSettings, dates: Sequence[int]) -> Origin:
    """What a source reads at some dates.

    Raises:
        OceanreconError: it cannot be read.
    """
    common = _archive_identity(settings)
    if not from_export(settings):
        return Origin(dict.fromkeys(dates, _digest(common)), {}, {})
    assert settings.export is not None and settings.write is not None
    manifest = read_manifest(Root(settings.export))
    dense = manifest["dense"]
    entries = manifest["rasters"] if dense is None else dense["shards"]
    described = (manifest["rasters"], {} if dense is None else dense["shards"])
    argo = manifest["argo"] or {}
    mask = manifest["files"].get(manifest["grid"]["source"])
    digest = _digest([common, manifest["encoding"], mask, argo.get("files"), argo.get("window_days")])
    hashes = {date: [digest] for date in dates}
    used = [FIELDS[name] for name in SCENARIOS[settings.write.scenario]]
    for part in (*used, *(CHANNELS[name] for name in surface_of(settings.write))):
        for entry in entries.get(part.product, {}).get(part.variable, ()):
            if entry["date"] in hashes:
                hashes[entry["date"]].append(entry["sha256"])
    days: dict[str, dict[int, int]] = {}
    for product, variable in (("ostia", "analysed_sst"), ("glorys", "thetao")):
        listed = [entry for group in described for entry in group.get(product, {}).get(variable, ())]
        days[product] = {entry["date"]: len(entry["days_used"]) for entry in listed if "days_used" in entry}
    # the name of a GeoTIFF tells its date, as older readers expect it
    reanalysis = next((group["glorys"]["thetao"] for group in described if group.get("glorys", {}).get("thetao")), ())
    return Origin(
        {date: _digest(parts) for date, parts in hashes.items()},
        {entry["date"]: entry["path"] for entry in reanalysis},
        days,
    )


def _archive_identity(settings: PatchesSettings) -> list[Any]:
    """Of what is read of an archive: which files, how large and how old."""
    write = settings.write
    assert write is not None
    found: list[Any] = []
    if settings.archive is not None and (not from_export(settings) or write.form == "npy"):
        table = stated_inventory(settings.archive)
        found += table[["path", "bytes", "mtime_ns"]].astype(str).to_numpy().tolist()
    if not from_export(settings):
        profiles = [files for files in (settings.en4, settings.argo) if files is not None]
        found += [[list(file) for file in list_files(files.root)] for files in profiles]
        fraction = _fraction(settings)
        found += [] if fraction == _USUAL_FRACTION else [fraction]
    return found


def _digest(parts: Any) -> str:
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


class MonthlyOstia:
    """One OSTIA file per month, the last by name, cut to a patch; of the samples themselves without an archive."""

    def __init__(self, settings: PatchesSettings, grid: RasterGrid) -> None:
        """Of the archive of the settings, where they have one with OSTIA."""
        self._grid = grid
        self._months: dict[int, Block] = {}
        archive = settings.archive
        if archive is None or _OSTIA not in archive.products:
            return
        only = archive.model_copy(update={"products": {_OSTIA: archive.products[_OSTIA]}})
        holding = holdings(stated_inventory(only), [_OSTIA])[_OSTIA]
        form = holding.form
        if form is None:
            return
        root = Root(archive.root).url
        for source in sorted(holding.by_date.values(), key=lambda source: source.path.rpartition("/")[2]):
            self._months[source.date.year * 100 + source.date.month] = Block(
                root, _OSTIA, find_product(_OSTIA).variables[0].name, source.date, (source,), form.latitude,
                form.longitude, (),
            )  # fmt: skip
        self._boxes = BoxReader(grid, 0.5)

    def field(self, sample: Sample, form: SampleForm) -> MonthField:
        """OSTIA of the sample's month, in its patch.

        Raises:
            SourceError: the file cannot be read.
        """
        block = self._months.get(sample.date // 100)
        if block is None:
            at = form.surface.index("analysed_sst")
            date = dt.date(sample.date // 10000, sample.date // 100 % 100, sample.date % 100)
            return MonthField(decoded(sample.surface[at], form.channels[at], form.encoding), "", date.isoformat())
        tile = Tile.of(self._grid, sample.patch_id, form.tile)
        down = tile.row + np.arange(tile.size)
        across = (tile.column + np.arange(tile.size)) % self._grid.width
        path = block.sources[0].path
        stamp = _STAMP.match(path.rpartition("/")[2])
        told = "{}-{}-{}T{}:{}:{}Z".format(*stamp.groups()) if stamp else block.date.isoformat()
        return MonthField(self._boxes.read(block, down, across)[0], path, told)
