"""What the statistics of a patch index find: counts, shares and maps, and the numbers that are read from them."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from oceanrecon.grid import PatchGrid
from oceanrecon.samples.index import SIDES

if TYPE_CHECKING:
    import pandas as pd

Counts = NDArray[np.int64]

#: What is left out between the sides of a split, and what is left out for its land.
GUARD, INVALID = "guard", "invalid"
PHASES = (*SIDES, GUARD, INVALID)
#: Of places, where dates decide on the side.
ALL_SIDES = "all sides"
#: Shares of a distribution that are told, per cent.
SHARES = (5, 25, 50, 75, 95)


@dataclass(frozen=True, eq=False)
class Support:
    """How many accepted profiles the rows of one side have."""

    #: rows with 0, 1, 2, ... profiles
    counts: Counts

    @property
    def rows(self) -> int:
        """All rows."""
        return int(self.counts.sum())

    @property
    def empty(self) -> int:
        """Rows without a profile."""
        return int(self.counts[0]) if self.counts.size else 0

    @property
    def profiles(self) -> int:
        """Profiles of all rows; one that several rows have counts in each."""
        return int(self.counts @ np.arange(self.counts.size))

    @property
    def mean(self) -> float:
        """Profiles per row, NaN without rows."""
        return self.profiles / self.rows if self.rows else float("nan")

    def percentile(self, share: float) -> int | None:
        """The smallest number of profiles that ``share`` per cent of the rows do not exceed; ``None`` without rows."""
        if not self.rows:
            return None
        return int(np.searchsorted(np.cumsum(self.counts), share / 100.0 * self.rows))

    def summary(self) -> dict[str, Any]:
        """For JSON; the histogram without the numbers of profiles that no row has."""
        return {
            "rows": self.rows,
            "rows_without_profiles": self.empty,
            "profiles": self.profiles,
            "profiles_per_row": {
                "mean": round(self.mean, 4) if self.rows else None,
                **{f"p{share}": self.percentile(share) for share in SHARES},
                "maximum": int(np.flatnonzero(self.counts)[-1]) if self.rows else None,
                "histogram": {str(number): int(self.counts[number]) for number in np.flatnonzero(self.counts)},
            },
        }


@dataclass(frozen=True, eq=False)
class ValidShares:
    """How much of some patches has a value of the target, at one date of the export."""

    variable: str
    date: dt.date
    #: m, downwards
    depth: NDArray[np.float64]
    patch_id: NDArray[np.int64]
    #: share of a patch's pixels with a value, 0..1: [patch, level]
    shares: NDArray[np.float64]
    #: share of a patch's pixels that are water: [patch]
    ocean: NDArray[np.float64]

    def summary(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "variable": self.variable,
            "date": self.date.isoformat(),
            "patches": int(self.patch_id.size),
            "of_surface": spread(self.shares[:, 0]),
            "largest_difference_from_ocean_fraction": round(float(np.abs(self.shares[:, 0] - self.ocean).max()), 4),
            "levels": [
                {"depth": round(float(depth), 3), "mean": round(float(self.shares[:, level].mean()), 4)}
                for level, depth in enumerate(self.depth)
            ],
        }


@dataclass(frozen=True, eq=False)
class PatchFigures:
    """The figures of a patch index."""

    #: its folder
    index: str
    #: folder or URL of the export that it was made with
    export: str | None
    #: ``weekly`` or ``daily``
    frequency: str
    #: days around a date whose profiles count
    days: int
    #: of the split, such as ``block``
    method: str
    #: patches with more land are left out
    max_land_fraction: float
    #: rows without a profile are in the table
    keep_empty: bool
    patches: PatchGrid
    #: True on land: [row, column]; ``None`` where it cannot be read
    land: NDArray[np.bool_] | None
    #: the spatial table, with the ``rows`` of each patch and the ``profiles`` of these
    table: pd.DataFrame
    #: phase -> which patches of the table are of it; those of several, where the split is by date: [patch]
    members: Mapping[str, NDArray[np.bool_]]
    #: dates decide on the side, not places
    by_date: bool
    #: phase -> its rows
    support: Mapping[str, Support]
    #: ascending, and by phase: rows and profiles of each
    dates: tuple[dt.date, ...]
    daily_rows: Mapping[str, Counts]
    daily_profiles: Mapping[str, Counts]
    valid: ValidShares | None
    #: what could not be shown, and why
    notes: tuple[str, ...]

    @cached_property
    def used(self) -> NDArray[np.bool_]:
        """Patches of the table that are on a side: [patch]."""
        return np.asarray(np.logical_or.reduce([self.members[side] for side in SIDES]))

    @cached_property
    def groups(self) -> Mapping[str, NDArray[np.bool_]]:
        """The patches of the table by phase, none in two; those that are used together, where dates decide: [patch]."""
        groups = {ALL_SIDES: self.used, INVALID: self.members[INVALID]} if self.by_date else self.members
        return {name: chosen for name, chosen in groups.items() if chosen.any()}

    @cached_property
    def overlap(self) -> NDArray[np.int32]:
        """How many patches that are used each pixel is in: [row, column]."""
        return layers(self.patches, self.table["patch_id"].to_numpy()[self.used])

    @cached_property
    def covered(self) -> Mapping[str, NDArray[np.bool_]]:
        """Phase -> the pixels that are in a patch of it: [row, column]."""
        ids = self.table["patch_id"].to_numpy()
        return {phase: layers(self.patches, ids[self.members[phase]]) > 0 for phase in (*SIDES, GUARD)}

    @cached_property
    def shared(self) -> NDArray[np.bool_]:
        """Pixels that are on two sides or more: [row, column]."""
        return np.asarray(sum(self.covered[side].astype(np.int8) for side in SIDES) > 1)

    def of_ocean(self, where: NDArray[np.bool_]) -> float:
        """Share of the ocean's area (by the cosine of latitude) that some pixels are; NaN where land is not known."""
        if self.land is None:
            return float("nan")
        weight = np.cos(np.radians(self.patches.grid.latitude))
        ocean = float(weight @ np.count_nonzero(~self.land, axis=1))
        return float(weight @ np.count_nonzero(where & ~self.land, axis=1)) / ocean if ocean else 0.0

    @cached_property
    def coverage(self) -> Mapping[str, float]:
        """Share of the ocean's area that is used (``all``), on each side, on two of them, and only in guard."""
        return {
            "all": self.of_ocean(self.overlap > 0),
            **{side: self.of_ocean(self.covered[side]) for side in SIDES},
            "shared": self.of_ocean(self.shared),
            GUARD: self.of_ocean(self.covered[GUARD] & (self.overlap == 0)),
        }

    @cached_property
    def overlap_spread(self) -> tuple[float, int]:
        """Mean over the pixels that are in a patch, and maximum, of ``overlap``."""
        some = self.overlap[self.overlap > 0]
        return (float(some.mean()), int(some.max())) if some.size else (0.0, 0)

    @cached_property
    def all_rows(self) -> Support:
        """The rows of the three sides together."""
        used = [self.support[side] for side in SIDES]
        counts = np.zeros(max(one.counts.size for one in used), np.int64)
        for one in used:
            counts[: one.counts.size] += one.counts
        return Support(counts)

    @property
    def sides(self) -> list[tuple[str, int, Support]]:
        """Phase, number of patches, and rows: of the sides, and of what else there is."""
        found = []
        for phase in PHASES:
            number = int(self.members[phase].sum())
            if number or phase in SIDES:
                found.append((phase, number, self.support.get(phase, Support(np.zeros(1, np.int64)))))
        return found

    @property
    def crossing(self) -> NDArray[np.bool_]:
        """Patches of the table that cross the dateline: [patch]."""
        return np.asarray(self.table["lon0"].to_numpy() > self.table["lon1"].to_numpy())

    @property
    def forced(self) -> dict[str, int]:
        """Region -> patches that are kept for it."""
        chosen = self.table[self.table["force_included"].astype(bool)]
        return {str(name): int(number) for name, number in chosen["force_include_region"].value_counts().items()}

    def summary(self) -> dict[str, Any]:
        """All figures but the maps, for people and for JSON."""
        grid, mean, most = self.patches.grid, *self.overlap_spread
        rows, columns = self.patches.shape
        return {
            "index": self.index,
            "export": self.export,
            "grid": {"width": grid.width, "height": grid.height, "resolution": grid.dx},
            "tiling": {
                "tile": self.patches.tile,
                "stride": self.patches.stride,
                "edges": self.patches.edges,
                "periodic": self.patches.periodic,
                "rows": rows,
                "columns": columns,
            },
            "split": self.method,
            "patches": {
                "in_the_tiling": rows * columns,
                "used": int(self.used.sum()),
                **{phase: int(self.members[phase].sum()) for phase in PHASES},
                "across_the_dateline": int((self.used & self.crossing).sum()),
                "force_included": self.forced,
            },
            "rows": {
                "frequency": self.frequency,
                "days": self.days,
                "dates": len(self.dates),
                "first_date": self.dates[0].isoformat() if self.dates else None,
                "last_date": self.dates[-1].isoformat() if self.dates else None,
                "without_profiles_kept": self.keep_empty,
                "used": self.all_rows.summary(),
                **{phase: one.summary() for phase, one in self.support.items()},
            },
            "land_fraction": spread(self.table["land_fraction"].to_numpy()[self.used]),
            "invalid_fraction": spread(self.table["invalid_fraction"].to_numpy()[self.used]),
            "ocean_fraction": spread(self.table["ocean_fraction"].to_numpy()[self.used]),
            "valid_fraction": None if self.valid is None else self.valid.summary(),
            "patches_per_pixel": {"mean": round(mean, 4), "maximum": most},
            "share_of_the_ocean": {
                name: None if self.land is None else round(share, 5) for name, share in self.coverage.items()
            },
        }


