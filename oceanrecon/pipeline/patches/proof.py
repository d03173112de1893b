"""Proof that the sides of a split share nothing, from the written tables alone.

Two ways that do not know each other. By geometry: no row has, among the patches that share a pixel with its own, a row
of another side that sees one of its days or learns from one of its GLORYS files. By profiles: the rows that hold a
profile are of one side. Neither knows how the split was made.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from oceanrecon.errors import OutputError
from oceanrecon.grid import RasterGrid, parse_date
from oceanrecon.grid.times import EPOCH
from oceanrecon.pipeline.patches.footprint import Footprint
from oceanrecon.pipeline.patches.match import Days, day_of, numbers
from oceanrecon.pipeline.patches.output import PROFILES, PROOF, SPATIAL
from oceanrecon.pipeline.patches.spatial import INVALID
from oceanrecon.pipeline.patches.split import GUARD, PHASES
from oceanrecon.stores.files import Root
from oceanrecon.stores.manifest import PATCHES, read_manifest

#: Sides by bit; rows of other phases are on none, and are never handed out.
SIDES = PHASES[:GUARD]
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
#: Rows of a table, and patches, that are held at once.
_BATCH, _PATCHES = 1 << 18, 256

Bits = NDArray[np.uint8]


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
    """Check the tables of an index, and write ``proof.json`` beside them.

    Args:
        root: the index.
        manifest: of the index, where it is not written yet.

    Raises:
        OutputError: a table or the manifest is missing, cannot be read, or they do not belong together.
    """
    manifest = read_manifest(root, PATCHES) if manifest is None else manifest
    tables = {name: f"{name}.parquet" for name in (SPATIAL, manifest["frequency"], PROFILES)}
    rows = _Rows.read(root, tables[SPATIAL], tables[manifest["frequency"]], manifest)
    pairs, conflicts = rows.shared()
    seen, conflict = rows.profiles(root, tables[PROFILES])
    by_side = {side: int((rows.sides & 1 << bit != 0).sum()) for bit, side in enumerate(SIDES)}
    proof = Proof(
        tables={path: _sha256(root, path) for path in tables.values()},
        checked={
            "rows": {**by_side, "left out": rows.left_out},
            "dates": rows.days.size,
            "patches": rows.ids.size,
            "pairs that share pixels": pairs,
            "profiles": seen,
        },
        conflicts=(*conflicts, *conflict),
    )
    root.write(PROOF, (json.dumps(proof.to_dict(), indent=1) + "\n").encode())
    return proof


@dataclass(frozen=True, eq=False)
class _Rows:
    """The rows of an index as a matrix."""

    grid: RasterGrid
    tile: int
    footprint: Footprint
    #: ascending: [patch]
    ids: NDArray[np.int64]
    #: ascending: [date]
    days: Days
    #: first and last GLORYS file that the rows of a date name, as days; first > last where they name none: [date, 2]
    named: NDArray[np.int64]
    #: sides of the rows, as bits: [patch, date]
    sides: Bits
    left_out: int

    @classmethod
    def read(cls, root: Root, spatial: str, rows: str, manifest: Mapping[str, Any]) -> _Rows:
        grid = RasterGrid(**manifest["grid"])
        with _open(root, spatial) as file:
            table = file.read(["patch_id", "phase"]).to_pandas()
        ids = np.unique(table["patch_id"][table["phase"] != INVALID].to_numpy(np.int64))
        dates = np.unique(np.concatenate([np.unique(batch[0]) for batch in _columns(root, rows, ("date",))]))
        if not dates.size:
            raise OutputError(f"{root.url_of(rows)} has no rows: there is nothing to prove")
        sides = np.zeros((ids.size, dates.size), np.uint8)
        named = np.stack([np.full(dates.size, np.iinfo(np.int64).max), np.full(dates.size, -1)], axis=-1)
        left_out = 0
        for patch, date, phase, file in _columns(root, rows, ("patch_id", "date", "phase", "matched_glorys_date")):
            place = np.searchsorted(ids, patch)
            strange = ids[np.minimum(place, ids.size - 1)] != patch
            if strange.any():
                raise OutputError(
                    f"{root.url_of(rows)} has rows of patch {patch[strange][0]}, which {spatial} has not: make the "
                    "tables again with `patches index --overwrite`"
                )
            when = np.searchsorted(dates, date)
            bits = _bits(phase, root.url_of(rows))
            left_out += int((bits == 0).sum())
            np.bitwise_or.at(sides, (place, when), bits)
            has = file > 0
            np.minimum.at(named[:, 0], when[has], file[has])
            np.maximum.at(named[:, 1], when[has], file[has])
        days = _days(dates)
        footprint = Footprint.from_dict(manifest["footprint"])
        some = named[:, 1] > 0
        named[some] = _days(named[some])
        return cls(grid, int(manifest["tiling"]["tile"]), footprint, ids, days, named, sides, left_out)

    def _spans(self) -> NDArray[np.int64]:
        """Of the footprint, and at least what the table names: [kind, date, 2]."""
        spans = self.footprint.spans([EPOCH + dt.timedelta(days=int(day)) for day in self.days])
        spans[1, :, 0] = np.minimum(spans[1, :, 0], self.named[:, 0])
        spans[1, :, 1] = np.maximum(spans[1, :, 1], self.named[:, 1])
        return spans

    def shared(self) -> tuple[int, list[Conflict]]:
        """Pairs of patches that share pixels, and what rows share with another side."""
        conflicts, pairs = [], 0
        for what, spans in zip(_KINDS, self._spans(), strict=True):
            # all dates from the first to the last whose spans can meet a date's: spans move forward with their dates
            starts = np.minimum.accumulate(spans[::-1, 0])[::-1]
            ends = np.maximum.accumulate(spans[:, 1])
            first = np.searchsorted(ends, starts)
            stop = np.searchsorted(starts, ends, side="right")
            near = _within(self.sides, first, stop)
            pairs, count = 0, 0
            examples: list[dict[str, Any]] = []
            for patch in range(self.ids.size):
                beside = self._beside(patch)
                pairs += int((beside > patch).sum())
                mixed = _MIXED[self.sides[patch], np.bitwise_or.reduce(near[beside], axis=0)]
                count += int(mixed.sum())
                examples += [
                    self._example(patch, date, beside, int(first[date]), int(stop[date]))
                    for date in np.flatnonzero(mixed)[: _EXAMPLES - len(examples)].tolist()
                ]
            if count:
                conflicts.append(Conflict(what, count, tuple(examples)))
        return pairs, conflicts

    def _beside(self, patch: int) -> NDArray[np.int64]:
        """The patches that have a pixel of a patch, itself included; across the dateline, too."""
        width, tile = self.grid.width, self.tile
        row, column = divmod(int(self.ids[patch]), width)
        # patches are numbered row by row, so those of near rows follow each other
        low, high = np.searchsorted(self.ids, [(row - tile + 1) * width, (row + tile) * width])
        apart = np.abs(self.ids[low:high] % width - column)
        if self.grid.periodic:
            apart = np.minimum(apart, width - apart)
        return np.asarray(low + np.flatnonzero(apart < tile))

    def _example(self, patch: int, date: int, beside: NDArray[np.int64], first: int, stop: int) -> dict[str, Any]:
        mine = int(self.sides[patch, date])
        where, when = np.nonzero(_MIXED[mine, self.sides[beside, first:stop]])
        other, then = int(beside[where[0]]), first + int(when[0])
        return {
            "patch_id": int(self.ids[patch]),
            "date": int(numbers(self.days[[date]])[0]),
            "phase": _names(mine),
            "other_patch_id": int(self.ids[other]),
            "other_date": int(numbers(self.days[[then]])[0]),
            "other_phase": _names(int(self.sides[other, then])),
        }

    def profiles(self, root: Root, path: str) -> tuple[dict[str, int], list[Conflict]]:
        """How many profiles were looked up, and those that are in rows of two sides."""
        half = (self.footprint.days - 1) // 2
        every = np.arange(self.days[0] - half, self.days[-1] + half + 1)
        # the sides whose rows see each day, at each patch
        seen = _within(
            self.sides,
            np.searchsorted(self.days, every - half),
            np.searchsorted(self.days, every + half, side="right"),
        )
        finder = _Finder(self.ids, self.grid, self.tile)
        counts = {"looked up": 0, "in rows of a side": 0}
        found = 0
        examples: list[dict[str, Any]] = []
        names = ("grid_row", "grid_col", "argo_profile_date", "argo_row_id", "platform_number")
        for row, column, date, number, platform in _columns(root, path, names):
            day = _days(date) - every[0]
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


def _days(dates: NDArray[Any]) -> Days:
    """Days since 1950-01-01 of YYYYMMDD."""
    found, where = np.unique(dates, return_inverse=True)
    return np.array([day_of(parse_date(int(date))) for date in found], np.int64)[where]


def _bits(phases: pa.Array, url: str) -> Bits:
    coded = phases.dictionary_encode()
    words = coded.dictionary.to_pylist()
    unknown = [word for word in words if word not in PHASES]
    if unknown or phases.null_count:
        shown = repr(unknown[0]) if unknown else "nothing"
        raise OutputError(f"{url} has {shown} as a phase: it is one of {', '.join(PHASES)}")
    bits = np.array([1 << SIDES.index(word) if word in SIDES else 0 for word in words], np.uint8)
    return np.asarray(bits[coded.indices.to_numpy(zero_copy_only=False)], np.uint8)


@contextmanager
def _open(root: Root, path: str) -> Iterator[pq.ParquetFile]:
    try:
        with fsspec.open(root.url_of(path), "rb") as stream, pq.ParquetFile(stream) as file:
            yield file
    except FileNotFoundError as error:
        raise OutputError(f"{root.url} has no {path}: make the tables with `oceanrecon patches index`") from error
    except (OSError, pa.ArrowException, KeyError) as error:
        raise OutputError(
            f"{root.url_of(path)} cannot be read ({error}): make the tables again with `patches index --overwrite`"
        ) from error


def _columns(root: Root, path: str, names: tuple[str, ...]) -> Iterator[list[Any]]:
    """Some columns of a table, some rows at a time: numbers as int64 with -1 for null, texts as they are stored."""
    with _open(root, path) as file:
        for batch in file.iter_batches(_BATCH, columns=list(names)):
            yield [
                column if pa.types.is_string(column.type) or pa.types.is_large_string(column.type)
                else column.cast(pa.int64()).fill_null(-1).to_numpy(zero_copy_only=False)
                for column in (batch.column(name) for name in names)
            ]  # fmt: skip


def _sha256(root: Root, path: str) -> str:
    digest = hashlib.sha256()
    with fsspec.open(root.url_of(path), "rb") as stream:
        while piece := stream.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()
