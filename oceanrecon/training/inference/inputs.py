"""Where the samples of a map come from: an export, or the archives of a patch index; and which profiles they have."""

from __future__ import annotations

import datetime as dt
import re
from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from oceanrecon.errors import ConfigError
from oceanrecon.grid import RasterGrid, parse_date
from oceanrecon.samples.export import ExportSource
from oceanrecon.samples.form import FieldName, SampleForm, Source
from oceanrecon.samples.index import read_index
from oceanrecon.samples.references import FloatReferences
from oceanrecon.samples.rows import Rows
from oceanrecon.samples.withheld import FLOAT_SIDES, FloatSplit
from oceanrecon.stores.files import Root
from oceanrecon.stores.manifest import export_fingerprint, export_grid, read_manifest, surface_window
from oceanrecon.training.data.datasets import index_land, index_settings, index_valid_fraction

_WEEK = re.compile(r"^(\d{4})-?W(\d{1,2})$", re.IGNORECASE)
#: A point of GeoJSON with what is known of it.
Feature = dict[str, Any]


class Inputs(ABC):
    """What maps are made of."""

    #: of the samples
    grid: RasterGrid

    @abstractmethod
    def date(self, wanted: str | int | dt.date) -> dt.date:
        """The date of a map: as it is, or of an ISO week (``2018-W25``).

        Raises:
            ConfigError: it is none, or there is nothing of it.
        """

    @abstractmethod
    def source(self, rows: Rows, form: SampleForm, days: int, quality: Collection[int]) -> Source:
        """Samples without a target; surface fields that are not there have no values.

        Args:
            rows: patches at a date.
            form: of the samples: scenario, surface fields and depths.
            days: odd number of days around the date that they are of.
            quality: flags of levels that count; a level without a flag counts, too.

        Raises:
            OceanreconError: there are no profiles of these days, or a file cannot be read.
        """

    @abstractmethod
    def window(self, days: int) -> int:
        """Odd number of days that surface fields of ``source(..., days)`` are means over."""

    @abstractmethod
    def profiles(self, source: Source, form: SampleForm, days: int, quality: Collection[int]) -> list[Feature]:
        """The profiles that a source's samples have, each once; arguments as it was made with."""

    @abstractmethod
    def described(self) -> dict[str, Any]:
        """What says where they come from."""


class ExportInputs(Inputs):
    """Of an export."""

    def __init__(self, url: str) -> None:
        """At a folder or fsspec URL.

        Raises:
            OutputError: there is no export.
        """
        self._root = Root(url)
        self._manifest = read_manifest(self._root)
        self.grid = export_grid(self._manifest)
        self._fingerprint = export_fingerprint(self._manifest)

    def date(self, wanted: str | int | dt.date) -> dt.date:
        """See ``Inputs``; of a week, the date of the export that is nearest to its Thursday."""
        held = [parse_date(str(date)) for date in self._manifest["target_dates"]]
        week = iso_week(wanted)
        middle = parse_date(wanted) if week is None else week
        reach = dt.timedelta(days=0 if week is None else 3)
        near = min(held, key=lambda date: (abs(date - middle), date))
        if abs(near - middle) > reach:
            raise ConfigError(
                f"{self._root.url} has no date {wanted}: it has {len(held)} from {held[0]} to {held[-1]}, and the "
                f"nearest is {near}: take that, or export the date that you want"
            )
        return near

    def source(self, rows: Rows, form: SampleForm, days: int, quality: Collection[int]) -> ExportSource:
        """See ``Inputs``."""
        return ExportSource(
            self._root.url, rows, scenario=form.scenario, surface=form.surface, days=days, quality=quality,
            target=False, missing_surface="blank",
        )  # fmt: skip

    def window(self, days: int) -> int:
        """See ``Inputs``; those that the export was made with."""
        return surface_window(self._manifest)

    def profiles(self, source: Source, form: SampleForm, days: int, quality: Collection[int]) -> list[Feature]:
        """See ``Inputs``."""
        everyone = FloatReferences(
            self._root.url, source.rows, floats=FloatSplit(0, 0.0, 0.0), sides=FLOAT_SIDES, scenario=form.scenario,
            days=days, quality=quality,
        )  # fmt: skip
        features: dict[int, Feature] = {}
        for row, found in enumerate(everyone.read(range(len(source.rows)))):
            middle = parse_date(int(source.rows.date[row]))
            for at, number in enumerate(found.number.tolist()):
                features[number] = _feature(
                    float(found.longitude[at]), float(found.latitude[at]), str(found.platform[at]).strip(),
                    middle + dt.timedelta(days=int(found.day[at])),
                    {name: int(np.isfinite(part[at]).sum()) for name, part in found.values.items()},
                )  # fmt: skip
        return [features[number] for number in sorted(features)]

    def described(self) -> dict[str, Any]:
        """See ``Inputs``."""
        return {"export": self._root.url, "export_fingerprint": self._fingerprint}


