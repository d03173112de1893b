"""A TACO dataset on disk: dates, of each the eight regions, of each one file per source, whether it is there or not.

As a folder it is ``DATA/<date>/<region>/<source>.nc``, tables of all of it in ``METADATA``, those of one folder in its
``__meta__``, and ``COLLECTION.json``; ``taco_zip`` has the same in one file. Where a source has nothing there is an
empty NetCDF file, whose row says so: all dates have the same tree, which the format asks for.
"""

from __future__ import annotations

import hashlib
import io
import json
import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import h5py
import pyarrow as pa
import pyarrow.parquet as pq

from oceanrecon.errors import OutputError
from oceanrecon.grid.octants import OCTANTS, octant
from oceanrecon.grid.regions import Box
from oceanrecon.stores.files import Root, explained

COLLECTION = "COLLECTION.json"
FOLDER_TABLE = "__meta__"
LEVELS = tuple(f"METADATA/level{number}.parquet" for number in range(3))
ZIP_SUFFIX = ".tacozip"
_REGIONS = tuple(octant.name for octant in OCTANTS)


@dataclass(frozen=True)
class Slot:
    """The place of a source in each region."""

    #: as of the inventory
    source: str
    #: name of its file
    file: str
    #: ``model``, ``satellite`` or ``in_situ``
    modality: str


#: In their order.
SLOTS = (
    Slot("glorys", "glorys.nc", "model"),
    Slot("l4_ssh", "l4_ssh.nc", "satellite"),
    Slot("l4_sst", "l4_sst.nc", "satellite"),
    Slot("l4_sss", "l4_sss.nc", "satellite"),
    Slot("l4_wind", "l4_wind.nc", "satellite"),
    Slot("l3_sst", "l3_sst.nc", "satellite"),
    Slot("l3_sss_smos_asc", "l3_sss_asc.nc", "satellite"),
    Slot("l3_sss_smos_desc", "l3_sss_desc.nc", "satellite"),
    Slot("l3_ssh", "l3_ssh.nc", "satellite"),
    Slot("l3_swot", "l3_swot.nc", "satellite"),
    Slot("argo", "argo.nc", "in_situ"),
)
_BY_SOURCE = {slot.source: slot for slot in SLOTS}
_BY_FILE = {slot.file: slot for slot in SLOTS}


@dataclass(frozen=True)
class Extent:
    """Where and when data are."""

    #: west, south, east, north, degrees
    box: Box
    #: microseconds since 1970, UTC, both of it
    start: int
    end: int


@dataclass(frozen=True)
class Member:
    """The file of one source, region and date."""

    #: YYYYMMDD
    date: str
    region: str
    source: str
    #: false: the source has nothing there, and the file is empty
    available: bool
    #: of its data; ``None``: it has no value
    extent: Extent | None
    size: int
    sha256: str
    sensor: str
    #: tag of the inventory, such as ``ssh``
    variable: str
    resolution_degrees: float | None
    resolution_km: float | None
    #: points, or cells that have some
    n_obs: int
    #: values that are there
    valid: int

    @property
    def slot(self) -> Slot:
        """Its place."""
        return _BY_SOURCE[self.source]

    @property
    def path(self) -> str:
        """Below ``DATA``."""
        return f"{date_id(self.date)}/{self.region}/{self.slot.file}"


@dataclass(frozen=True)
class Description:
    """What a dataset says of itself."""

    id: str
    version: str
    title: str
    description: str
    licenses: tuple[str, ...]
    #: names of those who made the data
    providers: tuple[str, ...]
    tasks: tuple[str, ...] = ("regression", "generative")
    keywords: tuple[str, ...] = ()
    #: that were chosen when it was built; none: all that there were
    sources: tuple[str, ...] = ()


