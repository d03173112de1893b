"""The climatology: sums of the dense fields by band and of the profiles by month, and the seasons fitted to them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

from oceanrecon.grid import RasterGrid, parse_date
from oceanrecon.pipeline.statistics.recipe import BAND, LEVELS, Recipe, read_arrays
from oceanrecon.pipeline.statistics.steps import Parts
from oceanrecon.samples.form import Channel, Field
from oceanrecon.samples.tiles import Band, Tile
from oceanrecon.stores.files import Root
from oceanrecon.stores.manifest import read_manifest
from oceanrecon.stores.shard_reader import read_boxes
from oceanrecon.stores.steps import StoredFile
from oceanrecon.transform.encode import stretch
from oceanrecon.transform.harmonic import SeasonSums

#: Kilometres of a degree of latitude.
DEGREE_KM = 111.195
#: A cell that has less around it learns from further away: dates of whole cells, or profiles.
_LEAST_DATES, _LEAST_PROFILES = 0.1, 10.0
#: Of the first metres, levels are unknown above the first that has this share of the profiles of the best.
_TOP_M, _LEAST_SHARE = 10.0, 0.5
#: Of each wider look, times the one before; and the widest, km.
_WIDER, _WIDEST = 3.0, 1500.0
#: The same among circles of latitude.
_WIDEST_CIRCLES = 15_000.0


def name_of(part: Field | Channel) -> str:
    """``temperature``, ``adt``: the name that statistics have for a variable."""
    return part.name if isinstance(part, Field) else part.variable


@dataclass(frozen=True)
class SeasonTask:
    """Sums of the dense fields over the cells of a band of rows, and its sea floor."""

    first: int
    last: int
    kind: str = "season"

    @property
    def name(self) -> str:
        """``00064``: first row."""
        return f"{self.first:05d}"

    def key(self, recipe: Recipe) -> str:
        """See ``StatisticsTask``."""
        return recipe.key(self.first, self.last, [name_of(part) for part in recipe.dense], recipe.dense_dates)

    def make(self, recipe: Recipe) -> tuple[Parts, Mapping[str, int]]:
        """A part for each block of levels of each field, and one for the sea floor."""
        codes, pixels = recipe.open_dense(), recipe.training_pixels()
        manifest = read_manifest(Root(recipe.settings.export))
        band = Band(self.first, self.last - self.first, recipe.grid.width)
        cells = _Cells(recipe, self.first, self.last)
        sums: dict[str, SeasonSums] = {}
        wet: NDArray[np.bool_] | None = None
        for date in recipe.dense_dates:
            inside = None if pixels is None else pixels.at(date, self.first, self.last)
            there = [part for part in recipe.dense if date in codes.dates[part.variable]]
            for part, stored in zip(there, codes.read([(part.variable, date, band) for part in there]), strict=True):
                code = stretch(part.quantity, manifest["encoding"])
                valid = stored != code.nodata
                if isinstance(part, Field):
                    wet = valid if wet is None else wet | valid
                mean, weight = cells.means(stored, valid if inside is None else valid & inside)
                into = sums.setdefault(name_of(part), SeasonSums.empty(mean.shape))
                into.add(parse_date(date), code.minimum + mean * code.step, weight)
        parts: dict[str, Mapping[str, NDArray[Any]]] = {}
        for name, found in sums.items():
            for number, levels in enumerate(blocks(found.values.shape[1])):
                parts[f"{self.name}/{name}-{number}"] = {
                    "squares": found.squares[:, levels], "values": found.values[:, levels], "row": np.array(cells.row)
                }  # fmt: skip
        if wet is not None:
            deepest = wet.shape[0] - np.argmax(wet[::-1], axis=0)
            parts[f"{self.name}/deepest"] = {"deepest": np.where(wet.any(axis=0), deepest, 0).astype(np.int8)}
        return parts, {"dates": len(recipe.dense_dates)}


def bands(grid: RasterGrid) -> list[tuple[int, int]]:
    """First and last (excluded) rows of the bands."""
    return [(row, min(row + BAND, grid.height)) for row in range(0, grid.height, BAND)]


def blocks(levels: int) -> list[slice]:
    """Levels that are fitted together."""
    return [slice(first, min(first + LEVELS, levels)) for first in range(0, levels, LEVELS)]


class _Cells:
    """Averages pixels of some rows over the cells of the coarse grid."""

    def __init__(self, recipe: Recipe, first: int, last: int) -> None:
        nesting = recipe.nesting
        rows, self._rows = np.unique(nesting.row[first:last], return_index=True)
        #: of the coarse grid, the first
        self.row = int(rows[0])
        self._columns = np.unique(nesting.column, return_index=True)[1]
        # of whole cells, so that the parts of a cell that lies in two bands add up
        self._pixels = np.bincount(nesting.row)[rows][:, None] * np.bincount(nesting.column)

    def means(self, codes: NDArray[Any], valid: NDArray[np.bool_]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Mean code of the valid pixels, and their share of the cell: [level, coarse row, coarse column] each."""
        # whole numbers: the same whatever the order
        total, count = (self._sum(values) for values in (np.where(valid, codes, 0), valid))
        return total / np.maximum(count, 1), count / self._pixels

    def _sum(self, values: NDArray[Any]) -> NDArray[np.int64]:
        # rows first, which is many times faster; of a band of 64 they fit into 32 bits
        down = np.add.reduceat(values, self._rows, axis=-2, dtype=np.int32)
        found: NDArray[np.int64] = np.add.reduceat(down, self._columns, axis=-1, dtype=np.int64)
        return found


