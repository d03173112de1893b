"""Patches: what sources have in the box of a query on its days, at the pixels of a grid or as it is."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from oceanrecon.errors import ConfigError
from oceanrecon.grid.octants import octant
from oceanrecon.grid.regions import Box
from oceanrecon.samples.regional.query import (
    RegionalQuery,
    TacoDataset,
    TacoFile,
    Variable,
    numbers,
    variable,
)
from oceanrecon.samples.regional.window import (
    Method,
    PatchGrid,
    Window,
    around,
    beyond,
    inside,
    resampled,
    rolled,
    unrolled,
)
from oceanrecon.stores.tile_file import Tile

#: Of the days of a query that a source has: the field of the first or of the last, the mean of all, or each. Flags
#: and numbers of tracks have no mean: it is the last of each cell that there is.
Aggregation = Literal["first", "last", "mean", "stack"]
AGGREGATIONS: tuple[Aggregation, ...] = ("first", "last", "mean", "stack")
#: Where the depths of points are.
_PRESSURE = "PRES"
#: Part of a cell that two centres of one grid are apart at least.
_SAME = 0.99


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
        self.source, self.names, self.opened = source, names, 0
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
        """Of one day."""
        for file in self._files[date]:
            yield from self._opened(file)

    def windows(self, date: dt.date, *, whole: bool) -> dict[str, Window] | None:
        """Of one day, by name of variable; ``None``: there is no cell in the box.

        Args:
            date: the day.
            whole: also cells that have a part of the box, and their centres in a region beside it.
        """
        parts: dict[str, list[Window]] = {name: [] for name in self.names}
        files = self._files[date]
        west, south, east, north = unrolled(self.box)
        over = up = 0.0
        for file in files:
            for tile in self._opened(file):
                for name, part in _parts(tile, self.names, self.box):
                    parts[name].append(part)
                if whole:
                    edge, longitude = octant(file.region), tile.longitude
                    for turn in (0.0, 360.0):
                        over = max(over, beyond(longitude + turn, edge.east + turn, east))
                    up = max(up, beyond(tile.latitude, edge.north, north))
        if over or up:
            wider = rolled((west, south, east + over, north + up))
            here = {file.region for file in files}
            for file in self._dataset.files(wider, [date], [self.source]):
                if file.region not in here:
                    for tile in self._opened(file):
                        for name, part in _parts(tile, self.names, self.box):
                            parts[name].append(part)
        if not all(parts.values()):
            return None
        return {name: _stitched(some) for name, some in parts.items()}

    def other_cells(self, taken: Sequence[dt.date]) -> Iterator[Window]:
        """Cells in the box of regions that have a file on other days alone: where they are, without values."""
        seen = {file.region for date in taken for file in self._files[date]}
        for date in sorted(self._files.keys() - set(taken)):
            for file in self._files[date]:
                if file.region not in seen:
                    seen.add(file.region)
                    for tile in self._opened(file):
                        for _, part in _parts(tile, self.names[:1], self.box):
                            cells = inside(part, self.box)
                            yield replace(cells, values=np.full_like(cells.values, np.nan))

    def _opened(self, file: TacoFile) -> Iterator[Tile]:
        self.opened += 1
        with self._dataset.open(file) as tile:
            yield tile


def _fields(days: _Days, query: RegionalQuery, how: Reading) -> dict[str, Patch]:
    grid = how.grid(query.box)
    chosen = days.chosen(how.aggregate)
    axes = _Axes(query.box)
    if grid is not None:
        axes.latitude, axes.longitude = grid.latitude, grid.longitude
    gathered = {name: _Gathered(how.aggregate, axes) for name in days.names}
    for date in chosen:
        windows = days.windows(date, whole=grid is not None)
        if windows is None:
            continue
        for name, window in windows.items():
            if grid is not None:
                values = resampled(window, grid, how.method)
                cells = Window(grid.latitude, grid.longitude, values, window.continuous)
            else:
                cells = inside(window, query.box)
                axes.widen(cells, date)
            gathered[name].add(date, cells)
    if grid is None:
        for cells in days.other_cells(chosen):
            axes.widen(cells, query.end)
    return {name: some.patch(days.dates, how.fill) for name, some in gathered.items()}


class _Axes:
    """Rows and columns of a box, of all days together: a day may lack a region, and has the same grid then."""

    def __init__(self, box: Box) -> None:
        self._box = box
        self._steps = [0.0, 0.0]
        self.latitude, self.longitude = np.zeros(0), np.zeros(0)

    def widen(self, cells: Window, date: dt.date) -> None:
        """Have those of some cells, too.

        Raises:
            ConfigError: they are of another grid.
        """
        if np.array_equal(cells.latitude, self.latitude) and np.array_equal(cells.longitude, self.longitude):
            return
        self.latitude = np.union1d(self.latitude, cells.latitude)
        self.longitude = np.union1d(self.longitude, cells.longitude)
        for number, (axis, whole) in enumerate(
            ((cells.latitude, self.latitude), (cells.longitude, self.longitude))
        ):  # fmt: skip
            self._steps[number] = max(self._steps[number], _least_step(axis))
            if whole.size > 1 and _least_step(whole) < _SAME * self._steps[number]:
                raise ConfigError(
                    f"there is another grid on {date} than on other days in the box {list(self._box)}: give a "
                    "resolution or a shape"
                )

    def placed(self, cells: Window) -> NDArray[np.float32]:
        """Values at these rows and columns, NaN where there are none."""
        return np.asarray(self.moved(cells.values, cells.latitude, cells.longitude), np.float32)

    def moved(
        self, values: NDArray[np.floating], latitude: NDArray[np.float64], longitude: NDArray[np.float64]
    ) -> NDArray[np.floating]:
        """Values of some of these rows and columns at all of them, NaN at the others."""
        if values.shape == (self.latitude.size, self.longitude.size):
            return values
        whole = np.full((self.latitude.size, self.longitude.size), np.nan, values.dtype)
        rows, columns = np.searchsorted(self.latitude, latitude), np.searchsorted(self.longitude, longitude)
        whole[np.ix_(rows, columns)] = values
        return whole


def _least_step(axis: NDArray[np.float64]) -> float:
    return float(np.diff(axis).min()) if axis.size > 1 else 0.0


class _Gathered:
    """Fields of some days of one variable, as far as the aggregation needs them."""

    def __init__(self, aggregate: Aggregation, axes: _Axes) -> None:
        self._aggregate, self._axes = aggregate, axes
        self._fields: dict[dt.date, Window] = {}
        #: of the mean, sum and number of values so far, and where; of flags, which have no mean, the last of each cell
        self._sum = self._count = np.zeros((0, 0))
        self._latitude, self._longitude = np.zeros(0), np.zeros(0)

    def add(self, date: dt.date, cells: Window) -> None:
        """The field of a day; the axes have its cells."""
        if self._aggregate != "mean":
            self._fields[date] = cells
            return
        values = self._axes.placed(cells).astype(np.float64)
        there = np.isfinite(values)
        total, count = self._so_far()
        self._sum = np.where(there, values + total if cells.continuous else values, total)
        self._count = count + there if cells.continuous else np.maximum(count, there)
        self._latitude, self._longitude = self._axes.latitude, self._axes.longitude

    def _so_far(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Sum and number of values of all cells of the axes."""
        total, count = (
            np.nan_to_num(self._axes.moved(one, self._latitude, self._longitude)).astype(np.float64)
            for one in (self._sum, self._count)
        )  # fmt: skip
        return total, count

    def patch(self, dates: Sequence[dt.date], fill: float) -> Patch:
        """What the aggregation makes of them."""
        axes = self._axes
        nothing = np.full((axes.latitude.size, axes.longitude.size), np.nan, np.float32)
        if self._aggregate == "stack":
            data = np.stack([
                axes.placed(self._fields[date]) if date in self._fields else nothing for date in dates
            ])  # fmt: skip
        elif self._aggregate == "mean":
            total, count = self._so_far()
            with np.errstate(invalid="ignore"):
                data = (total / count).astype(np.float32)
        else:
            data = next((axes.placed(cells) for cells in self._fields.values()), nothing)
        mask = np.isfinite(data)
        return Patch(_filled(data, mask, fill), axes.latitude, axes.longitude, mask)


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
                add(f"values/{name}", numbers(tile, name)[0][there])

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
    rows = around(latitude, south, north)
    for turn in (0.0, 360.0):
        turned = longitude + turn
        columns = around(turned, west, east)
        if rows is None or columns is None:
            continue
        for name in names:
            values, continuous = numbers(tile, name, rows, columns)
            yield name, Window(latitude[rows], turned[columns], values, continuous)


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
