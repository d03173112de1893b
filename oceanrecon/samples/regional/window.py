"""Where the pixels of a patch are, and values of a window of a source at them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from oceanrecon.errors import ConfigError
from oceanrecon.grid.regions import Box

Method = Literal["nearest", "bilinear"]
#: Kilometres of a degree of latitude.
DEGREE_KM = 111.195
#: Near a pole a width in km would be all longitudes: no patch is wider than one at 84 degrees.
_LEAST_COSINE = 0.1
#: Part of the weight of a pixel that needs to be of values that are there.
_MINIMUM_VALID = 0.5 - 1e-6
#: Parts of a cell; centres that are off by less are the same.
_FUZZ = 1e-6
#: Parts of a cell that coordinates of files are off.
_OFF = 0.01
#: Degrees between two centres beyond which there is something missing between them, a whole region.
_HOLE = 45.0


@dataclass(frozen=True)
class PatchSize:
    """The side of a square patch.

    Raises:
        ConfigError: it is none.
    """

    value: float
    unit: Literal["deg", "km"] = "deg"

    def __post_init__(self) -> None:
        largest = 180.0 if self.unit == "deg" else 180.0 * DEGREE_KM
        if self.unit not in ("deg", "km") or not 0 < self.value <= largest:
            raise ConfigError(f"{self.value} {self.unit} is no size of a patch: give degrees or km, such as 10 deg")

    def degrees(self, latitude: float) -> tuple[float, float]:
        """Height and width of a patch around a latitude, degrees."""
        if self.unit == "deg":
            return self.value, self.value
        height = self.value / DEGREE_KM
        return height, min(height / max(math.cos(math.radians(latitude)), _LEAST_COSINE), 360.0)


@dataclass(frozen=True)
class PatchGrid:
    """The pixels of a patch: the first row is the southernmost, the first column the westernmost."""

    #: west, south, east, north, degrees; ``west > east`` crosses the dateline
    box: Box
    #: rows and columns
    shape: tuple[int, int]

    def __post_init__(self) -> None:
        if min(self.shape) < 1:
            raise ConfigError(f"a patch of {self.shape[0]} x {self.shape[1]} pixels is none: give 1 or more of each")

    @classmethod
    def of(cls, box: Box, resolution: float) -> PatchGrid:
        """Pixels of about ``resolution`` degrees: as many as fit the box best.

        Raises:
            ConfigError: the resolution is none.
        """
        if not resolution > 0:
            raise ConfigError(f"a resolution of {resolution} degrees is none: give more than 0")
        west, south, east, north = unrolled(box)
        rows, columns = round((north - south) / resolution), round((east - west) / resolution)
        return cls(box, (max(rows, 1), max(columns, 1)))

    @property
    def latitude(self) -> NDArray[np.float64]:
        """Of centres, rising, degrees: [row]."""
        _, south, _, north = self.box
        return np.asarray(south + (np.arange(self.shape[0]) + 0.5) * ((north - south) / self.shape[0]), np.float64)

    @property
    def longitude(self) -> NDArray[np.float64]:
        """Of centres, rising, degrees, beyond 180 after the dateline: [column]."""
        west, _, east, _ = unrolled(self.box)
        return np.asarray(west + (np.arange(self.shape[1]) + 0.5) * ((east - west) / self.shape[1]), np.float64)


@dataclass(frozen=True, eq=False)
class Window:
    """Values of a part of a source's grid."""

    #: rising, degrees: [row]
    latitude: NDArray[np.float64]
    #: rising, degrees, beyond 180 after the dateline: [column]
    longitude: NDArray[np.float64]
    #: NaN where missing: float32 [row, column]
    values: NDArray[np.float32]
    #: false: flags and numbers of tracks, which have no values between them
    continuous: bool = True


def unrolled(box: Box) -> Box:
    """A box whose east is east of its west, beyond 180 where it crosses the dateline."""
    west, south, east, north = box
    return west, south, east if east > west else east + 360.0, north


def rolled(box: Box) -> Box:
    """A box of longitudes in -180..180 and latitudes in -90..90: ``west > east`` crosses the dateline."""
    west, south, east, north = box
    south, north = max(south, -90.0), min(north, 90.0)
    if east - west >= 360.0:
        return -180.0, south, 180.0, north
    left, right = (west + 180.0) % 360.0 - 180.0, (east + 180.0) % 360.0 - 180.0
    return left, south, 180.0 if right == -180.0 else right, north


def inside(window: Window, box: Box) -> Window:
    """The cells of a window whose centres are in a box, its western and southern edges included, and the north pole."""
    west, south, east, north = unrolled(box)
    top = np.inf if north == 90.0 else north
    rows = slice(*np.searchsorted(window.latitude, [south, top]).tolist())
    columns = slice(*np.searchsorted(window.longitude, [west, east]).tolist())
    return Window(
        window.latitude[rows], window.longitude[columns], window.values[rows, columns], window.continuous
    )  # fmt: skip


def around(axis: NDArray[np.float64], low: float, high: float) -> slice | None:
    """Cells whose centres are between two edges, and one more on each side: two at least, as far as there are.

    A cell that is next to the edges is one of them. ``None``: the axis is elsewhere.
    """
    if not axis.size:
        return None
    step = _step(axis)
    if axis[-1] + step <= low or axis[0] - step >= high:
        return None
    first, last = (int(place) for place in np.searchsorted(axis, [low, high]))
    first, last = max(first - 1, 0), min(last + 1, axis.size)
    return slice(min(first, max(last - 2, 0)), max(last, min(first + 2, axis.size)))


