"""The accepted profiles of a month: where and when they are, from the gridded store of an export or from files."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from oceanrecon.errors import SourceError
from oceanrecon.grid import RasterGrid, parse_date
from oceanrecon.grid.times import EPOCH, next_month
from oceanrecon.pipeline.patches.match import day_of
from oceanrecon.pipeline.profiles.group import days_of
from oceanrecon.pipeline.profiles.recipe import Month, ProfileRecipe
from oceanrecon.sources.months import in_order, month_headers, read_aligned, turned
from oceanrecon.sources.profiles import LevelReader, ProfileFile
from oceanrecon.sources.quality import MISSING_FLAG
from oceanrecon.stores.columns import ColumnReader
from oceanrecon.stores.files import Root
from oceanrecon.stores.steps import StepFailure, UsedFile
from oceanrecon.transform.encode import EncodingName, stretch

#: Profiles whose levels are held at once.
_BATCH = 4096


class Observed(Protocol):
    """Accepted profiles of one calendar month; small enough to travel with a task."""

    @property
    def first(self) -> dt.date:
        """First day of the month."""
        ...

    @property
    def used(self) -> tuple[UsedFile, ...]:
        """Files that it is read from."""
        ...

    def identity(self) -> Any:
        """Everything that decides what is read, for JSON."""
        ...

    def read(self, quality: tuple[int, ...], grid: RasterGrid) -> tuple[pd.DataFrame, list[StepFailure]]:
        """The profiles with an accepted level, by day, file and row in it; and files that are bad.

        The columns: ``day`` (since 1950-01-01), ``profile_idx``, ``argo_file_path``, ``platform_number``, ``latitude``,
        ``longitude``, and ``grid_row`` and ``grid_col`` of its pixel, which are -1 outside the grid.

        Args:
            quality: flags that are accepted.
            grid: of the patches; that of the export where there is one.

        Raises:
            OceanreconError: nothing can be read.
        """
        ...


@dataclass(frozen=True, eq=False)
class GriddedMonth:
    """Of the gridded store of an export."""

    export: str
    #: of the store, below the export
    path: str
    first: dt.date
    #: first and last day wanted, both included
    days: tuple[int, int]
    #: days around a target whose profiles the store has
    window: int
    encoding: EncodingName
    #: JSON file (path or URL) of the paths of profile files below the archive root by their names
    names: str
    #: sha256 of what the store holds, and of the names
    content: str

    @property
    def used(self) -> tuple[UsedFile, ...]:
        """None: the export has checksums of its own."""
        return ()

    def identity(self) -> Any:
        """See ``Observed``."""
        return ["gridded", self.content, str(self.first), self.days]

    def read(self, quality: tuple[int, ...], grid: RasterGrid) -> tuple[pd.DataFrame, list[StepFailure]]:
        """See ``Observed``; pixels are those of the store, which knows positions to more digits than it keeps."""
        reader = ColumnReader(Root(self.export), self.path)
        low, high = max(self.days[0], day_of(self.first)), min(self.days[1], day_of(next_month(self.first)) - 1)
        target = days_of(reader.table("target").astype(np.int64))
        half = (self.window - 1) // 2
        near = np.flatnonzero((target + half >= low) & (target - half <= high))
        start, count = reader.table("target_start"), reader.table("target_count")
        rows = (int(start[near[0]]), int(start[near[-1]] + count[near[-1]])) if near.size else (0, 0)
        accepted = np.zeros(rows[1] - rows[0], np.bool_)
        for name, codes in (("temp", "temp_kelvin"), ("psal", "psal")):
            code = stretch("temperature_kelvin" if name == "temp" else "salinity", self.encoding)
            names = [f"argo_{codes}_{self.encoding}", f"argo_{name}_qc_on_glorys_depth"]
            values, flags = reader.read(names, *rows).values()
            accepted |= ((values != code.nodata) & _good(flags, quality)).any(axis=1)
        names = ["profile_date", "source_profile_idx", "profile_source_file", "platform_number", "latitude"]
        found = reader.read([*names, "longitude", "grid_row", "grid_col"], *rows)
        day = days_of(found["profile_date"].astype(np.int64)) if accepted.size else np.empty(0, np.int64)
        keep = accepted & (day >= low) & (day <= high)
        folder, _, name = self.names.rpartition("/")
        paths: dict[str, str] = json.loads(Root(folder).read(name))
        table = pd.DataFrame(
            {
                "day": day,
                "profile_idx": found["source_profile_idx"].astype(np.int32),
                "argo_file_path": [paths.get(str(name), str(name)) for name in found["profile_source_file"]],
                "platform_number": found["platform_number"].tolist(),
                "latitude": _decimal(found["latitude"]),
                "longitude": _decimal(found["longitude"]),
                "grid_row": found["grid_row"],
                "grid_col": found["grid_col"],
            }
        )
        return table[keep].sort_values(["day", "argo_file_path", "profile_idx"], ignore_index=True), []


@dataclass(frozen=True, eq=False)
class FileMonth:
    """Of EN4 and Argo files; EN4's copies of Argo profiles are left out, as ``profiles enrich`` does."""

    month: Month
    recipe: ProfileRecipe
    days: tuple[int, int]
    #: of the paths of each kind, so that they begin at the archive root
    prefixes: Mapping[str, str]

    @property
    def first(self) -> dt.date:
        """First day of the month."""
        return self.month.first

    @property
    def used(self) -> tuple[UsedFile, ...]:
        """See ``Observed``."""
        return self.month.used

    def identity(self) -> Any:
        """See ``Observed``."""
        return ["files", self.month.key(self.recipe), self.days, sorted(self.prefixes.items())]

    def read(self, quality: tuple[int, ...], grid: RasterGrid) -> tuple[pd.DataFrame, list[StepFailure]]:
        """See ``Observed``."""
        bad: dict[str, StepFailure] = {}
        while True:
            try:
                return self._read(quality, grid, frozenset(bad)), list(bad.values())
            except _BadArgoFile as error:  # EN4 may have the same profiles: they are no duplicates any more
                bad[error.path] = StepFailure("files", f"argo/{error.path}", "SourceError", str(error))

    def _read(self, quality: tuple[int, ...], grid: RasterGrid, bad: frozenset[str]) -> pd.DataFrame:
        month, recipe = self.month, self.recipe
        argo, near = (table[~table["path"].isin(bad)] for table in (month.argo, month.argo_near))
        headers, _ = month_headers(
            month.first, month.en4, argo.reset_index(drop=True), near, recipe.quality, recipe.sampling
        )
        rows = in_order(headers)
        rows = rows[(rows["day"] >= self.days[0]) & (rows["day"] <= self.days[1])].reset_index(drop=True)
        files: dict[tuple[str, str], ProfileFile] = {("argo", path): file for path, file in month.argo_files.items()}
        if month.en4 is not None:
            files["en4", month.en4.path] = month.en4
        accepted = np.zeros(len(rows), np.bool_)
        for (kind, path), group in rows.groupby(["kind", "path"], sort=True):
            accepted[group.index] = self._accepted(files[str(kind), str(path)], group, quality)
        rows = rows[accepted]
        prefix = rows["kind"].map(dict(self.prefixes)).astype(str)
        latitude, longitude = rows["latitude"].to_numpy(np.float64), turned(rows["longitude"].to_numpy(np.float64))
        row, column = grid.pixels(longitude, latitude)
        return pd.DataFrame(
            {
                "day": rows["day"].astype(np.int64),
                "profile_idx": rows["profile_idx"].astype(np.int32),
                "argo_file_path": prefix + rows["path"],
                "platform_number": rows["platform_number"],
                "latitude": latitude,
                "longitude": longitude,
                "grid_row": row.astype(np.int32),
                "grid_col": column.astype(np.int32),
            }
        ).sort_values(["day", "argo_file_path", "profile_idx"], ignore_index=True)

    def _accepted(self, file: ProfileFile, group: pd.DataFrame, quality: tuple[int, ...]) -> NDArray[np.bool_]:
        """Whether profiles of one file have an accepted level: [row of the group]."""
        ordered = group.sort_values("profile_idx")
        found = pd.Series(False, index=ordered.index)
        with LevelReader(file) as reader:
            for start in range(0, len(ordered), _BATCH):
                rows = ordered.iloc[start : start + _BATCH]
                try:
                    _, aligned = read_aligned(reader, file, rows, self.recipe.quality, self.recipe.depth)
                except SourceError as error:
                    if file.kind == "argo":
                        raise _BadArgoFile(file.path, error) from error
                    raise
                good = [
                    np.isfinite(aligned[name].values) & _good(aligned[name].flags, quality) for name in ("potm", "psal")
                ]
                found[rows.index] = np.any(good, axis=(0, 2))
        return found[group.index].to_numpy()


