"""Scores with intervals, as ``evaluation.json`` has them: by group and field, of each level and of all together."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from oceanrecon.training.evaluation.intervals import (
    SCORES,
    Sums,
    coverage,
    difference,
    interval,
    redrawn,
    resampled,
    spread_skill,
)
from oceanrecon.training.evaluation.scores import COVERAGES, SPREAD_EDGES, SUMS, Scores

#: How often floats are drawn anew.
RESAMPLES = 1000


def summarise(scores: Scores, seed: int = 0) -> dict[str, Any]:
    """All scores of a model against one kind of reference.

    By grouping, class and field: ``levels`` (lists by level) and ``pooled`` (all values of all levels together); in
    both ``count``, ``units`` (floats or dates with a value), and each of ``SCORES`` as value, low and high (95 %
    intervals); of an ensemble ``ranks``, and ``spread_skill`` and ``coverage`` as the scores.

    Args:
        scores: complete sums.
        seed: of the resampling; the same floats with the same seed are drawn the same, whatever the model.
    """
    draws = resampled(len(scores.units()) or 1, RESAMPLES, seed)
    found: dict[str, Any] = {"members": scores.members, "units": len(scores.units()), "groups": {}}
    for grouping, names in scores.groupings.items():
        found["groups"][grouping] = {}
        for name in names:
            sums = scores.of_group(grouping, name)
            if sums[..., -1].any():
                ranks = scores.ranks.get((grouping, name))
                found["groups"][grouping][name] = {
                    which: {
                        "levels": _numbers(scores, sums[:, part], draws, None if ranks is None else ranks[part]),
                        "pooled": _numbers(
                            scores,
                            sums[:, part].sum(axis=1),
                            draws,
                            None if ranks is None else ranks[part].sum(axis=0),
                        ),
                    }
                    for which, part in _parts(scores).items()
                }
    if scores.members > 1:
        found["spread"] = {which: _spread(scores, part) for which, part in _parts(scores).items()}
    return found


def compare(one: Scores, other: Scores, seed: int = 0) -> dict[str, Any]:
    """By field, the scores of one model less those of another on the same values, with intervals.

    Raises:
        ValueError: they were not scored on the same values.
    """
    if one.units() != other.units():
        raise ValueError(
            f"models that were scored on {len(one.units())} and {len(other.units())} floats or dates cannot be "
            "compared: score both on the same"
        )
    draws = resampled(len(one.units()) or 1, RESAMPLES, seed)
    first, second = (scores.of_group("all", "all") for scores in (one, other))
    return {
        which: {
            "levels": _differences(first[:, part], second[:, part], draws),
            "pooled": _differences(first[:, part].sum(axis=1), second[:, part].sum(axis=1), draws),
        }
        for which, part in _parts(one).items()
    }


def rounded(values: ArrayLike) -> Any:
    """Numbers for JSON: six digits, and null where there is none; lists of them by shape."""
    given = np.asarray(values, np.float64)
    if given.ndim:
        return [rounded(one) for one in given]
    return float(f"{given:.6g}") if np.isfinite(given) else None


def _parts(scores: Scores) -> dict[str, slice]:
    """The channels of each field."""
    levels = len(scores.depth)
    return {name: slice(number * levels, (number + 1) * levels) for number, name in enumerate(scores.fields)}


def _numbers(
    scores: Scores, sums: Sums, draws: NDArray[np.float64], ranks: NDArray[np.float64] | None
) -> dict[str, Any]:
    """Of sums [unit, ..., SUMS]: ``...`` are levels, or nothing."""
    count = sums[..., SUMS.index("count")]
    found: dict[str, Any] = {
        "count": count.sum(axis=0).astype(int).tolist(),
        "units": (count > 0).sum(axis=0).tolist(),
    }
    wanted = dict(SCORES)
    if scores.members > 1:
        wanted["spread_skill"] = lambda some: spread_skill(some, scores.members)
    drawn = redrawn(draws, sums)
    for name, score in wanted.items():
        found[name] = with_limits(*interval(score, sums, drawn))
    if ranks is not None:
        found["ranks"] = rounded(ranks)
        found["coverage"] = {
            f"{100 * share:g}": with_limits(*interval(partial(coverage, share=share), sums, drawn))
            for share in COVERAGES
        }
    return found


def _differences(one: Sums, other: Sums, draws: NDArray[np.float64]) -> dict[str, Any]:
    first, second = ((sums, redrawn(draws, sums)) for sums in (one, other))
    return {name: with_limits(*difference(score, first, second)) for name, score in SCORES.items()}


def with_limits(value: ArrayLike, low: ArrayLike, high: ArrayLike) -> Mapping[str, Any]:
    """A score with the limits of its interval, for JSON."""
    return {"value": rounded(value), "low": rounded(low), "high": rounded(high)}


def _spread(scores: Scores, part: slice) -> dict[str, Any]:
    """All levels together, in deviations of anomalies: what spread goes with what error of the mean of the members."""
    squared = scores.deviation[part, None] ** 2
    weight, variance, square = np.moveaxis(scores.spread[part], -1, 0)
    total = weight.sum(axis=0)

    def root(sums: NDArray[np.float64]) -> NDArray[np.float64]:
        mean = np.divide((sums / squared).sum(axis=0), total, out=np.full(total.shape, np.nan), where=total > 0)
        return np.asarray(np.sqrt(mean))

    members = scores.members
    return {
        "edges": rounded(SPREAD_EDGES),
        "weight": rounded(total),
        "spread": rounded(np.sqrt((members + 1) / members) * root(variance)),
        "error": rounded(root(square)),
    }
