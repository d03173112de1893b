"""Sea level of SWOT's swath, level 3, 2 km (SWOT_L3_LR_SSH_Basic): one file per half orbit.

A file is of the day on which it starts, with all its points, though one in 28 goes on after midnight.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterator, Sequence

import numpy as np

from oceanrecon.sources.daily.points_file import open_points
from oceanrecon.sources.daily.source import DailySource, RawFile
from oceanrecon.sources.product import METRES
from oceanrecon.transform.day import PointDay, Track, Values

_HEIGHTS = ("ssha_filtered", "ssha_unfiltered", "mdt")


def read_points(files: Sequence[RawFile], day: dt.date) -> Iterator[PointDay]:
    """The pixels of each file, in their order, one file in memory at a time; all are of the day.

    Raises:
        SourceError: a file cannot be read, or lacks what every such file has; names the file.
    """
    return (read(file) for file in files)


def read(file: RawFile) -> PointDay:
    """All pixels of a file, line by line.

    Raises:
        SourceError: it cannot be read, or lacks what every such file has; names the file.
    """
    with open_points(file.url) as opened:
        opened.require(("time", "latitude", "longitude", *_HEIGHTS[:2]), "file of SWOT's swath")
        heights = [name for name in _HEIGHTS if name in opened]
        lines = opened.shape("time")[:1]
        # pixels of a line, whatever their number
        shape = (*lines, *opened.shape("latitude")[1:2])
        opened.check_shape(("time",), lines)
        opened.check_shape(("latitude", *heights), shape)
        latitude, longitude = opened.positions("latitude", "longitude")
        values = {name: opened.measured(name, METRES, "m") for name in heights}
        return PointDay(
            latitude=latitude.ravel(),
            longitude=longitude.ravel(),
            time=np.repeat(opened.times("time"), shape[1]),
            values={name: Values(one.data.ravel(), one.attributes) for name, one in values.items()},
            track=np.zeros(latitude.size, np.int16),
            tracks=(Track(file.name, "SWOT"),),
        )


SOURCE = DailySource(
    key="l3_swot",
    folder="l3_swot",
    title="Sea level of the swath of SWOT",
    kind="cells",
    names=(
        re.compile(
            r"SWOT_L3_LR_SSH_Basic_(?P<part>\d{3}_\d{3})_(?P<date>\d{8})T\d{6}_\d{8}T\d{6}"
            r"_v(?P<revision>\d+(?:\.\d+)*)\.nc"
        ),
    ),
    variable="ssh",
    sensor="swot",
    modality="satellite",
    cell_km=2.0,
    read_points=read_points,
)