class _BadArgoFile(SourceError):
    """Levels of an Argo file cannot be read."""

    def __init__(self, path: str, error: SourceError) -> None:
        super().__init__(str(error))
        self.path = path


def _decimal(stored: NDArray[np.float32]) -> NDArray[np.float64]:
    """Degrees as the store, which has seven digits of them, means them: 40.33, not 40.33000183105469."""
    return stored.astype(str).astype(np.float64)


def _good(flags: NDArray[Any], quality: tuple[int, ...]) -> NDArray[np.bool_]:
    return np.isin(flags, [*quality, MISSING_FLAG])


def gridded_months(export: str, section: Mapping[str, Any], days: tuple[int, int], names: str) -> list[GriddedMonth]:
    """The months of a gridded store that have some of ``days`` (first and last, since 1950-01-01).

    Args:
        export: folder or URL.
        section: what its manifest says of profiles.
        days: that are wanted.
        names: see ``GriddedMonth``; the file is there.
    """
    half = (int(section["window_days"]) - 1) // 2
    targets = [day_of(parse_date(date)) for date in section["target_dates"]]
    low, high = max(days[0], min(targets) - half), min(days[1], max(targets) + half)
    folder, _, name = names.rpartition("/")
    digest = hashlib.sha256(json.dumps(section["files"], sort_keys=True).encode() + Root(folder).read(name))
    found = []
    first = (EPOCH + dt.timedelta(days=low)).replace(day=1)
    while day_of(first) <= high:
        found.append(
            GriddedMonth(
                export, section["path"], first, days, int(section["window_days"]), section["encoding"], names,
                digest.hexdigest(),
            )
        )  # fmt: skip
        first = next_month(first)
    return found
