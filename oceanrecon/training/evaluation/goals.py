"""What models of this kind should reach on withheld floats, and whether they do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

#: Baselines that a regression should be better than, at every level of these depths, m.
_BASELINES, _DEPTHS = ("climatology", "idw", "oi"), (10.0, 1000.0)
#: Of an ensemble: RMSE of its mean over that of the regression, CRPS over the regression's MAE, spread over error.
_RMSE, _CRPS, _SPREAD = 1.02, 0.75, (0.9, 1.1)
#: Variance of members over the target's, in bands of wavelength from this one on, km.
_RATIO, _WAVELENGTH = (0.8, 1.25), 50.0
#: Levels at which a goal is missed that are told, the worst first.
_SHOWN = 3


def goals(numbers: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Those that the models are of: ``what``, ``holds`` and what was ``found``.

    Args:
        numbers: ``evaluation.json`` without them.
    """
    kinds = {name: one["kind"] for name, one in numbers["models"].items()}
    by_kind = {kind: [name for name, other in kinds.items() if other == kind] for kind in kinds.values()}
    found = []
    for field, units in numbers["fields"].items():
        scores = {
            name: one["groups"]["all"]["all"][field]
            for name, one in numbers["scores"]["floats"].items()
            if one["groups"]["all"]
        }
        for regression in by_kind.get("regression", ()) if scores else ():
            baselines = [name for kind in _BASELINES for name in by_kind.get(kind, ())]
            found += [_better(numbers["depth"], field, scores, regression, baseline) for baseline in baselines]
        for model in by_kind.get("diffusion", ()):
            for regression in by_kind.get("regression", ()) if scores else ():
                found += _beside(field, units, scores, model, regression)
            if scores:
                value = scores[model]["pooled"]["spread_skill"]["value"]
                holds = value is not None and _SPREAD[0] <= value <= _SPREAD[1]
                what = f"{field}: spread of {model} over its error between {_SPREAD[0]} and {_SPREAD[1]}"
                found.append(_goal(what, holds, "unknown" if value is None else f"{value:.3f}"))
            found += _spectral(numbers, field, model)
    return found


def _goal(what: str, holds: bool, found: str) -> dict[str, Any]:
    return {"what": what, "holds": holds, "found": found}


def _better(depth: Sequence[float], field: str, scores: Mapping[str, Any], one: str, other: str) -> dict[str, Any]:
    ours, theirs = (scores[name]["levels"]["rmse"]["value"] for name in (one, other))
    levels = [level for level in _within(depth) if ours[level] is not None]
    worse = {level: ours[level] / theirs[level] for level in levels if ours[level] >= theirs[level]}
    worst = sorted(worse, key=lambda level: -worse[level])
    return _goal(
        f"{field}: RMSE of {one} below that of {other} at every level from {_DEPTHS[0]:g} to {_DEPTHS[1]:g} m",
        bool(levels) and not worse,
        _told(len(levels), [f"{depth[level]:.0f} m ({worse[level]:.2f} times)" for level in worst]),
    )


def _beside(field: str, units: str, scores: Mapping[str, Any], model: str, regression: str) -> list[dict[str, Any]]:
    found = []
    for score, other, most in (("rmse", "rmse", _RMSE), ("crps", "mae", _CRPS)):
        ours, theirs = scores[model]["pooled"][score]["value"], scores[regression]["pooled"][other]["value"]
        what = f"{field}: {score.upper()} of {model} at most {most} times the {other.upper()} of {regression}"
        found.append(
            _goal(what, ours <= most * theirs, f"{ours / theirs:.3f} times: {ours:.3g} and {theirs:.3g} {units}")
        )
    return found


def _spectral(numbers: Mapping[str, Any], field: str, model: str) -> list[dict[str, Any]]:
    spectra = numbers["spectra"][model]
    bands = [number for number, (low, _) in enumerate(pairwise(spectra["bands_km"])) if low >= _WAVELENGTH]
    ratios = spectra["fields"][field]["ratio"].get("member", ())
    levels = {
        numbers["depth"][level]: [ratios[level][band] for band in bands if ratios[level][band] is not None]
        for level in _within(numbers["depth"])
        if ratios
    }
    known = {depth: some for depth, some in levels.items() if some}
    wrong = [depth for depth, some in known.items() if min(some) < _RATIO[0] or max(some) > _RATIO[1]]
    wrong.sort(key=lambda depth: -max(max(known[depth]), 1 / max(min(known[depth]), 1e-9)))
    if not known:
        return []
    what = (
        f"{field}: variance of members of {model} over the target's between {_RATIO[0]} and {_RATIO[1]}, in every band "
        f"from {max(_WAVELENGTH, spectra['shortest_km']):.0f} km on, {_DEPTHS[0]:g} to {_DEPTHS[1]:g} m"
    )
    shown = [f"{depth:.0f} m ({min(known[depth]):.2f} to {max(known[depth]):.2f})" for depth in wrong]
    return [_goal(what, not wrong, _told(len(known), shown))]


def _told(levels: int, worst: Sequence[str]) -> str:
    """At how many levels it holds, and where it holds least."""
    if not worst:
        return f"at {levels} of {levels} levels"
    more = f" and {len(worst) - _SHOWN} more" if len(worst) > _SHOWN else ""
    return f"at {levels - len(worst)} of {levels} levels; not at {', '.join(worst[:_SHOWN])}{more}"


def _within(depth: Sequence[float]) -> list[int]:
    return [level for level, metres in enumerate(depth) if _DEPTHS[0] <= metres <= _DEPTHS[1]]
