"""A regional dataset that is asked for boxes and days: only files of regions that a box touches are opened."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from oceanrecon.errors import ConfigError, OutputError
from oceanrecon.grid.octants import OCTANTS, touched
from oceanrecon.grid.regions import Box
from oceanrecon.samples.regional.window import unrolled
from oceanrecon.stores.files import Root
from oceanrecon.stores.tables import encode_parquet
from oceanrecon.stores.taco import SLOTS, Extent, box_of, read_collection, read_level
from oceanrecon.stores.taco_zip import open_store
from oceanrecon.stores.tile_file import Tile, open_tile

_REGION_PLACES = {octant.name: place for place, octant in enumerate(OCTANTS)}
_SLOT_PLACES = {slot.source: place for place, slot in enumerate(SLOTS)}
_POINTS = frozenset(slot.source for slot in SLOTS if slot.modality == "in_situ")
_DAY = dt.timedelta(days=1)


@dataclass(frozen=True)
class Variable:
    """A variable of a source."""

    source: str
    name: str


#: By the names that they have in samples; any other is ``source:variable``.
VARIABLES = {
    "l4_ssh": Variable("l4_ssh", "sla"),
    "l4_sst": Variable("l4_sst", "analysed_sst"),
    "l4_sss": Variable("l4_sss", "sos"),
    "l4_wind": Variable("l4_wind", "eastward_wind"),
    "l3_sst": Variable("l3_sst", "adjusted_sea_surface_temperature"),
    "l3_sss_smos_asc": Variable("l3_sss_smos_asc", "Sea_Surface_Salinity"),
    "l3_sss_smos_desc": Variable("l3_sss_smos_desc", "Sea_Surface_Salinity"),
    "l3_ssh": Variable("l3_ssh", "sla_filtered"),
    "l3_swot": Variable("l3_swot", "ssha_filtered"),
    "argo": Variable("argo", "TEMP"),
    "glorys_ssh": Variable("glorys", "zos"),
    "glorys_sst": Variable("glorys", "thetao"),
    "glorys_sss": Variable("glorys", "so"),
    "glorys_uo": Variable("glorys", "uo"),
    "glorys_vo": Variable("glorys", "vo"),
}


@dataclass(frozen=True)
class RegionalQuery:
    """A box of some days.

    Raises:
        ConfigError: the box is none, or the last day is before the first.
    """

    #: west, south, east, north, degrees; ``west > east`` crosses the dateline
    box: Box
    start: dt.date
    #: included
    end: dt.date

    def __post_init__(self) -> None:
        touched(self.box)
        if self.end < self.start:
            raise ConfigError(f"the last day {self.end} of a query is before its first, {self.start}")

    @property
    def days(self) -> list[dt.date]:
        """All of them."""
        return [self.start + number * _DAY for number in range((self.end - self.start).days + 1)]


@dataclass(frozen=True)
class TacoFile:
    """A file of a dataset that has data."""

    date: dt.date
    region: str
    source: str
    #: below ``DATA``
    path: str
    #: of its data; ``None``: it has no value
    extent: Extent | None
    #: offset and size in a dataset of one file
    span: tuple[int, int] | None


class TacoDataset:
    """A dataset that is there; cheap to send to the workers of a loader, and holds no open file."""

    def __init__(self, url: str) -> None:
        """Of a folder, a file ``*.tacozip``, or the URL of either.

        Raises:
            OutputError: there is none, it is damaged, or it is none of ours.
        """
        self._store = open_store(url)
        self.collection = read_collection(self._store)
        table = read_level(self._store, 2)
        self._check(table)
        self._available = table.column("available").to_numpy()
        self._polygons = table.column("istac:geometry").combine_chunks()
        self._times = [
            pc.fill_null(table.column(f"istac:time_{edge}").cast(pa.int64()), 0).to_numpy()
            for edge in ("start", "end")
        ]  # fmt: skip
        self._spans = None
        if "internal:offset" in table.column_names:
            self._spans = [table.column(f"internal:{name}").to_numpy() for name in ("offset", "size")]
        many = len(OCTANTS) * len(SLOTS)
        names = table.column("internal:relative_path").take(pa.array(range(0, table.num_rows, many))).to_pylist()
        #: of all days
        self.dates = tuple(dt.datetime.strptime(name[:10], "%Y_%m_%d").date() for name in names)
        self._places = {date: place * many for place, date in enumerate(self.dates)}

    @property
    def url(self) -> str:
        """Where it is."""
        return self._store.url

    @cached_property
    def sources(self) -> tuple[str, ...]:
        """Those that have something on some day."""
        any_day = self._available.reshape(-1, len(SLOTS)).any(axis=0)
        return tuple(slot.source for slot, there in zip(SLOTS, any_day, strict=True) if there)

    def files(self, box: Box, dates: Collection[dt.date], sources: Collection[str]) -> list[TacoFile]:
        """Files of some sources and days that have data, of the regions that a box has a part of, more than an edge.

        Files of points are left out where the box has none of the place that the points are in.

        Raises:
            ConfigError: the box is none, or there is no such source.
        """
        for source in sources:
            if source not in _SLOT_PLACES:
                raise ConfigError(f"there is no source {source!r}: give some of {', '.join(_SLOT_PLACES)}")
        regions = touched(box)
        found = []
        for date in sorted(set(dates) & self._places.keys()):
            for source in sorted(set(sources), key=_SLOT_PLACES.__getitem__):
                for octant in regions:
                    row = self._places[date] + _REGION_PLACES[octant.name] * len(SLOTS) + _SLOT_PLACES[source]
                    if self._available[row]:
                        file = self._file(row, date, octant.name, source)
                        if source not in _POINTS or (file.extent is not None and _meet(file.extent.box, box)):
                            found.append(file)
        return found

    @contextmanager
    def open(self, file: TacoFile) -> Iterator[Tile]:
        """A file, open for reading.

        Raises:
            OutputError: it is not there or damaged.
        """
        with self._store.open(file.path, file.span) as where, open_tile(where) as tile:
            yield tile

    def _file(self, row: int, date: dt.date, region: str, source: str) -> TacoFile:
        polygon = self._polygons[row].as_py()
        times = (int(times[row]) for times in self._times)
        return TacoFile(
            date, region, source, f"{date:%Y_%m_%d}/{region}/{SLOTS[row % len(SLOTS)].file}",
            None if polygon is None else Extent(box_of(polygon), *times),
            None if self._spans is None else (int(self._spans[0][row]), int(self._spans[1][row])),
        )  # fmt: skip

    def _check(self, table: pa.Table) -> None:
        """Whether all dates have all regions and sources, in their order: where a file's row is follows from that."""
        many = len(OCTANTS) * len(SLOTS)
        needed = {"internal:relative_path", "available", "istac:geometry", "istac:time_start"}
        lacking = sorted(needed - set(table.column_names))
        places = [f"/{octant.name}/{slot.file}" for octant in OCTANTS for slot in SLOTS]
        good = not lacking and table.num_rows > 0 and table.num_rows % many == 0
        if good:
            paths = table.column("internal:relative_path").to_pylist()
            good = all(path[10:] == places[row % many] for row, path in enumerate(paths))
        if not good:
            raise OutputError(
                f"{self.url} is no dataset of `oceanrecon taco build`, or damaged: its table has {table.num_rows} rows"
                f"{', and lacks ' + ', '.join(lacking) if lacking else ''}; `oceanrecon taco verify` says more"
            )


