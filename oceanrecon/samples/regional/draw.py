"""Which boxes and days to train on, drawn by chance, and to evaluate on, side by side; without too much land."""

from __future__ import annotations

import datetime as dt
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from oceanrecon.errors import ConfigError
from oceanrecon.grid.octants import octant, touched
from oceanrecon.grid.regions import Box
from oceanrecon.samples.regional.query import VARIABLES, RegionalQuery, TacoDataset, numbers, variable
from oceanrecon.samples.regional.window import PatchGrid, PatchSize, Window, resampled, rolled, unrolled

#: Sources that have a value wherever there is sea, those with most pixels first.
_EVERYWHERE = ("l4_sst", "glorys_ssh", "l4_ssh", "l4_sss")
_GLOBE: Box = (-180.0, -90.0, 180.0, 90.0)
_DAY = dt.timedelta(days=1)
#: Degrees of a cell of a mask of land.
_CELL = 0.25
#: Boxes that are tried for one that is wanted.
_TRIES = 200


@dataclass(frozen=True, eq=False)
class LandMask:
    """Land and water on a global grid of square cells."""

    #: from the south and from -180: [row, column]
    land: NDArray[np.bool_]

    def fraction(self, box: Box) -> float:
        """The part of the area of a box that is land.

        Args:
            box: west, south, east, north, degrees.
        """
        rows, columns = self.land.shape
        west, south, east, north = unrolled(box)
        down, across = rows / 180.0, columns / 360.0
        inside = _shares(rows, (south + 90) * down, (north + 90) * down)
        edges = np.radians(np.arange(rows + 1) / down - 90)
        inside *= np.diff(np.sin(edges))
        # a box is less than once around, and begins on the first turn or the one before
        begin, end = (west + 180) * across, (east + 180) * across
        wide = _shares(2 * columns, begin, end)
        around = wide[:columns] + wide[columns:]
        return float(inside @ self.land @ around / (inside.sum() * around.sum()))


