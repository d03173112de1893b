"""Files of the regional form: one source, one region, one day, as CF NetCDF-4 that any reader opens.

Three kinds: fields on a grid; cells that points were counted in, sparse; points. They are put together in memory and
written whole under a temporary name, so that no part of one is ever seen, and the same input gives the same bytes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Literal, Self

import h5py
import numpy as np
from numpy.typing import NDArray

from oceanrecon.errors import OutputError
from oceanrecon.grid.octants import Octant
from oceanrecon.grid.regions import Box
from oceanrecon.stores.files import Root
from oceanrecon.stores.tile_about import (
    LATITUDE,
    LONGITUDE,
    TIME,
    About,
    StoredTile,
    global_attributes,
    placed,
    seconds,
    span_of,
    store,
    tile_path,
    write_axes,
)
from oceanrecon.stores.tile_cells import write_cells
from oceanrecon.stores.tile_form import NetcdfImage
from oceanrecon.transform.binning import extent_of
from oceanrecon.transform.day import GriddedDay, PointDay, Values
from oceanrecon.transform.packing import as_is, decoded, encode

__all__ = [
    "About", "StoredTile", "Tile", "TileKind", "open_tile", "tile_path", "write_cells", "write_gridded", "write_points",
]  # fmt: skip

TileKind = Literal["gridded", "cells", "points"]
_COORDINATES = ("lat", "lon", "time")
#: Attributes that say how numbers are stored, and those of HDF5 and netCDF themselves.
_STORAGE = frozenset(
    {"_FillValue", "scale_factor", "add_offset", "_Encoding", "coordinates", "CLASS", "NAME", "DIMENSION_LIST",
     "REFERENCE_LIST", "_Netcdf4Dimid", "_Netcdf4Coordinates", "_NCProperties"}
)  # fmt: skip


def write_gridded(
    root: Root, path: str, octant: Octant, day: GriddedDay, rows: slice, columns: NDArray[np.intp], about: About
) -> StoredTile:
    """Write the part of a day's fields that is in an octant; rows and columns rise in the file.

    Args:
        root: of the output.
        path: of the file below it.
        octant: whose rows and columns these are, as ``grid.octants.cut`` gives them.
        day: the fields.
        rows: of the source.
        columns: of the source, from west to east.
        about: for the attributes.

    Raises:
        OutputError: it cannot be written.
    """
    latitude = np.clip(day.latitude[rows], octant.south, octant.north)
    turn = -1 if latitude.size > 1 and latitude[0] > latitude[-1] else 1
    latitude = latitude[::turn]
    longitude = placed(day.longitude[columns], octant)
    spacing = (_step(latitude, day.latitude), _step(longitude, day.longitude))
    start, end = span_of(day.start, day.end, about.date)
    attributes = global_attributes(about, octant, (start, end)) | {"resolution_degrees": np.array(spacing)}
    across: Any = columns
    if np.array_equal(columns, np.arange(columns[0], columns[0] + columns.size)):
        across = slice(int(columns[0]), int(columns[0]) + columns.size)  # a view, not a copy
    there = np.zeros((latitude.size, longitude.size), bool)
    valid: dict[str, int] = {}
    with NetcdfImage(attributes) as image:
        write_axes(image, latitude, longitude, about.date)
        for name, values in day.values.items():
            part = replace(
                values, data=values.data[rows, across][::turn], attributes={**values.attributes, "coordinates": "time"}
            )
            valid |= _counted(name, part)
            if part.data.dtype.kind == "f":
                there |= np.isfinite(part.data)
            encoded = encode(part)
            image.dense(name, ("lat", "lon"), encoded.data, encoded.fill, encoded.attributes)
        data = image.finish()
    return store(
        root, path, data, octant,
        extent=_extent(there, latitude, longitude, spacing, octant),
        start=start,
        end=end,
        n_obs=int(np.count_nonzero(there)),
        valid=valid,
        spacing=spacing,
    )  # fmt: skip


def write_points(
    root: Root, path: str, octant: Octant, day: PointDay, points: NDArray[np.intp], about: About
) -> StoredTile:
    """Write the points of a day that are in an octant: numbers, flags and texts, each as it is.

    Args:
        root: of the output.
        path: of the file below it.
        octant: where the points are.
        day: all points.
        points: which of them: at least one.
        about: for the attributes.

    Raises:
        OutputError: it cannot be written.
    """
    latitude = day.latitude[points].astype(np.float64)
    longitude = placed(day.longitude[points], octant)
    instants = day.time[points].astype("datetime64[us]")
    # fmin and fmax pass over what is no time
    start, end = span_of(np.fmin.reduce(instants), np.fmax.reduce(instants), about.date)
    measured = np.zeros(points.size, bool)
    valid: dict[str, int] = {}
    nan = np.float64(np.nan)
    with NetcdfImage({**global_attributes(about, octant, (start, end)), "featureType": "point"}) as image:
        image.dimension("point", points.size)
        image.dense("time", ("point",), seconds(instants), nan, {**TIME, "_FillValue": nan})
        image.dense("lat", ("point",), latitude, nan, LATITUDE)
        image.dense("lon", ("point",), longitude, nan, LONGITUDE)
        for name, values in day.values.items():
            part = replace(
                values, data=values.data[points], attributes={**values.attributes, "coordinates": "time lat lon"}
            )
            if part.data.dtype.kind in "US":
                texts = np.char.encode(part.data, "utf-8") if part.data.dtype.kind == "U" else part.data
                valid[name] = int(np.count_nonzero(np.char.str_len(texts)))
                image.texts(name, "point", texts, part.attributes)
                continue
            if part.data.dtype.kind == "f":
                measured |= np.isfinite(part.data)
            if part.data.dtype.kind == "M":
                counting = {key: TIME[key] for key in ("units", "calendar")}
                part = replace(part, data=seconds(part.data), attributes={**part.attributes, **counting})
            valid |= _counted(name, part)
            encoded = as_is(part)
            image.dense(name, ("point",), encoded.data, encoded.fill, encoded.attributes)
        data = image.finish()
    return store(
        root, path, data, octant,
        extent=extent_of(latitude[measured], longitude[measured]),
        start=start,
        end=end,
        n_obs=int(points.size),
        valid=valid,
    )  # fmt: skip


def _counted(name: str, values: Values) -> dict[str, int]:
    """How many values a variable has; nothing of integers that do not say what is missing, as a mask has no gaps."""
    if values.data.dtype.kind == "f":
        return {name: int(np.count_nonzero(np.isfinite(values.data)))}
    return {} if values.missing is None else {name: int(np.count_nonzero(values.data != values.missing))}


def _step(axis: NDArray[np.float64], whole: NDArray[np.float64]) -> float:
    """Degrees from one place of an axis to the next; a part of one place has that of the whole."""
    used = axis if axis.size > 1 else whole
    return abs(float(used[-1] - used[0])) / (used.size - 1) if used.size > 1 else 0.0


def _extent(
    there: NDArray[np.bool_], latitude: NDArray[np.float64], longitude: NDArray[np.float64],
    spacing: tuple[float, float], octant: Octant,
) -> Box | None:  # fmt: skip
    """West, south, east, north of the cells that have values, within the octant."""
    rows, columns = np.flatnonzero(there.any(axis=1)), np.flatnonzero(there.any(axis=0))
    if not rows.size:
        return None
    down, across = spacing[0] / 2, spacing[1] / 2
    return (
        max(float(longitude[columns[0]]) - across, octant.west), max(float(latitude[rows[0]]) - down, octant.south),
        min(float(longitude[columns[-1]]) + across, octant.east), min(float(latitude[rows[-1]]) + down, octant.north),
    )  # fmt: skip


def open_tile(source: str | Path | BinaryIO) -> Tile:
    """Open a file of the regional form for reading, at a local path or as an open file; close it, or use ``with``.

    Raises:
        OutputError: it is not there, is damaged, or is no such file.
    """
    name = str(source) if isinstance(source, str | Path) else str(getattr(source, "name", "the file"))
    try:
        # locks fail on read-only network file systems, and no file is written where it is read
        file = h5py.File(source, "r", locking=False) if isinstance(source, str | Path) else h5py.File(source, "r")
    except FileNotFoundError as error:
        raise OutputError(f"{name} does not exist: run `oceanrecon regions format` again") from error
    except OSError as error:
        raise OutputError(f"{name} is damaged ({error}): remove it and format that day again") from error
    if not all(coordinate in file for coordinate in _COORDINATES):
        held = ", ".join(sorted(file)) or "nothing"
        file.close()
        raise OutputError(f"{name} is no file of a region: it has no {', '.join(_COORDINATES)}, but {held}")
    return Tile(file, name)


class Tile:
    """An open file of one source, region and day. All values are decoded: floats have NaN where they are missing."""

    def __init__(self, file: h5py.File, name: str) -> None:
        self._file, self._name = file, name

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Nothing can be read any more."""
        self._file.close()

    @property
    def kind(self) -> TileKind:
        """What is in it."""
        if "point" in self._file:
            return "points"
        return "cells" if "primary_track" in self._file else "gridded"

    @property
    def names(self) -> tuple[str, ...]:
        """Variables in the order of the file, without coordinates and what only some dimensions have: tracks."""
        plane = 1 if self.kind == "points" else 2
        return tuple(
            name for name, item in self._file.items()
            if name not in _COORDINATES and not item.is_scale and not name.startswith("track_") and item.ndim >= plane
        )  # fmt: skip

    @property
    def attributes(self) -> dict[str, Any]:
        """Of the file."""
        return {name: _plain(value) for name, value in self._file.attrs.items() if name not in _STORAGE}

    @property
    def latitude(self) -> NDArray[np.float64]:
        """Degrees: of rows, rising [row], or of points [point]."""
        return np.asarray(self._whole("lat"), np.float64)

    @property
    def longitude(self) -> NDArray[np.float64]:
        """Degrees: of columns, rising [column], or of points [point]."""
        return np.asarray(self._whole("lon"), np.float64)

    @property
    def time(self) -> NDArray[np.datetime64]:
        """UTC: the day, [], or of points, NaT where missing, [point]."""
        return _instants(self._whole("time"))

    @property
    def track_ids(self) -> tuple[str, ...]:
        """Files of the tracks of cells."""
        return tuple(self._texts("track_ids"))

    @property
    def track_platforms(self) -> tuple[str, ...]:
        """Platforms of the tracks of cells."""
        return tuple(self._texts("track_platforms"))

    @property
    def track_times(self) -> NDArray[np.datetime64]:
        """Mean times of the tracks of cells, NaT where not known: [track]."""
        return _instants(self._whole("track_times"))

    def attributes_of(self, name: str) -> dict[str, Any]:
        """CF attributes of a variable, of its decoded values."""
        return {key: _plain(value) for key, value in self._dataset(name).attrs.items() if key not in _STORAGE}

    def missing(self, name: str) -> int | None:
        """What is missing, of integers that say it."""
        dataset = self._dataset(name)
        if dataset.dtype.kind not in "iu" or "scale_factor" in dataset.attrs or "_FillValue" not in dataset.attrs:
            return None
        return int(_plain(dataset.attrs["_FillValue"]))

    def read(self, name: str, rows: slice = slice(None), columns: slice = slice(None)) -> NDArray[Any]:
        """Values of a variable: float32 (points: as stored) with NaN, integers with ``missing``, or texts.

        Args:
            name: one of ``names``.
            rows: of the grid, or points.
            columns: of the grid; points have none.

        Raises:
            OutputError: there is no such variable, or it is damaged.
        """
        dataset = self._dataset(name)
        if dataset.dtype.kind == "S":
            return np.array(self._texts(name, rows))
        index = (rows, columns)[: dataset.ndim]
        stored = self._read(dataset, index)
        if not {"scale_factor", "add_offset"} & set(dataset.attrs):
            return stored
        facts = {key: _plain(dataset.attrs[key]) for key in ("scale_factor", "add_offset", "_FillValue")
                 if key in dataset.attrs}  # fmt: skip
        return decoded(stored, facts.get("scale_factor", 1.0), facts.get("add_offset", 0.0), facts.get("_FillValue"))

    def parts(self, name: str) -> Iterator[tuple[slice, slice]]:
        """Rows and columns of a grid that are stored, chunk by chunk: there is nothing but the fill beside them."""
        dataset = self._dataset(name)
        height, width = dataset.chunks
        for number in range(dataset.id.get_num_chunks()):
            row, column = dataset.id.get_chunk_info(number).chunk_offset
            yield slice(row, row + height), slice(column, column + width)

    def _dataset(self, name: str) -> Any:
        if name not in self._file:
            raise OutputError(f"{self._name} has no variable {name!r}: it has {', '.join(self.names)}")
        return self._file[name]

    def _read(self, dataset: Any, index: tuple[slice, ...]) -> NDArray[Any]:
        try:
            return np.asarray(dataset[index])
        except (OSError, RuntimeError) as error:
            raise OutputError(
                f"{self._name}: variable {dataset.name.lstrip('/')} is damaged ({error}): remove the file and format "
                "that day again"
            ) from error

    def _whole(self, name: str) -> NDArray[Any]:
        return self._read(self._dataset(name), ())

    def _texts(self, name: str, rows: slice = slice(None)) -> list[str]:
        dataset = self._dataset(name)
        stored = np.ascontiguousarray(self._read(dataset, (rows,)))
        return [text.decode("utf-8", "replace") for text in stored.view(f"S{stored.shape[1]}")[:, 0].tolist()]


def _instants(stored: NDArray[Any]) -> NDArray[np.datetime64]:
    known = np.isfinite(stored)
    micro = np.rint(np.where(known, stored, 0).astype(np.float64) * 1e6).astype(np.int64).astype("datetime64[us]")
    return np.where(known, micro, np.datetime64("NaT", "us"))


def _plain(value: Any) -> Any:
    """An attribute as text, number or array."""
    if isinstance(value, np.ndarray) and value.size == 1:
        value = value.reshape(-1)[0]
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace").rstrip("\0")
    return value.item() if isinstance(value, np.generic) else value
