"""What all files of the regional form have in common: where they come from, coordinates, and how they are stored."""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from oceanrecon.grid.octants import Octant
from oceanrecon.grid.regions import Box
from oceanrecon.stores.files import Root
from oceanrecon.stores.tile_form import NetcdfImage

CONVENTIONS = "CF-1.11"
TIME: Mapping[str, str] = {
    "standard_name": "time", "long_name": "Time", "units": "seconds since 1970-01-01 00:00:00", "calendar": "standard"
}  # fmt: skip
LATITUDE: Mapping[str, str] = {
    "standard_name": "latitude", "long_name": "Latitude", "units": "degrees_north", "axis": "Y"
}  # fmt: skip
LONGITUDE: Mapping[str, str] = {
    "standard_name": "longitude", "long_name": "Longitude", "units": "degrees_east", "axis": "X"
}  # fmt: skip


@dataclass(frozen=True)
class About:
    """What a file says of where it comes from."""

    #: key, such as ``l4_sst``
    source: str
    title: str
    date: dt.date
    #: names of the files that it was made of
    source_files: tuple[str, ...]
    #: what was done, in words
    processing: str


@dataclass(frozen=True, kw_only=True)
class StoredTile:
    """A file that was written, and what an inventory says of it."""

    path: str
    bytes: int
    sha256: str
    region: str
    #: west, south, east, north of what has measured values, degrees: edges of cells of a field, or points; ``None``:
    #: nothing
    extent: Box | None
    #: first and last instant, microseconds since 1970-01-01
    start: int
    end: int
    #: of grids: cells with a measured value; of cells and points: points
    n_obs: int
    #: number of values by variable; integers that do not say what is missing are none
    valid: Mapping[str, int] = field(default_factory=dict)
    #: degrees of latitude and of longitude from cell to cell; ``None``: points
    spacing: tuple[float, float] | None = None
    n_tracks: int = 0


def tile_path(source: str, region: str, date: dt.date) -> str:
    """Where the file of a source, region and day is, relative to the output."""
    return f"{source}/{source}_{region}_{date:%Y%m%d}.nc"


def store(root: Root, path: str, data: bytes, octant: Octant, **facts: Any) -> StoredTile:
    """Write a file whole; ``facts``: the other fields of ``StoredTile``.

    Raises:
        OutputError: it cannot be written.
    """
    root.write(path, data)
    digest = hashlib.sha256(data).hexdigest()
    return StoredTile(path=path, bytes=len(data), sha256=digest, region=octant.name, **facts)


def global_attributes(about: About, octant: Octant, span: tuple[int, int]) -> dict[str, Any]:
    """Of a file; ``span``: first and last instant, microseconds since 1970-01-01."""
    first, last = (str(np.datetime64(moment, "us").astype("datetime64[s]")) for moment in span)
    return {
        "Conventions": CONVENTIONS,
        "title": f"{about.title}: {octant.name}, {about.date.isoformat()}",
        "source": about.source,
        "date": about.date.isoformat(),
        "region": octant.name,
        "source_files": ", ".join(about.source_files),
        "processing": about.processing,
        "time_coverage_start": f"{first}Z",
        "time_coverage_end": f"{last}Z",
    }


def write_axes(
    image: NetcdfImage, latitude: NDArray[np.float64], longitude: NDArray[np.float64], date: dt.date
) -> None:
    """The coordinates of a grid, and the day as its time."""
    image.coordinate("lat", latitude, LATITUDE)
    image.coordinate("lon", longitude, LONGITUDE)
    image.small("time", (), np.int64(day_span(date)[0] // 1_000_000), {**TIME, "long_name": "Day"})


def placed(longitude: NDArray[np.floating[Any]], octant: Octant) -> NDArray[np.float64]:
    """Longitudes of any turn that are of an octant, as degrees within its edges."""
    turned = (longitude.astype(np.float64) - octant.west + 180.0) % 360.0 - 180.0
    return np.clip(octant.west + turned, octant.west, octant.east)


def day_span(date: dt.date) -> tuple[int, int]:
    """First and last second of a day, microseconds since 1970-01-01."""
    start = (date - dt.date(1970, 1, 1)).days * 86_400_000_000
    return start, start + 86_399_000_000


def span_of(first: np.datetime64, last: np.datetime64, date: dt.date) -> tuple[int, int]:
    """Two instants as microseconds since 1970-01-01; of the day where they are none."""
    if np.isnat(first) or np.isnat(last):
        return day_span(date)
    start, end = (int(moment.astype("datetime64[us]").astype(np.int64)) for moment in (first, last))
    return start, end


def seconds(instants: NDArray[np.datetime64]) -> NDArray[np.float64]:
    """Seconds since 1970-01-01, NaN where there is no time."""
    whole = instants.astype("datetime64[us]")
    return np.where(np.isnat(whole), np.nan, whole.astype(np.int64) / 1e6)