def layers(patches: PatchGrid, ids: NDArray[np.int64]) -> NDArray[np.int32]:
    """How many of some patches each pixel is in: [row, column]."""
    rows, columns = patches.corner_of(ids)
    height, width, tile = patches.grid.height, patches.grid.width, patches.tile
    # +1 where a patch begins and -1 where it has ended: sums along both axes give what is in between
    edges = np.zeros((height + 1, width + tile + 1), np.int32)
    for row, column, sign in ((0, 0, 1), (tile, 0, -1), (0, tile, -1), (tile, tile, 1)):
        np.add.at(edges, (rows + row, columns + column), sign)
    wide = np.cumsum(np.cumsum(edges, axis=0, dtype=np.int32), axis=1, dtype=np.int32)[:height]
    found = wide[:, :width].copy()
    found[:, :tile] += wide[:, width : width + tile]  # patches across the edge go on at the west
    return found


def spread(values: NDArray[np.floating[Any]]) -> dict[str, float | None]:
    """Mean, extremes and percentiles, for JSON; ``None`` without values."""
    names = ("mean", "minimum", *(f"p{share}" for share in SHARES), "maximum")
    if not values.size:
        return dict.fromkeys(names)
    low, *middle, high = np.percentile(values, (0, *SHARES, 100)).tolist()
    return {
        name: round(number, 4) for name, number in zip(names, (float(values.mean()), low, *middle, high), strict=True)
    }
