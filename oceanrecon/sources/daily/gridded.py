"""Reads a day of fields out of a NetCDF-4 file: physical values in the units that we deliver, and integers as they are.

What a variable is follows from how it is stored and what the file says of it, never from its name: integers that are
not packed stand for themselves (flags, counts, masks); everything else is measured, with NaN where it is missing.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from oceanrecon.errors import SourceError
from oceanrecon.sources.daily.fills import default_fill, fills_of_type
from oceanrecon.sources.daily.source import RawFile
from oceanrecon.sources.hdf import StoredVariable, open_hdf
from oceanrecon.sources.header import variable_header
from oceanrecon.sources.netcdf import naming
from oceanrecon.sources.product import Product, ProductVariable
from oceanrecon.sources.unpack import unpacking_of
from oceanrecon.transform.compiled import Array, compiled
from oceanrecon.transform.day import GriddedDay, Values
from oceanrecon.transform.packing import packing_of
from oceanrecon.transform.regrid import Unpacking, stored_bounds

#: What the dimensions of all products are called.
_FORM = Product(name="daily", title="", dataset="", variables=(), file_names=(), windowed=False)
_ROLE = {name: role for role, names in _FORM.dimensions.items() for name in names}
#: Attributes that say what values are, not how they are stored.
_KEPT = ("standard_name", "long_name", "units", "comment", "flag_values", "flag_masks", "flag_meanings")
#: Values that are kept of what is packed into 16 bits, by units: wider than the packing, so that what does not fit is
#: stored as it is, and narrower than the fills that files forget to declare.
_KEPT_RANGES = {
    "m": (-100.0, 100.0), "m s-1": (-100.0, 100.0), "degree_Celsius": (-100.0, 100.0), "PSU": (-50.0, 150.0)
}  # fmt: skip
#: Columns less than this part of their spacing apart are one.
_FUZZ = 1e-3
#: A level further than this from the depth that is wanted is another one, m.
_NEAR = 2.0


@dataclass(frozen=True)
class Taken:
    """A variable of a file with levels, and under which name it is taken."""

    variable: ProductVariable
    name: str
    #: metres: of the level that is taken, as near as the file has it; ``None``: the uppermost
    depth: float | None = None


class GridFile:
    """An open file of fields of one day."""

    def __init__(self, opened: h5py.File) -> None:
        """Of a file with a grid.

        Raises:
            SourceError: it has none, or several times.
        """
        self._file = opened
        roles = {name: _roles(opened, item) for name, item in opened.items() if isinstance(item, h5py.Dataset)}
        #: dimensions by role, of variables that have a place
        self._fields = {name: found for name, found in roles.items() if {"latitude", "longitude"} <= set(found)}
        if not self._fields:
            raise SourceError("no variable with latitudes and longitudes: download the file again")
        first = next(iter(self._fields.values()))
        self.latitude = self._axis(first["latitude"], 90.01)
        every = self._axis(first["longitude"], 540.0)
        self._columns = every.size
        #: a column that is there again after a whole turn, such as 180 beside -180, is there once
        self.longitude = every[: _of_one_turn(every)]
        #: values that were left out as no ocean has them, of what was read: by variable
        self.implausible: dict[str, int] = {}
        depths = {found["depth"] for found in self._fields.values() if "depth" in found}
        #: metres, none for files without levels: [level]
        self.depth: NDArray[np.float64] = self._numbers(min(depths)) if depths else np.empty(0)
        times = {self._file[found["time"]].shape[0] for found in self._fields.values() if "time" in found}
        if times - {1}:
            raise SourceError(
                f"it has {max(times)} times: one day a file is expected, as the provider's own files have"
            )

    @property
    def names(self) -> tuple[str, ...]:
        """Variables that have a place, in the order of the file."""
        return tuple(self._fields)

    def require(self, names: Sequence[str]) -> None:
        """Refuse a file that has none of the variables ``names``.

        Raises:
            SourceError: says what it has.
        """
        if not set(names) & set(self._fields):
            raise SourceError(
                f"missing variable {' or '.join(names)}: it has {', '.join(self._fields)}; download the file again"
            )

    def is_whole(self, name: str) -> bool:
        """Whether a variable holds integers that stand for themselves."""
        dataset = self._file[name]
        scale, offset = (_attribute(dataset, key, plain) for key, plain in (("scale_factor", 1), ("add_offset", 0)))
        return dataset.dtype.kind in "iu" and scale == 1 and offset == 0

    def integers(self, name: str) -> Values:
        """A variable as it is stored: [row, column]."""
        stored = self._stored(name, 0)
        declared = [_attribute(self._file[name], key, None) for key in ("_FillValue", "missing_value")]
        fills = fills_of_type([fill for fill in declared if fill is not None], stored.dtype)
        for other in fills[1:]:
            stored[stored == other] = fills[0]
        return Values(stored, self._described(name), int(fills[0]) if fills else None)

    def measured(self, variable: ProductVariable, depth: float | None = None) -> Values:
        """A variable in our units, float32, NaN where it is missing or not plausible: [row, column].

        What is not plausible is counted in ``implausible``.

        Raises:
            SourceError: it is damaged, in other units, or has no level near ``depth``.
        """
        level = 0
        if depth is not None:
            level = int(np.argmin(np.abs(self.depth - depth)))
            if abs(self.depth[level] - depth) > _NEAR:
                raise SourceError(f"no level within {_NEAR:g} m of {depth:g} m: download the file with all its levels")
        about = {}
        if "depth" in self._fields[variable.name]:
            about = {"depth": self.depth[level]}
        header = variable_header(self._file, variable.name, _FORM)
        stored = self._stored(variable.name, level)
        unpacking, notes = unpacking_of(replace(variable, plausible=_kept_range(variable)), header, lambda: stored)
        default = default_fill(stored.dtype)
        if not unpacking.fills and default is not None:
            unpacking = replace(unpacking, fills=(float(default),))
        names = {"standard_name": variable.standard_name, "long_name": variable.long_name, "units": variable.units}
        own = {key: value for key, value in names.items() if value}
        comment = {"comment": "; ".join(notes)} if notes else {}
        data, implausible = _unpacked(stored, unpacking)
        if implausible:
            self.implausible[variable.name] = self.implausible.get(variable.name, 0) + implausible
        return Values(data, {**own, **comment, **about})

    def stated(self, name: str) -> Values:
        """A variable in the units of the file, float32, or float64 of instants: [row, column]."""
        header = variable_header(self._file, name, _FORM)
        fills = tuple(float(fill) for fill in (header.fill_value, header.missing_value) if fill is not None)
        unpacking = Unpacking(
            1.0 if header.scale_factor is None else header.scale_factor,
            0.0 if header.add_offset is None else header.add_offset,
            fills=fills,
        )
        kind = np.float64 if " since " in (header.units or "") else np.float32
        return Values(_unpacked(self._stored(name, 0), unpacking, kind)[0], self._described(name))

    def has_level(self, depth: float) -> bool:
        """Whether a level is near a depth, m."""
        return bool(self.depth.size and np.abs(self.depth - depth).min() <= _NEAR)

    def _described(self, name: str) -> dict[str, Any]:
        found = {key: _attribute(self._file[name], key, None) for key in _KEPT}
        return {key: value for key, value in found.items() if value is not None}

    def _stored(self, name: str, level: int) -> NDArray[Any]:
        dataset, roles = self._file[name], tuple(self._fields[name])
        shape = dict(zip(roles, dataset.shape, strict=True))
        if (shape["latitude"], shape["longitude"]) != (self.latitude.size, self._columns):
            raise SourceError(
                f"variable {name} has the shape {dataset.shape}, and the grid has {self.latitude.size} rows and "
                f"{self._columns} columns: download the file again"
            )
        at: dict[str, int | slice] = {"time": 0, "depth": level, "latitude": slice(None), "longitude": slice(None)}
        stored = StoredVariable(dataset).read(tuple(at[role] for role in roles))
        plane = stored.reshape(shape["latitude"], shape["longitude"])[:, : self.longitude.size]
        return np.ascontiguousarray(plane).astype(stored.dtype.newbyteorder("="), copy=False)

    def _axis(self, name: str, furthest: float) -> NDArray[np.float64]:
        values = self._numbers(name)
        steps = np.diff(values)
        good = np.isfinite(values).all() and bool(np.abs(values).max() <= furthest)
        if not good or not ((steps > 0).all() or (steps < 0).all()):
            raise SourceError(
                f"not a regular grid in degrees: {name}, from {values[0]:g} to {values[-1]:g}, neither rises nor falls "
                "all the way; download the file again"
            )
        return values

    def _numbers(self, name: str) -> NDArray[np.float64]:
        dataset = self._file[name]
        if dataset.ndim != 1 or dataset.size == 0 or dataset.dtype.kind not in "iuf":
            raise SourceError(f"{name} is no axis: it is {dataset.dtype} of the shape {dataset.shape}")
        scale, offset = _attribute(dataset, "scale_factor", 1.0), _attribute(dataset, "add_offset", 0.0)
        stored = dataset[...]
        if stored.dtype.kind == "f" and stored.dtype.itemsize < 8:
            # the shortest decimals that are these numbers: 0.025, not 0.02500000037
            stored = stored.astype("U32")
        return np.asarray(stored.astype(np.float64) * float(scale) + float(offset))


@contextmanager
def open_grid(url: str) -> Iterator[GridFile]:
    """Open a file of fields, a path or an fsspec URL; whatever goes wrong within names it.

    Raises:
        SourceError: it cannot be read, or is not what it should be.
    """
    with naming(url), open_hdf(url) as opened:
        yield GridFile(opened)


def only(files: Sequence[RawFile]) -> RawFile:
    """The file of a day, of sources that have one.

    Raises:
        SourceError: there are several.
    """
    if len(files) != 1:
        raise SourceError(f"{len(files)} files of one day: {', '.join(file.name for file in files)}; keep one of them")
    return files[0]


def whole_day(file: GridFile, values: Mapping[str, Values], day: dt.date) -> GriddedDay:
    """Fields of a file that are of a day as a whole."""
    start = np.datetime64(day, "us")
    end = start + np.timedelta64(86_399, "s")
    return GriddedDay(file.latitude, file.longitude, values, start, end, file.implausible)


def reader(
    known: Sequence[ProductVariable], required: Sequence[str]
) -> Callable[[Sequence[RawFile], dt.date], GriddedDay]:  # fmt: skip
    """What reads all fields of the file of a day.

    Args:
        known: variables that are delivered in our units; others keep those of the file.
        required: variables of which a file of these has one at least.
    """
    by_name = {variable.name: variable for variable in known}

    def read(files: Sequence[RawFile], day: dt.date) -> GriddedDay:
        with open_grid(only(files).url) as file:
            file.require(required)
            values = {}
            for name in file.names:
                if file.is_whole(name):
                    values[name] = file.integers(name)
                elif name in by_name:
                    values[name] = file.measured(by_name[name])
                else:
                    values[name] = file.stated(name)
            return whole_day(file, values, day)

    return read


def level_reader(taken: Sequence[Taken], required: Sequence[str]) -> Callable[[Sequence[RawFile], dt.date], GriddedDay]:
    """What reads some variables at some levels of the file of a day; those that the file has not are left out.

    Args:
        taken: what is read.
        required: variables of which a file of these has one at least.
    """

    def read(files: Sequence[RawFile], day: dt.date) -> GriddedDay:
        with open_grid(only(files).url) as file:
            file.require(required)
            values = {
                item.name: file.measured(item.variable, item.depth)
                for item in taken
                if item.variable.name in file.names and (item.depth is None or file.has_level(item.depth))
            }
            return whole_day(file, values, day)

    return read


def _roles(opened: h5py.File, dataset: h5py.Dataset) -> dict[str, str]:
    """Names of the dimensions of a variable by role, in its order; empty where one has none, or there are no names."""
    if "DIMENSION_LIST" not in dataset.attrs:
        return {}
    names = [h5py.h5r.get_name(scales[0], opened.id).decode().lstrip("/") for scales in dataset.attrs["DIMENSION_LIST"]]
    found = {_ROLE[name]: name for name in names if name in _ROLE}
    return found if len(found) == len(names) else {}


def _attribute(dataset: h5py.Dataset, name: str, otherwise: Any) -> Any:
    """An attribute as a text, a number, or an array where it has several."""
    value = dataset.attrs.get(name, otherwise)
    if isinstance(value, h5py.Empty):
        return otherwise
    if isinstance(value, np.ndarray):
        if value.size != 1:
            return value if value.size else otherwise
        value = value.reshape(-1)[0]
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace").rstrip("\0")
    return value.item() if isinstance(value, np.generic) else value


def _of_one_turn(longitude: NDArray[np.float64]) -> int:
    """How many of the first columns are less than a whole turn from the first one."""
    if longitude.size < 2:
        return longitude.size
    spacing = float(np.median(np.abs(np.diff(longitude))))
    return int(np.count_nonzero(np.abs(longitude - longitude[0]) < 360.0 - _FUZZ * spacing))


def _kept_range(variable: ProductVariable) -> tuple[float, float]:
    """Values of a variable that are kept, in our units."""
    if packing_of({"standard_name": variable.standard_name, "units": variable.units}) is None:
        return variable.plausible
    return _KEPT_RANGES[variable.units]


def _unpacked(
    stored: NDArray[Any], unpacking: Unpacking, kind: type[np.floating[Any]] = np.float32
) -> tuple[NDArray[np.floating[Any]], int]:
    """Values of stored numbers, NaN where there is none, and how many are none as they are not plausible."""
    low, high, first, second = stored_bounds(stored.dtype, unpacking)
    out = np.empty(stored.shape, kind)
    flat = stored.reshape(-1), unpacking.scale, unpacking.offset, low, high, first, second, out.reshape(-1)
    return out, int(_unpack(*flat))


@compiled
def _unpack(
    stored: Array, scale: float, offset: float, low: Any, high: Any, first: Any, second: Any, out: Array
) -> int:
    excluded = 0
    for index in range(stored.size):
        value = stored[index]
        out[index] = np.nan
        if value == first or value == second or np.isnan(value):
            continue
        if value >= low and value <= high:
            out[index] = value * scale + offset
        else:
            excluded += 1
    return excluded
