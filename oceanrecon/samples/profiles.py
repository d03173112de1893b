"""Gridded profiles of an export by patch: which rows of the store a patch and its days have, and their values."""

from __future__ import annotations

import datetime as dt
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from oceanrecon.errors import ConfigError
from oceanrecon.grid import RasterGrid, parse_date
from oceanrecon.samples.choice import Choice, Observed, observed
from oceanrecon.samples.form import SCENARIOS, Field
from oceanrecon.samples.held import HeldDays
from oceanrecon.samples.tiles import Tile
from oceanrecon.samples.withheld import tell_absent
from oceanrecon.sources.platform import plain_platform
from oceanrecon.stores.byte_ranges import Files
from oceanrecon.stores.shard_reader import Box, ShardArray, group_metadata, open_arrays, read_boxes, read_small
from oceanrecon.transform.encode import EncodingName, stretch

#: Targets whose places are kept, at 12 bytes a profile: 28 MB of an archive with 9,000 profiles a week.
_KEPT_TARGETS = 256
#: Chunks of 2,048 profiles that each variable keeps, 0.1 to 0.2 MB each: they serve 16 weeks.
_KEPT_CHUNKS = 80
#: Arrays of one plain chunk.
_SMALL = ("target", "target_start", "target_count", "glorys_depth")
#: Of these arrays: they are written before the manifest that has their checksums.
_MEANWHILE = (
    "or profiles are being put on the grid just now: wait for that run; where it was interrupted, `oceanrecon profiles "
    "grid CONFIG --resume` is enough"
)
#: Rows of names that are looked through at once.
_NAMES = 1 << 18


@dataclass(frozen=True, eq=False)
class _Places:
    """Where and when the profiles of one target are, in the order of the store (by row, then column)."""

    start: int
    row: NDArray[np.int32]
    column: NDArray[np.int32]
    #: ordinal
    day: NDArray[np.int32]


@dataclass(frozen=True, eq=False)
class Found:
    """Profiles of a patch: rows of the store, target by target, their pixels in it, and days after the date."""

    rows: tuple[NDArray[np.int64], ...]
    pixels: tuple[NDArray[np.int64], ...]
    days: tuple[NDArray[np.int32], ...]


