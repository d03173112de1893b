"""Chance that is the same every time: numbers that a slot, a count and a seed decide, whatever was asked for before."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray


def uniform(slot: ArrayLike, number: ArrayLike, seed: int, purpose: int) -> NDArray[np.float64]:
    """Numbers in [0, 1) that slot, number, seed and purpose decide (splitmix64): ``slot`` and ``number`` broadcast."""
    state = np.uint64((seed * 0x9E3779B97F4A7C15 + purpose * 0xD1342543DE82EF95) % 2**64)
    with np.errstate(over="ignore"):
        mixed = state + np.asarray(slot, np.uint64) * np.uint64(0xBF58476D1CE4E5B9)
        mixed = np.asarray(mixed + np.asarray(number, np.uint64) * np.uint64(0x94D049BB133111EB))
        for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
            mixed = (mixed ^ (mixed >> np.uint64(shift))) * np.uint64(factor)
        mixed = mixed ^ (mixed >> np.uint64(31))
    return np.asarray((mixed >> np.uint64(11)).astype(np.float64) * 2.0**-53)
