"""What an inspection of a profile store finds: counts, histograms, and the numbers that are read from them."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from oceanrecon.pipeline.profiles.schema import STATUS

Counts = NDArray[np.int64]

#: Bins of the diagram of potential temperature (degC) and practical salinity: the plausible ranges of both.
TEMPERATURE_BINS = np.linspace(-5.0, 50.0, 551)
SALINITY_BINS = np.linspace(0.0, 50.0, 2501)
#: Measurements no deeper than this are compared with fields of the surface, m.
SHALLOW = 10.0
#: Shares of a distribution that are told, in per cent.
SHARES = (5.0, 25.0, 50.0, 75.0, 95.0)


@dataclass(frozen=True, eq=False)
class Difference:
    """A sampled field minus what the profiles measured, as counts of the differences rounded to ``step``."""

    #: ``glorys_thetao``
    field: str
    #: ``argo_potm``
    measured: str
    #: of the difference
    units: str
    step: float
    #: [level, bin], or one row for the shallowest level; the bin in the middle is a difference of 0
    counts: Counts

    @property
    def name(self) -> str:
        """``glorys_thetao - argo_potm``."""
        return f"{self.field} - {self.measured}"

    @property
    def identity(self) -> dict[str, Any]:
        """What is compared, for JSON."""
        return {"field": self.field, "measured": self.measured, "units": self.units, "rounded_to": self.step}

    @cached_property
    def number(self) -> Counts:
        """How many differences there are: [row]."""
        return np.asarray(self.counts.sum(axis=1))

    @cached_property
    def percentiles(self) -> NDArray[np.float64]:
        """Those of ``SHARES``: [row, share], NaN where there is no difference.

        They are the percentiles, linear between neighbours in rank, of the differences rounded to ``step``.
        """
        found = np.full((len(self.counts), len(SHARES)), np.nan)
        for row, (counts, number) in enumerate(zip(self.counts, self.number, strict=True)):
            if number:
                rank = np.array(SHARES) / 100.0 * float(number - 1)
                below = np.floor(rank)
                up_to = np.cumsum(counts)
                low, high = (np.searchsorted(up_to, np.minimum(at, number - 1), "right") for at in (below, below + 1))
                found[row] = (low + (high - low) * (rank - below) - counts.size // 2) * self.step
        return found

    @cached_property
    def mean(self) -> NDArray[np.float64]:
        """[row], NaN where there is no difference."""
        return self._moment(1)

    @cached_property
    def rms(self) -> NDArray[np.float64]:
        """Root of the mean square: [row], NaN where there is no difference."""
        return np.sqrt(self._moment(2))

    def _moment(self, power: int) -> NDArray[np.float64]:
        middle = self.counts.shape[1] // 2
        values = (np.arange(-middle, middle + 1) * self.step) ** power
        return np.where(self.number > 0, self.counts @ values / np.maximum(self.number, 1), np.nan)

    def described(self, row: int) -> dict[str, Any]:
        """The numbers of one row, for JSON."""
        numbers = {"mean": self.mean[row], "rms": self.rms[row]}
        numbers |= {f"p{share:g}": value for share, value in zip(SHARES, self.percentiles[row], strict=True)}
        return {
            "count": int(self.number[row]),
            # less than a hundredth of a step
            **{name: round(float(v), 5) if np.isfinite(v) else None for name, v in numbers.items()},
        }

    def texts(self, row: int) -> list[str]:
        """The same numbers without the count, for people; empty where there is no difference."""
        if not self.number[row]:
            return [""] * (2 + len(SHARES))
        # adding 0 makes zero of minus zero
        mean, *shares = (f"{round(float(v), 3) + 0.0:+.3f}" for v in (self.mean[row], *self.percentiles[row]))
        return [mean, f"{self.rms[row]:.3f}", *shares]


@dataclass(frozen=True)
class Rejected:
    """Profiles that are not in the store for one reason; of the source ``""`` where it is not known."""

    #: of ``sources.identity.REASONS``, or ``outside_dates``
    reason: str
    by_source: Mapping[str, int]

    @property
    def profiles(self) -> int:
        """Of all sources."""
        return sum(self.by_source.values())


@dataclass(frozen=True, eq=False)
class ProfileFigures:
    """The figures of a profile store."""

    store: str
    #: folder of the enrichment that made it, where it is still there
    output: str | None
    #: quality, sampling and the like, as the store has them
    settings: Mapping[str, Any]
    profiles: int
    #: m
    depth: NDArray[np.float64]
    #: source -> data mode -> profiles; the mode is empty where there is none
    modes: Mapping[str, Mapping[str, int]]
    #: source -> platforms with a number
    platforms: Mapping[str, int]
    #: platforms with a number, those that two sources have counted once
    platforms_in_all: int
    #: profiles whose platform has no number
    nameless: int
    #: days with profiles, ascending, and profiles by source on each
    days: tuple[dt.date, ...]
    daily: Mapping[str, Counts]
    #: west, south, east, north; west is larger than east where the box crosses the dateline
    box: tuple[float, float, float, float] | None
    #: profiles per cell of one degree: [latitude from -90, longitude from -180]
    cells: Counts
    #: source -> latitude and longitude of each profile: [2, profile]; ``None`` where there are too many for dots
    places: Mapping[str, NDArray[np.float64]] | None
    #: ``temp``, ``potm`` and ``psal`` -> profiles with a value: [level]
    values: Mapping[str, Counts]
    #: gridded product -> profiles per status: [number of ``schema.STATUS``]
    matches: Mapping[str, Counts]
    #: pairs of potential temperature and salinity: [temperature bin, salinity bin]
    diagram: Counts
    #: [level] each
    differences: Sequence[Difference]
    #: one row each
    surface: Sequence[Difference]
    #: in the order of the checks
    rejected: Sequence[Rejected]
    notes: Sequence[str]
    #: kind, name, error and message each
    failures: Sequence[Mapping[str, str]]

    @property
    def sources(self) -> dict[str, int]:
        """Source -> profiles."""
        return {source: sum(modes.values()) for source, modes in self.modes.items()}

    @property
    def span(self) -> str:
        """``2012-02-26 to 2012-03-24``."""
        return f"{self.days[0]} to {self.days[-1]}" if self.days else "none"

    @property
    def area(self) -> tuple[str, str]:
        """``74.90°S to 76.18°N`` and ``179.95°W to 179.93°E``."""
        if self.box is None:
            return "none", ""
        west, south, east, north = self.box
        latitudes = " to ".join(f"{abs(edge):.2f}°{'S' if edge < 0 else 'N'}" for edge in (south, north))
        longitudes = " to ".join(f"{abs(edge):.2f}°{'W' if edge < 0 else 'E'}" for edge in (west, east))
        return latitudes, longitudes

    def reach(self, name: str) -> tuple[str, str]:
        """How many values a measured variable has, and at which depths: ``1,200 values``, ``1.541 to 5,275 m``."""
        depth, count = self.depth[self.values[name] > 0], int(self.values[name].sum())
        return f"{count:,} values", f"{depth[0]:,.4g} to {depth[-1]:,.4g} m" if count else "at no depth"

    def funnel(self) -> list[tuple[str, dict[str, int]]]:
        """Profiles that are left after each check, by source; the first entry, without a name, is what was read."""
        sources = dict.fromkeys(name for step in self.rejected for name, count in step.by_source.items() if count)
        left = dict.fromkeys((*self.sources, *sources), 0)
        left |= self.sources
        stages = [dict(left)]
        for step in reversed(self.rejected):
            for name, count in step.by_source.items():
                left[name] = left.get(name, 0) + count
            stages.append(dict(left))
        return list(zip(["", *(step.reason for step in self.rejected)], reversed(stages), strict=True))

    def summary(self) -> dict[str, Any]:
        """All figures but the histograms, for people and for JSON."""
        return {
            "store": self.store,
            "output": self.output,
            **{name: self.settings.get(name) for name in ("quality", "sampling", "max_gap_days")},
            "profiles": self.profiles,
            "sources": self.sources,
            "data_modes": {
                source: {mode or "none": count for mode, count in modes.items()} for source, modes in self.modes.items()
            },
            "platforms": {**self.platforms, "all": self.platforms_in_all},
            "profiles_without_platform": self.nameless,
            "first_date": self.days[0].isoformat() if self.days else None,
            "last_date": self.days[-1].isoformat() if self.days else None,
            "days_with_profiles": len(self.days),
            "box": None if self.box is None else [round(edge, 5) for edge in self.box],
            "rejected": [
                {
                    "reason": step.reason,
                    "profiles": step.profiles,
                    "by_source": {name or "unknown": count for name, count in step.by_source.items()},
                }
                for step in self.rejected
            ],
            "levels": [
                {"depth": float(depth), **{name: int(counts[row]) for name, counts in self.values.items()}}
                for row, depth in enumerate(self.depth)
            ],
            "time_matches": {
                product: dict(zip(STATUS, counts.tolist(), strict=True)) for product, counts in self.matches.items()
            },
            "differences": [
                {
                    **difference.identity,
                    "levels": [
                        {"depth": float(depth), **difference.described(row)} for row, depth in enumerate(self.depth)
                    ],
                }
                for difference in self.differences
            ],
            "surface": [{**difference.identity, **difference.described(0)} for difference in self.surface],
            "notes": list(self.notes),
            "failures": [dict(failure) for failure in self.failures],
        }
