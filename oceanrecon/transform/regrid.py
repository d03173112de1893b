"""Separable regridding between regular grids: bilinear, or area-weighted from a much finer grid.

Each output cell is a weighted mean over the valid source cells around it, ``sum(w * v * valid) / sum(w * valid)``,
and is missing where the valid weight is below a minimum fraction of the whole. The weights are products of a row and
a column part, so two small tables per pair of grids hold them all and one pass over the rows does the work.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from oceanrecon.grid import Axis, RasterGrid
from oceanrecon.transform.compiled import Array, compiled
from oceanrecon.transform.encode import Codes, Stretch

#: Valid fractions are compared with this slack, so that one half of four cells is a half in any rounding.
FRACTION_SLACK = 1e-6
#: Sources finer than this part of a target cell are averaged over the cell instead of interpolated at its centre.
AREA_THRESHOLD = 0.5 * (1 - 1e-6)


@dataclass(frozen=True, eq=False)
class AxisWeights:
    """Weights along one axis: target ``t`` is the sum over k of ``weight[k, t] * source[index[k, t]]``.

    ``weight`` sums to 1 over a target that the source covers fully; to less where it covers a part of it, and to 0
    outside.
    """

    index: NDArray[np.int64]
    weight: NDArray[np.float64]
    method: str


@dataclass(frozen=True, eq=False)
class Weights:
    """Everything that regridding from one source grid to one raster needs."""

    rows: AxisWeights
    columns: AxisWeights
    minimum_valid_fraction: float

    @property
    def method(self) -> str:
        """``bilinear``, ``area`` or, where the axes differ, both names."""
        names = dict.fromkeys((self.rows.method, self.columns.method))
        return "+".join(names)


@dataclass(frozen=True)
class Unpacking:
    """How stored numbers become values: ``stored * scale + offset`` where ``low <= stored <= high`` and not a fill."""

    scale: float = 1.0
    offset: float = 0.0
    low: float = -np.inf
    high: float = np.inf
    fills: tuple[float, ...] = ()


@dataclass(frozen=True)
class CodeCounts:
    """What one encoded level holds: counts, and the sum and the extremes of its valid codes."""

    valid: int
    nodata: int
    clipped_low: int
    clipped_high: int
    code_sum: int
    code_min: int
    code_max: int


def _bilinear(source: Axis, centres: NDArray[np.float64]) -> AxisWeights:
    position = source.position(centres)
    inside = np.ones(position.shape, dtype=bool)
    if source.period is None:
        inside = (position >= -0.5 - 1e-6) & (position <= source.size - 0.5 + 1e-6)
        position = np.clip(position, 0.0, source.size - 1.0)
    lower = np.floor(position).astype(np.int64)
    fraction = position - lower
    upper = np.where(fraction > 0.0, (lower + 1) % source.size, lower)
    index = np.stack([lower, upper])
    weight = np.stack([1.0 - fraction, fraction]) * inside
    return AxisWeights(index, weight, "bilinear")


def _area(source: Axis, centres: NDArray[np.float64], width: float, *, latitude: bool) -> AxisWeights:
    cells = abs(source.step)
    half = 0.5 * width / cells
    position = source.position(centres)
    taps = int(np.ceil(2 * half)) + 1
    first = np.ceil(position - half - 0.5 - 1e-9).astype(np.int64)
    index = first + np.arange(taps)[:, None]
    low = np.maximum(index - 0.5, position - half)
    high = np.minimum(index + 0.5, position + half)
    if latitude:
        # areas on the sphere: differences of the sine of latitude, for the cell and for its parts

        def sine(at: NDArray[np.float64]) -> NDArray[np.float64]:
            degrees = np.clip(source.first + source.step * at, -90.0, 90.0)
            return np.asarray(np.sin(np.deg2rad(degrees)), dtype=np.float64)

        part = np.abs(sine(high) - sine(low)) * (high > low)
        whole = np.abs(sine(position + half) - sine(position - half))
    else:
        part = np.maximum(high - low, 0.0)
        whole = np.full(position.shape, 2 * half)
    weight = part / whole
    if source.period is None:
        weight = np.where((index >= 0) & (index < source.size), weight, 0.0)
        index = np.clip(index, 0, source.size - 1)
    else:
        index = index % source.size
    return AxisWeights(index, weight, "area")


def axis_weights(source: Axis, centres: NDArray[np.float64], width: float, *, latitude: bool) -> AxisWeights:
    """Weights from ``source`` to cells of ``width`` degrees at ``centres`` (degrees): [n].

    Bilinear; area-weighted where the source is finer than half a target cell. Targets within half a source cell
    outside the source take its edge value, so that grids of cell centres reach the poles.
    """
    if not latitude and source.period is None:
        centres = source.moved_to(centres)
    if abs(source.step) < AREA_THRESHOLD * width:
        return _area(source, centres, width, latitude=latitude)
    return _bilinear(source, centres)


@lru_cache(maxsize=16)
def build_weights(latitude: Axis, longitude: Axis, grid: RasterGrid, minimum_valid_fraction: float = 0.5) -> Weights:
    """Weights from the source grid ``latitude`` x ``longitude`` to ``grid``; kept for the pairs used last."""
    return Weights(
        rows=axis_weights(latitude, grid.latitude, grid.dy, latitude=True),
        columns=axis_weights(longitude, grid.longitude, grid.dx, latitude=False),
        minimum_valid_fraction=minimum_valid_fraction,
    )


@compiled
def _row_sums(
    field: Array,
    row: int,
    index: Array,
    weight: Array,
    low: float,
    high: float,
    fill0: float,
    fill1: float,
    total: Array,
    valid: Array,
) -> None:
    """Weighted sums over the source rows of one target row: values into ``total``, weights into ``valid``."""
    width = field.shape[1]
    total[:] = 0.0
    valid[:] = 0.0
    for tap in range(index.shape[0]):
        w = weight[tap, row]
        if w == 0.0:
            continue
        line = field[index[tap, row]]
        for x in range(width):
            v = line[x]
            good = w if (v >= low) & (v <= high) & (v != fill0) & (v != fill1) else 0.0
            total[x] += good * v if good > 0.0 else 0.0
            valid[x] += good


@compiled
def _column_means(
    total: Array, valid: Array, index: Array, weight: Array, least: float, scale: float, offset: float, out: Array
) -> None:
    """Values of one target row from the sums over its source rows; NaN where too little is valid."""
    taps = index.shape[0]
    if taps == 2:  # bilinear: unrolled, three times faster
        left, right = index[0], index[1]
        a, b = weight[0], weight[1]
        for x in range(out.shape[0]):
            i, j = left[x], right[x]
            part = a[x] * valid[i] + b[x] * valid[j]
            value = (a[x] * total[i] + b[x] * total[j]) / part * scale + offset
            out[x] = value if part >= least else np.nan
        return
    for x in range(out.shape[0]):
        value = 0.0
        part = 0.0
        for tap in range(taps):
            i = index[tap, x]
            value += weight[tap, x] * total[i]
            part += weight[tap, x] * valid[i]
        out[x] = value / part * scale + offset if part >= least else np.nan


@compiled
def _encode_row(
    values: Array, minimum: float, per_unit: float, last: float, nodata: int, codes: Array, counts: Array
) -> None:
    """Codes of one row, and what they add to (valid, low, high, sum, smallest, largest)."""
    count = 0
    low = 0
    high = 0
    code_sum = 0
    smallest = counts[4]
    largest = counts[5]
    for x in range(values.shape[0]):
        scaled = (values[x] - minimum) * per_unit
        finite = scaled == scaled
        below = scaled < 0.0
        above = scaled > last
        clipped = 0.0 if below else (last if above else scaled)
        code = int(np.rint(clipped)) if finite else nodata
        codes[x] = code
        count += 1 if finite else 0
        low += 1 if below else 0
        high += 1 if above else 0
        code_sum += code if finite else 0
        smallest = min(smallest, code)
        largest = max(largest, code if finite else -1)
    counts[0] += count
    counts[1] += low
    counts[2] += high
    counts[3] += code_sum
    counts[4] = smallest
    counts[5] = largest


@compiled
def _regrid_encode(
    slab: Array,
    rows: Array,
    row_weight: Array,
    columns: Array,
    column_weight: Array,
    low: float,
    high: float,
    fill0: float,
    fill1: float,
    least: float,
    scale: float,
    offset: float,
    minimum: float,
    per_unit: float,
    last: float,
    nodata: int,
    codes: Array,
    counts: Array,
) -> None:
    total = np.empty(slab.shape[2])
    valid = np.empty(slab.shape[2])
    values = np.empty(columns.shape[1])
    for level in range(slab.shape[0]):
        for row in range(rows.shape[1]):
            _row_sums(slab[level], row, rows, row_weight, low, high, fill0, fill1, total, valid)
            _column_means(total, valid, columns, column_weight, least, scale, offset, values)
            _encode_row(values, minimum, per_unit, last, nodata, codes[level, row], counts[level])


@compiled
def _regrid(
    slab: Array,
    rows: Array,
    row_weight: Array,
    columns: Array,
    column_weight: Array,
    low: float,
    high: float,
    fill0: float,
    fill1: float,
    least: float,
    scale: float,
    offset: float,
    out: Array,
) -> None:
    total = np.empty(slab.shape[2])
    valid = np.empty(slab.shape[2])
    values = np.empty(columns.shape[1])
    for level in range(slab.shape[0]):
        for row in range(rows.shape[1]):
            _row_sums(slab[level], row, rows, row_weight, low, high, fill0, fill1, total, valid)
            _column_means(total, valid, columns, column_weight, least, scale, offset, values)
            for x in range(values.shape[0]):
                out[level, row, x] = values[x]


@compiled
def _largest(counts: Array, rows: Array, row_weight: Array, columns: Array, column_weight: Array, out: Array) -> None:
    for row in range(rows.shape[1]):
        for x in range(columns.shape[1]):
            most = np.int64(0)
            for a in range(rows.shape[0]):
                if row_weight[a, row] == 0.0:
                    continue
                for b in range(columns.shape[0]):
                    if column_weight[b, x] == 0.0:
                        continue
                    most = max(most, counts[rows[a, row], columns[b, x]])
            out[row, x] = most


def stored_bounds(dtype: np.dtype[Any], unpacking: Unpacking) -> tuple[Any, Any, Any, Any]:
    """Limits and fills as numbers of the stored type, so that the kernel compares without converting."""
    fills = list(unpacking.fills[:2])
    if len(unpacking.fills) > 2:
        raise ValueError(f"at most two fill values can be told apart, got {unpacking.fills}")
    if dtype.kind in "iu":
        limits = np.iinfo(dtype)
        low = int(np.clip(np.ceil(unpacking.low), limits.min, limits.max))
        high = int(np.clip(np.floor(unpacking.high), limits.min, limits.max))
        if unpacking.low > limits.max or unpacking.high < limits.min:
            low, high = int(limits.max), int(limits.min)  # no number of this type is plausible: none is valid
        # a fill that repeats an excluded value is no fill: numbers outside the limits are dropped already
        spare = high + 1 if high < limits.max else (low - 1 if low > limits.min else None)
        whole = [int(fill) for fill in fills if limits.min <= fill <= limits.max and float(fill).is_integer()]
        if spare is None and not whole:
            return dtype.type(low), dtype.type(high), float("nan"), float("nan")
        first = whole[0] if whole else spare
        second = whole[1] if len(whole) > 1 else first
        return dtype.type(low), dtype.type(high), dtype.type(first), dtype.type(second)
    first_float = fills[0] if fills else float("nan")
    second_float = fills[1] if len(fills) > 1 else first_float
    infinite = np.finfo(dtype).max
    return (
        dtype.type(np.clip(unpacking.low, -infinite, infinite)),
        dtype.type(np.clip(unpacking.high, -infinite, infinite)),
        dtype.type(first_float),
        dtype.type(second_float),
    )


def regrid_encode(
    slab: NDArray[Any], weights: Weights, unpacking: Unpacking, stretch: Stretch, codes: Codes
) -> list[CodeCounts]:
    """Regrid stored numbers and encode them in one pass.

    Args:
        slab: stored numbers: [level, source latitude, source longitude], any real type.
        weights: from ``build_weights`` for these axes.
        unpacking: of the stored numbers, to the units of ``stretch``.
        stretch: the code.
        codes: filled with codes: [level, height, width].

    Returns:
        Counts per level.
    """
    counts = np.zeros((slab.shape[0], 6), dtype=np.int64)
    counts[:, 4] = stretch.nodata
    counts[:, 5] = -1
    _regrid_encode(
        slab, weights.rows.index, weights.rows.weight, weights.columns.index, weights.columns.weight,
        *stored_bounds(slab.dtype, unpacking), weights.minimum_valid_fraction - FRACTION_SLACK,
        unpacking.scale, unpacking.offset, stretch.minimum, 1.0 / stretch.step, float(stretch.last_code),
        stretch.nodata, codes, counts,
    )  # fmt: skip
    pixels = codes.shape[1] * codes.shape[2]
    return [
        CodeCounts(int(n), int(pixels - n), int(low), int(high), int(total), int(smallest), int(largest))
        for n, low, high, total, smallest, largest in counts
    ]


def regrid(
    slab: NDArray[Any], weights: Weights, unpacking: Unpacking, dtype: type[np.float32 | np.float64] = np.float32
) -> NDArray[Any]:
    """Regrid stored numbers to values: [level, height, width], NaN where missing; the arithmetic is float64."""
    shape = (slab.shape[0], weights.rows.index.shape[1], weights.columns.index.shape[1])
    out = np.empty(shape, dtype=dtype)
    _regrid(
        slab, weights.rows.index, weights.rows.weight, weights.columns.index, weights.columns.weight,
        *stored_bounds(slab.dtype, unpacking), weights.minimum_valid_fraction - FRACTION_SLACK,
        unpacking.scale, unpacking.offset, out,
    )  # fmt: skip
    return out


def regrid_largest(counts: NDArray[np.uint8], weights: Weights) -> NDArray[np.uint8]:
    """The largest of the source cells that have weight in each target cell: [height, width] from [lat, lon]."""
    out = np.empty((weights.rows.index.shape[1], weights.columns.index.shape[1]), dtype=np.uint8)
    _largest(counts, weights.rows.index, weights.rows.weight, weights.columns.index, weights.columns.weight, out)
    return out
