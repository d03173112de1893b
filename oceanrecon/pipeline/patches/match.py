"""The files that tables name, and which of them is nearest to a day."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from oceanrecon.grid import parse_date
from oceanrecon.grid.times import EPOCH
from oceanrecon.sources.sample import matched_dates
from oceanrecon.sources.select import Holding

Days = NDArray[np.int64]


def day_of(date: dt.date) -> int:
    """Days since 1950-01-01."""
    return (date - EPOCH).days


def numbers(days: Days) -> NDArray[np.int32]:
    """YYYYMMDD of days since 1950-01-01."""
    found, where = np.unique(days, return_inverse=True)
    dates = [EPOCH + dt.timedelta(days=int(day)) for day in found]
    return np.array([int(f"{date:%Y%m%d}") for date in dates], np.int32)[where]


@dataclass(frozen=True, eq=False)
class Files:
    """The files of one product by day (since 1950-01-01), relative to the archive root."""

    paths: Mapping[int, str]
    #: days whose only files cannot be used -> which file, and why
    bad: Mapping[int, str]

    @classmethod
    def of_archive(cls, holding: Holding) -> Files:
        """Of an archive."""
        return cls(
            {day_of(date): source.path for date, source in holding.by_date.items()},
            {day_of(date): why for date, why in holding.unusable.items()},
        )

    @classmethod
    def of_export(cls, manifest: Mapping[str, Any], product: str) -> Files | None:
        """As the manifest of an export names them; ``None`` where it has nothing of the product."""
        paths: dict[int, str] = {}
        stores = [manifest["rasters"], *([] if manifest["dense"] is None else [manifest["dense"]["shards"]])]
        for store in stores:
            for entry in (entry for entries in store.get(product, {}).values() for entry in entries):
                files = entry.get("source_files") or ([entry["source_file"]] if "source_file" in entry else [])
                days = [day_of(parse_date(day)) for day in entry.get("days_used", [])]
                if len(files) == 1:  # also a file of several days
                    files *= len(days)
                if len(files) == len(days):
                    paths |= zip(days, files, strict=True)
        return cls(paths, {}) if paths else None

    @cached_property
    def days(self) -> Days:
        """Days that have a file that can be used, ascending."""
        return np.array(sorted(self.paths), np.int64)

    @cached_property
    def known(self) -> Days:
        """Days that have a file, ascending."""
        return np.array(sorted({*self.paths, *self.bad}), np.int64)

    def between(self, low: int, high: int) -> Files:
        """Those of some days, both included."""
        return Files(
            *({day: text for day, text in some.items() if low <= day <= high} for some in (self.paths, self.bad))
        )

    def dates(self) -> tuple[dt.date, ...]:
        """The dates of all files, ascending."""
        return tuple(EPOCH + dt.timedelta(days=int(day)) for day in self.known)

    def nearest(self, days: Days, most: int) -> Days:
        """Of each day the nearest that has a file, ties to the earlier; -1 where it is further than ``most`` days.

        A file that cannot be used is no reason to take another: the match would change once it is mended.
        """
        index, _ = matched_dates(days.tolist(), self.known, most)
        return np.where(index < 0, -1, self.known[index]) if self.known.size else np.full(days.shape, -1, np.int64)

    def matched(self, days: Days, most: int, product: str) -> pd.DataFrame:
        """Columns ``matched_PRODUCT_date`` and ``matched_PRODUCT_file_path`` of some days; null where there is none."""
        nearest = self.nearest(days, most)
        found = np.isin(nearest, self.days)
        dates = pd.array(np.where(found, numbers(np.maximum(nearest, 0)), 0), dtype="Int32")
        dates[~found] = pd.NA
        paths = self.paths_of(nearest)
        return pd.DataFrame({f"matched_{product}_date": dates, f"matched_{product}_file_path": paths})

    def paths_of(self, days: Days) -> Sequence[str]:
        """The file of each day, empty where there is none."""
        return [self.paths.get(int(day), "") for day in days]


#: No files.
NONE = Files({}, {})