class GriddedProfiles:
    """The gridded store of an export, for reading by patch."""

    def __init__(self, files: Files, section: Mapping[str, Any], grid: RasterGrid, choice: Choice) -> None:
        """Of the ``argo`` section of a manifest.

        Args:
            files: how to read below the export.
            section: what the manifest says.
            grid: of the export.
            choice: scenario, days, flags, and which platforms are left out.

        Raises:
            ConfigError: none of the platforms has a profile, or temperatures are to be learnt and the profiles have
                other ones than the reanalysis.
        """
        source = section.get("temperature_source", "potential")
        if "temperature" in SCENARIOS[choice.scenario] and source != "potential":
            raise ConfigError(
                f"{files.root.url} has gridded profiles with temperature_source {source!r}, and those of the target "
                "are potential: at depth they differ by up to 0.5 K; run `oceanrecon profiles grid CONFIG --overwrite` "
                "with grid.temperature: potential, or choose the scenario 'salinity'"
            )
        self._grid, self._choice = grid, choice
        self._days = HeldDays(section)
        self._encoding: EncodingName = section["encoding"]
        path = section["path"]
        group = group_metadata(files.root, path, files.remedy)
        self._files, self._path = files, path
        #: small array -> what its one file is, where the manifest says so
        self._sums = {name: section["files"].get(f"{path}/{name}/c/0", {}).get("sha256") for name in _SMALL}
        self._arrays: dict[str, ShardArray] = open_arrays(
            files, path, frozenset(section["files"]), _KEPT_CHUNKS, group=group
        )
        self._targets = _ordinals(self._small("target", group))
        self._start, self._count = self._small("target_start", group), self._small("target_count", group)
        self._kept: OrderedDict[int, _Places] = OrderedDict()
        #: by flag, as an unsigned byte
        self._good = np.zeros(256, bool)
        self._good[choice.flags.astype(np.uint8)] = True
        #: of every row of the store, in bits
        self._withheld = self._find_withheld() if choice.withholds else None

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_kept": OrderedDict()}

    @cached_property
    def depth(self) -> tuple[float, ...]:
        """Of the levels, m, downwards; read when it is asked for, since an export with a target says it."""
        group = group_metadata(self._files.root, self._path, self._files.remedy)
        return tuple(self._small("glorys_depth", group).tolist())

    def _small(self, name: str, group: Mapping[str, Any]) -> NDArray[Any]:
        """A whole small array; their files have no checksums of their own."""
        remedy = f"{self._files.remedy}; {_MEANWHILE}"
        return read_small(self._files.root, self._path, name, group, sha256=self._sums[name], remedy=remedy)

    def check_days(self, date: int) -> None:
        """Whether the store holds all days of the window around a date.

        Raises:
            ConfigError: it does not.
        """
        middle, half = parse_date(date), self._choice.half
        for away in range(-half, half + 1):
            day = middle + dt.timedelta(days=away)
            why = self._days.lacks(day)
            if why:
                raise ConfigError(
                    f"the export holds no profiles of {day}, {abs(away)} days from {date}: {why}; give fewer `days` "
                    f"than {self._choice.days}, complete the profiles and grid them again, or leave that date out"
                )

    def find(self, places: Sequence[tuple[int, Tile]]) -> list[Found]:
        """The profiles of some patches within the days around their dates (YYYYMMDD)."""
        days = [parse_date(date).toordinal() for date, _ in places]
        reach = self._days.half + self._choice.half
        near = [np.flatnonzero(np.abs(self._targets - day) <= reach).tolist() for day in days]
        known = self._load({target for some in near for target in some})
        return [
            self._inside([known[target] for target in some], day, tile)
            for some, day, (_, tile) in zip(near, days, places, strict=True)
        ]

    def _inside(self, near: Sequence[_Places], day: int, tile: Tile) -> Found:
        rows, pixels, days = [], [], []
        for places in near:
            first, last = np.searchsorted(places.row, [tile.row, tile.row + tile.size])
            across = np.mod(places.column[first:last] - tile.column, self._grid.width)
            after = places.day[first:last] - np.int32(day)
            inside = (across < tile.size) & (np.abs(after) <= self._choice.half)
            at = np.flatnonzero(inside)
            found = (places.start + first + at).astype(np.int64)
            if self._withheld is not None:
                kept = (self._withheld[found >> 3] >> (7 - (found & 7))) & 1 == 0
                at, found = at[kept], found[kept]
            if at.size:
                rows.append(found)
                pixels.append((places.row[first:last][at] - tile.row).astype(np.int64) * tile.size + across[at])
                days.append(after[at])
        return Found(tuple(rows), tuple(pixels), tuple(days))

    def requests(self, found: Found, fields: Sequence[Field]) -> list[tuple[ShardArray, Box]]:
        """What has to be read for the values of some profiles: target by target, codes and flags of each field."""
        names = [name for field in fields for name in (self._codes(field), f"argo_{field.profiles}_qc_on_glorys_depth")]
        return [
            (self._arrays[name], ((int(rows[0]), int(rows[-1]) + 1), (0, self._arrays[name].shape[1])))
            for rows in found.rows
            for name in names
        ]

    def values(self, found: Found, fields: Sequence[Field], read: Sequence[NDArray[Any]], levels: int) -> Observed:
        """What was read, averaged over pixels: accepted levels of profiles that have some."""
        return observed(found.pixels, found.days, self.measured(found, fields, read), fields, levels)

    def measured(
        self, found: Found, fields: Sequence[Field], read: Sequence[NDArray[Any]]
    ) -> list[NDArray[np.float64]]:
        """Accepted levels of the profiles, K and PSU, NaN elsewhere: target by target [profile, field x level]."""
        parts, step = [], 2 * len(fields)
        for number, rows in enumerate(found.rows):
            at = rows - rows[0]
            own = read[number * step : (number + 1) * step]
            physical = []
            for field, codes, flags in zip(fields, own[::2], own[1::2], strict=True):
                code = stretch(field.quantity, self._encoding)
                stored = codes[at]
                good = (stored != code.nodata) & self._good[flags[at].view(np.uint8)]
                physical.append(np.where(good, code.minimum + stored * code.step, np.nan))
            parts.append(np.concatenate(physical, axis=1))
        return parts

    def headers(self, found: Found) -> tuple[NDArray[np.str_], NDArray[np.float32], NDArray[np.float32]]:
        """Platform number, latitude and longitude (degrees) of the profiles: [profile] each."""
        names = ("platform_number", "latitude", "longitude")
        spans = [(int(rows[0]), int(rows[-1]) + 1) for rows in found.rows]
        read = iter(read_boxes([(self._arrays[name], (span,)) for span in spans for name in names]))
        parts = [[next(read)[rows - rows[0]] for _ in names] for rows in found.rows]
        platform, latitude, longitude = (list(part) for part in zip(*parts, strict=True)) if parts else ([], [], [])
        return (
            np.concatenate([np.empty(0, np.str_), *(part.astype(np.str_) for part in platform)]),
            np.concatenate([np.empty(0, np.float32), *latitude]),
            np.concatenate([np.empty(0, np.float32), *longitude]),
        )

    def _codes(self, field: Field) -> str:
        kelvin = "kelvin_" if field.profiles == "temp" else ""
        return f"argo_{field.profiles}_{kelvin}{self._encoding}"

    def _load(self, targets: set[int]) -> dict[int, _Places]:
        """Places of some targets; those that are not known are read together."""
        known = {}
        for target in targets & self._kept.keys():
            self._kept.move_to_end(target)
            known[target] = self._kept[target]
        lacking = sorted(targets - known.keys())
        names = ("grid_row", "grid_col", "profile_date")
        spans = [(int(self._start[target]), int(self._start[target] + self._count[target])) for target in lacking]
        read = iter(read_boxes([(self._arrays[name], (span,)) for span in spans for name in names]))
        for target, (start, _) in zip(lacking, spans, strict=True):
            row, column, date = next(read), next(read), next(read)
            known[target] = self._kept[target] = _Places(start, row, column, _ordinals(date))
        while len(self._kept) > _KEPT_TARGETS:
            self._kept.popitem(last=False)
        return known

    def platforms(self) -> frozenset[str]:
        """Plain numbers of all platforms that have a profile, also of those that are left out."""
        return frozenset(name for _, plain, _ in self._named() for name in plain)

    def _named(self) -> Iterator[tuple[slice, list[str], NDArray[np.int64]]]:
        """Some rows at a time: their different platforms, plain, and which of these each row has."""
        names = self._arrays["platform_number"]
        for low in range(0, names.shape[0], _NAMES):
            high = min(low + _NAMES, names.shape[0])
            found, where = np.unique(names.read(((low, high),)).astype(str), return_inverse=True)
            yield slice(low, high), [plain_platform(str(name)) for name in found], where

    def _find_withheld(self) -> NDArray[np.uint8]:
        names = self._arrays["platform_number"]
        known: set[str] = set()
        withheld = np.zeros(names.shape[0], bool)
        for rows, plain, where in self._named():
            known |= set(plain)
            withheld[rows] = np.array([self._choice.leaves_out(name) for name in plain], bool)[where]
        tell_absent(self._choice.withhold, known, names.url.rpartition("/")[0])
        return np.packbits(withheld)


def _ordinals(dates: NDArray[Any]) -> NDArray[np.int32]:
    """Ordinal days of YYYYMMDD: a store has few different ones."""
    found, where = np.unique(dates, return_inverse=True)
    return np.array([parse_date(int(date)).toordinal() for date in found], np.int32)[where]
