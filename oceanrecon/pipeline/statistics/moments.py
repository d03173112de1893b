"""How far anomalies are from the climatology, how levels go together, and how places do: sums by band and by month."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from oceanrecon.grid import RasterGrid, parse_date
from oceanrecon.pipeline.statistics.recipe import Recipe, read_arrays
from oceanrecon.pipeline.statistics.season import name_of
from oceanrecon.pipeline.statistics.steps import Parts
from oceanrecon.samples.form import Field
from oceanrecon.samples.tiles import Band
from oceanrecon.stores.files import Root
from oceanrecon.stores.manifest import read_manifest
from oceanrecon.stores.steps import StoredFile
from oceanrecon.transform.encode import stretch
from oceanrecon.transform.harmonic import at_date
from oceanrecon.transform.streams import stream

#: Edges of the bins of distance, km.
BINS_KM = np.array([0, 25, 50, 75, 100, 150, 200, 250, 300, 400, 500, 600, 700, 850, 1000], np.float64)
_EARTH_KM = 6371.0
#: Dense columns are taken about so far apart, degrees: nearer ones say the same again.
_APART = 0.5
#: Columns of a date whose pairs are counted, at most: of a band, and of all profiles.
_DENSE_COLUMNS, _PROFILES = 200, 3000
#: Pairs whose products are in memory together.
_TOGETHER = 50_000


@dataclass
class Moments:
    """Sums over columns of V = fields x levels, and over pairs of columns."""

    #: weights of columns that have both, and their products: [V, V]
    weight: NDArray[np.float64]
    second: NDArray[np.float64]
    #: pairs by distance, and their products: [bin, V]
    pairs: NDArray[np.float64]
    products: NDArray[np.float64]

    @classmethod
    def empty(cls, size: int) -> Moments:
        """Of nothing."""
        bins = len(BINS_KM) - 1
        return cls(np.zeros((size, size)), np.zeros((size, size)), np.zeros((bins, size)), np.zeros((bins, size)))

    def add_columns(self, anomalies: NDArray[np.floating], weight: NDArray[np.floating]) -> None:
        """Count columns: [V, column], NaN where missing; and [column]."""
        known = np.isfinite(anomalies)
        filled = np.where(known, anomalies, 0.0).astype(np.float64)
        present = known.astype(np.float64)
        self.weight += (present * weight) @ present.T
        self.second += (filled * weight) @ filled.T

    def add_pairs(self, anomalies: NDArray[np.floating], places: NDArray[np.float64]) -> None:
        """Count pairs of columns: [V, column], NaN where missing; at points in space, km: [column, 3]."""
        both = cKDTree(places).query_pairs(BINS_KM[-1], output_type="ndarray")
        distance = np.linalg.norm(places[both[:, 0]] - places[both[:, 1]], axis=1)
        number = np.clip(np.searchsorted(BINS_KM, distance, side="right") - 1, 0, len(BINS_KM) - 2)
        order = np.lexsort((both[:, 1], both[:, 0], number))
        for first in range(0, order.size, _TOGETHER):
            some = order[first : first + _TOGETHER]
            product = (anomalies[:, both[some, 0]] * anomalies[:, both[some, 1]]).astype(np.float64)
            known = np.isfinite(product)
            starts = np.flatnonzero(np.diff(number[some], prepend=-1))
            at = number[some][starts]
            self.products[at] += np.add.reduceat(np.where(known, product, 0.0), starts, axis=1).T
            self.pairs[at] += np.add.reduceat(known, starts, axis=1, dtype=np.int64).T

    def __iadd__(self, other: Moments) -> Moments:
        for name, values in vars(other).items():
            getattr(self, name)[...] += values
        return self


def points_in_space(latitude: NDArray[np.floating], longitude: NDArray[np.floating]) -> NDArray[np.float64]:
    """Places on the sphere, degrees: km from its centre, [place, 3]."""
    south, east = np.radians(latitude.astype(np.float64)), np.radians(longitude.astype(np.float64))
    unit = [np.cos(south) * np.cos(east), np.cos(south) * np.sin(east), np.sin(south)]
    return _EARTH_KM * np.stack(unit, axis=1)


def read_terms(recipe: Recipe, file: StoredFile) -> dict[str, NDArray[np.float32]]:
    """Terms by variable: fields [TERMS, level, row, column], surface fields [TERMS, row, column]."""
    return read_arrays(recipe.root, file)


@dataclass(frozen=True)
class MomentsTask:
    """Anomalies of the dense fields in a band of rows."""

    first: int
    last: int
    #: of the climatology
    terms: StoredFile
    kind: str = "moments"

    @property
    def name(self) -> str:
        """``00064``: first row."""
        return f"{self.first:05d}"

    def key(self, recipe: Recipe) -> str:
        """See ``StatisticsTask``."""
        names = [name_of(part) for part in recipe.dense]
        return recipe.key(self.first, self.last, names, recipe.dense_dates, self.terms.sha256)

    def make(self, recipe: Recipe) -> tuple[Parts, Mapping[str, int]]:
        """Moments of the fields; of each surface field its weight and its sum of squares."""
        codes, pixels, grid = recipe.open_dense(), recipe.training_pixels(), recipe.grid
        encoding = read_manifest(Root(recipe.settings.export))["encoding"]
        terms = read_terms(recipe, self.terms)
        band = Band(self.first, self.last - self.first, grid.width)
        fields = [part for part in recipe.dense if isinstance(part, Field)]
        moments = Moments.empty(len(fields) * len(recipe.depth))
        surface = {channel.variable: np.zeros(2) for channel in recipe.surface}
        step = max(1, round(_APART / max(grid.dx, grid.dy)))
        for number, date in enumerate(recipe.dense_dates):
            # other columns at each date, so that all have their turn
            rows = slice(self.first + number % step, self.last, step)
            columns = slice(number // step % step, None, step)
            own = slice(rows.start - self.first, None, step), columns
            inside = None if pixels is None else pixels.at(date, self.first, self.last)[own]
            there = [part for part in recipe.dense if date in codes.dates[part.variable]]
            anomalies: dict[str, NDArray[np.float32]] = {}
            for part, stored in zip(there, codes.read([(part.variable, date, band) for part in there]), strict=True):
                values = stretch(part.quantity, encoding).decode(stored[:, *own])
                season = at_date(terms[name_of(part)], parse_date(date))
                found = values - recipe.nesting.interpolated(season, rows, columns)
                if inside is not None:
                    found[:, ~inside] = np.nan
                anomalies[name_of(part)] = found.reshape(values.shape[0], -1)
            latitude, longitude = np.meshgrid(grid.latitude[rows], grid.longitude[columns], indexing="ij")
            weight = np.cos(np.radians(latitude.ravel()))
            for channel in recipe.surface:
                if channel.variable in anomalies:
                    found = anomalies[channel.variable][0]
                    known = np.isfinite(found)
                    surface[channel.variable] += weight[known].sum(), (weight[known] * found[known] ** 2.0).sum()
            if fields and latitude.size:
                absent = np.full((len(recipe.depth), latitude.size), np.nan, np.float32)
                column = np.concatenate([anomalies.get(field.name, absent) for field in fields])
                moments.add_columns(column, weight)
                chosen = np.flatnonzero(np.isfinite(column).any(axis=0))
                chosen = stream(self.first, date, 0, "pairs").permutation(chosen)[:_DENSE_COLUMNS]
                places = points_in_space(latitude.ravel()[chosen], longitude.ravel()[chosen])
                moments.add_pairs(column[:, chosen], places)
        return {self.name: {**vars(moments), **{f"surface/{name}": sums for name, sums in surface.items()}}}, {}


@dataclass(frozen=True)
class PairsTask:
    """Anomalies of the profiles of a month."""

    month: str
    profiles: StoredFile
    #: of the climatology
    terms: StoredFile
    kind: str = "pairs"

    @property
    def name(self) -> str:
        """``2012-03``."""
        return self.month

    def key(self, recipe: Recipe) -> str:
        """See ``StatisticsTask``."""
        return recipe.key(self.profiles.sha256, self.terms.sha256)

    def make(self, recipe: Recipe) -> tuple[Parts, Mapping[str, int]]:
        """Moments of the profiles, of which each counts the same."""
        terms, part = read_terms(recipe, self.terms), read_arrays(recipe.root, self.profiles)
        every = np.concatenate([terms[field.name] for field in recipe.fields], axis=1)
        moments = Moments.empty(every.shape[1])
        for date in np.unique(part["date"]).tolist():
            at = np.flatnonzero(part["date"] == date)
            row, column = part["row"][at], part["column"][at]
            season = recipe.nesting.at_pixels(at_date(every, parse_date(date)), row, column)
            anomalies = part["values"][at].T - season
            moments.add_columns(anomalies, np.ones(at.size))
            chosen = stream(0, date, 0, "pairs").permutation(at.size)[:_PROFILES]
            moments.add_pairs(anomalies[:, chosen], _places(recipe.grid, row[chosen], column[chosen]))
        return {self.name: vars(moments)}, {}


def _places(grid: RasterGrid, row: NDArray[np.integer], column: NDArray[np.integer]) -> NDArray[np.float64]:
    return points_in_space(grid.latitude[row], grid.longitude[column])


def total(recipe: Recipe, files: list[StoredFile]) -> tuple[Moments | None, dict[str, Any]]:
    """Moments of all bands or months, and of surface fields the sums; ``None``: there is no file."""
    moments: Moments | None = None
    surface: dict[str, NDArray[np.float64]] = {}
    for file in files:
        arrays = read_arrays(recipe.root, file)
        for name in [name for name in arrays if name.startswith("surface/")]:
            surface[name.removeprefix("surface/")] = surface.get(name.removeprefix("surface/"), 0) + arrays.pop(name)
        if moments is None:
            moments = Moments(**arrays)
        else:
            moments += Moments(**arrays)
    return moments, surface