class ArchiveInputs(Inputs):
    """Of the archives that a patch index was made of."""

    def __init__(self, index: str) -> None:
        """Of an index at a folder or fsspec URL.

        Raises:
            OutputError: there is no index.
            ConfigError: it was made without an archive.
        """
        self._index = read_index(index)
        self._settings = index_settings(self._index)
        if self._settings.archive is None:
            raise ConfigError(f"{index} was made without an archive: give the `export` that it was made with")
        self.grid = self._index.patches.grid

    def date(self, wanted: str | int | dt.date) -> dt.date:
        """See ``Inputs``; of a week, its Thursday."""
        return iso_week(wanted) or parse_date(wanted)

    def source(self, rows: Rows, form: SampleForm, days: int, quality: Collection[int]) -> Source:
        """See ``Inputs``."""
        from oceanrecon.samples.archive import ArchiveSource  # reads NetCDF, which an export does not need

        settings = self._settings
        assert settings.archive is not None
        return ArchiveSource(
            settings.archive, rows, grid=self.grid, land=self._land, en4=settings.en4, argo=settings.argo,
            scenario=form.scenario, surface=form.surface, days=days, quality=quality, target=False, depth=form.depth,
            missing_surface="blank", maximum_distance_days=settings.rows.max_glorys_days,
            minimum_valid_fraction=self._valid_fraction,
        )  # fmt: skip

    def window(self, days: int) -> int:
        """See ``Inputs``; those that are asked for."""
        return days

    def profiles(self, source: Source, form: SampleForm, days: int, quality: Collection[int]) -> list[Feature]:
        """See ``Inputs``."""
        from oceanrecon.samples.archive import ArchiveSource

        assert isinstance(source, ArchiveSource)  # its own
        found = {profile for row in range(len(source.rows)) for profile in source.profiles(row)}
        return [
            _feature(each.longitude, each.latitude, each.platform, each.date, each.levels)
            for each in sorted(found, key=lambda each: (each.date, each.platform, each.path, each.profile_idx))
        ]

    def described(self) -> dict[str, Any]:
        """See ``Inputs``."""
        assert self._settings.archive is not None
        return {"index": self._index.root.url, "archive": self._settings.archive.root}

    @cached_property
    def _valid_fraction(self) -> float:
        return index_valid_fraction(self._index)

    @cached_property
    def _land(self) -> Any:
        return index_land(self._index, self._settings, None)


def iso_week(wanted: str | int | dt.date) -> dt.date | None:
    """The Thursday of an ISO week such as ``2018-W25``; ``None``: it is no week.

    Raises:
        ConfigError: the year has no such week.
    """
    found = _WEEK.match(str(wanted).strip())
    if found is None:
        return None
    year, week = int(found[1]), int(found[2])
    try:
        return dt.date.fromisocalendar(year, week, 4)
    except ValueError:
        last = dt.date(year, 12, 28).isocalendar().week
        raise ConfigError(f"{wanted}: {year} has the weeks 1 to {last}; write a week as 2018-W25") from None


def _feature(
    longitude: float, latitude: float, platform: str, date: dt.date, levels: Mapping[FieldName, int]
) -> Feature:
    turned = (longitude + 180.0) % 360.0 - 180.0
    place = [round(turned, 5), round(latitude, 5)]
    counts = {f"{name}_levels": count for name, count in levels.items()}
    known = {"platform": platform, "date": date.isoformat(), **counts}
    return {"type": "Feature", "geometry": {"type": "Point", "coordinates": place}, "properties": known}


def inputs_of(export: str | None, index: str | None) -> Inputs:
    """Of an export, or else of the archives of an index.

    Raises:
        ConfigError: neither or both are given.
    """
    if (export is None) == (index is None):
        raise ConfigError("give either `export`, or `index`, whose archives are read without an export")
    if export is not None:
        return ExportInputs(export)
    assert index is not None
    return ArchiveInputs(index)


def map_rows(patch_ids: NDArray[np.int64], date: dt.date, tile: int) -> Rows:
    """Patches at a date."""
    return Rows(patch_ids, np.full(patch_ids.size, int(f"{date:%Y%m%d}"), np.int32), tile)
