"""Sea level along the tracks of altimeters, of DUACS (SEALEVEL_GLO_PHY_L3): one file per satellite and day, 1 Hz.

The first date in a name is that of the measurements, the second that of production. A satellite counts once: what was
made in delayed time goes before near real time, whatever code and resolution (``lr``, ``hr``) each name has; files
at 5 Hz and of parts of the ocean are other products. A file holds whole passes, so that
it begins or ends minutes before or after midnight; the next file goes on where it ends. All its points are of the
day of its name, or no pass would be whole and some of it would be in no day.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterator, Sequence

import numpy as np

from oceanrecon.errors import SourceError
from oceanrecon.sources.daily.points_file import open_points
from oceanrecon.sources.daily.source import DailySource, RawFile
from oceanrecon.sources.product import METRES
from oceanrecon.transform.day import PointDay, Track, Values

#: What files without the attribute ``platform`` are of, by the code of the satellite.
_PLATFORMS = {
    "al": "SARAL/AltiKa", "c2": "CryoSat-2", "e1": "ERS-1", "e2": "ERS-2", "en": "Envisat", "g2": "Geosat Follow-On",
    "h2a": "HaiYang-2A", "h2b": "HaiYang-2B", "h2c": "HaiYang-2C", "j1": "Jason-1", "j2": "OSTM/Jason-2",
    "j3": "Jason-3", "s3a": "Sentinel-3A", "s3b": "Sentinel-3B", "s6a": "Sentinel-6A", "swon": "SWOT",
    "tp": "Topex/Poseidon",
}  # fmt: skip
#: Codes of a satellite on another orbit, which the delayed time and the near real time of one day may write apart.
_ORBITS = {
    "alg": "al", "c2n": "c2", "enn": "en", "h2ag": "h2a", "j1g": "j1", "j1n": "j1", "j2g": "j2", "j2n": "j2",
    "j3g": "j3", "j3n": "j3", "tpn": "tp",
}  # fmt: skip
_FILTERED, _OLDER = "sla_filtered", "sla"
_HEIGHTS = (_FILTERED, "sla_unfiltered", "mdt")


def read_points(files: Sequence[RawFile], day: dt.date) -> Iterator[PointDay]:
    """The points of each file, in their order; all are of the day.

    Raises:
        SourceError: a file cannot be read, or lacks what every such file has; names the file.
    """
    return (read(file) for file in files)


def read(file: RawFile) -> PointDay:
    """All points of a file.

    ``sla_filtered`` is ``sla`` where a file has only that: its ``comment`` says so.

    Raises:
        SourceError: it cannot be read, or lacks what every such file has; names the file.
    """
    with open_points(file.url) as opened:
        opened.require(("time", "latitude", "longitude"), "file of sea level along a track")
        heights = [name for name in (*_HEIGHTS, _OLDER) if name in opened]
        opened.check_shape(("latitude", *heights), opened.shape("time")[:1])
        latitude, longitude = opened.positions("latitude", "longitude")
        time = opened.times("time")
        values = {name: opened.measured(name, METRES, "m") for name in heights}
        older = values.pop(_OLDER, None)
        if _FILTERED not in values and older is not None:
            comment = f"{_OLDER} of {file.name}, which has no {_FILTERED}"
            values = {_FILTERED: Values(older.data, {**older.attributes, "comment": comment}), **values}
        if _FILTERED not in values:
            raise SourceError(
                f"missing variable {_FILTERED} or {_OLDER}, which every file of sea level along a track has: download "
                "the file again, or take it out of the folder"
            )
        platform = str(opened.attributes.get("platform", "")).strip() or _PLATFORMS.get(file.part, file.part)
        return PointDay(latitude, longitude, time, values, np.zeros(time.size, np.int16), (Track(file.name, platform),))


SOURCE = DailySource(
    key="l3_ssh",
    folder="l3_ssh",
    title="DUACS sea level along the tracks of altimeters",
    kind="cells",
    names=(
        re.compile(
            r"(?:(?P<final>dt)|nrt)_global_(?P<part>[a-z0-9]+)(?:_[lh]r)?_phy(?:_[a-z]+)?_l3(?:_1hz)?"
            r"_(?P<date>\d{8})_(?P<revision>\d{8})\.nc"
        ),
    ),
    variable="ssh",
    sensor="altimeter",
    modality="satellite",
    cell_km=7.0,
    parts=_ORBITS,
    read_points=read_points,
)