@dataclass(frozen=True)
class ProfilesTask:
    """The columns of training floats at the training dates of a month."""

    month: str
    kind: str = "profiles"

    @property
    def name(self) -> str:
        """``2012-03``."""
        return self.month

    def key(self, recipe: Recipe) -> str:
        """See ``StatisticsTask``."""
        floats = recipe.settings.floats.model_dump()
        return recipe.key(self.dates(recipe), [field.name for field in recipe.fields], recipe.days, floats)

    def dates(self, recipe: Recipe) -> list[int]:
        """Training dates of the month."""
        return [date for date in recipe.dates if month_of(date) == self.month]

    def make(self, recipe: Recipe) -> tuple[Parts, Mapping[str, int]]:
        """Date, row and column, and values: K and PSU, NaN where missing, [profile, field x level]."""
        source = recipe.open_profiles(read_manifest(Root(recipe.settings.export)))
        pixels, grid = recipe.training_pixels(), recipe.grid
        side = max(grid.width, grid.height)
        whole = Tile(0, 0, side, grid.width)
        dates, places, values = [], [], []
        for date in self.dates(recipe):
            (found,) = source.find([(date, whole)])
            read = read_boxes(source.requests(found, recipe.fields))
            seen = source.values(found, recipe.fields, read, len(recipe.depth))
            row, column = seen.points // side, seen.points % side
            keep = np.ones(row.size, bool) if pixels is None else pixels.at(date, 0, grid.height)[row, column]
            dates.append(np.full(int(keep.sum()), date, np.int32))
            places.append(np.stack([row, column])[:, keep])
            values.append(np.concatenate([seen.values[field.name] for field in recipe.fields], axis=1)[keep])
        row, column = np.concatenate(places, axis=1).astype(np.int32)
        arrays = {"date": np.concatenate(dates), "row": row, "column": column, "values": np.concatenate(values)}
        return {self.name: arrays}, {"profiles": row.size}


def month_of(date: int) -> str:
    """``2012-03`` of YYYYMMDD."""
    return f"{date // 10000:04d}-{date // 100 % 100:02d}"


@dataclass(frozen=True)
class ClimateTask:
    """The seasons of a block of levels of one variable."""

    variable: str
    block: int
    #: of season steps of all bands, from the north, or of profile steps of all months
    parts: tuple[StoredFile, ...]
    #: of the values of profiles; ``None``: sums of dense fields
    columns: tuple[int, int] | None = None
    kind: str = "climate"

    @property
    def name(self) -> str:
        """``temperature-3``."""
        return f"{self.variable}-{self.block}"

    def key(self, recipe: Recipe) -> str:
        """See ``StatisticsTask``."""
        settings = recipe.settings
        return recipe.key(
            [part.sha256 for part in self.parts],
            self.columns,
            settings.resolution,
            settings.smoothing_km,
            settings.ridge,
        )

    def make(self, recipe: Recipe) -> tuple[Parts, Mapping[str, int]]:
        """Terms: [TERMS, level, row, column], NaN at levels of which nothing is known."""
        sums = self._dense(recipe) if self.columns is None else self._sparse(recipe, *self.columns)
        least = _LEAST_DATES if self.columns is None else _LEAST_PROFILES
        terms = fit_seasons(sums, recipe.coarse, recipe.settings.smoothing_km, recipe.settings.ridge, least)
        return {self.name: {"terms": terms}}, {}

    def _dense(self, recipe: Recipe) -> SeasonSums:
        sums: SeasonSums | None = None
        for file in self.parts:
            part = read_arrays(recipe.root, file)
            levels, rows = part["values"].shape[1:3]
            if sums is None:
                sums = SeasonSums.empty((levels, recipe.coarse.height, recipe.coarse.width))
            into = slice(int(part["row"]), int(part["row"]) + rows)
            sums.squares[:, :, into] += part["squares"]
            sums.values[:, :, into] += part["values"]
        assert sums is not None  # there is a band
        return sums

    def _sparse(self, recipe: Recipe, first: int, last: int) -> SeasonSums:
        coarse, nesting = recipe.coarse, recipe.nesting
        shape = (last - first, coarse.height, coarse.width)
        sums, levels = SeasonSums.empty(shape), len(recipe.depth)
        top = first // levels * levels
        seen = np.zeros(levels, np.int64)
        for file in self.parts:
            part = read_arrays(recipe.root, file)
            seen += np.isfinite(part["values"][:, top : top + levels]).sum(axis=0)
            cell = nesting.row[part["row"]] * coarse.width + nesting.column[part["column"]]
            for date in np.unique(part["date"]).tolist():
                at = part["date"] == date
                values = part["values"][at, first:last].astype(np.float64)
                known = np.isfinite(values)
                count, total = np.zeros((2, *shape))
                for level in range(last - first):
                    where = cell[at][known[:, level]]
                    size = coarse.height * coarse.width
                    count[level] = np.bincount(where, minlength=size).reshape(shape[1:])
                    chosen = values[known[:, level], level]
                    total[level] = np.bincount(where, weights=chosen, minlength=size).reshape(shape[1:])
                sums.add(parse_date(date), total / np.maximum(count, 1), count)
        unknown = (np.maximum.accumulate(seen) < _LEAST_SHARE * seen.max()) & (np.array(recipe.depth) < _TOP_M)
        sums.squares[:, unknown[first - top : last - top]] = 0
        sums.values[:, unknown[first - top : last - top]] = 0
        return sums


