"""Gridded profiles of an export by patch: which rows of the store a patch and its days have, and their values."""

from __future__ import annotations

import datetime as dt
from collections import OrderedDict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from oceanrecon.errors import ConfigError
from oceanrecon.grid import RasterGrid, parse_date
from oceanrecon.samples.form import Field, FieldName
from oceanrecon.stores.shard_reader import Box, Files, ShardArray, open_arrays, read_small
from oceanrecon.transform.encode import EncodingName, stretch
from oceanrecon.transform.points import average_duplicates

#: Targets whose places are kept: 9,000 profiles of 16 bytes each.
_KEPT_TARGETS = 64
#: A level without a flag counts.
_NO_FLAG = -1


@dataclass(frozen=True, eq=False)
class _Places:
    """Where and when the profiles of one target are, in the order of the store (by row, then column)."""

    start: int
    row: NDArray[np.int32]
    column: NDArray[np.int32]
    day: NDArray[np.int64]
    withheld: NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Found:
    """Profiles of a patch: rows of the store, and their pixels in it."""

    rows: NDArray[np.int64]
    pixels: NDArray[np.int32]


class GriddedProfiles:
    """The gridded store of an export, for reading by patch."""

    def __init__(
        self,
        files: Files,
        section: Mapping[str, Any],
        grid: RasterGrid,
        *,
        days: int,
        quality: Collection[int],
        withhold: Collection[str],
    ) -> None:
        """Of the ``argo`` section of a manifest.

        Args:
            files: how to read below the export.
            section: what the manifest says.
            grid: of the export.
            days: odd number of days around a date whose profiles are taken.
            quality: flags that count as good.
            withhold: WMO platform numbers whose profiles are left out.
        """
        self._grid, self._half = grid, (days - 1) // 2
        self._held = (int(section["window_days"]) - 1) // 2
        self._quality = np.array([_NO_FLAG, *quality], np.int16)
        self._withhold = frozenset(withhold)
        self._encoding: EncodingName = section["encoding"]
        path = section["path"]
        self._arrays: dict[str, ShardArray] = open_arrays(files, path, frozenset(section["files"]))
        self._targets = _days(read_small(files.root, path, "target"))
        self._start = read_small(files.root, path, "target_start")
        self._count = read_small(files.root, path, "target_count")
        self._kept: OrderedDict[int, _Places] = OrderedDict()

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_kept": OrderedDict()}

    def check_days(self, date: int) -> None:
        """Whether the store holds all days of the window around a date.

        Raises:
            ConfigError: it does not.
        """
        day = _day(date)
        for wanted in range(day - self._half, day + self._half + 1):
            if not self._targets.size or np.abs(self._targets - wanted).min() > self._held:
                lacking = dt.date.fromordinal(wanted)
                raise ConfigError(
                    f"the export holds no profiles of {lacking}, {abs(wanted - day)} days from {date}: it has those of "
                    f"{2 * self._held + 1} days around each of its targets; give fewer `days` than "
                    f"{2 * self._half + 1}, or leave that date out"
                )

    def find(self, date: int, row: int, column: int, tile: int) -> Found:
        """The profiles of a patch within the days around a date."""
        day = _day(date)
        near = np.flatnonzero(np.abs(self._targets - day) <= self._held + self._half)
        rows, pixels = [], []
        for target in near.tolist():
            places = self._places(target)
            first, last = np.searchsorted(places.row, [row, row + tile])
            across = np.mod(places.column[first:last] - column, self._grid.width)
            inside = (across < tile) & (np.abs(places.day[first:last] - day) <= self._half)
            inside &= ~places.withheld[first:last]
            at = np.flatnonzero(inside)
            rows.append(places.start + first + at)
            pixels.append((places.row[first:last][at] - row) * tile + across[at])
        if not rows:
            return Found(np.empty(0, np.int64), np.empty(0, np.int32))
        return Found(np.concatenate(rows), np.concatenate(pixels).astype(np.int32))

    def requests(self, found: Found, fields: Sequence[Field]) -> list[tuple[ShardArray, Box]]:
        """What has to be read for the values of some profiles: codes and flags of each field."""
        if not found.rows.size:
            return []
        rows = (int(found.rows.min()), int(found.rows.max()) + 1)
        levels = (0, self._arrays[self._codes(fields[0])].shape[1])
        names = [name for field in fields for name in (self._codes(field), f"argo_{field.profiles}_qc_on_glorys_depth")]
        return [(self._arrays[name], (rows, levels)) for name in names]

    def values(
        self, found: Found, fields: Sequence[Field], read: Sequence[NDArray[Any]], levels: int
    ) -> tuple[NDArray[np.int32], dict[FieldName, NDArray[np.float32]]]:
        """Pixels with a profile, [point], and by field the means of accepted levels there, [point, level]."""
        if not found.rows.size:
            return np.empty(0, np.int32), {field.name: np.empty((0, levels), np.float32) for field in fields}
        at = found.rows - found.rows.min()
        physical = []
        for field, codes, flags in zip(fields, read[::2], read[1::2], strict=True):
            code = stretch(field.quantity, self._encoding)
            stored = codes[at]
            good = (stored != code.nodata) & np.isin(flags[at], self._quality)
            physical.append(np.where(good, code.minimum + stored * code.step, np.nan))
        points, means = average_duplicates(found.pixels, np.concatenate(physical, axis=1))
        some = np.isfinite(means).any(axis=1)
        parts = np.split(means[some], len(fields), axis=1)
        return points[some], {field.name: part for field, part in zip(fields, parts, strict=True)}

    def _codes(self, field: Field) -> str:
        kelvin = "kelvin_" if field.profiles == "temp" else ""
        return f"argo_{field.profiles}_{kelvin}{self._encoding}"

    def _places(self, target: int) -> _Places:
        if target in self._kept:
            self._kept.move_to_end(target)
            return self._kept[target]
        start, count = int(self._start[target]), int(self._count[target])
        rows = ((start, start + count),)

        def column(name: str) -> NDArray[Any]:
            return self._arrays[name].read(rows)

        withheld = np.zeros(count, bool)
        if self._withhold:
            withheld = np.isin(column("platform_number").astype(str), list(self._withhold))
        places = _Places(start, column("grid_row"), column("grid_col"), _days(column("profile_date")), withheld)
        self._kept[target] = places
        if len(self._kept) > _KEPT_TARGETS:
            self._kept.popitem(last=False)
        return places


def _day(date: int) -> int:
    return parse_date(date).toordinal()


def _days(dates: NDArray[Any]) -> NDArray[np.int64]:
    """Ordinal days of YYYYMMDD: a store has few different ones."""
    found, where = np.unique(dates, return_inverse=True)
    return np.array([_day(int(date)) for date in found], np.int64)[where]
