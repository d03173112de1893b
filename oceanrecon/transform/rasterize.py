"""Profiles onto the pixels of a raster: the mean of those that share a pixel, and how many they are."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from oceanrecon.transform.compiled import Array, compiled


@compiled
def _means(pixels: Array, order: Array, values: Array, mean: Array, count: Array) -> None:
    """Means over runs of equal ``pixels[order]``; float64 sums of one run at a time, never of the whole raster."""
    for level in range(values.shape[1]):
        start = 0
        while start < order.shape[0]:
            pixel = pixels[order[start]]
            total = 0.0
            n = 0
            stop = start
            while stop < order.shape[0] and pixels[order[stop]] == pixel:
                v = values[order[stop], level]
                if v == v:
                    total += v
                    n += 1
                stop += 1
            if n > 0:
                mean[level, pixel] = total / n
                count[level, pixel] = n
            start = stop


def rasterize(
    rows: NDArray[np.integer[Any]],
    columns: NDArray[np.integer[Any]],
    values: NDArray[np.float32],
    height: int,
    width: int,
) -> tuple[NDArray[np.float32], NDArray[np.uint16]]:
    """Average profiles over pixels, per level; the sums are float64 and in the order of the profiles.

    Args:
        rows: pixel of each profile, from the north: [profile].
        columns: pixel of each profile, from the west: [profile].
        values: NaN where missing: [profile, level].
        height: rows of the raster.
        width: columns of the raster.

    Returns:
        The mean, NaN where there is none, and the number of values behind it: both [level, height, width].

    Raises:
        ValueError: shapes do not agree, a pixel is outside the raster, or it has more profiles than can be counted.
    """
    if not rows.shape == columns.shape == values.shape[:1]:
        raise ValueError(f"rows {rows.shape}, columns {columns.shape} and values {values.shape} do not agree")
    outside = np.flatnonzero((rows < 0) | (rows >= height) | (columns < 0) | (columns >= width))
    if outside.size:
        first = outside[0]
        raise ValueError(
            f"{outside.size} profiles are outside the raster of {height} x {width} pixels, "
            f"the first at row {rows[first]}, column {columns[first]}"
        )
    pixels = rows.astype(np.int64) * width + columns
    order = np.argsort(pixels, kind="stable")
    most = int(np.iinfo(np.uint16).max)
    if pixels.size > most and int(np.unique(pixels, return_counts=True)[1].max()) > most:
        raise ValueError(f"a pixel has more than {most} profiles: the counts are uint16")
    levels = values.shape[1]
    mean = np.full((levels, height * width), np.nan, dtype=np.float32)
    count = np.zeros((levels, height * width), dtype=np.uint16)
    _means(pixels, order, values, mean, count)
    return mean.reshape(levels, height, width), count.reshape(levels, height, width)
