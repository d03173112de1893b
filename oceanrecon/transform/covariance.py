"""How anomalies are alike at a distance: a correlation of one length, fitted per level to pairs of profiles."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

#: Of numpy or torch: what has arithmetic and ``clip``.
_Array = TypeVar("_Array")
_SHORTEST, _LONGEST = 30.0, 1000.0  # km
_CANDIDATES = np.geomspace(_SHORTEST, _LONGEST, 241)
_NEIGHBOURS = 1.5  # levels: standard deviation of the weights in the vertical
_POOLED_PAIRS = 300.0  # what all levels together count in each
_LEAST_PART, _LARGEST_PART = 0.02, 0.98  # of the variance that is signal


@dataclass(frozen=True, eq=False)
class Covariance:
    """Of the scaled anomalies of one field: two profiles at a distance have the covariance signal x correlation."""

    #: where ``correlation`` bends, km: [level]
    length_km: NDArray[np.float32]
    #: variance that neighbours share: [level]
    signal: NDArray[np.float32]
    #: the rest, of instruments and of what is smaller than any distance between profiles: [level]
    noise: NDArray[np.float32]


def correlation(distance: _Array, length: Any) -> _Array:
    """Gaspari and Cohn's correlation of fifth order (1999, equation 4.10), which is 0 from 3.65 lengths on.

    Close to 0 it is 1 - (distance / length)^2 / 2, as the Gaussian of that length is.

    Args:
        distance: array or tensor, of straight lines in space, for which it is a correlation on a sphere, too.
        length: in the same unit, of a shape that goes with it.
    """
    ratio: Any = distance / length * (3 / 10) ** 0.5
    near, far = ratio.clip(0, 1), ratio.clip(1, 2)
    inner = 1 + near**2 * (-5 / 3 + near * (5 / 8 + near * (1 / 2 - near / 4)))
    outer = 4 + far * (-5 + far * (5 / 3 + far * (5 / 8 + far * (-1 / 2 + far / 12)))) - 2 / 3 / far
    found: _Array = inner + outer - 5 / 24  # both are 5/24 where they meet
    return found


def fit_covariance(
    bins_km: NDArray[np.floating],
    products: NDArray[np.floating],
    counts: NDArray[np.integer] | NDArray[np.floating],
    variance: NDArray[np.floating],
) -> Covariance:
    """Fit length and signal to products of anomalies at pairs of places: least squares, a bin weighs as its pairs.

    The sums of squares of a level take in those of its neighbours, and all levels together as if they were 300 pairs:
    so lengths change smoothly with depth, and levels with few pairs have those of the others. Lengths are 30 to 1000
    km; signal is 2 to 98 % of the variance, and the rest is noise.

    Args:
        bins_km: edges of the bins of distance, rising: [bin + 1].
        products: sums of the products of the anomalies of pairs: [bin, level].
        counts: of pairs: [bin, level].
        variance: of the anomalies: [level]; where it is 0 or NaN nothing is known of the level, and it is 1.

    Raises:
        ValueError: there is no pair closer than 3650 km, or shapes do not match.
    """
    edges = np.asarray(bins_km, np.float64)
    pairs = np.asarray(counts, np.float64)
    if pairs.shape != products.shape or pairs.shape != (len(edges) - 1, len(variance)):
        raise ValueError(
            f"{len(edges)} edges and variances of {len(variance)} levels go with products and counts of shape "
            f"{(len(edges) - 1, len(variance))}, not {products.shape} and {pairs.shape}"
        )
    known = np.isfinite(variance) & (variance > 0)
    whole = np.where(known, variance, 1.0).astype(np.float64)
    alike = np.divide(products, pairs * whole, out=np.zeros(pairs.shape), where=pairs > 0)
    pairs = pairs * known
    model = _in_bins(edges)
    squares = (model**2).T @ pairs
    matches = model.T @ (pairs * alike)
    total = squares.sum(axis=1)
    if not total.max() > 0:
        raise ValueError("no pair of profiles is close enough for a correlation to be fitted: take more dates")
    weight = _POOLED_PAIRS / pairs.sum()
    squares = gaussian_filter1d(squares, _NEIGHBOURS, axis=1, mode="nearest") + weight * total[:, None]
    matches = gaussian_filter1d(matches, _NEIGHBOURS, axis=1, mode="nearest") + weight * matches.sum(axis=1)[:, None]
    part = np.clip(np.divide(matches, squares, out=np.zeros_like(squares), where=squares > 0), 0.0, 1.0)
    # of the sum of squared differences: what depends on length and part
    best = np.argmin(part * (part * squares - 2 * matches), axis=0)
    signal = np.clip(part[best, np.arange(len(whole))], _LEAST_PART, _LARGEST_PART) * whole
    return Covariance(
        _CANDIDATES[best].astype(np.float32), signal.astype(np.float32), (whole - signal).astype(np.float32)
    )


def _in_bins(edges: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean correlation in each bin, where places lie evenly on a plane: [bin, candidate]."""
    inside = edges[:-1, None] + np.diff(edges)[:, None] * (np.arange(8) + 0.5) / 8
    found = correlation(inside[:, :, None], _CANDIDATES)
    mean: NDArray[np.float64] = np.average(found, axis=1, weights=np.broadcast_to(inside[:, :, None], found.shape))
    return mean
