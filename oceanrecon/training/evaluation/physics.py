"""Whether columns make physical sense: stability, mixed layer, heat, and the depth of an isotherm.

Columns are [N, L]: potential temperature in K, practical salinity in PSU, NaN where there is none; levels go down.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import gsw
import numpy as np
from numpy.typing import ArrayLike, NDArray

from oceanrecon.training.evaluation.intervals import interval, redrawn, resampled
from oceanrecon.training.evaluation.summary import RESAMPLES, rounded, with_limits

Columns = NDArray[np.floating]
_Numbers = NDArray[np.float64]
_KELVIN = 273.15
#: Denser water above than below counts where it is denser by more than this, kg/m3: less is rounding of stored values.
_INVERSION = 1e-3
#: De Boyer Montégut et al., *Mixed layer depth over the global ocean*, 2004: change from 10 m, kg/m3 and K.
_MIXED_DENSITY, _MIXED_TEMPERATURE, _MIXED_FROM = 0.03, 0.2, 10.0
#: Of sea water: reference density, kg/m3, and the heat capacity that belongs to conservative temperature, J/(kg K).
_DENSITY, _HEAT_CAPACITY = 1026.0, 3991.86795711963
_HEAT_TO, _ISOTHERM = 700.0, 20.0


@dataclass(frozen=True)
class Water:
    """What TEOS-10 needs: absolute salinity g/kg, conservative temperature degrees C, pressure dbar: [N, L] each."""

    absolute: _Numbers
    conservative: _Numbers
    pressure: _Numbers

    @classmethod
    def of(
        cls, temperature: Columns, salinity: Columns, depth: ArrayLike, latitude: ArrayLike, longitude: ArrayLike
    ) -> Water:
        """From columns.

        Args:
            temperature: potential, K: [N, L].
            salinity: practical, PSU: [N, L].
            depth: m: [L].
            latitude: degrees north: [N].
            longitude: degrees east: [N].
        """
        north, east = (np.asarray(place, np.float64)[:, None] for place in (latitude, longitude))
        pressure = np.broadcast_to(gsw.p_from_z(-np.asarray(depth, np.float64), north), temperature.shape)
        absolute = gsw.SA_from_SP(np.asarray(salinity, np.float64), pressure, east, north)
        return cls(absolute, gsw.CT_from_pt(absolute, np.asarray(temperature, np.float64) - _KELVIN), pressure)


def inversions(water: Water) -> _Numbers:
    """The share of pairs of neighbouring levels whose upper water would sink: [N], NaN without a pair.

    Both are compared at the pressure between them, as in the buoyancy frequency.
    """
    middle = (water.pressure[:, 1:] + water.pressure[:, :-1]) / 2
    upper = gsw.rho(water.absolute[:, :-1], water.conservative[:, :-1], middle)
    lower = gsw.rho(water.absolute[:, 1:], water.conservative[:, 1:], middle)
    known = np.isfinite(upper) & np.isfinite(lower)
    return _divided((known & (upper - lower > _INVERSION)).sum(axis=1), known.sum(axis=1))


def mixed_layer(depth: ArrayLike, temperature: Columns, water: Water | None = None) -> _Numbers:
    """Depth of the mixed layer, m: [N].

    Where potential density has grown by 0.03 kg/m3 from that at 10 m, or, without salinity, where temperature is 0.2 K
    from that at 10 m; linear between levels; the deepest level with water if there is no such depth; NaN where
    nothing is known at 10 m.

    Args:
        depth: m: [L].
        temperature: potential, K: [N, L].
        water: of the same columns; ``None``: the temperature decides.
    """
    if water is None:
        known, threshold = np.asarray(temperature, np.float64), _MIXED_TEMPERATURE
    else:
        known, threshold = gsw.sigma0(water.absolute, water.conservative), _MIXED_DENSITY
    levels = np.asarray(depth, np.float64)
    start = at_depth(known, levels, _MIXED_FROM)[:, None]
    change = known[:, levels > _MIXED_FROM] - start
    change = np.concatenate([np.zeros_like(start), np.abs(change) if water is None else change], axis=1)
    found = _first_reached(change - threshold, np.concatenate([[_MIXED_FROM], levels[levels > _MIXED_FROM]]))
    bottom = np.where(np.isfinite(known), levels, 0.0).max(axis=1)
    found = np.where(np.isnan(found), np.maximum(bottom, _MIXED_FROM), found)
    return np.where(np.isfinite(start[:, 0]), found, np.nan)


def heat_content(depth: ArrayLike, temperature: Columns, water: Water | None = None) -> _Numbers:
    """Heat above 700 m, GJ/m2 from 0 degrees C on: [N]; NaN where a column is not known so deep.

    Conservative temperature where there is salinity, else potential, times a constant density and heat capacity;
    trapezoids, and the uppermost value up to the surface. Arguments as of ``mixed_layer``.
    """
    warmth = temperature - _KELVIN if water is None else water.conservative
    levels = np.asarray(depth, np.float64)
    end = at_depth(warmth, levels, _HEAT_TO)
    inside = levels < _HEAT_TO
    places = np.concatenate([[0.0], levels[inside], [_HEAT_TO]])
    values = np.concatenate([warmth[:, :1], warmth[:, inside], end[:, None]], axis=1)
    return np.asarray(1e-9 * _DENSITY * _HEAT_CAPACITY * np.trapezoid(values.astype(np.float64), places, axis=1))


def isotherm(depth: ArrayLike, temperature: Columns) -> _Numbers:
    """Depth down to which water is warmer than 20 degrees C, m: [N]; NaN where the surface is colder, or no level is.

    Args:
        depth: m: [L].
        temperature: potential, K: [N, L].
    """
    colder = (_ISOTHERM + _KELVIN) - np.asarray(temperature, np.float64)
    return np.where(colder[:, 0] <= 0, _first_reached(colder, np.asarray(depth, np.float64)), np.nan)


def at_depth(columns: Columns, depth: ArrayLike, wanted: float) -> _Numbers:
    """Columns at a depth, linear between levels: [N]; the first level above it, NaN below the last.

    Args:
        columns: [N, L].
        depth: m: [L].
        wanted: m.
    """
    levels = np.asarray(depth, np.float64)
    below = int(np.searchsorted(levels, wanted))
    if below == 0:
        return np.asarray(columns[:, 0], np.float64)
    if below == len(levels):
        return np.full(len(columns), np.nan)
    share = (wanted - levels[below - 1]) / (levels[below] - levels[below - 1])
    lower = np.asarray(columns[:, below], np.float64)
    return lower if share == 1 else (1 - share) * columns[:, below - 1] + share * lower


def physics(
    temperature: Columns, salinity: Columns | None, depth: ArrayLike, latitude: ArrayLike, longitude: ArrayLike
) -> dict[str, _Numbers]:
    """All that is known of columns, by name of ``QUANTITIES``: [N] each.

    Args:
        temperature: potential, K: [N, L].
        salinity: practical, PSU: [N, L]; ``None``: there is none, and no stability.
        depth: m: [L].
        latitude: degrees north: [N].
        longitude: degrees east: [N].
    """
    water = None if salinity is None else Water.of(temperature, salinity, depth, latitude, longitude)
    found = {
        "mixed_layer": mixed_layer(depth, temperature, water),
        "heat_content": heat_content(depth, temperature, water),
        "isotherm": isotherm(depth, temperature),
    }
    return found if water is None else {"inversions": inversions(water)} | found


#: Units of what ``physics`` finds.
QUANTITIES: Mapping[str, str] = {
    "inversions": "share of pairs",
    "mixed_layer": "m",
    "heat_content": "GJ/m²",
    "isotherm": "m",
}


#: What is summed: columns, the target's, ours, the absolute difference and its square; then the members' numbers that
#: were wanted, as the target has one, and those of them that there are not.
_SUMS = 7


@dataclass
class PhysicsScores:
    """Sums of what columns of a model have beside those of the target: where both have it."""

    #: by quantity and date: [_SUMS]
    sums: dict[str, dict[str, _Numbers]] = field(default_factory=dict)

    def add(self, date: str, target: Mapping[str, _Numbers], ours: Sequence[Mapping[str, _Numbers]]) -> None:
        """Count columns.

        Args:
            date: that they are of; dates are resampled.
            target: of ``physics``.
            ours: the same of each member. The mean of those that have a number counts: a mean of fields is more stable
                than any of them.
        """
        for name, true in target.items():
            members = np.stack([member[name] for member in ours])
            having = np.isfinite(members).sum(axis=0)
            both = np.isfinite(true) & (having > 0)
            found = np.nansum(members[:, both], axis=0) / having[both]
            error = found - true[both]
            wanted = np.isfinite(true)
            added = np.array(
                [
                    both.sum(), true[both].sum(), found.sum(), np.abs(error).sum(), np.square(error).sum(),
                    len(ours) * wanted.sum(), (len(ours) - having[wanted]).sum(),
                ],
                np.float64,
            )  # fmt: skip
            dates = self.sums.setdefault(name, {})
            dates[date] = dates.get(date, np.zeros(_SUMS)) + added

    def summary(self, seed: int = 0) -> dict[str, Any]:
        """What ``evaluation.json`` has, by quantity.

        Units, columns, the share of members' numbers that are missing, the two means, and MAE and RMSE as value, low
        and high (95 % intervals, by date).

        Args:
            seed: of the resampling.
        """
        found = {}
        for name, dates in self.sums.items():
            sums = np.stack([dates[date] for date in sorted(dates)])
            drawn = redrawn(resampled(len(sums), RESAMPLES, seed), sums)
            total = sums.sum(axis=0)
            found[name] = {
                "units": QUANTITIES[name],
                "columns": int(total[0]),
                "missing": rounded(_divided(total[6], total[5])),
                "target": rounded(_divided(total[1], total[0])),
                "estimate": rounded(_divided(total[2], total[0])),
                "mae": with_limits(*interval(_mae, sums, drawn, counts=0)),
                "rmse": with_limits(*interval(_rmse, sums, drawn, counts=0)),
            }
        return found


def _mae(sums: _Numbers) -> _Numbers:
    return _divided(sums[..., 3], sums[..., 0])


def _rmse(sums: _Numbers) -> _Numbers:
    return np.asarray(np.sqrt(_divided(sums[..., 4], sums[..., 0])))


def _first_reached(values: Columns, depth: _Numbers) -> _Numbers:
    """Where values first are 0 or more, m, linear from the level above: [N]; NaN where they never are."""
    reached = np.asarray(values >= 0)
    first = reached.argmax(axis=1)
    rows, above = np.arange(len(values)), np.maximum(first - 1, 0)
    rise = values[rows, first] - values[rows, above]
    # no way from the level above where there is none, or nothing known
    linear = (first > 0) & (rise > 0)
    back = np.divide(values[rows, first], rise, out=np.zeros(len(values)), where=linear)
    found = depth[first] - back * (depth[first] - depth[above])
    return np.where(reached.any(axis=1), found, np.nan)


def _divided(above: NDArray[Any], below: NDArray[Any]) -> _Numbers:
    found: _Numbers = np.divide(above, below, out=np.full(np.shape(above), np.nan), where=below > 0)
    return found
