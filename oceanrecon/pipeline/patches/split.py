"""Which patches, or which rows, are for training, validation and testing; nothing is drawn twice.

Where two sides would share something, what gives way is left out: it becomes ``guard``.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from oceanrecon.access.ranges import open_binary
from oceanrecon.errors import ConfigError
from oceanrecon.grid import parse_date
from oceanrecon.patch_config import SplitSettings
from oceanrecon.pipeline.patches.footprint import meets
from oceanrecon.pipeline.patches.match import day_of
from oceanrecon.pipeline.patches.tiling import Tiling, block_of
from oceanrecon.stores.files import Root

#: By code. A side gives way to those after it; ``guard`` is on none.
PHASES = ("train", "val", "test", "guard")
TRAIN, VAL, TEST, GUARDED = range(4)

#: Codes of phases.
Codes = NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class Split:
    """The sides of the patches of a tiling, or of their rows."""

    settings: SplitSettings
    #: [patch], or ``None`` where it goes by year or by row
    by_patch: Codes | None
    #: by row: ``day`` (since 1950-01-01), ``place`` (number of the patch) and ``code``
    by_row: pd.DataFrame | None
    patches: int
    #: sides that there must be
    asked: tuple[str, ...]

    @classmethod
    def of(cls, settings: SplitSettings, tiling: Tiling) -> Split:
        """Split the patches of a tiling.

        Raises:
            ConfigError: patches overlap and are to be split one by one; a side that is asked for has no patch; or the
                list cannot be read, or names what is not there.
        """
        table = tiling.table
        by_patch, by_row = None, None
        asked = _asked(settings)
        if settings.method == "patch":
            if settings.strict and tiling.patches.overlapping:
                raise ConfigError(
                    "split.method: patch draws patches one by one, and these overlap, so that neighbours on two sides "
                    "would share pixels: take `method: block`, or a stride of at least the tile with edges even"
                )
            by_patch = _by_patch(settings, table["patch_id"].to_numpy())
        elif settings.method == "block":
            by_patch = _by_block(settings, tiling)
        elif settings.method == "list":
            by_patch, by_row = _by_list(settings, table["patch_id"].to_numpy())
            named = by_patch if by_row is None else by_row["code"].to_numpy()
            asked = ("train", *(PHASES[code] for code in (VAL, TEST) if np.any(named == code)))
        split = cls(settings, by_patch, by_row, len(table), asked)
        if by_patch is not None:
            split._refuse_empty(by_patch, "patch")
        return split

    def patch_phases(self) -> NDArray[np.str_] | None:
        """The phase of each patch: [patch]; ``None`` where it goes by year or by row."""
        return None if self.by_patch is None else np.array(PHASES)[self.by_patch]

    def phases(self, dates: Sequence[dt.date], spans: NDArray[np.int64], lost: Sequence[str] = ()) -> Codes:
        """The phase of every row, in codes of ``PHASES``: [date, patch].

        Args:
            dates: of the rows, ascending.
            spans: what the rows of each date are made of, from ``Footprint.spans``: [kind, date, 2].
            lost: why other dates have no row; the message of an empty side ends with it.

        Raises:
            ConfigError: a side that is asked for has no row.
        """
        if self.by_patch is not None:
            return np.broadcast_to(self.by_patch, (len(dates), self.patches))
        if self.by_row is None:
            by_date = _by_year(self.settings, dates, spans)
            self._refuse_empty(by_date, "date", lost=lost)
            return np.broadcast_to(by_date[:, None], (len(dates), self.patches))
        found = np.full((len(dates), self.patches), GUARDED, np.uint8)
        place = pd.Index([day_of(date) for date in dates]).get_indexer(pd.Index(self.by_row["day"]))
        listed = self.by_row[place >= 0]
        found[place[place >= 0], listed["place"]] = listed["code"]
        elsewhere = int((place < 0).sum())
        why = f"; {elsewhere:,} of its {place.size:,} rows are of dates without rows here"
        self._refuse_empty(found, "row", why, lost)
        return found

    def _refuse_empty(self, codes: Codes, what: str, why: str = "", lost: Sequence[str] = ()) -> None:
        settings = self.settings
        counts = dict(zip(PHASES, np.bincount(codes.ravel(), minlength=len(PHASES)).tolist(), strict=True))
        empty = [side for side in self.asked if not counts[side]]
        if not empty:
            return
        remedy = {
            "patch": "take smaller shares, or more patches",
            "block": "take larger split.block_degrees (a patch that lies across two sides is left out), a larger "
            "stride, or larger shares",
            "year": "correct split.val_years and split.test_years, or rows.start and rows.end; dates that share a day "
            "or a file with another side are left out",
            "list": f"correct {settings.table}{why}",
        }[settings.method]
        has = ", ".join(f"{count:,} {phase}" for phase, count in counts.items())
        raise ConfigError("; ".join((f"no {what} is for {' or '.join(empty)} ({has}): {remedy}", *lost)))


def _asked(settings: SplitSettings) -> tuple[str, ...]:
    """The sides that settings ask for; a list has its own."""
    val, test = settings.val > 0, settings.test > 0
    if settings.method == "year":
        val, test = bool(settings.val_years), bool(settings.test_years)
    return ("train", *(["val"] if val else []), *(["test"] if test else []))


def _by_patch(settings: SplitSettings, ids: NDArray[np.int64]) -> Codes:
    order = np.argsort(_chance(settings.seed, ids), kind="stable")
    codes = np.full(ids.size, TRAIN, np.uint8)
    test, val = (max(round(share * ids.size), share > 0) for share in (settings.test, settings.val))
    codes[order[:test]] = TEST
    codes[order[test : test + val]] = VAL
    return codes


def _by_block(settings: SplitSettings, tiling: Tiling) -> Codes:
    """Whole blocks by chance; a patch that lies across sides is left out where patches overlap.

    Where they do not, the block of the centre decides: no pixel is in two patches anyway.
    """
    latitude, longitude = tiling.table["lat_center"].to_numpy(), tiling.table["lon_center"].to_numpy()
    blocks = block_of(latitude, longitude, settings.block_degrees)
    if not tiling.patches.overlapping:
        return np.asarray(_sides(settings, *np.unique(blocks, return_counts=True))[blocks])
    rows, columns = _touched(tiling, settings.block_degrees)
    around = math.ceil(360.0 / settings.block_degrees - 1e-9)
    inside = (rows[:, 0] == rows[:, 1]) & (columns[:, 0] == columns[:, 1])
    if not inside.any():
        raise ConfigError(
            f"no patch fits into a block of {settings.block_degrees:g} degrees (split.block_degrees): take larger ones"
        )
    # what a block gives to its side for certain: the patches that lie in it wholly
    sides = _sides(settings, *np.unique(blocks[inside], return_counts=True), count=int(rows.max() + 1) * around)
    squares = sides.reshape(-1, around)
    codes = np.empty(blocks.size, np.uint8)
    for number, ((top, low), (left, right)) in enumerate(zip(rows.tolist(), columns.tolist(), strict=True)):
        lies_in = squares[top : low + 1].take(range(left, right + 1), axis=1, mode="wrap")
        codes[number] = lies_in[0, 0] if (lies_in == lies_in[0, 0]).all() else GUARDED
    return codes


def _touched(tiling: Tiling, degrees: float) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """First and last row and column of the blocks that each patch lies in: [patch, 2] each.

    Of a patch that crosses the dateline the last column is counted on round the globe.
    """
    grid, tile, table = tiling.patches.grid, tiling.patches.tile, tiling.table
    south, north = table["lat0"].to_numpy(), table["lat1"].to_numpy()
    rows = np.stack([_floor((90.0 - north) / degrees), _ceil((90.0 - south) / degrees) - 1], axis=-1)
    west = np.mod(table["lon0"].to_numpy() + 180.0, 360.0)
    east = west + tile * grid.dx
    around = math.ceil(360.0 / degrees - 1e-9)
    # the last block before the dateline may be narrow: what is beyond counts from there
    last = np.where(east > 360.0 + 1e-9, around + _ceil((east - 360.0) / degrees), _ceil(east / degrees)) - 1
    return rows, np.stack([_floor(west / degrees), last], axis=-1)


def _floor(blocks: NDArray[np.float64]) -> NDArray[np.int64]:
    return np.floor(blocks + 1e-9).astype(np.int64)


def _ceil(blocks: NDArray[np.float64]) -> NDArray[np.int64]:
    return np.ceil(blocks - 1e-9).astype(np.int64)


def _sides(settings: SplitSettings, blocks: NDArray[np.int64], weights: NDArray[np.int64], count: int = 0) -> Codes:
    """The side of every block by its number, as near to the shares of weight as whole blocks come: [block]."""
    sides = np.full(max(int(blocks.max()) + 1, count), TRAIN, np.uint8)
    order = np.argsort(_chance(settings.seed, blocks), kind="stable").tolist()
    for code, share in ((TEST, settings.test), (VAL, settings.val)):
        wanted, found = share * weights.sum(), 0
        # one at least, and one more as long as that comes nearer
        while share > 0 and order and (not found or abs(found + weights[order[0]] - wanted) < abs(found - wanted)):
            block = order.pop(0)
            sides[blocks[block]] = code
            found += int(weights[block])
    return sides


def _by_year(settings: SplitSettings, dates: Sequence[dt.date], spans: NDArray[np.int64]) -> Codes:
    years = np.array([date.year for date in dates])
    codes = np.full(years.size, TRAIN, np.uint8)
    codes[np.isin(years, settings.val_years)] = VAL
    codes[np.isin(years, settings.test_years)] = TEST
    for side in (VAL, TRAIN):
        # of two dates that share a day or a file the one of the lesser side gives way
        over = (codes > side) & (codes != GUARDED)
        shared = np.any([meets(kind, kind[over]) for kind in spans], axis=0)
        codes[(codes == side) & shared] = GUARDED
    return codes


def _by_list(settings: SplitSettings, ids: NDArray[np.int64]) -> tuple[Codes | None, pd.DataFrame | None]:
    assert settings.table is not None  # the settings see to it
    listed = _read_list(settings.table)
    _check_phases(settings.table, listed["phase"])
    by_row = "date" in listed
    known = pd.Index(ids)
    place = known.get_indexer(pd.Index(listed["patch_id"]))
    if (place < 0).any():
        strange = listed["patch_id"][place < 0].unique()
        raise ConfigError(
            f"{settings.table} lists {len(strange):,} patches that these tables do not have, such as {strange[0]}: "
            "no tiles of the grid, or too much land in them; correct the list or the tiling"
        )
    keys = ["patch_id", "date"] if by_row else ["patch_id"]
    twice = listed[listed.duplicated(keys)]
    if len(twice):
        raise ConfigError(f"{settings.table} lists {dict(twice[keys].iloc[0])} twice: give each once")
    code = listed["phase"].map({phase: code for code, phase in enumerate(PHASES)}).to_numpy(np.uint8)
    if by_row:
        try:
            days = {date: day_of(parse_date(date)) for date in listed["date"].unique().tolist()}
        except ConfigError as error:
            raise ConfigError(f"{settings.table}: {error}") from error
        return None, pd.DataFrame({"day": listed["date"].map(days), "place": place, "code": code})
    codes = np.full(ids.size, GUARDED, np.uint8)
    codes[place] = code
    return codes, None


def _check_phases(url: str, phases: pd.Series) -> None:
    without = int((phases.isna() | (phases == "")).sum())
    if without:
        raise ConfigError(
            f"{url} has {without:,} rows without a phase: of an index that is split by year or by row give the table "
            "of its rows (weekly.csv or daily.csv); elsewhere `guard` is what is left out"
        )
    wrong = phases[~phases.isin(PHASES)]
    if len(wrong):
        hint = ""
        if wrong.iloc[0] == "invalid":
            hint = "; leave out the tiles over the thresholds, which rows.keep_invalid put there"
        raise ConfigError(f"{url} has the phase {wrong.iloc[0]!r}: known are {', '.join(PHASES)} (left out){hint}")


def _read_list(url: str) -> pd.DataFrame:
    try:
        with open_binary(Root(url).url) as stream:
            read = pd.read_parquet if url.endswith(".parquet") else pd.read_csv
            table = read(stream)
    except (OSError, ValueError) as error:  # also what the parsers raise
        raise ConfigError(f"cannot read the split from {url}: {error}; give a CSV or Parquet file") from error
    lacking = [name for name in ("patch_id", "phase") if name not in table]
    if lacking:
        held = ", ".join(map(str, table.columns))
        raise ConfigError(f"{url} has no column {' and no '.join(lacking)}: it has {held}")
    if not pd.api.types.is_integer_dtype(table["patch_id"]):
        raise ConfigError(f"{url} has patch_id of type {table['patch_id'].dtype}: whole numbers are needed")
    return table[["patch_id", "phase", *(name for name in ("date",) if name in table)]]


def _chance(seed: int, numbers: NDArray[np.int64]) -> NDArray[np.uint64]:
    """64 bits that seed and number alone decide (splitmix64): what else is drawn does not move them."""
    mixed = numbers.astype(np.uint64) + np.uint64((seed + 1) * 0x9E3779B97F4A7C15 % 2**64)
    with np.errstate(over="ignore"):
        for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB), (31, 0x9E3779B97F4A7C15)):
            mixed = (mixed ^ (mixed >> np.uint64(shift))) * np.uint64(factor)
        return np.asarray(mixed ^ (mixed >> np.uint64(32)))
