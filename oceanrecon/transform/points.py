"""Profiles that share a pixel: their mean, for loaders that keep pixels as a list instead of a raster."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def average_duplicates(
    pixels: NDArray[np.integer[Any]], values: NDArray[np.floating[Any]]
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Average profiles over pixels, per level, as ``transform.rasterize`` does: float64 sums, in order.

    Args:
        pixels: of each profile: [profile].
        values: NaN where missing: [profile, level].

    Returns:
        The pixels, ascending and each once, [point], and their means, NaN where there is no value: [point, level].
    """
    order = np.argsort(pixels, kind="stable")
    found, first = np.unique(pixels[order], return_index=True)
    if found.size == pixels.size:
        return found.astype(np.int32), values[order].astype(np.float32)
    ordered = values[order].astype(np.float64)
    valid = np.isfinite(ordered)
    filled = np.where(valid, ordered, 0.0)
    total = np.zeros((found.size, values.shape[1]))
    each = np.diff(first, append=pixels.size)
    for number in range(int(each.max())):  # not np.add.reduceat, which adds the others before it adds the first
        some = each > number
        total[some] += filled[first[some] + number]
    count = np.add.reduceat(valid, first, axis=0, dtype=np.int64)
    mean = np.where(count > 0, total / np.maximum(count, 1), np.nan)
    return found.astype(np.int32), mean.astype(np.float32)
