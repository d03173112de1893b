"""The inventory of regional files: a Parquet table with a row for each file, in the published columns and some more."""

from __future__ import annotations

import datetime as dt
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from oceanrecon.errors import OutputError
from oceanrecon.stores.files import Root
from oceanrecon.stores.tables import encode_parquet

if TYPE_CHECKING:
    import pandas as pd

INVENTORY = "file_inventory.parquet"
#: Kilometres of a degree of latitude.
_DEGREE_KM = 111.195
_DAY = dt.timedelta(days=1)

_SCHEMA = pa.schema(
    [
        ("relative_path", pa.string()),
        ("timestamp_file", pa.timestamp("us")),
        ("timestamp_data", pa.timestamp("us")),
        ("data_source", pa.string()),
        ("variable", pa.string()),
        ("filename", pa.string()),
        ("_istac_spatial_wkb", pa.binary()),
        ("_istac_time_start", pa.int64()),
        ("_istac_time_end", pa.int64()),
        ("sensor", pa.string()),
        ("region", pa.string()),
        ("bbox", pa.list_(pa.float64())),
        ("intersects", pa.bool_()),
        ("resolution_deg_lat", pa.float64()),
        ("resolution_deg_lon", pa.float64()),
        ("resolution_km_lat", pa.float64()),
        ("resolution_km_lon", pa.float64()),
        ("n_profiles", pa.int64()),
        ("satellite_pass", pa.string()),
        ("gridded", pa.bool_()),
        ("n_tracks", pa.int64()),
        ("date_str", pa.string()),
        # not published
        ("size", pa.int64()),
        ("sha256", pa.string()),
        ("source_files", pa.list_(pa.string())),
        ("source_version", pa.string()),
        ("n_obs", pa.int64()),
        ("valid", pa.int64()),
    ]
)


@dataclass(frozen=True)
class TileRow:
    """What the inventory says of a regional file."""

    #: below the folder of the inventory
    path: str
    source: str
    region: str
    #: YYYYMMDD
    date: str
    #: tag: ``ssh``, ``sst``, ``sss``, ``wind``, ``all_phys``, ``profiles``
    variable: str
    #: such as ``altimeter``
    sensor: str
    #: west, south, east, north of what has a value, degrees; ``None``: nothing has
    box: tuple[float, float, float, float] | None
    #: microseconds since 1970, UTC, of the data; ``None``: unknown, the whole day
    start: int | None
    end: int | None
    size: int
    sha256: str
    #: names of the files that it is of
    source_files: tuple[str, ...]
    #: versions that their names or folders state
    source_version: str
    #: degrees of latitude and of longitude; ``None``: it has points
    resolution: tuple[float, float] | None
    #: points with a position; of gridded fields their cells
    observations: int
    #: values that are there, of all variables
    valid: int
    #: of points: how many; else ``None``
    profiles: int | None = None
    #: ``ascending`` or ``descending``
    satellite_pass: str | None = None
    gridded: bool = True
    tracks: int | None = None

    def to_dict(self) -> dict[str, Any]:
        """In the columns of the inventory."""
        day = dt.datetime.strptime(self.date, "%Y%m%d")
        first = _microseconds(day) if self.start is None else self.start
        last = _microseconds(day + _DAY) - 1_000_000 if self.end is None else self.end
        down, across = self.resolution or (None, None)
        return {
            "relative_path": self.path,
            "timestamp_file": day,
            "timestamp_data": dt.datetime(1970, 1, 1) + dt.timedelta(microseconds=first),
            "data_source": self.source,
            "variable": self.variable,
            "filename": self.path.rpartition("/")[2],
            "_istac_spatial_wkb": None if self.box is None else box_wkb(self.box),
            "_istac_time_start": first,
            "_istac_time_end": last,
            "sensor": self.sensor,
            "region": self.region,
            "bbox": None if self.box is None else [self.box[0], self.box[1], self.box[2], self.box[3]],
            "intersects": self.box is not None,
            "resolution_deg_lat": down,
            "resolution_deg_lon": across,
            "resolution_km_lat": None if down is None else down * _DEGREE_KM,
            # at 45 degrees, as those of cells are
            "resolution_km_lon": None if across is None else across * _DEGREE_KM * 0.5**0.5,
            "n_profiles": self.profiles,
            "satellite_pass": self.satellite_pass,
            "gridded": self.gridded,
            "n_tracks": self.tracks,
            "date_str": self.date,
            "size": self.size,
            "sha256": self.sha256,
            "source_files": list(self.source_files),
            "source_version": self.source_version,
            "n_obs": self.observations,
            "valid": self.valid,
        }

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> TileRow:
        """A row that went through JSON.

        Raises:
            TypeError: it has other entries.
        """
        pairs = {
            name: None if values.get(name) is None else tuple(values[name])
            for name in ("box", "resolution", "source_files")
        }
        return cls(**{**values, **pairs})


def box_wkb(box: tuple[float, float, float, float]) -> bytes:
    """A box as well-known binary: a polygon of one ring, little-endian, counter-clockwise from the south-west.

    Args:
        box: west, south, east, north, degrees.
    """
    west, south, east, north = box
    ring = (west, south, east, south, east, north, west, north, west, south)
    return struct.pack("<BIII10d", 1, 3, 1, 5, *ring)


def write_inventory(root: Root, rows: Iterable[TileRow]) -> int:
    """Write the inventory whole, sorted by day, source and region; how many rows it has.

    Raises:
        OutputError: it cannot be written; or two rows are of one file.
    """
    ordered = sorted(rows, key=lambda row: (row.date, row.source, row.region))
    paths = [row.path for row in ordered]
    if len(set(paths)) < len(paths):
        twice = next(path for path in paths if paths.count(path) > 1)
        raise OutputError(f"{root.url_of(INVENTORY)} would have two rows of {twice}: this is an error of the program")
    root.write(INVENTORY, encode_parquet(pa.Table.from_pylist([row.to_dict() for row in ordered], _SCHEMA)))
    return len(ordered)


def read_inventory(url: str) -> pd.DataFrame:
    """The inventory in a folder or at an fsspec URL, or that of another writer with the published columns.

    Raises:
        OutputError: there is none, it is damaged, or it lacks a column.
    """
    root = Root(url)
    data = root.read_if_there(INVENTORY)
    if data is None:
        raise OutputError(f"{root.url} has no {INVENTORY}: run `oceanrecon regions format CONFIG`, or correct the path")
    try:
        table = pq.read_table(pa.BufferReader(data))
    except (pa.ArrowInvalid, OSError) as error:
        raise OutputError(
            f"{root.url_of(INVENTORY)} is damaged ({error}): run `oceanrecon regions format CONFIG --resume`"
        ) from error
    lacking = [name for name in _PUBLISHED if name not in table.column_names]
    if lacking:
        raise OutputError(
            f"{root.url_of(INVENTORY)} lacks the columns {', '.join(lacking)}: it is no inventory of tiles"
        )
    frame: pd.DataFrame = table.to_pandas()
    return frame


_PUBLISHED = ("relative_path", "timestamp_file", "data_source", "region", "date_str")


def _microseconds(moment: dt.datetime) -> int:
    return int((moment - dt.datetime(1970, 1, 1)) / dt.timedelta(microseconds=1))
