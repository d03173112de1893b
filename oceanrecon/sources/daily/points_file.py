"""Reads variables of points out of a NetCDF-4 file: numbers in the units that we deliver, times, texts, integers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import cftime
import h5py
import numpy as np
from numpy.typing import NDArray

from oceanrecon.errors import SourceError
from oceanrecon.sources.daily.fills import default_fill, fills_of_type
from oceanrecon.sources.hdf import StoredVariable, open_hdf
from oceanrecon.sources.netcdf import naming
from oceanrecon.transform.day import Values

#: From here on a number of a measurement is a fill, declared or not: 99999, 214748.3647, 9.97e36.
_FILL = 99990.0
#: Longitudes may be of any of two turns: -999.999, which is written for no place, is of none.
_FURTHEST = 540.0
#: Microseconds of the units of time.
_MICROSECONDS = {
    "microsecond": 1, "millisecond": 1_000, "second": 1_000_000, "sec": 1_000_000, "s": 1_000_000,
    "minute": 60_000_000, "hour": 3_600_000_000, "day": 86_400_000_000,
}  # fmt: skip
#: Attributes that say what is missing, the one that counts first.
_FILLS = ("_FillValue", "missing_value")
#: Attributes that say what values are, not how they are stored.
_KEPT = ("standard_name", "long_name", "units", "comment", "flag_values", "flag_meanings", "flag_masks", "conventions")
_CALENDARS = ("standard", "gregorian", "proleptic_gregorian")


class PointsFile:
    """An open file of points."""

    def __init__(self, opened: h5py.File) -> None:
        self._file = opened

    def __contains__(self, name: str) -> bool:
        item = self._file.get(name)
        return isinstance(item, h5py.Dataset) and not _is_bare(item)

    @property
    def attributes(self) -> dict[str, Any]:
        """Of the file."""
        return _attributes(self._file)

    @property
    def names(self) -> list[str]:
        """Of all variables; dimensions without coordinates are none."""
        return [name for name in self._file if name in self]

    def shape(self, name: str) -> tuple[int, ...]:
        """Of a variable; of texts, without the dimension that counts characters."""
        dataset = self._dataset(name)
        return tuple(dataset.shape[:-1] if dataset.dtype.kind == "S" and dataset.ndim > 1 else dataset.shape)

    def described(self, name: str) -> dict[str, Any]:
        """Attributes of a variable that say what its values are."""
        found = _attributes(self._dataset(name))
        return {key: found[key] for key in _KEPT if key in found}

    def numbers(self, name: str, units: Mapping[str, tuple[float, float]] | None = None) -> NDArray[np.float64]:
        """Values of a variable, NaN where missing: float64, of its shape.

        Missing is what the variable declares so, or netCDF does, what is not finite, and 99990 or more either way.

        Args:
            name: of the variable.
            units: accepted spellings of its units, as factor and offset to ours; ``None``: as they are.

        Raises:
            SourceError: there are no numbers, they are damaged, or in other units.
        """
        stored, missing = self._stored(name, "iuf")
        values = self._unpacked(name, stored)
        stated = str(_attributes(self._dataset(name)).get("units", ""))
        if units is not None and stated:
            if stated not in units:
                raise SourceError(f"{name} is in {stated!r}; accepted units are {', '.join(map(repr, units))}")
            factor, shift = units[stated]
            if (factor, shift) != (1.0, 0.0):
                values = values * factor + shift
        missing |= ~(np.abs(values) < _FILL)
        values[missing] = np.nan
        return values

    def measured(self, name: str, units: Mapping[str, tuple[float, float]], ours: str) -> Values:
        """A variable as float32 in our units, with what it says of itself."""
        with np.errstate(over="ignore"):
            data = self.numbers(name, units).astype(np.float32)
        return Values(data, {**self.described(name), "units": ours})

    def integers(self, name: str) -> Values:
        """Flags and counts as they are stored, and what is missing among them."""
        stored, missing = self._stored(name, "iu")
        stated = _attributes(self._dataset(name))
        fills = fills_of_type([stated[key] for key in _FILLS if key in stated], stored.dtype)
        if missing.any() and not fills:
            fills = [default_fill(stored.dtype)]
        fill = next(iter(fills), None)
        if fill is not None:
            stored[missing] = fill
        return Values(stored, self.described(name), None if fill is None else int(fill))

    def texts(self, name: str) -> Values:
        """Texts without the blanks around them, a fixed number of bytes each: bytes [row]."""
        dataset = self._dataset(name)
        with _reading(name):
            stored = dataset[...]
        if stored.dtype.kind == "S" and stored.ndim > 1:
            stored = np.ascontiguousarray(stored).view(f"S{stored.dtype.itemsize * stored.shape[-1]}")[..., 0]
        listed = [text if isinstance(text, bytes) else str(text).encode() for text in stored.ravel().tolist()]
        stripped = [text.strip(b" \0") for text in listed]
        longest = max((len(text) for text in stripped), default=0)
        return Values(np.array(stripped, f"S{max(longest, 1)}").reshape(stored.shape), self.described(name))

    def is_text(self, name: str) -> bool:
        """Whether a variable holds texts."""
        return self._dataset(name).dtype.kind in "SO"

    def is_whole(self, name: str) -> bool:
        """Whether a variable holds integers that stand for themselves, such as flags and numbers of cycles."""
        return self._dataset(name).dtype.kind in "iu" and self._is_plain(name)

    def times(self, name: str) -> NDArray[np.datetime64]:
        """A variable that counts time since a date: datetime64[us] of its shape, NaT where missing.

        Raises:
            SourceError: its units are none of time, or its calendar is not the real one.
        """
        stored, missing = self._stored(name, "iuf")
        stated = _attributes(self._dataset(name))
        units, calendar = str(stated.get("units", "")), str(stated.get("calendar", "standard")).lower()
        word = units.split(" since ")[0].strip().lower()
        micro = _MICROSECONDS.get(word, _MICROSECONDS.get(word.removesuffix("s"), 0))
        nano = word.removesuffix("s") == "nanosecond"
        if " since " not in units or not (micro or nano) or calendar not in _CALENDARS:
            raise SourceError(
                f"variable {name} has the units {units!r} and the calendar {calendar!r}: times are in days, hours, "
                "minutes, seconds or parts of them since a date of the standard calendar; download the file again"
            )
        try:
            epoch = np.datetime64(cftime.num2pydate(0, f"days since {units.split(' since ')[1]}", "standard"), "us")
        except ValueError as error:
            raise SourceError(f"variable {name} has the units {units!r}: {error}; download the file again") from error
        if not self._is_plain(name):
            stored = self._unpacked(name, stored)
        if stored.dtype.kind == "f":
            passed = np.where(missing, 0.0, stored.astype(np.float64)) * (1e-3 if nano else micro)
            missing |= np.abs(passed) > 2.0**62
            since = np.rint(np.where(missing, 0.0, passed)).astype(np.int64)
        else:
            whole = np.where(missing, 0, stored).astype(np.int64)
            since = whole // 1000 if nano else whole * micro
        found = epoch + since.astype("m8[us]")
        found[missing] = np.datetime64("NaT")
        return np.asarray(found)

    def positions(self, latitude: str, longitude: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Latitudes and longitudes, degrees; both NaN where either is impossible."""
        self.check_shape((longitude,), self.shape(latitude))
        north, east = self.numbers(latitude), self.numbers(longitude)
        nowhere = ~((np.abs(north) <= 90.0) & (np.abs(east) <= _FURTHEST))
        north[nowhere] = east[nowhere] = np.nan
        return north, east

    def require(self, names: tuple[str, ...], kind: str) -> None:
        """Refuse a file that lacks one of the variables ``names``.

        Raises:
            SourceError: names what is missing.
        """
        missing = [name for name in names if name not in self]
        if missing:
            raise SourceError(
                f"missing variable {', '.join(missing)}, which every {kind} has: download the file again, or take it "
                "out of the folder"
            )

    def check_shape(self, names: Iterable[str], shape: tuple[int, ...]) -> None:
        """Refuse a file whose variables ``names`` do not have this shape.

        Raises:
            SourceError: names the variable and both shapes.
        """
        for name in names:
            if self.shape(name) != shape:
                raise SourceError(
                    f"variable {name} has the shape {self.shape(name)} instead of {shape}: download the file again"
                )

    def _dataset(self, name: str) -> h5py.Dataset:
        return self._file[name]

    def _is_plain(self, name: str) -> bool:
        """Whether the numbers of a variable are its values."""
        return not {"scale_factor", "add_offset"} & set(self._dataset(name).attrs)

    def _unpacked(self, name: str, stored: NDArray[Any]) -> NDArray[np.float64]:
        """Values of stored numbers in the units of the file."""
        packing, values = _attributes(self._dataset(name)), stored.astype(np.float64)
        scale, offset = float(packing.get("scale_factor", 1.0)), float(packing.get("add_offset", 0.0))
        if scale != 1.0:
            values *= scale
        if offset != 0.0:
            values += offset
        return values

    def _stored(self, name: str, kinds: str) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        """The numbers as they are stored, and which of them are missing."""
        dataset = self._dataset(name)
        if dataset.dtype.kind not in kinds:
            raise SourceError(f"variable {name} holds {dataset.dtype} instead of numbers: download the file again")
        if 0 in dataset.shape:
            return np.empty(dataset.shape, dataset.dtype), np.zeros(dataset.shape, np.bool_)
        stored = StoredVariable(dataset).read(tuple(slice(0, size) for size in dataset.shape))
        stated = _attributes(dataset)
        fills = [stated[key] for key in _FILLS if key in stated]
        default = default_fill(stored.dtype)
        if "_FillValue" not in stated and default is not None:
            fills.append(default)
        missing = ~np.isfinite(stored) if stored.dtype.kind == "f" else np.zeros(stored.shape, np.bool_)
        for fill in fills_of_type(fills, stored.dtype):
            missing |= stored == fill
        return stored, missing


@contextmanager
def open_points(url: str) -> Iterator[PointsFile]:
    """Open a file of points, a path or an fsspec URL; whatever goes wrong within names it.

    Raises:
        SourceError: it cannot be read, or is not what it should be.
    """
    with naming(url), open_hdf(url) as opened:
        yield PointsFile(opened)


@contextmanager
def _reading(name: str) -> Iterator[None]:
    try:
        yield
    except (OSError, RuntimeError, ValueError) as error:
        raise SourceError(f"variable {name} is damaged ({error}): download the file again") from error


def _is_bare(dataset: h5py.Dataset) -> bool:
    """Whether it only stands for a dimension."""
    return str(_attributes(dataset).get("NAME", "")).startswith("This is a netCDF dimension but not a netCDF variable")


def _attributes(item: Any) -> dict[str, Any]:
    """As texts, and numbers where there is one of them."""
    return {name: _plain(item.attrs[name]) for name in item.attrs if name not in ("DIMENSION_LIST", "REFERENCE_LIST")}


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray) and value.shape == (1,):
        value = value[0]
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace").rstrip("\0")
    return value
