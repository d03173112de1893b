"""Which tiles of the grid become patches: the grid, the land, the thresholds, and the table of what is kept."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from oceanrecon.errors import ConfigError
from oceanrecon.grid import PatchGrid, RasterGrid
from oceanrecon.grid.patches import outline
from oceanrecon.grid.regions import Region, find_region
from oceanrecon.patch_config import PatchesSettings, RegionSettings, TilingSettings
from oceanrecon.pipeline.landmask import coastline_mask
from oceanrecon.pipeline.patches.flags import flagged_mask, invalid_fraction
from oceanrecon.sources.flags import FlaggedCells, read_flagged
from oceanrecon.stores.byte_ranges import REMEDY
from oceanrecon.stores.files import Root
from oceanrecon.stores.manifest import export_grid, read_manifest
from oceanrecon.stores.mask import read_grid, read_land_mask, read_land_mask_on

#: Side of a patch in pixels where the settings say nothing.
_TILE = 128
#: Fractions and degrees are rounded to so many digits, before they are compared and in the tables.
_DIGITS = 10
_GLOBE = (-180.0, -90.0, 180.0, 90.0)


@dataclass(frozen=True, eq=False)
class Tiling:
    """All tiles of a grid, and which of them are patches."""

    patches: PatchGrid
    #: the patches, by ``patch_id``: the columns of the spatial table but ``phase``
    table: pd.DataFrame
    #: the tiles over the thresholds, likewise
    left_out: pd.DataFrame
    #: 1 where most of a pixel is land: [height, width]
    land: NDArray[np.uint8]


def make_tiling(settings: PatchesSettings, manifest: Mapping[str, Any] | None = None) -> Tiling:
    """Tile the grid and keep what is within the thresholds.

    A patch is kept where its share of land, and its share of invalid cells where flags are given, are within their
    thresholds; or where its centre is in a forced region and its share of land within the region's own.

    Args:
        settings: of the patches.
        manifest: of ``settings.export``, where it is read already.

    Raises:
        ConfigError: the grid, the mask, the tile, a region or a flag is impossible; or no patch is left.
        OutputError: the export cannot be read.
        SourceError: the OSTIA file cannot be read.
    """
    tiling = settings.tiling
    forced = tuple(_region(region) for region in tiling.force)
    cells = None if tiling.invalid is None else read_flagged(Root(tiling.invalid.file).url, tiling.invalid.flags)
    grid, land = grid_and_land(settings, manifest)
    patches = _patch_grid(tiling, grid)
    land_fraction = np.round(patches.means(land), _DIGITS)
    invalid = land_fraction if cells is None else np.round(invalid_fraction(cells, patches), _DIGITS)
    within = land_fraction <= tiling.max_land_fraction
    if tiling.invalid is not None:
        within &= invalid <= tiling.invalid.max_fraction
    region = _forced(patches, land_fraction, forced)
    table = _table(patches, land_fraction, invalid, np.where(within, "", region), settings.split.block_degrees)
    keep = within | (region != "")
    if not keep.any():
        raise ConfigError(
            f"none of {keep.size:,} tiles is within the thresholds: the least land in one is {land_fraction.min():.1%},"
            f" the least invalid {invalid.min():.1%}; raise tiling.max_land_fraction or tiling.invalid.max_fraction, "
            "or take smaller tiles"
        )
    return Tiling(patches, _with_outlines(table[keep]), _with_outlines(table[~keep]), land)


def _region(settings: RegionSettings) -> Region:
    if settings.box is not None and settings.max_land_fraction is not None:
        return Region(settings.name, settings.box, settings.max_land_fraction)
    known = find_region(settings.name)
    cap = settings.max_land_fraction
    return Region(known.name, settings.box or known.box, known.max_land_fraction if cap is None else cap)


def grid_and_land(
    settings: PatchesSettings, manifest: Mapping[str, Any] | None = None
) -> tuple[RasterGrid, NDArray[np.uint8]]:
    """The grid that is tiled, and its land: [height, width], 1 on land; arguments as of ``make_tiling``."""
    tiling = settings.tiling
    of_export = None
    if settings.export is not None:
        root = Root(settings.export)
        manifest = read_manifest(root) if manifest is None else manifest
        of_export = export_grid(dict(manifest))
        if tiling.mask is None:
            return of_export, read_land_mask_on(of_export, root.url_of(manifest["grid"]["source"]), REMEDY)
    if tiling.mask is not None:
        url = Root(tiling.mask).url
        grid = read_grid(url)
        if of_export is not None and grid != of_export:
            raise ConfigError(
                f"{url} has another grid ({grid.to_dict()}) than the export {settings.export} "
                f"({of_export.to_dict()}): leave tiling.mask out, or make a mask on the export's grid"
            )
        return grid, read_land_mask(url)
    assert tiling.resolution is not None  # the settings see to it
    grid = RasterGrid.from_bounds(tiling.resolution, _GLOBE)
    if tiling.invalid is not None:
        return grid, flagged_mask(_land_cells(tiling.invalid.file), grid)
    return grid, coastline_mask(grid)


def _land_cells(file: str) -> FlaggedCells:
    return read_flagged(Root(file).url, ("land",))


def _patch_grid(tiling: TilingSettings, grid: RasterGrid) -> PatchGrid:
    tile = _pixels("tile", tiling.tile, tiling.tile_degrees, grid) or _TILE
    stride = _pixels("stride", tiling.stride, tiling.stride_degrees, grid) or tile
    return PatchGrid(grid, tile, stride, tiling.edges, tiling.periodic)


def _pixels(name: str, pixels: int | None, degrees: float | None, grid: RasterGrid) -> int | None:
    """A length in pixels, of a setting in pixels or in degrees."""
    if degrees is None:
        return pixels
    if not math.isclose(grid.dx, grid.dy, rel_tol=1e-9):
        raise ConfigError(
            f"tiling.{name}_degrees: pixels of {grid.dx:g} x {grid.dy:g} degrees are not square: give tiling.{name} in "
            "pixels"
        )
    count = degrees / grid.dx
    if round(count) < 1 or abs(count - round(count)) > 1e-6:
        near = sorted({max(math.floor(count), 1), math.ceil(count)})
        raise ConfigError(
            f"tiling.{name}_degrees {degrees:g} is {count:.6g} pixels of {grid.dx:.6g} degrees: take a whole number, "
            f"such as {' or '.join(f'{round(number * grid.dx, _DIGITS):.10g} ({number} pixels)' for number in near)}"
        )
    return round(count)


def _forced(patches: PatchGrid, land_fraction: NDArray[np.float64], regions: tuple[Region, ...]) -> NDArray[np.str_]:
    """The first region that keeps each tile, or ``""``: [tile]."""
    latitude, longitude = patches.centres()
    names = np.full(land_fraction.size, "", dtype=f"<U{max((len(region.name) for region in regions), default=1)}")
    for region in reversed(regions):
        keeps = region.contains(latitude, longitude) & (land_fraction <= region.max_land_fraction)
        names[keeps] = region.name
    return names


def _table(
    patches: PatchGrid,
    land_fraction: NDArray[np.float64],
    invalid: NDArray[np.float64],
    region: NDArray[np.str_],
    block_degrees: float,
) -> pd.DataFrame:
    rows, columns = patches.corners
    latitude, longitude = patches.centres()
    south, north, west, east = patches.bounds()
    return pd.DataFrame(
        {
            "patch_id": patches.ids,
            "grid_y0": rows,
            "grid_x0": columns,
            "lat_center": latitude,
            "lon_center": longitude,
            "lat0": south,
            "lat1": north,
            "lon0": west,
            "lon1": east,
            "land_fraction": land_fraction,
            "ocean_fraction": np.round(1.0 - land_fraction, _DIGITS),
            "invalid_fraction": invalid,
            "invalid_percentage": np.round(100.0 * invalid, _DIGITS - 2),
            "force_included": (region != "").astype(np.uint8),
            "force_include_region": region.astype(object),
            "block": block_of(latitude, longitude, block_degrees),
        }
    )


def _with_outlines(table: pd.DataFrame) -> pd.DataFrame:
    table = table.reset_index(drop=True)
    edges = (table[name].tolist() for name in ("lat0", "lat1", "lon0", "lon1"))
    table["wkt"] = pd.Series([outline(*box) for box in zip(*edges, strict=True)], dtype=object)
    return table


def block_of(latitude: NDArray[Any], longitude: NDArray[Any], degrees: float) -> NDArray[np.int64]:
    """Number of the square of ``degrees`` that holds each point, row by row from 90 N, 180 W: [n].

    Where ``degrees`` does not divide 360, the squares before 180 E are narrower.
    """
    row = np.floor((90.0 - latitude) / degrees + 1e-9).astype(np.int64)
    column = np.floor(np.mod(longitude + 180.0, 360.0) / degrees + 1e-9).astype(np.int64)
    return row * math.ceil(360.0 / degrees - 1e-9) + column
