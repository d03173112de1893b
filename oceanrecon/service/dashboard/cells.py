"""Which date of which variable is done, in a byte each: what the map of a job is drawn from."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

#: What becomes of a block, in the order in which a cell shows it.
STATES = ("waiting", "kept", "done", "failed")
_CODES = {state: code for code, state in enumerate(STATES)}
#: Of a date that a variable is not wanted at.
_ABSENT = 255


@dataclass(frozen=True)
class Bins:
    """Cells put together, so that a page can show them."""

    #: ``(product, variable)`` of each row
    rows: tuple[tuple[str, str], ...]
    #: first and last date of each column
    spans: tuple[tuple[dt.date, dt.date], ...]
    #: dates of each row, column and state, in the order of ``STATES``
    counts: NDArray[np.int64]


class Cells:
    """The state of every date of every variable of one job.

    A record says how many dates there are from the first to the last, and they are taken to be evenly spaced, as those
    of a weekly or a daily archive are. Events that say which dates wait replace that: ``wait``.
    """

    def __init__(self, plan: Mapping[str, Any]) -> None:
        """Of the plan in a job's record."""
        first, last = day(plan["first_date"]), day(plan["last_date"])
        self._days = np.unique(np.linspace(first, last, max(int(plan["dates"]), 1)).round().astype(np.int64))
        self._told = False
        self._products: dict[str, str] = {}
        self._rows: dict[str, NDArray[np.uint8]] = {}
        for variable, planned in plan["variables"].items():
            self._add(variable, planned["product"], _CODES["waiting"])

    def wait(self, product: str, variable: str, dates: Sequence[str]) -> None:
        """These dates of a variable are to be made; dates of which nothing was said are not wanted any more."""
        told = np.unique(np.array([day(date) for date in dates], dtype=np.int64))
        before = self._days if self._told else told[:0]
        self._days = np.union1d(before, told)
        for name, row in self._rows.items():
            fresh = np.full(len(self._days), _ABSENT, dtype=np.uint8)
            if self._told:
                fresh[np.searchsorted(self._days, before)] = row
            self._rows[name] = fresh
        self._told = True
        self._add(variable, product, _ABSENT)
        self._rows[variable][np.searchsorted(self._days, told)] = _CODES["waiting"]

    def mark(self, product: str, variable: str, dates: Iterable[str], state: str) -> None:
        """Blocks of a variable have come to a state."""
        self._add(variable, product, _ABSENT)
        row = self._rows[variable]
        for date in dates:
            row[self._nearest(day(date))] = _CODES[state]

    def binned(self, columns: int) -> Bins:
        """At most ``columns`` groups of neighbouring dates, of nearly equal size."""
        starts = np.linspace(0, len(self._days), min(columns, len(self._days)) + 1).round().astype(np.int64)
        codes = np.stack(list(self._rows.values())) if self._rows else np.empty((0, len(self._days)), np.uint8)
        counts = np.stack([np.add.reduceat(codes == code, starts[:-1], axis=1, dtype=np.int64) for code in range(4)], 2)
        spans = tuple(
            (dt.date.fromordinal(int(self._days[first])), dt.date.fromordinal(int(self._days[end - 1])))
            for first, end in pairwise(starts)
        )
        return Bins(tuple((self._products[name], name) for name in self._rows), spans, counts)

    def _add(self, variable: str, product: str, code: int) -> None:
        if variable not in self._rows:
            self._products[variable] = product
            self._rows[variable] = np.full(len(self._days), code, dtype=np.uint8)

    def _nearest(self, wanted: int) -> int:
        after = int(np.searchsorted(self._days, wanted))
        around = [index for index in (after - 1, after) if 0 <= index < len(self._days)]
        return min(around, key=lambda index: abs(int(self._days[index]) - wanted))


def day(date: str) -> int:
    """The number of a day written YYYYMMDD."""
    return dt.date(int(date[:4]), int(date[4:6]), int(date[6:8])).toordinal()
