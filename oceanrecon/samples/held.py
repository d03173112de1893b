"""Which days of profiles the gridded store of an export holds: the one rule of the loaders and of the patch index."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from oceanrecon.grid import parse_date
from oceanrecon.grid.times import next_month


class HeldDays:
    """The days around the targets of a store, of which profiles were put into it; days are ordinals."""

    def __init__(self, section: Mapping[str, Any]) -> None:
        """Of the ``argo`` section of a manifest: older ones know months instead of days, or neither."""
        #: days before and after each target
        self.half = (int(section["window_days"]) - 1) // 2
        self._targets = np.array(sorted(parse_date(date).toordinal() for date in section["target_dates"]), np.int64)
        #: first and last day of each stretch, None: nobody knows
        self._stretches: NDArray[np.int64] | None = None
        if "days_held" in section:
            self._stretches = _ordinals((parse_date(first), parse_date(last)) for first, last in section["days_held"])
        elif section.get("months"):
            firsts = [parse_date(f"{month}-01") for month in section["months"]]
            self._stretches = _ordinals((first, next_month(first) - dt.timedelta(days=1)) for first in firsts)

    def near(self, days: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Whether they are near enough to a target: [day]."""
        return _within(days, self._targets - self.half, self._targets + self.half)

    def known(self, days: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Whether profiles of them were put into the store: [day]."""
        if self._stretches is None:
            return np.ones(days.shape, np.bool_)
        return _within(days, self._stretches[:, 0], self._stretches[:, 1])

    def lacks(self, day: dt.date) -> str:
        """Why the store does not hold a day; empty where it does."""
        days = np.array([day.toordinal()])
        if not self.known(days)[0]:
            return (
                "no profiles of that day were put into it, or none of EN4 where it has EN4 (later months need profiles "
                "of Argo alone)"
            )
        if not self.near(days)[0]:
            return f"it has those of {2 * self.half + 1} days around each of its targets"
        return ""


def _ordinals(stretches: Iterable[tuple[dt.date, dt.date]]) -> NDArray[np.int64]:
    found = [(first.toordinal(), last.toordinal()) for first, last in sorted(stretches)]
    return np.array(found, np.int64).reshape(-1, 2)


def _within(days: NDArray[np.int64], first: NDArray[np.int64], last: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Whether each day lies in one of some stretches, which ascend by their first and by their last days."""
    at = np.searchsorted(first, days, side="right") - 1
    return np.asarray((at >= 0) & (days <= last[at]), np.bool_) if first.size else np.zeros(days.shape, np.bool_)
