"""From sums to statistics: deviations of levels, vertical modes, covariances with distance, and no hole anywhere."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from oceanrecon.pipeline.statistics.moments import BINS_KM, Moments
from oceanrecon.stores.statistics import Modes
from oceanrecon.transform.covariance import Covariance, fit_covariance

#: Least deviation of anomalies, four code steps of uint16 and more: what is smaller is rounding. K, PSU and m.
FLOOR: Mapping[str, float] = {
    "temperature": 0.01, "salinity": 0.003, "analysed_sst": 0.05, "sos": 0.01, "adt": 0.005
}  # fmt: skip
#: Profiles that the variance of a level needs.
LEAST_COLUMNS = 30
#: Pairs of columns nearer than ``_NEAR_KM`` that a covariance needs, at the level that has most.
_LEAST_PAIRS, _NEAR_KM = 1000, 500.0
#: What is assumed where there are fewer.
_ASSUMED_KM, _ASSUMED_SIGNAL = np.float32(150.0), np.float32(0.6)
#: How far correlations of levels are pulled to none where they are of profiles, which few columns have whole.
_SHRINK = 0.1


def filled_levels(terms: NDArray[np.float32]) -> NDArray[np.float32]:
    """Terms whose levels without any value have those of the nearest level that has some.

    Args:
        terms: [TERMS, level, row, column], NaN at whole levels.

    Raises:
        ValueError: no level has a value.
    """
    known = np.flatnonzero(~np.isnan(terms[0]).any(axis=(-2, -1)))
    if not known.size:
        raise ValueError("there is no value at any level")
    level = np.arange(terms.shape[1])
    nearest = known[np.abs(level[:, None] - known).argmin(axis=1)]
    return terms[:, nearest]


def level_deviations(
    second: NDArray[np.float64], weight: NDArray[np.float64], floor: float, least: float = 0.0
) -> NDArray[np.float32]:
    """Deviations of the anomalies of levels, smoothed by 1:2:1 of neighbours; a level without values has theirs.

    Args:
        second: sum of weighted squares: [level].
        weight: sum of weights: [level].
        floor: the least that comes out.
        least: a level with no more weight has the deviation of its neighbours, if one has twice as much.

    Raises:
        ValueError: no level has a value.
    """
    level = np.arange(weight.size)
    known = weight > min(least, weight.max() / 2)
    if not known.any():
        raise ValueError("there is no value at any level")
    logs = np.log(np.maximum(np.sqrt(second[known] / weight[known]), floor))
    every = np.interp(level, level[known], logs)
    padded = np.pad(every, 1, mode="edge")
    return np.exp(padded[:-2] / 4 + padded[1:-1] / 2 + padded[2:] / 4).astype(np.float32)


def vertical_modes(moments: Moments, deviation: NDArray[np.floating], *, shrink: bool) -> Modes:
    """Modes of scaled anomalies whose levels are known pairwise: of the covariance without its negative variances.

    Args:
        moments: of anomalies.
        deviation: of each of V = fields x levels: [V].
        shrink: pull correlations a little to none, where they are of few columns.
    """
    weight, size = moments.weight, deviation.size
    scale = np.outer(deviation, deviation).astype(np.float64)
    covariance = np.divide(moments.second, weight * scale, out=np.zeros((size, size)), where=weight > 0)
    if shrink:
        covariance = (1 - _SHRINK) * covariance + _SHRINK * np.diag(np.diag(covariance))
    variance, vectors = np.linalg.eigh((covariance + covariance.T) / 2)
    modes = vectors.T[::-1]
    largest = np.abs(modes).argmax(axis=1)  # which of two opposite vectors comes out is chance
    modes = modes * np.sign(modes[np.arange(size), largest])[:, None]
    return Modes(np.maximum(variance[::-1], 0).astype(np.float32), modes.astype(np.float32))


def spatial_covariance(
    profiles: Moments | None, dense: Moments | None, levels: slice, deviation: NDArray[np.floating]
) -> tuple[Covariance, str]:
    """Covariance of a field with distance, of pairs of profiles, or of dense columns where these are too few.

    Where both are too few it is assumed: nothing can be known of few places.

    Args:
        profiles: of anomalies of profiles.
        dense: likewise of dense fields.
        levels: of the field among V.
        deviation: of these: [level].

    Returns:
        Of scaled anomalies; and ``profiles`` or ``reanalysis``, whose pairs it is of, or ``assumed``.
    """
    near = BINS_KM[1:] <= _NEAR_KM
    for moments, of in ((profiles, "profiles"), (dense, "reanalysis")):
        if moments is None:
            continue
        scale = deviation.astype(np.float64) ** 2
        weight, second = np.diag(moments.weight)[levels], np.diag(moments.second)[levels]
        enough = weight >= LEAST_COLUMNS
        if not enough.any() or moments.pairs[near, levels][:, enough].sum(axis=0).max() < _LEAST_PAIRS:
            continue
        variance = np.divide(second, weight * scale, out=np.zeros(scale.size), where=enough)
        return fit_covariance(BINS_KM, moments.products[:, levels] / scale, moments.pairs[:, levels], variance), of
    every = np.ones(deviation.size, np.float32)
    return Covariance(_ASSUMED_KM * every, _ASSUMED_SIGNAL * every, (1 - _ASSUMED_SIGNAL) * every), "assumed"
