"""Levels of Argo floats, one row each: a file of a day as ``argopy`` has points, ``argo_YYYYMMDD.nc``."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterator, Sequence

import numpy as np

from oceanrecon.sources.daily.points_file import PointsFile, open_points
from oceanrecon.sources.daily.source import DailySource, RawFile
from oceanrecon.transform.day import PointDay, Values

_PLACE = ("LATITUDE", "LONGITUDE", "TIME")


def read_points(files: Sequence[RawFile], day: dt.date) -> Iterator[PointDay]:
    """The points of each file.

    Raises:
        SourceError: a file cannot be read, or lacks what every such file has; names the file.
    """
    return (read(file) for file in files)


def read(file: RawFile) -> PointDay:
    """All points of a file, with all its variables.

    Texts are bytes of a fixed length, measurements float32, counts and flags the integers of the file, other times
    datetime64[us]. Points whose position is none are here, too.

    Raises:
        SourceError: it cannot be read, or lacks what every such file has; names the file.
    """
    with open_points(file.url) as opened:
        opened.require((*_PLACE, "PRES"), "file of Argo points")
        latitude, longitude = opened.positions(*_PLACE[:2])
        time = opened.times("TIME")
        others = [name for name in opened.names if name not in (*_PLACE, "N_POINTS")]
        opened.check_shape(("LATITUDE", *others), time.shape)
        values = {name: _values(opened, name) for name in others}
        return PointDay(latitude, longitude, time, values, np.empty(0, np.int16))


def _values(opened: PointsFile, name: str) -> Values:
    if opened.is_text(name):
        return opened.texts(name)
    described = opened.described(name)
    if " since " in str(described.get("units", "")):
        # of how the file counts
        counting = ("units", "conventions")
        return Values(opened.times(name), {key: text for key, text in described.items() if key not in counting})
    if opened.is_whole(name):
        return opened.integers(name)
    with np.errstate(over="ignore"):
        return Values(opened.numbers(name).astype(np.float32), described)


SOURCE = DailySource(
    key="argo",
    folder="argo",
    title="Levels of the profiles of Argo floats",
    kind="points",
    names=(re.compile(r"argo_(?P<date>\d{8})\.nc"),),
    variable="profiles",
    sensor="argo",
    modality="in_situ",
    read_points=read_points,
)
