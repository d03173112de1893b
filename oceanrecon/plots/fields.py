"""What the pictures need from a dataset: fields read one level at a time, kept small, and counted at full size."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from oceanrecon.errors import ConfigError
from oceanrecon.grid.raster import RasterGrid
from oceanrecon.sources.product import Variable
from oceanrecon.sources.registry import PRODUCTS

#: Wider fields are averaged in square blocks until they fit.
WIDEST = 1800
#: Columns and rows on each side of a seam that are drawn at full size.
SEAM_CELLS = 12
#: Levels drawn where none are asked for, metres.
USUAL_DEPTHS = (0.0, 100.0, 500.0, 2000.0)

Field = NDArray[np.float32]


@dataclass(frozen=True)
class Strip:
    """A narrow cut of a field at full size; ``extent`` is west, east, south, north in degrees (east may pass 180)."""

    title: str
    values: Field
    extent: tuple[float, float, float, float]
    #: the line to look at is a meridian (else a parallel)
    meridian: bool


@dataclass(frozen=True)
class SeamCheck:
    """What the columns on both sides of a meridian hold, and how far values jump there."""

    longitude: float
    #: share of cells with a value in the two columns west and the two east of the meridian
    valid_share: tuple[float, float, float, float]
    #: mean difference across the meridian over that of the median pair of columns; NaN where nothing is valid
    step_ratio: float

    @property
    def suspicious(self) -> bool:
        """A column at the meridian holds less than its neighbour, or values jump."""
        far_west, west, east, far_east = self.valid_share
        return far_west - west > 0.05 or far_east - east > 0.05 or self.step_ratio > 3.0


@dataclass(frozen=True)
class Layer:
    """One level of one variable at one date, in the units of the dataset: values at most ``WIDEST`` columns wide."""

    date: dt.date
    depth: float | None
    #: [row, column], north first, averaged in blocks; NaN is missing
    values: Field
    #: west, east, south, north edges of ``values``, degrees
    extent: tuple[float, float, float, float]
    #: full-size values per histogram bin: [bins]
    counts: NDArray[np.int64]
    #: cells with and without a value, at full size
    valid: int
    missing: int


def grid_of(dataset: xr.Dataset) -> RasterGrid:
    """The raster whose centres are the dataset's ``latitude`` (descending) and ``longitude``.

    Raises:
        ConfigError: latitude does not go from north to south, or an axis has fewer than two cells.
    """
    latitude = np.asarray(dataset["latitude"].values, dtype=np.float64)
    longitude = np.asarray(dataset["longitude"].values, dtype=np.float64)
    if latitude.size < 2 or longitude.size < 2:
        raise ConfigError(f"a grid of {latitude.size} x {longitude.size} cells cannot be drawn: it needs 2 x 2 or more")
    dx = float(longitude[-1] - longitude[0]) / (longitude.size - 1)
    dy = float(latitude[0] - latitude[-1]) / (latitude.size - 1)
    if dx <= 0 or dy <= 0:
        raise ConfigError("the dataset is not north-up: sort latitude descending and longitude ascending")
    return RasterGrid(
        float(longitude[0]) - dx / 2, float(latitude[0]) + dy / 2, dx, dy, int(longitude.size), int(latitude.size)
    )


def described(name: str) -> Variable:
    """What the product registry says of the variable called ``name``.

    Raises:
        ConfigError: no product has it.
    """
    for product in PRODUCTS.values():
        for variable in product.variables:
            if variable.name == name:
                return variable
    known = ", ".join(variable.name for product in PRODUCTS.values() for variable in product.variables)
    raise ConfigError(f"no product has a variable {name!r}: known are {known}")


def dates_of(dataset: xr.Dataset) -> list[dt.date]:
    """The days of the dataset's ``time``."""
    return [day.item() for day in dataset["time"].values.astype("datetime64[D]")]


