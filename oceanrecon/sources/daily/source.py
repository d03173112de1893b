"""What a source of daily files is: which names its files have, what they hold, and how a day of it is read."""

from __future__ import annotations

import datetime as dt
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from oceanrecon.transform.day import GriddedDay, PointDay

#: Fields on a grid; points counted in cells; points as they are.
Kind = Literal["grid", "cells", "points"]


@dataclass(frozen=True)
class RawFile:
    """A file of a raw archive."""

    #: of the file: a path or an fsspec URL
    url: str
    size: int
    mtime_ns: int
    day: dt.date
    #: of two files of one day that stand for the same, the higher one counts, in the order of ``natural``
    revision: str
    #: such as the satellite or the hour: files of a day that differ in it are read together
    part: str

    @property
    def name(self) -> str:
        """Without its folder."""
        return self.url.rpartition("/")[2]


@dataclass(frozen=True, kw_only=True)
class DailySource:
    """A source; ``read`` opens files as ``sources.daily`` does, and raises ``SourceError`` that names the file."""

    #: ``data_source`` of the inventory, and name of the folder of its tiles
    key: str
    #: of the raw archive
    folder: str
    title: str
    kind: Kind
    #: of files, with the groups ``date`` (YYYYMMDD), and where there are some ``revision``, ``part``, and ``final``,
    #: which names have that go before all others, such as those of delayed time
    names: tuple[re.Pattern[str], ...]
    #: tag of the inventory: ``ssh``, ``sst``, ``sss``, ``wind``, ``all_phys``, ``profiles``
    variable: str
    #: such as ``altimeter``
    sensor: str
    #: ``model``, ``satellite`` or ``in_situ``
    modality: str
    #: side of a cell, km: of cells
    cell_km: float | None = None
    satellite_pass: str | None = None
    #: parts that names write in several ways: the way that counts, by the others
    parts: Mapping[str, str] = field(default_factory=dict, hash=False)
    #: all files of a day, by name: of grids one day
    read_grid: Callable[[Sequence[RawFile], dt.date], GriddedDay] | None = None
    #: one file after the other, by name: each is a track or has points of many platforms
    read_points: Callable[[Sequence[RawFile], dt.date], Iterator[PointDay]] | None = None

    def match(self, url: str, size: int, mtime_ns: int) -> RawFile | None:
        """The file of this source that has this name; ``None``: it is no such file."""
        name = url.rpartition("/")[2]
        for pattern in self.names:
            if (found := pattern.fullmatch(name)) is not None:
                groups: Mapping[str, str | None] = found.groupdict()
                try:
                    day = dt.datetime.strptime(str(groups["date"]), "%Y%m%d").date()
                except ValueError:
                    return None
                revision, part = groups.get("revision") or "", groups.get("part") or ""
                if groups.get("final"):
                    # a small letter is greater than the numbers, capitals and underscores that revisions begin with
                    revision = f"{groups['final']} {revision}"
                return RawFile(url, size, mtime_ns, day, revision, self.parts.get(part, part))
        return None


def natural(revision: str) -> tuple[tuple[int, str], ...]:
    """A revision for comparing: digits count as numbers, so that 1.0.10 is later than 1.0.2, and come before texts."""
    parts = (part for part in re.split(r"(\d+)", revision) if part)
    return tuple((int(part), "") if part.isdigit() else (sys.maxsize, part) for part in parts)
