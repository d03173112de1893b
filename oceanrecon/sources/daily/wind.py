"""Winds over the ocean: 24 hourly fields of a day become their mean, spread and extremes, one file in memory at a time.

Before 2009-11 there is also a coarser set (0.25 degree): it counts on days of which the finer one has no hour.
"""

from __future__ import annotations

import datetime as dt
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from oceanrecon.errors import SourceError
from oceanrecon.sources.daily.gridded import open_grid
from oceanrecon.sources.daily.source import DailySource, RawFile
from oceanrecon.sources.product import SPEED, ProductVariable, Sampled
from oceanrecon.transform.compiled import Array, compiled
from oceanrecon.transform.day import GriddedDay, Values


def _component(direction: str) -> ProductVariable:
    return Sampled(
        name=f"{direction}_wind",
        standard_name=f"{direction}_wind",
        long_name=f"{direction.capitalize()} wind at 10 m",
        units="m s-1",
        conversions=SPEED,
        plausible=(-100.0, 100.0),
    )


_COMPONENTS = (_component("eastward"), _component("northward"))
#: How revisions of the coarser set begin.
_COARSE = "0.25deg"
#: What of the hours of a day is kept beside their mean: word of the name, of the CF cell method, and of people.
_STATISTICS = (
    ("", "mean", "daily mean"),
    ("_std", "standard_deviation", "standard deviation of the hours of a day"),
    ("_min", "minimum", "least of the hours of a day"),
    ("_max", "maximum", "greatest of the hours of a day"),
)


class _Hours:
    """Hours of both components so far: an hour counts where it has both."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.count = np.zeros(shape, np.int8)
        self._mean, self._square = np.zeros((2, *shape)), np.zeros((2, *shape))
        self._low, self._high = np.full((2, *shape), np.inf, np.float32), np.full((2, *shape), -np.inf, np.float32)

    def add(self, east: NDArray[np.float32], north: NDArray[np.float32]) -> None:
        """One more hour."""
        _add(east, north, self.count, self._mean, self._square, self._low, self._high)

    def statistics(self, component: int) -> list[NDArray[np.float32]]:
        """Mean, deviation (population, of two hours or more), least and greatest; NaN where there is none."""
        none, one = self.count == 0, self.count < 2
        spread = np.sqrt(self._square[component] / np.maximum(self.count, 1))
        found = [
            (self._mean[component], none), (spread, one), (self._low[component], none), (self._high[component], none)
        ]  # fmt: skip
        return [np.where(gone, np.nan, values).astype(np.float32) for values, gone in found]


def read(files: Sequence[RawFile], day: dt.date) -> GriddedDay:
    """The statistics of the hours of a day; those that are not there are not filled in: ``n_hours`` says how many are.

    Raises:
        SourceError: a file cannot be read or has no wind, or files have different grids; names the file.
    """
    coarse = [file for file in files if file.revision.startswith(_COARSE)]
    used = [file for file in files if file not in coarse] or coarse
    hours: _Hours | None = None
    implausible: Counter[str] = Counter()
    for file in used:
        with open_grid(file.url) as opened:
            missing = [variable.name for variable in _COMPONENTS if variable.name not in opened.names]
            if missing:
                raise SourceError(f"missing variable {', '.join(missing)}: download the file again")
            if hours is None:
                latitude, longitude = opened.latitude, opened.longitude
                hours = _Hours((latitude.size, longitude.size))
            elif not (np.array_equal(latitude, opened.latitude) and np.array_equal(longitude, opened.longitude)):
                raise SourceError(
                    f"its grid of {opened.latitude.size} x {opened.longitude.size} is not that of {used[0].name}, "
                    f"{latitude.size} x {longitude.size}: keep the hours of one resolution in the folder"
                )
            east, north = (opened.measured(variable).data for variable in _COMPONENTS)
            implausible.update(opened.implausible)
        hours.add(east, north)
    assert hours is not None  # a day has a file
    there = sorted(int(file.part) for file in used)
    left_out = sorted(int(file.part) for file in coarse if file not in used)
    values = {
        f"{variable.name}{suffix}": Values(data, _attributes(variable, method, words))
        for number, variable in enumerate(_COMPONENTS)
        for data, (suffix, method, words) in zip(hours.statistics(number), _STATISTICS, strict=True)
    }
    about = {
        "long_name": f"Hours of the day with a wind, of the {len(there)} that have a file",
        "units": "1",
        "comment": f"files of the hours {_listed(there)}"
        + (f"; {_listed(left_out)} have a coarser file alone, which does not count" if left_out else ""),
    }
    values["n_hours"] = Values(hours.count, about)
    start = np.datetime64(day, "us")
    first, last = (start + np.timedelta64(hour, "h") for hour in (there[0], there[-1] + 1))
    return GriddedDay(latitude, longitude, values, first, last - np.timedelta64(1, "s"), dict(implausible))


def _listed(hours: Sequence[int]) -> str:
    return ", ".join(f"{hour:02d}" for hour in hours)


def _attributes(variable: ProductVariable, method: str, words: str) -> Mapping[str, Any]:
    return {
        "standard_name": variable.standard_name,
        "long_name": f"{variable.long_name}: {words}",
        "units": variable.units,
        "cell_methods": f"time: {method} (interval: 1 hour)",
    }


@compiled
def _add(east: Array, north: Array, count: Array, mean: Array, square: Array, low: Array, high: Array) -> None:
    """Count an hour in: mean and sum of squares about it as they grow, which loses no digits."""
    for row in range(east.shape[0]):
        for column in range(east.shape[1]):
            pair = (east[row, column], north[row, column])
            if np.isnan(pair[0]) or np.isnan(pair[1]):
                continue
            count[row, column] += 1
            for component in range(2):
                value = np.float64(pair[component])
                away = value - mean[component, row, column]
                mean[component, row, column] += away / count[row, column]
                square[component, row, column] += away * (value - mean[component, row, column])
                low[component, row, column] = min(low[component, row, column], pair[component])
                high[component, row, column] = max(high[component, row, column], pair[component])


_PREFIX = r"cmems_obs-wind_glo_phy"
_HOUR = r"(?P<date>\d{8})(?P<part>\d{2})"
SOURCE = DailySource(
    key="l4_wind",
    folder="l4_wind",
    title="Hourly winds over the ocean: statistics of a day",
    kind="grid",
    names=(
        re.compile(rf"{_PREFIX}_(?:(?P<final>my)|nrt)_l4_0\.125deg_PT1H_{_HOUR}(?P<revision>_.+)\.nc"),
        # a number is less than a text
        re.compile(rf"{_PREFIX}_(?:my|nrt)_l4_(?P<revision>{re.escape(_COARSE)})_PT1H_{_HOUR}_.+\.nc"),
    ),
    variable="wind",
    sensor="scatterometer",
    modality="satellite",
    read_grid=read,
)