def choose_dates(available: Sequence[dt.date], wanted: Sequence[dt.date] | None) -> list[dt.date]:
    """The dates to draw: those wanted, else the first, the middle and the last.

    Raises:
        ConfigError: there are no dates, or a wanted one is not in the export.
    """
    if not available:
        raise ConfigError("the export holds no dates: nothing can be drawn")
    if wanted is None:
        return [available[i] for i in sorted({0, (len(available) - 1) // 2, len(available) - 1})]
    for date in wanted:
        if date not in available:
            nearest = min(available, key=lambda day: (abs((day - date).days), day))
            raise ConfigError(f"the export has no date {date}: the nearest is {nearest}")
    return sorted(set(wanted))


def choose_levels(depth: NDArray[np.floating], wanted: Sequence[float] | None) -> list[int]:
    """Indices of the levels nearest to the wanted depths (else to ``USUAL_DEPTHS``), metres, without repeats."""
    if wanted is None:
        # A usual depth below the last level would only repeat it.
        wanted = [metres for metres in USUAL_DEPTHS if metres <= float(depth.max()) * 1.1] or [0.0]
    return sorted({int(np.abs(depth - metres).argmin()) for metres in wanted})


def shrink_factor(width: int) -> int:
    """Side of the blocks, in cells, that bring ``width`` to at most ``WIDEST``."""
    return -(-width // WIDEST)


def shrink(field: NDArray[np.floating], factor: int) -> Field:
    """Means of the finite values in blocks of ``factor`` cells: [rows, columns]; missing where most of a block is.

    Blocks that reach over the south or east edge count only the cells there are.
    """
    if factor == 1:
        return field.astype(np.float32)
    height, width = field.shape
    rows, columns = -(-height // factor), -(-width // factor)
    padded = np.full((rows * factor, columns * factor), np.nan, dtype=np.float32)
    padded[:height, :width] = field
    blocks = padded.reshape(rows, factor, columns, factor)
    finite = np.isfinite(blocks)
    count = finite.sum(axis=(1, 3))
    total = np.where(finite, blocks, 0.0).sum(axis=(1, 3), dtype=np.float64)
    heights = np.minimum(factor, height - factor * np.arange(rows))
    widths = np.minimum(factor, width - factor * np.arange(columns))
    enough = 2 * count >= np.outer(heights, widths)
    return np.where(enough, total / np.maximum(count, 1), np.nan).astype(np.float32)


def make_layer(field: Field, grid: RasterGrid, date: dt.date, depth: float | None, edges: NDArray[np.float64]) -> Layer:
    """A layer of ``field`` [latitude, longitude], counted in the bins between ``edges`` [bins + 1]."""
    factor = shrink_factor(grid.width)
    values = shrink(field, factor)
    rows, columns = values.shape
    finite = field[np.isfinite(field)]
    return Layer(
        date=date,
        depth=depth,
        values=values,
        extent=(
            grid.west,
            grid.west + columns * factor * grid.dx,
            grid.north - rows * factor * grid.dy,
            grid.north,
        ),
        counts=np.histogram(finite, bins=edges)[0].astype(np.int64),
        valid=int(finite.size),
        missing=int(field.size - finite.size),
    )


def read_levels(array: xr.DataArray, time: int, levels: Sequence[int]) -> Field:
    """Fields of one time at full size, in one read: [level, latitude, longitude], float32.

    Stores keep all levels of a place together, so that one read of four levels costs as much as a read of one.
    """
    chosen = array.isel(time=time)
    chosen = chosen.isel(depth=list(levels)) if "depth" in chosen.dims else chosen.expand_dims("depth")
    return np.asarray(chosen.transpose("depth", "latitude", "longitude").values, dtype=np.float32)


def seam_columns(grid: RasterGrid) -> list[tuple[float, int]]:
    """Meridians where sources start or end, and the column east of each; empty unless the grid goes round the globe.

    These are the dateline, the zero meridian, and the edge of the raster where that is neither.
    """
    if not grid.periodic:
        return []
    columns = {round((meridian - grid.west) / grid.dx) % grid.width: meridian for meridian in (180.0, 0.0)}
    columns.setdefault(0, grid.west)
    return [(meridian, column) for column, meridian in columns.items()]


def check_seams(field: Field, grid: RasterGrid) -> list[SeamCheck]:
    """Compare the columns on both sides of each meridian of ``seam_columns``: field [latitude, longitude]."""
    seams = seam_columns(grid)
    if not seams:
        return []
    steps = np.abs(field - np.roll(field, 1, axis=1))
    finite = np.isfinite(steps)
    pairs = finite.sum(axis=0)
    mean = np.where(finite, steps, 0.0).sum(axis=0, dtype=np.float64) / np.maximum(pairs, 1)
    filled = mean[pairs > 0]
    typical = float(np.median(filled)) if filled.size else 0.0
    share = np.isfinite(field).mean(axis=0)
    checks = []
    for meridian, column in seams:
        around = [float(share[(column + shift) % grid.width]) for shift in (-2, -1, 0, 1)]
        ratio = float(mean[column]) / typical if typical > 0 and pairs[column] > 0 else float("nan")
        checks.append(SeamCheck(meridian, (around[0], around[1], around[2], around[3]), ratio))
    return checks


def seam_strips(field: Field, grid: RasterGrid) -> list[Strip]:
    """Cuts at full size along the meridians of ``seam_columns`` and along the top and bottom rows."""
    strips = []
    south = grid.bounds[1]
    cells = min(SEAM_CELLS, grid.width // 4, grid.height // 4)
    for meridian, column in seam_columns(grid):
        around = (column + np.arange(-cells, cells)) % grid.width
        half = cells * grid.dx
        name = "dateline" if abs(meridian) == 180.0 else f"{meridian:g}° meridian"
        strips.append(
            Strip(f"{name}, {2 * cells} columns", field[:, around], (-half, half, south, grid.north), meridian=True)
        )
    east = grid.bounds[2]
    high, low = grid.north - cells * grid.dy, south + cells * grid.dy
    strips.append(Strip(f"top {cells} rows", field[:cells], (grid.west, east, high, grid.north), meridian=False))
    strips.append(Strip(f"bottom {cells} rows", field[-cells:], (grid.west, east, south, low), meridian=False))
    return strips


def fullest_line(layers: Sequence[Layer], grid: RasterGrid) -> tuple[str, int]:
    """The dimension and index of the line with the most values: a column, or where it holds more a row.

    Grids that go round the globe take a column: the row with the most values is the uniform Southern Ocean.
    """
    count = np.sum([np.isfinite(layer.values) for layer in layers], axis=0)
    factor = shrink_factor(grid.width)
    columns, rows = count.mean(axis=0), count.mean(axis=1)
    if not grid.periodic and rows.max() > columns.max():
        return "latitude", min(int(rows.argmax()) * factor + factor // 2, grid.height - 1)
    return "longitude", min(int(columns.argmax()) * factor + factor // 2, grid.width - 1)