def beyond(axis: NDArray[np.float64], edge: float, high: float) -> float:
    """Degrees beyond ``high`` that the next cell may be, where it is of the region beyond an edge and needed; else 0.

    It is needed where the centre of a cell is on the edge, so that half of the cell is on this side, and ``high`` is
    further on than the last centre of this side.

    Args:
        axis: of a region.
        edge: its eastern or northern edge.
        high: of a box.
    """
    if axis.size < 2:
        return 0.0
    step, gap = _step(axis), edge - float(axis[-1])
    reaches_in = (0.5 + _OFF) * step < gap <= (1 + _OFF) * step
    return step if reaches_in and axis[-1] < high <= edge else 0.0


def resampled(window: Window, grid: PatchGrid, method: Method) -> NDArray[np.float32]:
    """Values at the pixels of a patch, NaN where too little is there: [row, column].

    ``nearest`` takes the cell that the centre of a pixel is in. ``bilinear`` takes a mean of the cells around it,
    weighted, of those that have a value, which need half of the weight; a source that is finer than half a pixel is
    averaged over the pixel instead. Within half a cell beyond the outermost centres these hold. Flags are always
    those of the nearest cell.

    Args:
        window: around the patch, as far as the source has values.
        grid: the pixels.
        method: ``nearest`` or ``bilinear``.
    """
    if method == "nearest" or not window.continuous:
        down, rows = _nearest(window.latitude, grid.latitude)
        across, columns = _nearest(window.longitude, grid.longitude)
        taken = np.full(grid.shape, np.nan, np.float32)
        taken[np.ix_(rows, columns)] = window.values[np.ix_(down[rows], across[columns])]
        return taken
    west, south, east, north = unrolled(grid.box)
    along = _weights(window.latitude, grid.latitude, (north - south) / grid.shape[0])
    over = _weights(window.longitude, grid.longitude, (east - west) / grid.shape[1]).T.tocsr()
    there = np.isfinite(window.values)
    values = np.where(there, window.values, 0).astype(np.float64)
    weight = (along @ there.astype(np.float64)) @ over
    total = (along @ values) @ over
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(weight >= _MINIMUM_VALID, total / weight, np.nan).astype(np.float32)


def _step(axis: NDArray[np.float64]) -> float:
    """Degrees from cell to cell."""
    return float(axis[-1] - axis[0]) / max(axis.size - 1, 1)


def _nearest(source: NDArray[np.float64], target: NDArray[np.float64]) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
    """The cell that holds each target, and whether there is one: [target]."""
    low, high = _edges(source)
    after = np.searchsorted(source, target)
    before = np.clip(after - 1, 0, source.size - 1)
    after = np.clip(after, 0, source.size - 1)
    # half way between two centres the one that is further on holds, as cells are half-open
    nearer = np.where(target - source[before] < source[after] - target, before, after)
    slack = _FUZZ * (high[nearer] - low[nearer])
    return nearer, (target >= low[nearer] - slack) & (target <= high[nearer] + slack)


def _edges(source: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Lower and upper edges of cells, half way between centres; on both sides of a hole as wide as the other half."""
    steps = np.diff(source)
    if not steps.size:
        return source.copy(), source.copy()
    whole = steps <= _HOLE
    known = np.where(whole, steps, np.nan)
    below, above = np.concatenate([[np.nan], known]), np.concatenate([known, [np.nan]])
    below, above = np.where(np.isnan(below), above, below), np.where(np.isnan(above), below, above)
    return source - np.nan_to_num(below) / 2, source + np.nan_to_num(above) / 2


def _weights(source: NDArray[np.float64], target: NDArray[np.float64], width: float) -> Any:
    """Weights of an axis, which sum to 1 where the source covers the target: sparse [target, source]."""
    low, high = _edges(source)
    if float(np.median(high - low)) < 0.5 * width * (1 - _FUZZ):
        return _overlaps(low, high, target, width)
    nearer, held = _nearest(source, target)
    after = np.clip(np.searchsorted(source, target, side="right"), 1, max(source.size - 1, 1))
    lower, upper = np.minimum(after - 1, source.size - 1), np.minimum(after, source.size - 1)
    step = source[upper] - source[lower]
    between = (target >= source[lower]) & (target <= source[upper]) & (step > 0) & (step <= _HOLE)
    part = np.where(between, (target - source[lower]) / np.where(step > 0, step, 1), 0.0)
    part = np.where(part < _FUZZ, 0.0, np.where(part > 1 - _FUZZ, 1.0, part))
    rows = np.arange(target.size)
    first = np.where(between, lower, nearer)
    weight = np.where(between, 1 - part, held.astype(np.float64))
    return sparse.csr_array(
        (np.concatenate([weight, part]), (np.concatenate([rows, rows]), np.concatenate([first, upper]))),
        shape=(target.size, source.size),
    )


def _overlaps(low: NDArray[np.float64], high: NDArray[np.float64], target: NDArray[np.float64], width: float) -> Any:
    """The part of each target that is of each cell."""
    begin, end = target - width / 2, target + width / 2
    first, last = np.searchsorted(high, begin, side="right"), np.searchsorted(low, end, side="left")
    counts = np.maximum(last - first, 0)
    rows = np.repeat(np.arange(target.size), counts)
    columns = np.arange(rows.size) - np.repeat(np.cumsum(counts) - counts, counts) + np.repeat(first, counts)
    part = (np.minimum(high[columns], end[rows]) - np.maximum(low[columns], begin[rows])) / width
    return sparse.csr_array((np.maximum(part, 0.0), (rows, columns)), shape=(target.size, low.size))
