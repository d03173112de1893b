"""What all tasks of statistics have in common: the export, its training dates and pixels, and how parts are kept."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from oceanrecon.grid import RasterGrid
from oceanrecon.grid.coarse import Nesting
from oceanrecon.pipeline.patches.assemble import read_part
from oceanrecon.samples.choice import GOOD, Choice
from oceanrecon.samples.form import CHANNELS, Channel, Field, Scenario
from oceanrecon.samples.profiles import GriddedProfiles
from oceanrecon.samples.stored import Codes, open_codes
from oceanrecon.samples.withheld import FloatSplit
from oceanrecon.statistics_config import StatisticsSettings
from oceanrecon.stores.byte_ranges import GRIDDING, Files
from oceanrecon.stores.files import Root
from oceanrecon.stores.manifest import read_manifest
from oceanrecon.stores.steps import StoredFile

#: Of the keys of steps: another one makes them all anew.
_FORMAT = 2
#: Rows of the grid that one task reads, at all dates.
BAND = 64
#: Levels whose climatology one task fits.
LEVELS = 5
#: Training rows, where they are not whole dates, below the output.
TRAINING = "parts/training.npz"


@dataclass(frozen=True, eq=False)
class Recipe:
    """What decides the statistics, and where they go."""

    #: with absolute paths
    settings: StatisticsSettings
    #: of the export
    fingerprint: str
    grid: RasterGrid
    coarse: RasterGrid
    #: m, downwards
    depth: tuple[float, ...]
    fields: tuple[Field, ...]
    surface: tuple[Channel, ...]
    #: training dates, YYYYMMDD
    dates: tuple[int, ...]
    #: odd number of days around a date whose profiles count; 0: the export has none
    days: int
    #: side of a patch, pixels
    tile: int
    #: ``TRAINING``; ``None``: dates are for training as a whole
    training: StoredFile | None

    @property
    def root(self) -> Root:
        """Where all is written."""
        return Root(self.settings.output)

    @property
    def dense(self) -> tuple[Field | Channel, ...]:
        """What is read from the dense fields."""
        return (*self.fields, *self.surface) if self.settings.source == "reanalysis" else self.surface

    @property
    def dense_dates(self) -> tuple[int, ...]:
        """Dates at which they are read."""
        return self.dates[:: self.settings.every]

    @cached_property
    def nesting(self) -> Nesting:
        """How pixels lie in the cells of the climatology."""
        return Nesting.of(self.grid, self.coarse)

    @property
    def floats(self) -> FloatSplit:
        """The sides of floats."""
        return FloatSplit(**self.settings.floats.model_dump())

    def key(self, *decides: Any) -> str:
        """sha256 of what decides the bytes of a step."""
        common = [
            _FORMAT,
            self.fingerprint,
            self.grid.to_dict(),
            self.coarse.to_dict(),
            self.training and self.training.sha256,
        ]
        return hashlib.sha256(json.dumps([*common, *decides], sort_keys=True).encode()).hexdigest()

    def open_dense(self) -> Codes:
        """The codes of the dense fields."""
        root = Root(self.settings.export)
        return open_codes(Files(root), read_manifest(root), None, self.dense)

    def open_profiles(self, manifest: Mapping[str, Any]) -> GriddedProfiles:
        """Profiles of training floats.

        Raises:
            ConfigError: they are of in-situ temperature.
        """
        scenario: Scenario = "joint" if len(self.fields) == 2 else self.fields[0].name
        choice = Choice.of(scenario, tuple(CHANNELS), self.days, GOOD, (), self.floats, ("train",))
        return GriddedProfiles(Files(Root(self.settings.export), GRIDDING), manifest["argo"], self.grid, choice)

    def training_pixels(self) -> TrainingPixels | None:
        """Which pixels are for training at which date; ``None``: all."""
        if self.training is None:
            return None
        arrays = read_arrays(self.root, self.training)
        return TrainingPixels(arrays["patch_id"], arrays["date"], self.tile, self.grid)


@dataclass(frozen=True, eq=False)
class TrainingPixels:
    """The pixels of the patches that are for training."""

    #: of each training row, and its date: [row]
    patch_id: NDArray[np.int64]
    date: NDArray[np.int32]
    tile: int
    grid: RasterGrid

    def at(self, date: int, first: int, last: int) -> NDArray[np.bool_]:
        """Those of rows ``first`` to ``last`` (excluded) of the grid at a date: [row, column]."""
        inside = np.zeros((last - first, self.grid.width), bool)
        for patch in self.patch_id[self.date == date].tolist():
            row, column = divmod(patch, self.grid.width)
            rows = slice(max(row - first, 0), max(row + self.tile - first, 0))
            inside[rows, column : column + self.tile] = True
            inside[rows, : max(column + self.tile - self.grid.width, 0)] = True  # across the dateline
        return inside


def write_arrays(root: Root, path: str, arrays: Mapping[str, NDArray[Any]]) -> StoredFile:
    """Keep arrays as a part."""
    stream = io.BytesIO()
    np.savez(stream, **arrays)  # type: ignore[arg-type]
    data = stream.getvalue()
    root.write(path, data)
    return StoredFile(path, len(data), hashlib.sha256(data).hexdigest())


def read_arrays(root: Root, file: StoredFile) -> dict[str, NDArray[Any]]:
    """The arrays of a part.

    Raises:
        OutputError: it is gone, or is not what was written.
    """
    with np.load(io.BytesIO(read_part(root, file.path, file.sha256))) as stored:
        return {name: stored[name] for name in stored.files}
