"""The spatial table: a row per patch, with its phase, as CSV and Parquet."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pandas as pd

from oceanrecon.errors import OutputError
from oceanrecon.patch_config import PatchesSettings
from oceanrecon.pipeline.holding import held
from oceanrecon.pipeline.patches.output import GUARD, SPATIAL, check_output, has_rows, resolved
from oceanrecon.pipeline.patches.split import PHASES, Split
from oceanrecon.pipeline.patches.tiling import Tiling, make_tiling
from oceanrecon.stores.files import Root
from oceanrecon.stores.tables import Described, described, to_arrow, write_table

#: Phase of a tile that is over the thresholds.
INVALID = "invalid"


def spatial_table(settings: PatchesSettings, tiling: Tiling, split: Split) -> pd.DataFrame:
    """The patches by ``patch_id``, and the tiles over the thresholds where they are to be kept.

    ``phase`` is empty where the split goes by year or by row.
    """
    phases: Any = split.patch_phases()
    table = _with_phase(tiling.table, "" if phases is None else phases)
    if settings.rows.keep_invalid and len(tiling.left_out):
        both = pd.concat([table, _with_phase(tiling.left_out, INVALID)], ignore_index=True)
        table = both.sort_values("patch_id", ignore_index=True)
    return table


def _with_phase(table: pd.DataFrame, phase: Any) -> pd.DataFrame:
    table = table.copy()
    table.insert(len(table.columns) - 1, "phase", pd.Series(phase, index=table.index, dtype=object))
    return table


def write_spatial(root: Root, table: pd.DataFrame) -> Described:
    """Write ``patches.csv`` and ``patches.parquet``; the bytes and checksums of both."""
    return described(write_table(root, SPATIAL, to_arrow(table)))


@dataclass(frozen=True)
class GridResult:
    """What ``patches grid`` wrote."""

    output: str
    #: all tiles of the grid
    tiles: int
    #: rows and columns of tiles
    shape: tuple[int, int]
    patches: int
    #: patches that a forced region kept
    forced: int
    #: patches by phase; empty where the split goes by year or by row
    phases: dict[str, int]
    files: Described


def write_grid(settings: PatchesSettings, *, resume: bool = False, overwrite: bool = False) -> GridResult:
    """Tile the grid, split the patches, and write the spatial table and the settings.

    Args:
        settings: of the patches.
        resume: write the spatial table again where there is no other.
        overwrite: replace an index that is there, its other tables too.

    Raises:
        ConfigError: see ``make_tiling`` and ``Split.of``.
        LeaseError: another run writes there.
        OutputError: the output exists, has rows, belongs to other settings, or cannot be written.
    """
    settings = resolved(settings)
    root = Root(settings.output)
    _refuse(root, settings, resume=resume, overwrite=overwrite)
    tiling = make_tiling(settings)
    split = Split.of(settings.split, tiling)
    with held(root, "patches grid"):
        _refuse(root, settings, resume=resume, overwrite=overwrite)  # another run may have written there meanwhile
        GUARD.prepare(root, settings, overwrite=overwrite)
        GUARD.write(root, settings)
        files = write_spatial(root, spatial_table(settings, tiling, split))
    phases = split.patch_phases()
    counts = {} if phases is None else {phase: int((phases == phase).sum()) for phase in PHASES}
    return GridResult(
        output=root.url,
        tiles=tiling.patches.ids.size,
        shape=tiling.patches.shape,
        patches=len(tiling.table),
        forced=int(tiling.table["force_included"].sum()),
        phases=counts,
        files=files,
    )


def _refuse(root: Root, settings: PatchesSettings, *, resume: bool, overwrite: bool) -> None:
    check_output(settings, resume=resume, overwrite=overwrite)
    if resume and has_rows(root):  # they belong to the spatial table that is there
        raise OutputError(
            f"{root.url} has tables of rows, too: run `oceanrecon patches index CONFIG --resume`, which makes all of "
            "them, or add --overwrite to begin anew"
        )
