"""What is common to all months of a profile store, and what one month needs; small enough to travel with a task."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd

from oceanrecon.grid import Axis
from oceanrecon.grid.times import next_month
from oceanrecon.pipeline.profiles.schema import enriched_columns
from oceanrecon.sources.block import Source
from oceanrecon.sources.profiles import ProfileFile
from oceanrecon.sources.quality import QualityMode
from oceanrecon.sources.registry import product as find_product
from oceanrecon.stores.columns import Column
from oceanrecon.stores.steps import UsedFile

#: Raised whenever the same inputs and settings would give other bytes: receipts of older ones are then stale.
FORMAT_VERSION = 1
SETTINGS = "profiles.yaml"


@dataclass(frozen=True)
class ProfileRecipe:
    """How any month is made and where it goes."""

    output: str
    #: m
    depth: tuple[float, ...]
    quality: QualityMode
    sampling: Literal["primary", "all"]
    max_gap_days: int
    #: gridded products that are sampled, in the order of the registry
    products: tuple[str, ...]
    #: of the gridded archive; "" where there is none
    archive_root: str
    start: dt.date | None
    end: dt.date | None

    @property
    def columns(self) -> tuple[Column, ...]:
        """Of the store."""
        return enriched_columns(find_product(name) for name in self.products)

    @property
    def form(self) -> str:
        """sha256 of what all months of a store have in common: columns and depths."""
        columns = [(column.name, column.dtype, column.levels) for column in self.columns]
        return hashlib.sha256(json.dumps([columns, self.depth]).encode()).hexdigest()


@dataclass(frozen=True, eq=False)
class FieldFiles:
    """The files of one gridded product that a month's days are matched to."""

    product: str
    latitude: Axis
    longitude: Axis
    levels: int
    #: files by their place in ``match``
    sources: tuple[Source, ...]
    #: day (since 1950-01-01) -> place in ``sources`` (-1: none is near enough), and the status of the match
    match: dict[int, tuple[int, int]]
    #: to the files, see ``sources.references``; they decide nothing
    references: str = ""


@dataclass(frozen=True, eq=False)
class Month:
    """The unit of work: the profiles of one calendar month and the fields beside them."""

    first: dt.date
    en4: ProfileFile | None
    #: header rows of the month's Argo profiles, with the column ``reason``
    argo: pd.DataFrame
    #: accepted Argo profiles of an hour before and after the month too: EN4 may have them on this side
    argo_near: pd.DataFrame
    argo_files: dict[str, ProfileFile]
    fields: tuple[FieldFiles, ...]

    @property
    def name(self) -> str:
        """``2012-03``."""
        return f"{self.first:%Y-%m}"

    @property
    def used(self) -> tuple[UsedFile, ...]:
        """Every file that the month is made from."""
        profiles = [
            *([] if self.en4 is None else [self.en4]),
            *(self.argo_files[path] for path in sorted(set(self.argo["path"]))),
        ]
        return (
            *(UsedFile(file.kind, file.path, file.bytes, file.mtime_ns) for file in profiles),
            *(
                UsedFile(field.product, source.path, source.bytes, source.mtime_ns)
                for field in self.fields
                for source in field.sources
            ),
        )

    def key(self, recipe: ProfileRecipe) -> str:
        """sha256 of everything that decides the bytes of the month."""
        decides: dict[str, Any] = {
            "format": FORMAT_VERSION,
            "month": self.name,
            "form": recipe.form,
            "quality": recipe.quality,
            "sampling": recipe.sampling,
            "max_gap_days": recipe.max_gap_days,
            "dates": None if self.days(recipe) == self.whole else (str(recipe.start), str(recipe.end)),
            "files": [(used.kind, used.path, used.bytes, used.mtime_ns) for used in self.used],
            "argo": _digest(self.argo),
            "argo_near": _digest(self.argo_near),
            "fields": [
                (
                    field.product,
                    field.latitude.to_dict(),
                    field.longitude.to_dict(),
                    field.levels,
                    [source.time_index for source in field.sources],
                    sorted(field.match.items()),
                )
                for field in self.fields
            ],
        }
        return hashlib.sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest()

    @property
    def whole(self) -> tuple[dt.date, dt.date]:
        """Its first and last day."""
        return self.first, next_month(self.first) - dt.timedelta(days=1)

    def days(self, recipe: ProfileRecipe) -> tuple[dt.date, dt.date]:
        """First and last day of it that are asked for."""
        first, last = self.whole
        return max(first, recipe.start or first), min(last, recipe.end or last)


def shortened(notes: Iterable[str], most: int = 50) -> list[str]:
    """Every note once, and not thousands of them."""
    each = list(dict.fromkeys(notes))
    return each if len(each) <= most else [*each[:most], f"and {len(each) - most} more notes like these"]


def _digest(rows: pd.DataFrame) -> str:
    values = np.asarray(pd.util.hash_pandas_object(rows, index=False), np.uint64)
    return hashlib.sha256(values.tobytes()).hexdigest()
