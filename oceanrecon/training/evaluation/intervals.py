"""Confidence intervals: whole floats (or dates) are drawn again and again, as the values of one are not independent."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from oceanrecon.training.evaluation.scores import SUMS

Sums = NDArray[np.float64]
_W, _E, _A, _S, _C, _T, _F, _P, _V, _M = range(10)


def _ratio(above: Sums, below: Sums) -> NDArray[np.float64]:
    """NaN where nothing was counted."""
    found: NDArray[np.float64] = np.divide(above, below, out=np.full(above.shape, np.nan), where=below > 0)
    return found


#: Scores from sums [..., SUMS], in K and PSU but the last: the correlation of anomalies, which is not defined of a
#: climatology.
SCORES: Mapping[str, Callable[[Sums], NDArray[np.float64]]] = {
    "bias": lambda sums: _ratio(sums[..., _E], sums[..., _W]),
    "rmse": lambda sums: np.sqrt(_ratio(sums[..., _S], sums[..., _W])),
    "mae": lambda sums: _ratio(sums[..., _A], sums[..., _W]),
    "crps": lambda sums: _ratio(sums[..., _C], sums[..., _W]),
    "correlation": lambda sums: _ratio(sums[..., _P], np.sqrt(sums[..., _T] * sums[..., _F])),
}


def spread_skill(sums: Sums, members: int) -> NDArray[np.float64]:
    """Spread over error of the ensemble mean, 1 where members and truth are draws of one distribution: [...].

    The error of a mean of M draws is (M + 1) / M of their variance (Fortin et al., *Why should ensemble spread match
    the RMSE of the ensemble mean?*, 2014). NaN for one member.
    """
    if members == 1:
        return np.full(sums.shape[:-1], np.nan)
    return np.sqrt(_ratio((members + 1) / members * sums[..., _V], sums[..., _M]))


def coverage(sums: Sums, share: float) -> NDArray[np.float64]:
    """How often the truth is in the central interval of the members: [...].

    Args:
        sums: [..., SUMS].
        share: of ``COVERAGES``, which it should be.
    """
    return _ratio(sums[..., SUMS.index(f"inside_{100 * share:g}")], sums[..., _W])


def resampled(units: int, times: int, seed: int) -> NDArray[np.float64]:
    """How often each unit is drawn when as many are drawn with replacement: [times, units]."""
    generator = np.random.default_rng(seed)
    return generator.multinomial(units, np.full(units, 1 / units), size=times).astype(np.float64)


def redrawn(draws: NDArray[np.float64], sums: Sums) -> Sums:
    """The sums of what was drawn: [times, units] and [unit, ..., SUMS] to [times, ..., SUMS]."""
    return np.asarray(np.tensordot(draws, sums, axes=1))


def interval(
    score: Callable[[Sums], NDArray[np.float64]], sums: Sums, drawn: Sums, confidence: float = 0.95, counts: int = -1
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """A score with the limits of its interval: [...] each; no limits (NaN) where fewer than 2 units have values.

    Args:
        score: of ``SCORES``.
        sums: [unit, ..., SUMS], or others that the score is of.
        drawn: what ``redrawn`` makes of them.
        confidence: that is between the limits.
        counts: which of the sums says how many values there are.
    """
    low, high = _limits(score(drawn), _several(sums, counts), confidence)
    return score(sums.sum(axis=0)), low, high


def difference(
    score: Callable[[Sums], NDArray[np.float64]],
    one: tuple[Sums, Sums],
    other: tuple[Sums, Sums],
    confidence: float = 0.95,
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """The score of one model less that of another on the same values, with its interval.

    Both are resampled together: the interval is far narrower than those of the two scores, as what is hard for one is
    hard for the other.

    Args:
        score: of ``SCORES``.
        one: sums, and what ``redrawn`` makes of them.
        other: the same of the other model, by the same draws.
        confidence: that is between the limits.

    Raises:
        ValueError: they were not scored on the same values.
    """
    (first, first_drawn), (second, second_drawn) = one, other
    if first.shape != second.shape or not np.array_equal(first[..., -1], second[..., -1]):
        raise ValueError(
            f"models that were scored on {int(first[..., -1].sum())} and {int(second[..., -1].sum())} values cannot be "
            "compared: score both on the same floats, dates and levels"
        )
    low, high = _limits(score(first_drawn) - score(second_drawn), _several(first), confidence)
    return score(first.sum(axis=0)) - score(second.sum(axis=0)), low, high


def _several(sums: Sums, counts: int = -1) -> NDArray[np.bool_]:
    return np.asarray((sums[..., counts] > 0).sum(axis=0) > 1)


def _limits(
    drawn: NDArray[np.float64], several: NDArray[np.bool_], confidence: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    low, high = np.full(several.shape, np.nan), np.full(several.shape, np.nan)
    # a drawing that has none of the units with values says nothing
    some = several & np.isfinite(drawn).any(axis=0)
    outside = (1 - confidence) / 2
    if some.any():
        chosen = drawn[:, some]
        # the one that looks for NaN takes many times as long
        quantiles = np.quantile if np.isfinite(chosen).all() else np.nanquantile
        low[some], high[some] = quantiles(chosen, (outside, 1 - outside), axis=0)
    return low, high
