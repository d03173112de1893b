"""Proof that the sides of a split share nothing, from the written tables alone.

Two ways that do not know each other. By geometry: no row has, among the patches that share a pixel with its own, a row
of another side that sees one of its days or learns from one of its GLORYS files. By profiles: the rows that hold a
profile are of one side. Neither knows how the split was made.

What is shown holds for samples of the days that the index was made with (``rows.days``).
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from oceanrecon.grid import RasterGrid
from oceanrecon.grid.times import EPOCH
from oceanrecon.pipeline.patches.footprint import Footprint
from oceanrecon.pipeline.patches.match import numbers
from oceanrecon.pipeline.patches.output import PROFILES, PROOF
from oceanrecon.pipeline.patches.proof_tables import (
    SIDES,
    Bits,
    RowMatrix,
    check_files,
    check_profiles,
    columns,
    days_of,
    read_rows,
)
from oceanrecon.pipeline.patches.split import PHASES
from oceanrecon.stores.files import Root
from oceanrecon.stores.manifest import PATCHES, read_manifest

#: ``_MIXED[a, b]``: whether something on the sides ``a`` (as bits) meets something on another side among ``b``.
_MIXED = np.array([[any(1 << s & a and b & ~(1 << s) for s in range(3)) for b in range(8)] for a in range(8)])
#: What two rows must not share, in the order of ``Footprint.spans``; profiles are counted apart.
_KINDS = ("pixels on a day", "target files")
#: How messages say it.
_WORDS = {
    "pixels on a day": "rows have pixels on a day that a row of another side has",
    "target files": "rows have pixels of a target file that a row of another side has",
    "profiles": "profiles are in rows of two sides",
}
_EXAMPLES = 5
#: Patches that are held at once.
_PATCHES = 256


@dataclass(frozen=True)
class Conflict:
    """Something that is on two sides."""

    #: ``pixels on a day``, ``target files`` or ``profiles``
    what: str
    #: rows that share it with another side, or profiles
    count: int
    examples: tuple[dict[str, Any], ...]


@dataclass(frozen=True)
class Proof:
    """What was checked, and what was found on two sides."""

    #: path -> sha256 of the tables that were read
    tables: Mapping[str, str]
    #: how many rows by side, patches, pairs of patches that share pixels, dates, profiles
    checked: Mapping[str, Any]
    conflicts: tuple[Conflict, ...]

    @property
    def holds(self) -> bool:
        """Whether the sides share nothing."""
        return not self.conflicts

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {"holds": self.holds, **asdict(self)}

    @property
    def message(self) -> str:
        """One sentence per kind of conflict, with an example; empty where there is none."""
        return "; ".join(
            f"{conflict.count:,} {_WORDS[conflict.what]}, such as {json.dumps(conflict.examples[0])}"
            for conflict in self.conflicts
        )


def prove(root: Root, manifest: Mapping[str, Any] | None = None) -> Proof:
    """Check the tables of an index; writes nothing.

    Args:
        root: the index.
        manifest: of the index, where it is not written yet.

    Raises:
        OutputError: a table or the manifest is missing or cannot be read, or the tables are not those of the manifest.
    """
    manifest = read_manifest(root, PATCHES) if manifest is None else manifest
    tables = check_files(root, manifest)
    matrix = read_rows(root, manifest)
    rows = _Rows(
        RasterGrid(**manifest["grid"]),
        int(manifest["tiling"]["tile"]),
        Footprint.from_dict(manifest["footprint"]),
        matrix,
    )
    pairs, conflicts = rows.shared()
    seen, conflict = rows.profiles(root)
    check_profiles(root, manifest, matrix, seen["looked up"], seen["in rows of a side"])
    by_side = {side: matrix.counts[side] for side in SIDES}
    left_out = sum(matrix.counts[phase] for phase in PHASES if phase not in SIDES)
    return Proof(
        tables=tables,
        checked={
            "rows": {**by_side, "left out": left_out},
            "dates": matrix.days.size,
            "patches": matrix.ids.size,
            "pairs that share pixels": pairs,
            "profiles": seen,
        },
        conflicts=(*conflicts, *conflict),
    )


def write_proof(root: Root, proof: Proof) -> None:
    """Write ``proof.json`` beside the tables.

    Raises:
        OutputError: it cannot be written.
    """
    root.write(PROOF, (json.dumps(proof.to_dict(), indent=1) + "\n").encode())


@dataclass(frozen=True, eq=False)
class _Rows:
    """The rows of an index in space and time."""

    grid: RasterGrid
    tile: int
    footprint: Footprint
    matrix: RowMatrix

    def _spans(self) -> NDArray[np.int64]:
        """Of the footprint, and at least what the table names: [kind, date, 2]."""
        named = self.matrix.named
        spans = self.footprint.spans([EPOCH + dt.timedelta(days=int(day)) for day in self.matrix.days])
        spans[1, :, 0] = np.minimum(spans[1, :, 0], named[:, 0])
        spans[1, :, 1] = np.maximum(spans[1, :, 1], named[:, 1])
        return spans

    def shared(self) -> tuple[int, list[Conflict]]:
        """Pairs of patches that share pixels, and what rows share with another side."""
        ids, sides = self.matrix.ids, self.matrix.sides
        conflicts, pairs = [], 0
        for what, spans in zip(_KINDS, self._spans(), strict=True):
            near = _meeting(sides, spans)
            pairs, count = 0, 0
            examples: list[dict[str, Any]] = []
            for patch in range(ids.size):
                beside = self._beside(patch)
                pairs += int((beside > patch).sum())
                mixed = _MIXED[sides[patch], np.bitwise_or.reduce(near[beside], axis=0)]
                count += int(mixed.sum())
                examples += [
                    self._example(patch, date, beside, spans)
                    for date in np.flatnonzero(mixed)[: _EXAMPLES - len(examples)].tolist()
                ]
            if count:
                conflicts.append(Conflict(what, count, tuple(examples)))
        return pairs, conflicts

    def _beside(self, patch: int) -> NDArray[np.int64]:
        """The patches that have a pixel of a patch, itself included; across the dateline, too."""
        ids, width, tile = self.matrix.ids, self.grid.width, self.tile
        row, column = divmod(int(ids[patch]), width)
        # patches are numbered row by row, so those of near rows follow each other
        low, high = np.searchsorted(ids, [(row - tile + 1) * width, (row + tile) * width])
        apart = np.abs(ids[low:high] % width - column)
        if self.grid.periodic:
            apart = np.minimum(apart, width - apart)
        return np.asarray(low + np.flatnonzero(apart < tile))

    def _example(self, patch: int, date: int, beside: NDArray[np.int64], spans: NDArray[np.int64]) -> dict[str, Any]:
        ids, days, sides = self.matrix.ids, self.matrix.days, self.matrix.sides
        mine = int(sides[patch, date])
        first, last = spans[date]
        dates = np.flatnonzero((spans[:, 0] <= last) & (spans[:, 1] >= first))
        where, when = np.nonzero(_MIXED[mine, sides[np.ix_(beside, dates)]])
        other, then = int(beside[where[0]]), int(dates[when[0]])
        return {
            "patch_id": int(ids[patch]),
            "date": int(numbers(days[[date]])[0]),
            "phase": _names(mine),
            "other_patch_id": int(ids[other]),
            "other_date": int(numbers(days[[then]])[0]),
            "other_phase": _names(int(sides[other, then])),
        }

    def profiles(self, root: Root) -> tuple[dict[str, int], list[Conflict]]:
        """How many profiles were looked up, and those that are in rows of two sides."""
        half = (self.footprint.days - 1) // 2
        days = self.matrix.days
        every = np.arange(days[0] - half, days[-1] + half + 1)
        # the sides whose rows see each day, at each patch
        seen = _within(
            self.matrix.sides,
            np.searchsorted(days, every - half),
            np.searchsorted(days, every + half, side="right"),
        )
        finder = _Finder(self.matrix.ids, self.grid, self.tile)
        counts = {"looked up": 0, "in rows of a side": 0}
        found = 0
        examples: list[dict[str, Any]] = []
        names = ("grid_row", "grid_col", "argo_profile_date", "argo_row_id", "platform_number")
        for row, column, date, number, platform in columns(root, f"{PROFILES}.parquet", names):
            day = days_of(date, root.url_of(f"{PROFILES}.parquet"), "argo_profile_date") - every[0]
            inside = (row >= 0) & (column >= 0) & (day >= 0) & (day < every.size)
            sides = np.zeros(row.size, np.uint8)
            sides[inside] = finder.over(row[inside], column[inside], day[inside], seen)
            mixed = _MIXED[sides, sides]
            counts["looked up"] += row.size
            counts["in rows of a side"] += int((sides > 0).sum())
            found += int(mixed.sum())
            examples += [
                {
                    "argo_row_id": int(number[at]),
                    "platform_number": platform[at].as_py(),
                    "argo_profile_date": int(date[at]),
                    "phases": _names(int(sides[at])),
                }
                for at in np.flatnonzero(mixed)[: _EXAMPLES - len(examples)].tolist()
            ]
        return counts, [Conflict("profiles", found, tuple(examples))] if found else []


class _Finder:
    """Which patches have a pixel."""

    def __init__(self, ids: NDArray[np.int64], grid: RasterGrid, tile: int) -> None:
        rows, columns = ids // grid.width, ids % grid.width
        self._rows, at_row = np.unique(rows, return_inverse=True)
        starts, at_column = np.unique(columns, return_inverse=True)
        #: number of the patch, -1 where there is none
        self._patch = np.full((self._rows.size, starts.size), -1, np.int64)
        self._patch[at_row, at_column] = np.arange(ids.size)
        # columns are looked for from one turn to the west on, so that tiles across the dateline are found
        self._columns = np.concatenate([starts - grid.width, starts]) if grid.periodic else starts
        self._tile = tile

    def over(self, row: NDArray[Any], column: NDArray[Any], day: NDArray[Any], seen: Bits) -> Bits:
        """The sides, of [patch, day], that see each pixel on its day, all patches together: [n]."""
        sides = np.zeros(row.size, np.uint8)
        top, low = (np.searchsorted(self._rows, row - back, side="right") for back in (self._tile, 0))
        left, right = (np.searchsorted(self._columns, column - back, side="right") for back in (self._tile, 0))
        for down in range(int((low - top).max(initial=0))):
            for along in range(int((right - left).max(initial=0))):
                some = np.flatnonzero((top + down < low) & (left + along < right))
                patch = self._patch[top[some] + down, (left[some] + along) % self._patch.shape[1]]
                some, patch = some[patch >= 0], patch[patch >= 0]
                sides[some] |= seen[patch, day[some]]
        return sides


def _meeting(sides: Bits, spans: NDArray[np.int64]) -> Bits:
    """All sides of the dates whose spans meet that of each date together: [patch, date]."""
    found = np.zeros_like(sides)
    for chain in _chains(spans):
        starts, ends = spans[chain].T
        first = np.searchsorted(ends, spans[:, 0])
        stop = np.searchsorted(starts, spans[:, 1], side="right")
        found |= _within(sides[:, chain], first, stop)
    return found


def _chains(spans: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """Numbers of spans, in as few sequences as can be in which starts and ends only grow: one, or two with an export.

    An export's target reaches further than the days beside it, so that the spans of all dates need not grow.
    """
    chains: list[list[int]] = []
    for number in np.lexsort((spans[:, 1], spans[:, 0])).tolist():
        fitting = [chain for chain in chains if spans[chain[-1], 1] <= spans[number, 1]]
        if fitting:
            max(fitting, key=lambda chain: int(spans[chain[-1], 1])).append(number)
        else:
            chains.append([number])
    return [np.array(chain) for chain in chains]


def _within(sides: Bits, first: NDArray[np.int64], stop: NDArray[np.int64]) -> Bits:
    """All sides of some following dates together: [patch, n] from [patch, date] and ranges of dates: [n]."""
    found = np.empty((len(sides), first.size), np.uint8)
    for low in range(0, len(sides), _PATCHES):
        part = sides[low : low + _PATCHES]
        bits = np.zeros((len(part), first.size), np.uint8)
        for bit in range(len(SIDES)):
            count = np.zeros((len(part), part.shape[1] + 1), np.int32)
            np.cumsum(part >> bit & 1, axis=1, out=count[:, 1:])
            bits |= ((count[:, stop] > count[:, first]) << bit).astype(np.uint8)
        found[low : low + _PATCHES] = bits
    return found


def _names(bits: int) -> str:
    return " and ".join(side for bit, side in enumerate(SIDES) if bits & 1 << bit)