def _meet(extent: Box, box: Box) -> bool:
    """Whether points within an extent may be in a box."""
    west, south, east, north = unrolled(box)
    beside = any(extent[0] + turn < east and extent[2] + turn >= west for turn in (0.0, 360.0))
    return beside and extent[1] <= north and extent[3] >= south


def open_taco(url: str) -> TacoDataset:
    """The dataset in a folder, in a file ``*.tacozip``, or at an fsspec URL of either.

    Raises:
        OutputError: there is none, it is damaged, or it is none of ours.
    """
    return TacoDataset(url)


def variable(token: str) -> Variable:
    """The variable of a token of ``VARIABLES``, or of ``source:variable``.

    Raises:
        ConfigError: it is neither.
    """
    if token in VARIABLES:
        return VARIABLES[token]
    source, colon, name = token.partition(":")
    if not colon or not name or source not in _SLOT_PLACES:
        raise ConfigError(
            f"there is no variable {token!r}: give one of {', '.join(VARIABLES)}, or any as source:variable, such as "
            "l4_wind:northward_wind"
        )
    return Variable(source, name)


def numbers(
    tile: Tile, name: str, rows: slice = slice(None), columns: slice = slice(None)
) -> tuple[NDArray[np.float32], bool]:
    """Values of a variable as floats, NaN where missing; and whether there is something between two of them.

    There is none between flags, or between numbers of tracks.

    Args:
        tile: open.
        name: one of its variables.
        rows: of the grid, or points.
        columns: of the grid.

    Raises:
        ConfigError: it has texts.
        OutputError: there is no such variable, or it is damaged.
    """
    stored = tile.read(name, rows, columns)
    if stored.dtype.kind in "US":
        some = " ".join(repr(text) for text in stored[:1].tolist())
        raise ConfigError(f"{name} has texts, such as {some}: give a variable of numbers")
    values = stored.astype(np.float32)
    if stored.dtype.kind != "f" and (missing := tile.missing(name)) is not None:
        values[stored == missing] = np.nan
    return values, stored.dtype.kind == "f"


def save_queries(url: str, queries: Sequence[RegionalQuery]) -> None:
    """Write queries as a Parquet table.

    Raises:
        OutputError: it cannot be written.
    """
    columns = {
        name: pa.array([query.box[place] for query in queries], pa.float64())
        for place, name in enumerate(("west", "south", "east", "north"))
    }
    columns |= {name: pa.array([getattr(query, name) for query in queries], pa.date32()) for name in ("start", "end")}
    folder, name = _split(url)
    folder.write(name, encode_parquet(pa.table(columns)))


def load_queries(url: str) -> list[RegionalQuery]:
    """The queries of a table that ``save_queries`` wrote.

    Raises:
        OutputError: there is none, or it is damaged.
    """
    folder, name = _split(url)
    try:
        rows = pq.read_table(pa.BufferReader(folder.read(name))).to_pylist()
        return [
            RegionalQuery((row["west"], row["south"], row["east"], row["north"]), row["start"], row["end"])
            for row in rows
        ]
    except (pa.ArrowException, KeyError) as error:
        raise OutputError(f"{url} is no table of queries: {error!r}") from error


def _split(url: str) -> tuple[Root, str]:
    folder, _, name = Root(url).url.rpartition("/")
    return Root(folder), name
