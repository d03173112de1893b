"""Profiles of a patch straight from EN4 and Argo files: headers month by month, levels only where they are wanted."""

from __future__ import annotations

import datetime as dt
from collections import OrderedDict
from collections.abc import Collection, Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from oceanrecon.errors import ConfigError, SourceError
from oceanrecon.grid import RasterGrid, parse_date, window_days
from oceanrecon.grid.times import EPOCH
from oceanrecon.profile_config import ProfileFilesSettings
from oceanrecon.samples.choice import Choice, Observed, observed
from oceanrecon.samples.form import Field, FieldName
from oceanrecon.samples.tiles import Tile
from oceanrecon.samples.withheld import tell_absent
from oceanrecon.sources.months import (
    Sampling,
    argo_of_month,
    en4_months,
    in_order,
    joined,
    judge_argo,
    month_headers,
    read_aligned,
    turned,
)
from oceanrecon.sources.platform import plain_platform
from oceanrecon.sources.profiles import (
    LevelReader,
    ProfileFile,
    list_profile_files,
    read_headers,
    read_platforms,
)
from oceanrecon.sources.quality import QualityMode, SourceKind

#: Months whose headers are kept (3 MB each), and files of profiles that stay open.
_KEPT_MONTHS, _KEPT_FILES = 24, 16
_KELVIN = 273.15
#: By field: the variable of ``read_aligned``, and what makes it our units.
_MEASURED: dict[FieldName, tuple[str, float]] = {"temperature": ("potm", _KELVIN), "salinity": ("psal", 0.0)}
#: What reading levels needs of a header.
_COMPACT = {"kind": "category", "path": "category", "platform_number": "category"}
#: What months need of the accepted Argo profiles, and the types that they travel as: some 40 bytes each.
_ARGO = {
    "path": "category", "profile_idx": "int32", "platform_number": "category", "data_mode": "category",
    "juld": "float64", "latitude": "float64", "longitude": "float64", "profile_potm_qc": "int8",
    "profile_psal_qc": "int8", "reason": "category",
}  # fmt: skip
_NEEDED = [
    "kind", "path", "profile_idx", "platform_number", "data_mode", "latitude", "longitude", "profile_potm_qc",
    "profile_psal_qc",
]  # fmt: skip


@dataclass(frozen=True, eq=False)
class _Month:
    """The accepted profiles of a month on the grid, by row of the grid and then in the order of every store."""

    row: NDArray[np.int64]
    column: NDArray[np.int64]
    #: since 1950-01-01
    day: NDArray[np.int64]
    #: ``_NEEDED``
    headers: pd.DataFrame


@dataclass(frozen=True)
class UsedProfile:
    """A profile that a sample has."""

    #: its file, below the root of its kind, and its place in that
    path: str
    profile_idx: int
    #: WMO platform number
    platform: str
    date: dt.date
    #: where it was measured, degrees
    longitude: float
    latitude: float
    #: how many accepted levels it has on the target depths
    levels: dict[FieldName, int] = field(compare=False)


