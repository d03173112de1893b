"""What the row of a date is made of in time: the days that it looks at, and the GLORYS files of its target."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from oceanrecon.grid import parse_date
from oceanrecon.pipeline.patches.match import Days, day_of, numbers
from oceanrecon.stores.manifest import surface_window


@dataclass(frozen=True, eq=False)
class Footprint:
    """How far rows reach in time; two rows at one place share something where their spans of one kind meet.

    Raises:
        ValueError: there are no GLORYS files.
    """

    #: odd number of days around a date (``rows.days``)
    days: int
    #: days (since 1950-01-01) that have a GLORYS file, ascending, also those that are nearest to no row
    glorys: Days
    #: odd number of days that the export's surface fields are means over; 1 without an export
    window_days: int
    #: days of the export's targets, ascending; none without an export
    targets: Days

    def __post_init__(self) -> None:
        if not self.glorys.size:
            raise ValueError("a footprint needs the days of the GLORYS files")

    @classmethod
    def of(cls, days: int, glorys: Sequence[dt.date], export: Mapping[str, Any] | None = None) -> Footprint:
        """Of rows of ``days`` days, the dates of all GLORYS files, and the export's manifest where there is one."""
        files = np.array(sorted(map(day_of, glorys)), np.int64)
        if export is None:
            return cls(days, files, 1, np.zeros(0, np.int64))
        targets = np.array(sorted(day_of(parse_date(date)) for date in export["target_dates"]), np.int64)
        return cls(days, files, surface_window(export), targets)

    def to_dict(self) -> dict[str, Any]:
        """For the manifest of the index; days as YYYYMMDD."""
        return {
            "days": self.days,
            "window_days": self.window_days,
            "target_dates": numbers(self.targets).tolist() if self.targets.size else [],
            "glorys_dates": numbers(self.glorys).tolist(),
        }

    @classmethod
    def from_dict(cls, described: Mapping[str, Any]) -> Footprint:
        """The inverse of ``to_dict``."""
        glorys, targets = (
            np.array([day_of(parse_date(date)) for date in described[name]], np.int64)
            for name in ("glorys_dates", "target_dates")
        )
        return cls(int(described["days"]), glorys, int(described["window_days"]), targets)

    def spans(self, dates: Sequence[dt.date]) -> NDArray[np.int64]:
        """First and last day of what the row of each date has: [kind, date, 2], both included.

        The kinds are the days whose observations and surface fields it sees, and the days of its GLORYS files: of the
        ones nearest to the days of its window.
        """
        half = (self.days - 1) // 2
        day = np.array([day_of(date) for date in dates], np.int64)
        first, last = day - half, day + half
        files = np.stack([_nearest(self.glorys, first), _nearest(self.glorys, last)], axis=-1)
        if self.targets.size:
            # the targets inside the window are means over windows of their own
            inner, reach = self.targets, (self.window_days - 1) // 2
            low = inner[np.minimum(np.searchsorted(inner, first), inner.size - 1)]
            high = inner[np.maximum(np.searchsorted(inner, last, side="right") - 1, 0)]
            some = (low >= first) & (high <= last) & (low <= high)
            first = np.where(some, np.minimum(first, low - reach), first)
            last = np.where(some, np.maximum(last, high + reach), last)
        return np.stack([np.stack([first, last], axis=-1), files])


def _nearest(files: Days, days: Days) -> Days:
    """The nearest of ``files`` (ascending), ties to the earlier."""
    after = np.searchsorted(files, days)
    before, after = files[np.maximum(after - 1, 0)], files[np.minimum(after, files.size - 1)]
    return np.where(np.abs(days - before) <= np.abs(after - days), before, after)


def meets(spans: NDArray[np.int64], others: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Whether each span has a day in common with any of the others: [n] from [n, 2] and [m, 2]."""
    if not len(others):
        return np.zeros(len(spans), bool)
    order = np.argsort(others[:, 0], kind="stable")
    starts, reach = others[order, 0], np.maximum.accumulate(others[order, 1])
    # of all that begin before a span ends, the one that reaches furthest
    count = np.searchsorted(starts, spans[:, 1], side="right")
    return np.asarray((count > 0) & (reach[np.maximum(count - 1, 0)] >= spans[:, 0]), np.bool_)