class TacoStore(Protocol):
    """A dataset that is there, in either form."""

    @property
    def url(self) -> str:
        """Where it is."""
        ...

    def read(self, path: str) -> bytes:
        """A small file: ``COLLECTION.json`` or a table.

        Raises:
            OutputError: it is missing or cannot be read.
        """
        ...

    def entries(self) -> Mapping[str, tuple[int, int] | None]:
        """All files that there are, and of a dataset of one file, where they are in it.

        Raises:
            OutputError: they cannot be listed.
        """
        ...

    def open(self, path: str, span: tuple[int, int] | None) -> Any:
        """A context with the local path of a data file, or the file open for reading.

        Args:
            path: of the member.
            span: where it is in the one file, offset and size; ``None`` in a folder.
        """
        ...


class FolderStore:
    """A dataset as a folder, here or at an fsspec URL."""

    def __init__(self, url: str) -> None:
        self._root = Root(url)

    @property
    def url(self) -> str:
        """Where it is."""
        return self._root.url

    def read(self, path: str) -> bytes:
        """See ``TacoStore``."""
        return self._root.read(path)

    def entries(self) -> Mapping[str, tuple[int, int] | None]:
        """See ``TacoStore``."""
        return dict.fromkeys(self._root.list())

    @contextmanager
    def open(self, path: str, span: tuple[int, int] | None) -> Iterator[str | BinaryIO]:
        """See ``TacoStore``."""
        if self._root.local_path is not None:
            yield self._root.url_of(f"DATA/{path}")
            return
        with self._root.open(f"DATA/{path}") as file:
            yield file


@contextmanager
def on_disk(path: Path) -> Iterator[None]:
    """Errors of the disk, met while a file or folder is made, say what to do; others are left as they are.

    Raises:
        OutputError: the disk is full, or the place is not writable.
    """
    try:
        yield
    except OSError as error:
        with explained("write", str(path), folder=path.parent):
            raise error


def date_id(date: str) -> str:
    """The name of a date in a dataset: ``2024_01_10`` for ``20240110``."""
    return f"{date[:4]}_{date[4:6]}_{date[6:]}"


@lru_cache(maxsize=1)
def empty_file() -> bytes:
    """A NetCDF file without anything, for a source that has nothing: the same bytes each time."""
    stream = io.BytesIO()
    with h5py.File(stream, "w", libver=("v110", "v110"), track_order=True) as file:
        file.attrs["Conventions"] = "CF-1.11"
        file.attrs["title"] = "There are no data of this source here on this day"
    return stream.getvalue()


def is_empty(where: str | BinaryIO) -> bool:
    """Whether a NetCDF file has nothing in it; raises what HDF5 does where it is none."""
    with h5py.File(where, "r") as file:
        return len(file) == 0


def box_of(polygon: bytes) -> Box:
    """The box around the outer ring of a polygon in well-known binary.

    Raises:
        OutputError: that is no polygon.
    """
    try:
        order = "<" if polygon[0] == 1 else ">"
        kind, rings, points = struct.unpack_from(f"{order}III", polygon, 1)
        numbers = struct.unpack_from(f"{order}{2 * points}d", polygon, 13)
    except (IndexError, struct.error) as error:
        raise OutputError(f"the geometry {polygon[:24].hex()} is no polygon in well-known binary: {error}") from error
    if kind != 3 or rings < 1 or points < 1:
        raise OutputError(f"the geometry {polygon[:24].hex()} is no polygon in well-known binary")
    east, north = numbers[0::2], numbers[1::2]
    return min(east), min(north), max(east), max(north)


def hull(members: Sequence[Member]) -> Extent:
    """Around the data of some files; of files that have none, around their regions and days."""
    extents = [member.extent for member in members if member.extent is not None]
    if not extents:
        days = [day_of(member.date) for member in members]
        boxes = [octant(member.region).box for member in members]
        extents = [Extent(box, *day) for box, day in zip(boxes, days, strict=True)]
    return Extent(
        (
            min(extent.box[0] for extent in extents),
            min(extent.box[1] for extent in extents),
            max(extent.box[2] for extent in extents),
            max(extent.box[3] for extent in extents),
        ),
        min(extent.start for extent in extents),
        max(extent.end for extent in extents),
    )


