"""Patches: what sources have in the box of a query on its days, at the pixels of a grid or as it is."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from oceanrecon.errors import ConfigError
from oceanrecon.grid.regions import Box
from oceanrecon.samples.regional.query import RegionalQuery, TacoDataset, TacoFile, Variable, variable
from oceanrecon.samples.regional.window import Method, PatchGrid, Window, inside, resampled, unrolled
from oceanrecon.stores.tile_file import Tile

#: Of the days of a query that a source has: the field of the first or of the last, the mean of all, or each.
Aggregation = Literal["first", "last", "mean", "stack"]
AGGREGATIONS: tuple[Aggregation, ...] = ("first", "last", "mean", "stack")
#: Where the depths of points are.
_PRESSURE = "PRES"


@dataclass(frozen=True, eq=False)
class Patch:
    """A variable in the box of a query."""

    #: float32 [row, column], stacked [day, row, column], of points [point]
    data: NDArray[np.float32]
    #: degrees, rising [row], of points [point]
    lats: NDArray[np.float64]
    #: degrees, rising, beyond 180 after the dateline [column], of points [point]
    lons: NDArray[np.float64]
    #: whether there is a value, of the shape of ``data``
    mask: NDArray[np.bool_]
    #: of points, UTC, NaT where not known: datetime64[us] [point]
    times: NDArray[np.datetime64] | None = None
    #: of points, dbar, where the source has it: float32 [point]
    pressure: NDArray[np.float32] | None = None


@dataclass(frozen=True)
class Reading:
    """How patches are read.

    Raises:
        ConfigError: there is no such aggregation or method.
    """

    #: rows and columns of all patches, whatever their size in degrees
    shape: tuple[int, int] | None = None
    #: degrees of a pixel, if there is no ``shape``; without either, the cells of each source whose centres are inside
    resolution: float | None = None
    aggregate: Aggregation = "mean"
    method: Method = "bilinear"
    #: what stands in ``data`` where there is no value; the mask says where
    fill: float = float("nan")

    def __post_init__(self) -> None:
        if self.aggregate not in AGGREGATIONS:
            raise ConfigError(f"there is no aggregation {self.aggregate!r}: give one of {', '.join(AGGREGATIONS)}")
        if self.method not in ("nearest", "bilinear"):
            raise ConfigError(f"there is no method {self.method!r}: give nearest or bilinear")

    def grid(self, box: Box) -> PatchGrid | None:
        """The pixels of a box; ``None``: those of each source."""
        if self.shape is not None:
            return PatchGrid(box, self.shape)
        return None if self.resolution is None else PatchGrid.of(box, self.resolution)


def read_patches(
    dataset: TacoDataset, query: RegionalQuery, tokens: Iterable[str], how: Reading | None = None
) -> tuple[dict[str, Patch], int]:
    """Variables in the box of a query, by token, and how many files were opened for them.

    A source that has nothing there has a patch without a valid value: at the pixels of a grid if there is one.

    Args:
        dataset: of ``open_taco``.
        query: box and days.
        tokens: of ``VARIABLES``, or ``source:variable``.
        how: pixels, aggregation over the days, and the like.

    Raises:
        ConfigError: there is no such variable, or days have different grids and no pixels are asked for.
        OutputError: a file is not there or damaged.
    """
    how = how or Reading()
    wanted = {token: variable(token) for token in tokens}
    by_source: dict[str, dict[str, Variable]] = {}
    for token, one in wanted.items():
        by_source.setdefault(one.source, {})[token] = one
    patches: dict[str, Patch] = {}
    opened = 0
    for source, here in by_source.items():
        names = sorted({one.name for one in here.values()})
        days = _Days(dataset, query, source, names)
        found = _points(days, how) if source == "argo" else _fields(days, query, how)
        opened += days.opened
        patches |= {token: found[one.name] for token, one in here.items()}
    return {token: patches[token] for token in wanted}, opened


class _Days:
    """The files of a source in a box, day by day."""

    def __init__(self, dataset: TacoDataset, query: RegionalQuery, source: str, names: Sequence[str]) -> None:
        self.names, self.opened = names, 0
        self.dates = query.days
        self.box = query.box
        self._dataset = dataset
        self._files: dict[dt.date, list[TacoFile]] = {}
        for file in dataset.files(query.box, query.days, [source]):
            self._files.setdefault(file.date, []).append(file)

    def chosen(self, aggregate: Aggregation) -> list[dt.date]:
        """Days that have files: all, or the first or the last of them."""
        there = [date for date in self.dates if date in self._files]
        if aggregate == "first":
            return there[:1]
        return there[-1:] if aggregate == "last" else there

    def tiles(self, date: dt.date) -> Iterator[Tile]:
        for file in self._files[date]:
            self.opened += 1
            with self._dataset.open(file) as tile:
                yield tile

    def windows(self, date: dt.date) -> dict[str, Window] | None:
        """Of one day, by name of variable; ``None``: there is no cell in the box."""
        parts: dict[str, list[Window]] = {name: [] for name in self.names}
        for tile in self.tiles(date):
            for name, part in _parts(tile, self.names, self.box):
                parts[name].append(part)
        if not all(parts.values()):
            return None
        return {name: _stitched(some) for name, some in parts.items()}


def _fields(days: _Days, query: RegionalQuery, how: Reading) -> dict[str, Patch]:
    grid = how.grid(query.box)
    gathered: dict[str, _Gathered] = {name: _Gathered(how.aggregate) for name in days.names}
    axes: tuple[NDArray[np.float64], NDArray[np.float64]] | None = None
    if grid is not None:
        axes = grid.latitude, grid.longitude
    for date in days.chosen(how.aggregate):
        windows = days.windows(date)
        if windows is None:
            continue
        for name, window in windows.items():
            if grid is not None:
                values = resampled(window, grid, how.method)
            else:
                cells = inside(window, query.box)
                values, here = cells.values, (cells.latitude, cells.longitude)
                axes = axes or here
                if not all(np.array_equal(one, other) for one, other in zip(axes, here, strict=True)):
                    raise ConfigError(
                        f"{name} has another grid on {date} than before in the box {list(query.box)}: give a "
                        "resolution or a shape"
                    )
            gathered[name].add(date, values)
    if axes is None:
        axes = np.zeros(0), np.zeros(0)
    shape = axes[0].size, axes[1].size
    return {name: some.patch(axes, shape, days.dates, how.fill) for name, some in gathered.items()}


class _Gathered:
    """Fields of some days of one variable, as far as the aggregation needs them."""

    def __init__(self, aggregate: Aggregation) -> None:
        self._aggregate = aggregate
        self._fields: dict[dt.date, NDArray[np.float32]] = {}
        self._sum: NDArray[np.float64] | None = None
        self._count: NDArray[np.int64] | None = None

    def add(self, date: dt.date, values: NDArray[np.float32]) -> None:
        if self._aggregate != "mean":
            self._fields[date] = values
            return
        there = np.isfinite(values)
        known = np.where(there, values, 0).astype(np.float64)
        self._sum = known if self._sum is None else self._sum + known
        self._count = there.astype(np.int64) if self._count is None else self._count + there

    def patch(
        self,
        axes: tuple[NDArray[np.float64], NDArray[np.float64]],
        shape: tuple[int, int],
        dates: Sequence[dt.date],
        fill: float,
    ) -> Patch:
        nothing = np.full(shape, np.nan, np.float32)
        if self._aggregate == "stack":
            data = np.stack([self._fields.get(date, nothing) for date in dates])
        elif self._sum is not None and self._count is not None:
            with np.errstate(invalid="ignore"):
                data = (self._sum / self._count).astype(np.float32)
        else:
            data = next(iter(self._fields.values()), nothing)
        mask = np.isfinite(data)
        return Patch(_filled(data, mask, fill), axes[0], axes[1], mask)


def _points(days: _Days, how: Reading) -> dict[str, Patch]:
    """Points of the days that the aggregation takes; there are none to average."""
    gathered: dict[str, list[NDArray[np.generic]]] = {}

    def add(key: str, values: NDArray[np.generic]) -> None:
        gathered.setdefault(key, []).append(values)

    west, south, east, north = unrolled(days.box)
    for date in days.chosen(how.aggregate):
        for tile in days.tiles(date):
            latitude, longitude = tile.latitude, tile.longitude
            turned = west + np.mod(longitude - west, 360.0)
            there = (latitude >= south) & (latitude < north) & (turned < east)
            if north == 90.0:
                there |= (latitude == north) & (turned < east)
            add("lats", latitude[there])
            add("lons", turned[there])
            add("times", tile.time[there])
            for name in {*days.names, _PRESSURE} & set(tile.names) | set(days.names):
                add(f"values/{name}", tile.read(name)[there].astype(np.float32))

    def whole(key: str, dtype: str) -> NDArray[np.generic]:
        return np.concatenate(gathered[key]) if key in gathered else np.zeros(0, dtype)

    pressure = whole(f"values/{_PRESSURE}", "float32").astype(np.float32)
    lats, lons = (whole(key, "float64").astype(np.float64) for key in ("lats", "lons"))
    patches = {}
    for name in days.names:
        data = whole(f"values/{name}", "float32").astype(np.float32)
        mask = np.isfinite(data)
        patches[name] = Patch(
            _filled(data, mask, how.fill), lats, lons, mask, whole("times", "datetime64[us]").astype("datetime64[us]"),
            pressure if pressure.size == data.size else None,
        )  # fmt: skip
    return patches


def _filled(data: NDArray[np.float32], mask: NDArray[np.bool_], fill: float) -> NDArray[np.float32]:
    return data if np.isnan(fill) else np.where(mask, data, np.float32(fill))


def _parts(tile: Tile, names: Sequence[str], box: Box) -> Iterator[tuple[str, Window]]:
    """What a tile has of a box and one cell around it; a box that goes nearly round may take two parts of a tile."""
    west, south, east, north = unrolled(box)
    latitude, longitude = tile.latitude, tile.longitude
    rows = _around(latitude, south, north)
    for turn in (0.0, 360.0):
        turned = longitude + turn
        columns = _around(turned, west, east)
        if rows is None or columns is None:
            continue
        for name in names:
            stored = tile.read(name, rows, columns)
            values = stored.astype(np.float32)
            if stored.dtype.kind != "f" and (missing := tile.missing(name)) is not None:
                values[stored == missing] = np.nan
            yield name, Window(latitude[rows], turned[columns], values, stored.dtype.kind == "f")


def _around(axis: NDArray[np.float64], low: float, high: float) -> slice | None:
    """Cells whose centres are between two edges, and one more on each side; ``None``: the axis is elsewhere."""
    if not axis.size:
        return None
    half = (axis[-1] - axis[0]) / max(axis.size - 1, 1) / 2
    if axis[-1] + half <= low or axis[0] - half >= high:
        return None
    first, last = np.searchsorted(axis, [low, high])
    return slice(max(int(first) - 1, 0), min(int(last) + 1, axis.size))


def _stitched(parts: Sequence[Window]) -> Window:
    """Windows of several regions side by side."""
    if len(parts) == 1:
        return parts[0]
    latitude = np.unique(np.concatenate([part.latitude for part in parts]))
    longitude = np.unique(np.concatenate([part.longitude for part in parts]))
    values = np.full((latitude.size, longitude.size), np.nan, np.float32)
    for part in parts:
        rows, columns = np.searchsorted(latitude, part.latitude), np.searchsorted(longitude, part.longitude)
        values[np.ix_(rows, columns)] = part.values
    return replace(parts[0], latitude=latitude, longitude=longitude, values=values)
