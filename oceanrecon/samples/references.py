"""Profiles of floats one by one, to judge fields against: those that were no inputs."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from oceanrecon.errors import OutputError
from oceanrecon.grid import RasterGrid
from oceanrecon.samples.choice import GOOD, Choice, check_rows
from oceanrecon.samples.export import open_profiles
from oceanrecon.samples.form import CHANNELS, FIELDS, SCENARIOS, FieldName, Scenario
from oceanrecon.samples.profiles import Found
from oceanrecon.samples.rows import Rows
from oceanrecon.samples.tiles import Tile
from oceanrecon.samples.withheld import FloatSplit
from oceanrecon.stores.byte_ranges import Files
from oceanrecon.stores.files import Root
from oceanrecon.stores.manifest import export_grid, read_manifest, surface_window
from oceanrecon.stores.shard_reader import read_boxes


@dataclass(frozen=True, eq=False)
class FloatProfiles:
    """The profiles of a patch within the days around its date, each for itself."""

    #: of the gridded store: the same profile in two patches has one number: [profile]
    number: NDArray[np.int64]
    #: WMO platform number, as the store has it: [profile]
    platform: NDArray[np.str_]
    #: pixel of the patch: [profile]
    row: NDArray[np.int64]
    column: NDArray[np.int64]
    #: after the date: [profile]
    day: NDArray[np.int32]
    #: degrees: [profile]
    latitude: NDArray[np.float32]
    longitude: NDArray[np.float32]
    #: by field: K and PSU, NaN where no accepted value is: [profile, level]
    values: Mapping[FieldName, NDArray[np.float32]]


class FloatReferences:
    """Reads the profiles of an export one by one, where samples have the means of pixels."""

    def __init__(
        self,
        url: str,
        rows: Rows,
        *,
        floats: FloatSplit,
        sides: Sequence[str] = ("test",),
        scenario: Scenario = "temperature",
        days: int | None = None,
        quality: Collection[int] = GOOD,
    ) -> None:
        """Of the export at a folder or fsspec URL; arguments as of ``ExportSource``.

        Args:
            url: the export.
            rows: which patches at which dates.
            floats: which platforms are for training, validation and test.
            sides: whose profiles are read.
            scenario: which fields.
            days: odd number of days around a date; default: what the export was made with.
            quality: flags of levels that count; a level without a flag counts, too.

        Raises:
            OutputError: there is no export.
            ConfigError: it has no profiles, or other temperatures than the reanalysis.
        """
        root = Root(url)
        manifest = read_manifest(root)
        window = surface_window(manifest)
        choice = Choice.of(scenario, tuple(CHANNELS), window if days is None else days, quality, (), floats, sides)
        self.rows = rows
        self.grid: RasterGrid = export_grid(manifest)
        check_rows(rows, self.grid)
        self._profiles = open_profiles(Files(root), manifest, self.grid, choice)
        self._fields = tuple(FIELDS[name] for name in SCENARIOS[scenario])

    def read(self, rows: Sequence[int]) -> list[FloatProfiles]:
        """The profiles of some rows.

        Raises:
            OutputError: a file is not there, or is damaged; names the row, the file and the remedy.
        """
        try:
            return self._read(rows)
        except OutputError:
            for row in rows:  # which of them it is
                try:
                    self._read([row])
                except OutputError as error:
                    raise OutputError(f"{self.rows.name(row)}: {error}") from error
            raise

    def _read(self, rows: Sequence[int]) -> list[FloatProfiles]:
        tiles = [Tile.of(self.grid, int(self.rows.patch_id[row]), self.rows.tile) for row in rows]
        dates = [int(self.rows.date[row]) for row in rows]
        return [self._of(found) for found in self._profiles.find(list(zip(dates, tiles, strict=True)))]

    def _of(self, found: Found) -> FloatProfiles:
        levels = len(self._profiles.depth)
        codes = read_boxes(self._profiles.requests(found, self._fields))
        parts = self._profiles.measured(found, self._fields, codes)
        number = _joined(found.rows, np.int64)
        measured = np.concatenate([np.empty((0, len(self._fields) * levels)), *parts]).astype(np.float32)
        some = np.isfinite(measured).any(axis=1)
        row, column = np.divmod(_joined(found.pixels, np.int64)[some], self.rows.tile)
        split = np.split(measured[some], len(self._fields), axis=1)
        names, latitude, longitude = self._profiles.headers(found)
        return FloatProfiles(
            number=number[some],
            platform=names[some],
            row=row,
            column=column,
            day=_joined(found.days, np.int32)[some],
            latitude=latitude[some],
            longitude=longitude[some],
            values={field.name: part for field, part in zip(self._fields, split, strict=True)},
        )


def _joined(parts: Sequence[NDArray[Any]], dtype: type) -> NDArray[Any]:
    return np.concatenate([np.empty(0, dtype), *parts])
