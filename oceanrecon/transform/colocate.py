"""Dense fields sampled at profiles: which nodes each profile needs, in the order that touches each chunk once.

A footprint lists (profile, node, weight); the fields are then given chunk by chunk, in any number of slabs of levels,
and the sums are divided at the end by the weight that was valid, ``sum(w * v * valid) / sum(w * valid)``, so that a
profile at a coast takes the wet nodes around it. The entries of a chunk are in the order of its memory and chunks
follow each other, so the order of additions never depends on who does the work.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from oceanrecon.grid import Axis
from oceanrecon.transform.compiled import Array, compiled
from oceanrecon.transform.regrid import Unpacking, axis_weights, stored_bounds

#: Two nodes whose weights differ by less are equally near.
TIE = 2e-6

_bounds = lru_cache(maxsize=256)(stored_bounds)


@dataclass(frozen=True, eq=False)
class Footprint:
    """The nodes that some profiles need of one grid, sorted by chunk, then row, column and profile.

    Attributes:
        profile: which profile: [entry].
        row: node along latitude, on the whole grid: [entry].
        column: node along longitude: [entry].
        weight: part of the node in the profile's value, never 0: [entry].
        chunk_keys: (chunk row, chunk column) of each chunk touched: [chunk, 2].
        chunk_starts: first entry of each chunk, and the number of entries: [chunk + 1].
        count: number of profiles, with and without entries.
    """

    profile: NDArray[np.int64]
    row: NDArray[np.int64]
    column: NDArray[np.int64]
    weight: NDArray[np.float64]
    chunk_keys: NDArray[np.int64]
    chunk_starts: NDArray[np.int64]
    count: int

    def chunks(self) -> Iterator[tuple[tuple[int, int], slice]]:
        """Each chunk touched, as (chunk row, chunk column), and its part of the entries."""
        starts = self.chunk_starts.tolist()
        for (row, column), start, stop in zip(self.chunk_keys.tolist(), starts[:-1], starts[1:], strict=True):
            yield (row, column), slice(start, stop)


def _taps(axis: Axis, at: NDArray[np.float64], *, latitude: bool, nearest: bool) -> tuple[Array, Array]:
    """Indices and weights along one axis: [tap, profile]; a target of no width is a point between two nodes."""
    pair = axis_weights(axis, at, 0.0, latitude=latitude)
    if not nearest:
        return pair.index, pair.weight
    lower = pair.weight[0] >= pair.weight[1] - TIE
    return np.where(lower, pair.index[0], pair.index[1])[None], (pair.weight.sum(axis=0) > 0).astype(np.float64)[None]


def footprint(
    latitude_axis: Axis,
    longitude_axis: Axis,
    latitude: NDArray[np.float64],
    longitude: NDArray[np.float64],
    chunk: tuple[int, int],
    *,
    nearest: bool = False,
) -> Footprint:
    """Find the nodes around profiles and their bilinear weights, or the nearest node of each.

    Longitudes wrap on periodic axes and are moved by whole turns to regional ones. Positions within half a cell
    outside the nodes take the edge value; further outside, or not finite, they have no entries.

    Args:
        latitude_axis: rows of the grid.
        longitude_axis: columns of the grid.
        latitude: degrees_north: [profile].
        longitude: degrees_east, any turn: [profile].
        chunk: rows and columns of a chunk, counted from the first node.
        nearest: one node of weight 1 instead of four; of equally near ones the first on its axis.
    """
    latitude = np.asarray(latitude, dtype=np.float64)
    longitude = np.asarray(longitude, dtype=np.float64)
    placed = np.flatnonzero(np.isfinite(latitude) & np.isfinite(longitude))
    rows, row_weight = _taps(latitude_axis, latitude[placed], latitude=True, nearest=nearest)
    columns, column_weight = _taps(longitude_axis, longitude[placed], latitude=False, nearest=nearest)
    shape = (rows.shape[0], columns.shape[0], placed.size)
    weight = (row_weight[:, None] * column_weight[None]).ravel()
    kept = np.flatnonzero(weight > 0.0)
    row = np.broadcast_to(rows[:, None], shape).reshape(-1)[kept]
    column = np.broadcast_to(columns[None], shape).reshape(-1)[kept]
    profile = np.broadcast_to(placed, shape).reshape(-1)[kept]
    across = -(-longitude_axis.size // chunk[1])
    number = (row // chunk[0]) * across + column // chunk[1]
    # the profile last: of one node its entries stay in the order of profiles
    order = np.lexsort((profile, column, row, number))
    numbers, starts = np.unique(number[order], return_index=True)
    return Footprint(
        profile=profile[order],
        row=row[order],
        column=column[order],
        weight=weight[kept][order],
        chunk_keys=np.stack([numbers // across, numbers % across], axis=1),
        chunk_starts=np.append(starts, order.size).astype(np.int64),
        count=latitude.size,
    )


@compiled
def _accumulate(
    stored: Array,
    first_level: int,
    first_row: int,
    first_column: int,
    profile: Array,
    row: Array,
    column: Array,
    weight: Array,
    start: int,
    stop: int,
    low: float,
    high: float,
    fill0: float,
    fill1: float,
    scale: float,
    offset: float,
    sums: Array,
    weights: Array,
) -> int:
    """Add entries ``start`` to ``stop``; returns the first whose node is not in ``stored``, or ``stop``."""
    for entry in range(start, stop):
        y = row[entry] - first_row
        x = column[entry] - first_column
        if y < 0 or x < 0 or y >= stored.shape[1] or x >= stored.shape[2]:
            return entry
        w = weight[entry]
        p = profile[entry]
        for level in range(stored.shape[0]):
            v = stored[level, y, x]
            if (v >= low) & (v <= high) & (v != fill0) & (v != fill1):
                sums[p, first_level + level] += w * (v * scale + offset)
                weights[p, first_level + level] += w
    return stop


def accumulate(
    stored: NDArray[Any],
    first_level: int,
    first_row: int,
    first_column: int,
    footprint: Footprint,
    part: slice,
    unpacking: Unpacking,
    sums: NDArray[np.float64],
    weights: NDArray[np.float64],
) -> None:
    """Add what one slab gives to the profiles that need it; nodes without a valid number add nothing.

    Args:
        stored: stored numbers, any real type: [level, row, column].
        first_level: where its first level is in ``sums``.
        first_row: its first row on the whole grid.
        first_column: its first column on the whole grid.
        footprint: of the profiles on this grid.
        part: entries to add, all inside the slab: from ``Footprint.chunks``.
        unpacking: of the stored numbers.
        sums: weighted sums of values, added to: [profile, level].
        weights: valid weights, added to: [profile, level].

    Raises:
        ValueError: the slab does not hold a node of ``part``, or goes beyond ``sums``.
    """
    last_level = first_level + stored.shape[0]
    if first_level < 0 or sums.shape != weights.shape or footprint.count > sums.shape[0] or last_level > sums.shape[1]:
        raise ValueError(
            f"levels {first_level}..{last_level - 1} of {footprint.count} profiles do not fit into sums {sums.shape} "
            f"and weights {weights.shape}"
        )
    end = _accumulate(
        stored, first_level, first_row, first_column,
        footprint.profile, footprint.row, footprint.column, footprint.weight, part.start, part.stop,
        *_bounds(stored.dtype, unpacking), unpacking.scale, unpacking.offset, sums, weights,
    )  # fmt: skip
    if end != part.stop:
        raise ValueError(
            f"node ({footprint.row[end]}, {footprint.column[end]}) is not in the slab that starts at "
            f"({first_row}, {first_column}) with {stored.shape[1]} x {stored.shape[2]} nodes"
        )


@compiled
def _finish(sums: Array, weights: Array, out: Array) -> None:
    for profile in range(sums.shape[0]):
        for level in range(sums.shape[1]):
            w = weights[profile, level]
            out[profile, level] = sums[profile, level] / w if w > 0.0 else np.nan


def finish(sums: NDArray[np.float64], weights: NDArray[np.float64]) -> NDArray[np.float32]:
    """Values: [profile, level]; NaN where no node around the profile was valid."""
    out = np.empty(sums.shape, dtype=np.float32)
    _finish(sums, weights, out)
    return out
