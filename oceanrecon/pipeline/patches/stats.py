"""The figures of a patch index: its rows are read once, some at a time, so that memory does not grow with them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import yaml
from numpy.typing import NDArray

from oceanrecon.config import parse_settings
from oceanrecon.errors import ConfigError, OceanreconError, OutputError
from oceanrecon.grid import PatchGrid, RasterGrid
from oceanrecon.grid.times import parse_date
from oceanrecon.patch_config import PatchesSettings
from oceanrecon.pipeline.patches.figures import (
    GUARD,
    PHASES,
    Counts,
    PatchFigures,
    Support,
    ValidShares,
)
from oceanrecon.pipeline.patches.output import SETTINGS
from oceanrecon.pipeline.patches.proof_tables import open_table
from oceanrecon.pipeline.patches.tiling import grid_and_land
from oceanrecon.samples.form import FIELDS
from oceanrecon.samples.index import SIDES, read_index
from oceanrecon.samples.stored import Codes, open_codes
from oceanrecon.samples.tiles import Tile, cut
from oceanrecon.stores.byte_ranges import REMEDY, Files
from oceanrecon.stores.files import Root
from oceanrecon.stores.manifest import export_grid, read_manifest
from oceanrecon.stores.mask import read_land_mask_on
from oceanrecon.transform.encode import stretch

#: Rows that are held at once.
_ROWS = 65536
_COLUMNS = ("patch_id", "date", "phase", "argo_profile_count")
#: Patches whose values are counted, and how many of them are held at once: all levels of 128 x 128 pixels are 2 MB.
_SAMPLED, _AT_ONCE = 200, 8


def patch_figures(url: str, on_progress: Callable[[int, int], None] | None = None) -> PatchFigures:
    """Read a patch index and count what is in it.

    Args:
        url: folder or fsspec URL of the index.
        on_progress: called with how many rows are read, and how many there are.

    Raises:
        OutputError: there is no index, or its tables are damaged or do not belong together.
    """
    index = read_index(url)
    root = index.root
    settings = parse_settings(PatchesSettings, yaml.safe_load(root.read(SETTINGS)), root.url_of(SETTINGS))
    table = index.spatial()
    rows = f"{index.frequency}.parquet"
    tally = _Tally(table["patch_id"].to_numpy(), root.url_of(rows))
    with open_table(root, rows) as file:
        for batch in file.iter_batches(_ROWS, columns=list(_COLUMNS), use_threads=False):
            tally.add(batch)
            if on_progress is not None:
                on_progress(tally.rows, file.metadata.num_rows)
    by_date = bool((table["phase"] == "").any())
    members = {phase: (table["phase"] == phase).to_numpy() for phase in PHASES}
    if by_date:
        members |= {phase: tally.by_patch[phase] > 0 for phase in (*SIDES, GUARD)}
    used = np.logical_or.reduce([members[side] for side in SIDES])
    notes: list[str] = [str(note) for note in index.manifest["notes"]]
    valid = None
    if index.export is None:
        notes.append("the index was made without an export: the target's values cannot be counted")
    else:
        try:
            valid = valid_shares(index.export, index.patches, table["patch_id"].to_numpy()[used], tally.dates)
        except OceanreconError as error:
            notes.append(f"the target's values cannot be counted: {error}")
    land, why = _land(settings, index.patches.grid)
    return PatchFigures(
        index=root.url,
        export=index.export,
        frequency=index.frequency,
        days=index.days,
        method=settings.split.method,
        max_land_fraction=settings.tiling.max_land_fraction,
        keep_empty=settings.rows.keep_empty,
        patches=index.patches,
        land=land,
        table=table.assign(rows=tally.total(), profiles=tally.profiles),
        members=members,
        by_date=by_date,
        valid=valid,
        notes=(*notes, *why),
        **tally.found(),
    )


def _land(settings: PatchesSettings, grid: RasterGrid) -> tuple[NDArray[np.bool_] | None, list[str]]:
    """True on land, of the grid of an index: [row, column]; or ``None``, and why it cannot be shown."""
    try:
        found, land = grid_and_land(settings)
    except OceanreconError as error:
        why = str(error)
    else:
        if found == grid:
            return land == 1, []
        why = f"the export or the mask has another grid by now ({found.to_dict()}) than the index ({grid.to_dict()})"
    return None, [f"no land is drawn, and shares of the ocean are not known: {why}"]


def valid_shares(export: str, patches: PatchGrid, ids: NDArray[np.int64], dates: Sequence[int]) -> ValidShares:
    """How much of up to ``_SAMPLED`` patches, evenly through their table, has a value at the middle date.

    Args:
        export: folder or URL.
        patches: of the index.
        ids: patches to take them from: [patch].
        dates: of the index (YYYYMMDD), ascending.

    Raises:
        ConfigError: the export has none of the dates, no target, or another grid.
        OutputError: a file is gone or damaged.
    """
    root = Root(export)
    manifest = read_manifest(root)
    check_grid(export, manifest, patches.grid)
    codes, field = _target(root, manifest)
    date = middle_date(dates, codes.dates[field.variable])
    if date is None or not ids.size:
        raise ConfigError(f"{root.url} has none of the {len(dates)} dates of the index, or the index has no patch")
    land = read_land_mask_on(patches.grid, root.url_of(manifest["grid"]["source"]), REMEDY)
    missing = stretch(field.quantity, manifest["encoding"]).nodata
    chosen = ids[np.unique(np.linspace(0, ids.size - 1, min(ids.size, _SAMPLED)).round().astype(np.int64))]
    tiles = [Tile.of(patches.grid, int(patch), patches.tile) for patch in chosen]
    shares = []
    for start in range(0, len(tiles), _AT_ONCE):
        read = codes.read([(field.variable, date, tile) for tile in tiles[start : start + _AT_ONCE]])
        shares += [(values != missing).mean(axis=(1, 2)) for values in read]
    return ValidShares(
        variable=field.variable,
        date=parse_date(date),
        depth=np.array(manifest["depth_axis_m"], np.float64),
        patch_id=chosen,
        shares=np.stack(shares),
        ocean=np.array([1.0 - float(cut(land, tile).mean()) for tile in tiles]),
    )


def check_grid(export: str, manifest: Mapping[str, Any], grid: RasterGrid) -> None:
    """Whether an export is still on the grid of an index.

    Raises:
        ConfigError: it is not.
    """
    there = export_grid(dict(manifest))
    if there != grid:
        raise ConfigError(
            f"{export} has another grid by now ({there.to_dict()}) than the index ({grid.to_dict()}): make the index "
            "again with `oceanrecon patches index CONFIG --overwrite`"
        )


def middle_date(dates: Sequence[int], held: Collection[int]) -> int | None:
    """The middle one of the dates (ascending) that are held, too; ``None`` where none is."""
    both = [date for date in dates if date in held]
    return both[(len(both) - 1) // 2] if both else None


def read_date(root: Root, name: str, date: int) -> pd.DataFrame:
    """The rows of a table at one date, with the columns that are counted.

    Raises:
        OutputError: the table is gone or damaged.
    """
    with open_table(root, name) as file:
        # tables are sorted by date: only the groups of rows that may have it are read
        columns = file.schema_arrow.names.index("date")
        groups = []
        for number in range(file.num_row_groups):
            held = file.metadata.row_group(number).column(columns).statistics
            if held is None or not held.has_min_max or held.min <= date <= held.max:
                groups.append(number)
        table = file.read_row_groups(groups, columns=list(_COLUMNS), use_threads=False).to_pandas()
    rows: pd.DataFrame = table[table["date"] == date]
    return rows.reset_index(drop=True)


def _target(root: Root, manifest: Mapping[str, Any]) -> tuple[Codes, Any]:
    """The codes of the first field that the export has."""
    for field in FIELDS.values():
        try:
            return open_codes(Files(root), manifest, None, [field]), field
        except ConfigError:
            continue
    raise ConfigError(f"{root.url} has none of {', '.join(field.variable for field in FIELDS.values())}")


class _Tally:
    """Counts of the rows so far."""

    def __init__(self, ids: NDArray[np.int64], url: str) -> None:
        """Of rows whose patches are ``ids``, ascending; ``url`` names their table."""
        self.rows = 0
        self.by_patch = {phase: np.zeros(ids.size, np.int64) for phase in PHASES}
        self.profiles = np.zeros(ids.size, np.int64)
        self._ids, self._url = ids, url
        self._support = {phase: np.zeros(1, np.int64) for phase in PHASES}
        self._daily: dict[str, dict[int, NDArray[np.int64]]] = {
            phase: defaultdict(lambda: np.zeros(2, np.int64)) for phase in PHASES
        }

    def add(self, batch: pa.RecordBatch) -> None:
        """Count some rows."""
        patch, date, number = (
            batch.column(name).to_numpy(zero_copy_only=False).astype(np.int64)
            for name in ("patch_id", "date", "argo_profile_count")
        )
        coded = batch.column("phase").dictionary_encode()
        words, phases = coded.dictionary.to_pylist(), coded.indices.to_numpy(zero_copy_only=False)
        place = np.minimum(np.searchsorted(self._ids, patch), max(self._ids.size - 1, 0))
        strange = patch[self._ids[place] != patch] if self._ids.size else patch
        unknown = [word for word in words if word not in PHASES]
        if strange.size or unknown:
            what = f"patch {strange[0]}, which is not in patches.parquet" if strange.size else f"phase {unknown[0]!r}"
            raise OutputError(f"{self._url} has {what}: run `oceanrecon patches index CONFIG --overwrite`")
        self.rows += patch.size
        self.profiles += np.bincount(place, number, self._ids.size).astype(np.int64)
        for code, phase in enumerate(words):
            mine = phases == code
            self.by_patch[phase] += np.bincount(place[mine], minlength=self._ids.size)
            self._support[phase] = _add(self._support[phase], np.bincount(number[mine]))
            days, which = np.unique(date[mine], return_inverse=True)
            rows, profiles = np.bincount(which), np.bincount(which, number[mine]).astype(np.int64)
            for day, found in zip(days.tolist(), np.stack([rows, profiles], axis=1), strict=True):
                self._daily[phase][day] += found

    @property
    def dates(self) -> list[int]:
        """YYYYMMDD, ascending."""
        return sorted(set().union(*self._daily.values()))

    def total(self) -> Counts:
        """Rows of each patch: [patch]."""
        return np.asarray(np.sum(list(self.by_patch.values()), axis=0))

    def found(self) -> dict[str, Any]:
        """The fields of ``PatchFigures`` that are counted, for the phases that have rows; all sides have a place."""
        phases = [phase for phase in PHASES if phase in SIDES or self.by_patch[phase].any()]
        dates = self.dates
        none = np.zeros(2, np.int64)
        daily = {
            phase: np.array([self._daily[phase].get(date, none) for date in dates], np.int64).reshape(-1, 2)
            for phase in phases
        }
        return {
            "support": {phase: Support(self._support[phase]) for phase in phases},
            "dates": tuple(parse_date(date) for date in dates),
            "daily_rows": {phase: found[:, 0] for phase, found in daily.items()},
            "daily_profiles": {phase: found[:, 1] for phase, found in daily.items()},
        }


def _add(left: Counts, right: Counts) -> Counts:
    """The sum of two histograms of any length."""
    total = np.zeros(max(left.size, right.size), np.int64)
    total[: left.size] += left
    total[: right.size] += right
    return total