def day_of(date: str) -> tuple[int, int]:
    """First and last microsecond of a day, since 1970, UTC."""
    start = int(datetime.strptime(date, "%Y%m%d").replace(tzinfo=UTC).timestamp()) * 1_000_000
    return start, start + 86_400_000_000 - 1


def absent(date: str, region: str, slot: Slot) -> Member:
    """The empty file of a source that has nothing."""
    content = empty_file()
    checksum = hashlib.sha256(content).hexdigest()
    return Member(date, region, slot.source, False, None, len(content), checksum, "", "", None, None, 0, 0)


def completed(members: Iterable[Member]) -> list[Member]:
    """All files of all dates that some are of, in the order of the tree: what is not there is an empty file."""
    there = {(member.date, member.region, member.source): member for member in members}
    return [
        there.get((date, region, slot.source)) or absent(date, region, slot)
        for date in sorted({date for date, _, _ in there})
        for region in _REGIONS
        for slot in SLOTS
    ]


def read_collection(store: TacoStore) -> dict[str, Any]:
    """``COLLECTION.json``.

    Raises:
        OutputError: it is missing, or is none.
    """
    try:
        content = json.loads(store.read(COLLECTION))
    except ValueError as error:
        raise OutputError(f"{store.url}: {COLLECTION} is damaged ({error}); build the dataset anew") from error
    if not isinstance(content, dict):
        raise OutputError(f"{store.url}: {COLLECTION} is no dictionary; build the dataset anew")
    return content


def read_level(store: TacoStore, level: int) -> pa.Table:
    """The table of a level.

    Raises:
        OutputError: it is missing or damaged.
    """
    try:
        return pq.read_table(io.BytesIO(store.read(LEVELS[level])))
    except pa.ArrowException as error:
        raise OutputError(f"{store.url}: {LEVELS[level]} is damaged ({error}); build the dataset anew") from error


def members_of(table: pa.Table) -> tuple[list[Member], dict[str, tuple[int, int]] | None]:
    """The files of the table of the last level, and where they are in the one file.

    Raises:
        OutputError: a column is missing, or a row is of no place of the tree.
    """
    try:
        rows = table.select([*_ROW]).to_pylist()
        starts, ends = (table.column(f"istac:time_{edge}").cast(pa.int64()).to_pylist() for edge in ("start", "end"))
        members = [_member(row, start, end) for row, start, end in zip(rows, starts, ends, strict=True)]
        spans = None
        if "internal:offset" in table.column_names:
            offsets, sizes = (table.column(f"internal:{name}").to_pylist() for name in ("offset", "size"))
            spans = {one.path: span for one, span in zip(members, zip(offsets, sizes, strict=True), strict=True)}
    except (KeyError, ValueError, pa.ArrowException) as error:
        raise OutputError(f"{LEVELS[2]} is not of a dataset of ours: {error}; build it anew") from error
    return members, spans


#: What a file's row needs to have.
_ROW = (
    "id", "available", "data_source", "sensor", "variable", "res_deg_lat", "res_km_lat", "n_obs", "valid", "size",
    "sha256", "istac:geometry", "internal:relative_path",
)  # fmt: skip


def _member(row: Mapping[str, Any], start: int, end: int) -> Member:
    date, region, file = row["internal:relative_path"].split("/")
    if file != row["id"] or region not in _REGIONS or _BY_FILE[file].source != row["data_source"]:
        raise ValueError(f"the row {row['internal:relative_path']!r} is {row['id']!r} of {row['data_source']!r}")
    polygon = row["istac:geometry"]
    return Member(
        date=date.replace("_", ""),
        region=region,
        source=row["data_source"],
        available=row["available"],
        extent=None if polygon is None else Extent(box_of(polygon), start, end),
        size=row["size"],
        sha256=row["sha256"],
        sensor=row["sensor"],
        variable=row["variable"],
        resolution_degrees=row["res_deg_lat"],
        resolution_km=row["res_km_lat"],
        n_obs=row["n_obs"],
        valid=row["valid"],
    )