def land_of(dataset: TacoDataset, token: str | None = None, *, date: dt.date | None = None) -> LandMask:
    """Land where a source that is complete on the sea has no value, in cells of a quarter of a degree.

    A cell is land if most of it has none; so is ice where the source has no value under it.

    Args:
        dataset: of ``open_taco``.
        token: of a gridded variable; ``None``: the first there is of l4_sst, glorys_ssh, l4_ssh and l4_sss.
        date: of which; ``None``: the first on which the source has all eight regions.

    Raises:
        ConfigError: there is no such source, or on no day all of it.
    """
    tokens = (token,) if token is not None else _EVERYWHERE
    rows, columns = round(180 / _CELL), round(360 / _CELL)
    for one in tokens:
        chosen = variable(one)
        for day in dataset.dates if date is None else (date,):
            files = dataset.files(_GLOBE, [day], [chosen.source])
            if len(files) == len(touched(_GLOBE)):
                land = np.zeros((rows, columns), bool)
                for file in files:
                    west, south, _, _ = corner = octant(file.region).box
                    with dataset.open(file) as tile:
                        there = np.isfinite(numbers(tile, chosen.name)[0]).astype(np.float32)
                        cells = Window(tile.latitude, tile.longitude, there)
                    share = resampled(cells, PatchGrid(corner, (rows // 2, columns // 4)), "bilinear")
                    first, begin = round((south + 90) / _CELL), round((west + 180) / _CELL)
                    # beyond the rows of a source is ice or land
                    land[first : first + rows // 2, begin : begin + columns // 4] = ~(share >= 0.5)
                return LandMask(land)
    raise ConfigError(
        f"there is no day on which {' or '.join(tokens)} has all eight regions, and its missing values would tell "
        f"what is land; the dataset has {', '.join(dataset.sources)}. Give another variable of {', '.join(VARIABLES)}, "
        "or leave out the limit of land"
    )


def training_queries(
    n: int,
    patch: PatchSize,
    dates: tuple[dt.date, dt.date],
    *,
    box: Box = (-180.0, -60.0, 180.0, 60.0),
    days: int = 1,
    land: LandMask | None = None,
    max_land_fraction: float = 1.0,
    max_overlap: float = 1.0,
    seed: int = 42,
) -> list[RegionalQuery]:
    """Boxes and days drawn by chance, all places of the sphere alike; the same seed gives the same.

    Args:
        n: how many.
        patch: size of the boxes.
        dates: first and last day.
        box: in which they lie, also across the dateline.
        days: of a query.
        land: where land is; needed for a limit of it.
        max_land_fraction: of the area of a box.
        max_overlap: largest part that two boxes whose days overlap may share of what both cover together.
        seed: of the chance.

    Raises:
        ConfigError: a setting is impossible, or there is no room for so many: says how many there were.
    """
    _check(dates, days, land, max_land_fraction)
    if n < 1 or not 0 <= max_overlap <= 1:
        raise ConfigError(f"{n} queries with an overlap of {max_overlap}: give 1 or more, and 0 to 1")
    west, south, east, north = unrolled(box)
    chance = np.random.default_rng(seed)
    first, last = dates[0], dates[1] - (days - 1) * _DAY
    queries: list[RegionalQuery] = []
    too_dry = taken = unfit = 0
    for _ in range(_TRIES * n):
        if len(queries) == n:
            break
        share = chance.random(3)
        low, high = math.sin(math.radians(south)), math.sin(math.radians(north))
        centre = math.degrees(math.asin(low + (high - low) * share[0]))
        height, width = patch.degrees(centre)
        begin = first + int(share[2] * ((last - first).days + 1)) * _DAY
        if centre - height / 2 < south or centre + height / 2 > north or width > east - west:
            unfit += 1
            continue
        corner = west + share[1] * (east - west - width)
        if east - west == 360.0:  # all around: the edge of the map is a place like any other
            corner = west + share[1] * 360.0
        query = RegionalQuery(
            rolled((corner, centre - height / 2, corner + width, centre + height / 2)), begin,
            begin + (days - 1) * _DAY,
        )  # fmt: skip
        if land is not None and land.fraction(query.box) > max_land_fraction:
            too_dry += 1
        elif max_overlap < 1 and any(_overlap(query, other) > max_overlap for other in queries):
            taken += 1
        else:
            queries.append(query)
    if len(queries) < n:
        raise ConfigError(
            f"only {len(queries)} of {n} queries of {patch.value:g} {patch.unit} fit in {list(box)} from {dates[0]} to "
            f"{dates[1]}: of {_TRIES * n} that were tried, {too_dry} have more land than {max_land_fraction:g}, "
            f"{taken} overlap others by more than {max_overlap:g}, and {unfit} leave the box; ask for fewer, or relax "
            "these"
        )
    return queries


def evaluation_queries(
    patch: PatchSize,
    dates: tuple[dt.date, dt.date],
    *,
    box: Box = (-180.0, -60.0, 180.0, 60.0),
    overlap: float = 0.0,
    every_days: int = 1,
    days: int = 1,
    land: LandMask | None = None,
    max_land_fraction: float = 1.0,
) -> list[RegionalQuery]:
    """Boxes side by side that cover a box, from the south-west, on days at even distances.

    The last row and column end at the edge of the box, so that nothing of it is left out; they overlap more.

    Args:
        patch: size of the boxes; in km each row has as many as it needs.
        dates: first and last day.
        box: what is covered.
        overlap: part of a side that neighbours share, 0 to less than 1.
        every_days: from the first day of a query to that of the next.
        days: of a query.
        land: where land is; needed for a limit of it.
        max_land_fraction: of the area of a box.

    Raises:
        ConfigError: a setting is impossible, a patch is larger than the box, or all are land.
    """
    _check(dates, days, land, max_land_fraction)
    if not 0 <= overlap < 1 or every_days < 1:
        raise ConfigError(f"an overlap of {overlap} every {every_days} days: give 0 to less than 1, and 1 or more")
    west, south, east, north = unrolled(box)
    height, _ = patch.degrees(0.0)
    boxes = []
    for low in _begins(south, north, height, overlap, box):
        # as wide as the middle of the row asks for
        _, width = patch.degrees(low + height / 2)
        for left in _begins(west, east, width, overlap, box):
            one = rolled((left, low, left + width, low + height))
            if land is None or land.fraction(one) <= max_land_fraction:
                boxes.append(one)
    if not boxes:
        raise ConfigError(
            f"all patches in {list(box)} have more land than {max_land_fraction:g}: allow more, or go to sea"
        )
    count = ((dates[1] - dates[0]).days - (days - 1)) // every_days + 1
    begins = [dates[0] + number * every_days * _DAY for number in range(count)]
    return [RegionalQuery(one, begin, begin + (days - 1) * _DAY) for begin in begins for one in boxes]


def _begins(low: float, high: float, size: float, overlap: float, box: Box) -> list[float]:
    """Where patches of a size begin that cover a side."""
    if size > high - low + 1e-9:
        raise ConfigError(f"a patch of {size:g} degrees is larger than the box {list(box)}: give a smaller one")
    step = size * (1 - overlap)
    count = max(math.ceil((high - low - size) / step - 1e-9), 0) + 1
    return [min(low + number * step, max(high - size, low)) for number in range(count)]


def _check(dates: tuple[dt.date, dt.date], days: int, land: LandMask | None, max_land_fraction: float) -> None:
    if days < 1 or (dates[1] - dates[0]).days + 1 < days:
        raise ConfigError(f"there are no {days} days from {dates[0]} to {dates[1]}: give fewer days or more dates")
    if not 0 <= max_land_fraction <= 1:
        raise ConfigError(f"a part of land of {max_land_fraction} is none: give 0 to 1")
    if land is None and max_land_fraction < 1:
        raise ConfigError(
            f"where land is has to be known for a limit of {max_land_fraction:g}: give `land`, such as land_of(dataset)"
        )


def _overlap(one: RegionalQuery, other: RegionalQuery) -> float:
    """The area that two boxes share, as a part of what both cover; 0 on other days."""
    if one.start > other.end or other.start > one.end:
        return 0.0
    (a, b, c, d), (e, f, g, h) = unrolled(one.box), unrolled(other.box)
    # as high as they are in area
    b, d, f, h = (math.sin(math.radians(latitude)) for latitude in (b, d, f, h))
    high = max(min(d, h) - max(b, f), 0.0)
    wide = sum(max(min(c, g + turn) - max(a, e + turn), 0.0) for turn in (-360.0, 0.0, 360.0))
    shared = high * wide
    return shared / ((c - a) * (d - b) + (g - e) * (h - f) - shared)


def _shares(size: int, begin: float, end: float) -> NDArray[np.float64]:
    """Part of each cell of an axis that is between two places, in cells."""
    cells = np.arange(size)
    return np.asarray(np.clip(np.minimum(cells + 1, end) - np.maximum(cells, begin), 0.0, 1.0))