class RawProfiles:
    """Profiles as the files have them, by patch and days: the rules are those of ``oceanrecon profiles enrich``."""

    def __init__(
        self,
        en4: ProfileFilesSettings | None,
        argo: ProfileFilesSettings | None,
        grid: RasterGrid,
        depth: Sequence[float],
        choice: Choice,
        *,
        profile_quality: QualityMode,
        sampling: Sampling,
    ) -> None:
        """Lists the files; of Argo, all headers are read, since a profile may be in several files.

        Args:
            en4: monthly files of EN4.
            argo: Argo files.
            grid: of the patches.
            depth: target depths, m.
            choice: days, flags of levels on the target depths, and platforms to withhold.
            profile_quality: which flags a level, a position and a date may have in the files.
            sampling: of Argo cycles.

        Raises:
            ArchiveError: there are no such files.
            SourceError: an Argo file cannot be read; begins with its name.
        """
        self._grid, self._depth, self._choice = grid, tuple(depth), choice
        self._quality, self._sampling = profile_quality, sampling
        self._en4, _ = en4_months(en4)
        files = [] if argo is None else list_profile_files(argo.root, "argo", argo.files)
        self._files = {(file.kind, file.path): file for file in (*self._en4.values(), *files)}
        argo_headers = judge_argo(joined([read_headers(file)[0] for file in files]), profile_quality, sampling)
        #: rejected ones have done their part: a copy that is better than another is not looked for again
        self._argo = argo_headers.loc[argo_headers["reason"] == "", list(_ARGO)].astype(_ARGO).reset_index(drop=True)
        months = (np.datetime64(EPOCH) + np.floor(self._argo["juld"]).to_numpy().astype("m8[D]")).astype("M8[M]")
        self._argo_months = set(np.unique(months).tolist())
        if choice.withhold:
            self._tell_absent(" and ".join(files.root for files in (en4, argo) if files is not None))
        self._months: OrderedDict[dt.date, _Month] = OrderedDict()
        self._open: OrderedDict[tuple[str, str], tuple[LevelReader, ExitStack]] = OrderedDict()

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_months": OrderedDict(), "_open": OrderedDict()}

    def _tell_absent(self, where: str) -> None:
        """Warn of platforms to withhold that no file has; reads names month by month until all are found."""
        known = {plain_platform(name) for name in self._argo["platform_number"].unique()}
        for file in self._en4.values():
            if self._choice.withhold <= known:
                return
            with suppress(SourceError):  # of a month that no row may need
                known |= {plain_platform(name) for name in read_platforms(file)}
        tell_absent(self._choice.withhold, known, where)

    def check_days(self, date: int) -> None:
        """Whether there are files for all days around a date: of EN4 where it is given, else Argo profiles.

        Raises:
            ConfigError: there are none of a month.
        """
        held: Collection[dt.date] = self._en4 or self._argo_months  # a few floats are no month of EN4
        lacking = "EN4 file is" if self._en4 else "Argo file has profiles"
        for first in self._firsts(date):
            if first not in held:
                raise ConfigError(
                    f"no {lacking} of {first:%Y-%m}, which the {self._choice.days} days around {date} reach into: add "
                    "that month, give fewer `days`, or leave the row out"
                )

    def read(self, date: int, tile: Tile, fields: Sequence[Field]) -> Observed:
        """The profiles of a patch, averaged over pixels: accepted levels of profiles that have some.

        Raises:
            SourceError: a file is gone, changed, or damaged; begins with its name.
        """
        parts = list(self._found(date, tile, fields))
        pixels, days, values, _ = zip(*parts, strict=True) if parts else ((), (), (), ())
        return observed(pixels, days, values, fields, len(self._depth))

    def used(self, date: int, tile: Tile, fields: Sequence[Field]) -> list[UsedProfile]:
        """The profiles that ``read`` averages, each by itself.

        Raises:
            SourceError: as of ``read``.
        """
        middle, found = parse_date(date), []
        for _, days, values, headers in self._found(date, tile, fields):
            counts = np.isfinite(values).reshape(len(values), len(fields), -1).sum(axis=2)
            for at in np.flatnonzero(counts.any(axis=1)):
                header = headers.iloc[at]
                found.append(
                    UsedProfile(
                        str(header["path"]), int(header["profile_idx"]), str(header["platform_number"]).strip(),
                        middle + dt.timedelta(days=int(days[at])), float(header["longitude"]),
                        float(header["latitude"]),
                        {each.name: int(count) for each, count in zip(fields, counts[at], strict=True)},
                    )
                )  # fmt: skip
        return found

    def _found(
        self, date: int, tile: Tile, fields: Sequence[Field]
    ) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64], pd.DataFrame]]:
        """Month by month: pixels of the patch, days after the date, accepted levels, and headers."""
        middle, half = (parse_date(date) - EPOCH).days, self._choice.half
        for first in self._firsts(date):
            month = self._month(first)
            low, high = np.searchsorted(month.row, [tile.row, tile.row + tile.size])
            across = np.mod(month.column[low:high] - tile.column, self._grid.width)
            after = month.day[low:high] - middle
            at = np.flatnonzero((across < tile.size) & (np.abs(after) <= half))
            if at.size:
                headers = month.headers.iloc[low + at]
                pixels = (month.row[low:high][at] - tile.row) * tile.size + across[at]
                yield pixels, after[at], self._values(headers, fields), headers

    def _firsts(self, date: int) -> list[dt.date]:
        """The months of the days around a date."""
        return list(dict.fromkeys(day.replace(day=1) for day in window_days(parse_date(date), self._choice.days)))

    def _values(self, headers: pd.DataFrame, fields: Sequence[Field]) -> NDArray[np.float64]:
        """Accepted levels of some profiles, fields side by side: [profile, field x level]."""
        levels = len(self._depth)
        found = np.full((len(headers), len(fields) * levels), np.nan)
        headers = headers.reset_index(drop=True)
        for (kind, path), group in headers.groupby(["kind", "path"], sort=True, observed=True):
            rows = group.sort_values("profile_idx")
            file = self._files[cast(SourceKind, kind), str(path)]
            _, aligned = read_aligned(self._reader(file), file, rows, self._quality, self._depth)
            for number, wanted in enumerate(fields):
                name, offset = _MEASURED[wanted.name]
                good = np.isin(aligned[name].flags, self._choice.flags)
                part = np.where(good, aligned[name].values.astype(np.float64) + offset, np.nan)
                found[rows.index, number * levels : (number + 1) * levels] = part
        return found

    def _reader(self, file: ProfileFile) -> LevelReader:
        key = (file.kind, file.path)
        if key in self._open:
            self._open.move_to_end(key)
            return self._open[key][0]
        with ExitStack() as stack:
            reader = stack.enter_context(LevelReader(file))
            self._open[key] = (reader, stack.pop_all())
        if len(self._open) > _KEPT_FILES:
            _, (_, oldest) = self._open.popitem(last=False)
            oldest.close()
        return reader

    def _month(self, first: dt.date) -> _Month:
        if first in self._months:
            self._months.move_to_end(first)
            return self._months[first]
        argo, near = (table.astype({name: "str" for name, kind in _ARGO.items() if kind == "category"})
                      for table in argo_of_month(self._argo, first))  # fmt: skip
        headers, _ = month_headers(first, self._en4.get(first), argo, near, self._quality, self._sampling)
        headers = in_order(headers)
        row, column = self._grid.pixels(turned(headers["longitude"].to_numpy()), headers["latitude"].to_numpy())
        keep = (row >= 0) & ~headers["platform_number"].map(self._choice.leaves_out).to_numpy(bool)
        order = np.flatnonzero(keep)[np.argsort(row[keep], kind="stable")]
        month = _Month(
            row[order], column[order], headers["day"].to_numpy()[order], headers[_NEEDED].iloc[order].astype(_COMPACT)
        )
        self._months[first] = month
        if len(self._months) > _KEPT_MONTHS:
            self._months.popitem(last=False)
        return month