def fit_seasons(
    sums: SeasonSums, coarse: RasterGrid, smoothing_km: float, ridge: float, least: float
) -> NDArray[np.float32]:
    """Seasons of all cells: those that know too little have what is known further and further around.

    Then they have what circles of latitude know, and at last what all cells know.

    Args:
        sums: of levels: [level, row, column].
        coarse: their grid.
        smoothing_km: standard deviation of the weights of neighbours, km; that of a cell for itself is 1.
        ridge: see ``SeasonSums.solve``.
        least: weight that a cell needs, its neighbours' included.

    Returns:
        Terms: [TERMS, level, row, column], NaN at levels of which nothing is known.
    """
    terms = np.full(sums.values.shape, np.nan, np.float32)
    reach = smoothing_km
    while np.isnan(terms[0]).any() and reach <= _WIDEST:
        near = sums if reach == 0 else _around(sums, coarse, reach)
        enough = np.isnan(terms[0]) & (near.weight >= least)
        some = SeasonSums(near.squares[:, enough], near.values[:, enough])
        terms[:, enough] = some.solve(ridge)
        reach = max(reach, coarse.dy * DEGREE_KM) * _WIDER
    circles = SeasonSums(sums.squares.sum(axis=-1, keepdims=True), sums.values.sum(axis=-1, keepdims=True))
    while np.isnan(terms[0]).any() and reach <= _WIDEST_CIRCLES:
        rows = reach / (DEGREE_KM * coarse.dy)
        near = SeasonSums(*(_neighbours(rows) * gaussian_filter1d(values, rows, axis=-2, mode="constant")
                            for values in (circles.squares, circles.values)))  # fmt: skip
        found = np.where(near.weight >= least, near.solve(ridge), np.nan)
        terms = np.where(np.isnan(terms), found, terms)
        reach *= _WIDER
    whole = SeasonSums(circles.squares.sum(axis=-2), circles.values.sum(axis=-2)).solve(ridge)
    return np.where(np.isnan(terms), whole[..., None], terms)


def _around(sums: SeasonSums, coarse: RasterGrid, reach: float) -> SeasonSums:
    """Sums in which neighbours count, too."""
    narrow = np.maximum(np.cos(np.radians(coarse.latitude)), 1e-3)
    # never more than a part of the circle, which is what it costs close to the poles
    columns = np.minimum(reach / (DEGREE_KM * coarse.dx * narrow), coarse.width / 12)
    rows = reach / (DEGREE_KM * coarse.dy)
    means = sums.smoothed(rows, columns, periodic=coarse.periodic)
    weights = np.array([_neighbours(rows) * _neighbours(width) for width in columns])[:, None]
    return SeasonSums(means.squares * weights, means.values * weights)


def _neighbours(deviation: float) -> float:
    """Sum of the weights exp(-n^2 / 2 deviation^2) of whole numbers."""
    far = np.arange(1, int(4 * deviation) + 2)
    return 1 + 2 * float(np.exp(-(far**2) / (2 * deviation**2)).sum())
