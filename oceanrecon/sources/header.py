"""What one NetCDF-4 file says about itself: axes, times and how each variable is packed; no field is read."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import cftime
import h5py
import numpy as np
from numpy.typing import NDArray

from oceanrecon.errors import SourceError
from oceanrecon.grid.axis import Axis
from oceanrecon.sources.hdf import open_hdf
from oceanrecon.sources.product import METRES, Product

#: How netCDF marks a dimension that has no coordinate variable.
_BARE_DIMENSION = "This is a netCDF dimension but not a netCDF variable"
#: Order of dimensions that the readers rely on.
_ORDER = ("time", "depth", "latitude", "longitude")
#: Times in float32 are off by minutes; midnight must not fall into the day before.
_TIME_ROUNDING = dt.timedelta(minutes=10)


@dataclass(frozen=True)
class VariableHeader:
    """How a variable is stored; ``value = stored * scale_factor + add_offset`` in ``units``."""

    #: numpy type string with byte order, such as ``<i2``
    dtype: str
    scale_factor: float | None
    add_offset: float | None
    #: stored value that means missing; ``None`` when none is declared or when it is NaN
    fill_value: float | int | None
    #: a second stored value that means missing, where one is declared
    missing_value: float | int | None
    units: str | None
    #: ``None``: contiguous
    chunks: tuple[int, ...] | None
    shape: tuple[int, ...]
    #: the names we use: a subset of time, depth, latitude, longitude, in that order
    dimensions: tuple[str, ...]
    #: HDF5 filter numbers in the order of writing: 1 deflate, 2 shuffle, 3 fletcher32, ...
    filters: tuple[int, ...]

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


@dataclass(frozen=True)
class Header:
    """The header of one file, as far as a product needs it."""

    latitude: Axis
    longitude: Axis
    #: metres, ascending; empty for products without levels
    depth: tuple[float, ...]
    #: one per time index; ``None`` where the value is missing
    times: tuple[dt.datetime | None, ...]
    #: why ``times`` cannot be used; empty when they can
    no_times: str
    variables: Mapping[str, VariableHeader]
    #: what is unusual and does not exclude the file
    notes: tuple[str, ...]


def read_header(url: str, product: Product, size: int | None = None) -> Header:
    """The header of a file at a path or an fsspec URL; ``size``: its bytes, where they are known.

    Raises:
        SourceError: the file cannot be read or does not hold what the product promises; the message is the problem.
    """
    try:
        with open_hdf(url, size) as opened:
            return _header(opened, product)
    except SourceError:
        raise
    except Exception as error:  # a damaged header makes h5py raise nearly anything, and a bad file never stops a scan
        raise SourceError(f"unreadable: {type(error).__name__}: {error}") from error


def _header(opened: Any, product: Product) -> Header:
    notes: list[str] = []
    present = [variable for variable in product.variables if variable.name in opened]
    if not present:
        held = ", ".join(sorted(opened)) or "nothing"
        wanted = ", ".join(variable.name for variable in product.variables)
        raise SourceError(f"missing variable: none of {wanted}; the file holds {held}")
    latitude = _axis(opened, product, "latitude")
    longitude = _axis(opened, product, "longitude")
    if max(abs(latitude.values[[0, -1]])) > 90.01 or max(abs(longitude.values[[0, -1]])) > 540.0:
        raise SourceError(
            f"not a regular grid in degrees: latitudes {latitude.values[0]:g}..{latitude.values[-1]:g}, "
            f"longitudes {longitude.values[0]:g}..{longitude.values[-1]:g}"
        )
    depth = _depth(opened, product) if any(variable.levels for variable in product.variables) else ()
    variables: dict[str, VariableHeader] = {}
    for variable in present:
        header = variable_header(opened, variable.name, product)
        if header.fill_value is None and _number(opened[variable.name], "_FillValue") is None:
            notes.append(
                f"{variable.name} declares no _FillValue: values outside the plausible range are taken as missing"
            )
        sizes = dict(zip(header.dimensions, header.shape, strict=True))
        expected = {"latitude": latitude.size, "longitude": longitude.size}
        if variable.levels:
            expected["depth"] = len(depth)
        elif "depth" in sizes:
            expected["depth"] = 1
        if {name: size for name, size in sizes.items() if name != "time"} != expected:
            raise SourceError(f"variable {variable.name} has the dimensions {sizes}: expected are {expected}")
        if header.units is None:
            notes.append(f"{variable.name} has no units: they are decided from its values")
        elif header.units not in variable.conversions:
            raise SourceError(
                f"unknown units {header.units!r} of {variable.name}: accepted are {', '.join(variable.conversions)}"
            )
        variables[variable.name] = header
    counts = {dict(zip(item.dimensions, item.shape, strict=True)).get("time", 1) for item in variables.values()}
    if len(counts) > 1:
        raise SourceError(f"the variables have different numbers of times: {sorted(counts)}")
    times, no_times = _times(opened, product, counts.pop())
    return Header(latitude, longitude, depth, times, no_times, variables, tuple(notes))


def _coordinate(opened: Any, product: Product, role: str) -> Any:
    """The coordinate variable of a role (time, depth, latitude, longitude), or ``None``."""
    for name in product.dimensions[role]:
        if name in opened and not _text(opened[name], "NAME").startswith(_BARE_DIMENSION):
            return opened[name]
    return None


def _axis(opened: Any, product: Product, role: str) -> Axis:
    found = _coordinate(opened, product, role)
    if found is None:
        raise SourceError(f"not a regular grid: no {role} coordinate called {', '.join(product.dimensions[role])}")
    if found.ndim != 1:
        raise SourceError(f"not a regular grid: {role} has {found.ndim} dimensions; regrid it to one-dimensional axes")
    try:
        return Axis.from_values(_values(found), longitude=role == "longitude")
    except ValueError as error:
        raise SourceError(f"not a regular grid: {role}: {error}") from error


def _depth(opened: Any, product: Product) -> tuple[float, ...]:
    found = _coordinate(opened, product, "depth")
    if found is None or found.ndim != 1:
        raise SourceError(f"no one-dimensional depth coordinate called {', '.join(product.dimensions['depth'])}")
    units = _text(found, "units")
    if units and METRES.get(units, (0.0, 0.0))[0] != 1.0:
        raise SourceError(f"depth axis: units {units!r}: accepted is m")
    values = _values(found)
    if not np.isfinite(values).all() or values.min() < 0 or (np.diff(values) <= 0).any():
        raise SourceError(
            f"depth axis: {values[0]:g}..{values[-1]:g} is not positive and ascending; "
            "turn it round, with `ncpdq -a -depth` or xarray's sortby, and make it positive downwards"
        )
    # str of a float32 is its shortest decimal: 0.494025, not 0.49402499198913574.
    return tuple(float(str(value)) for value in values)


def variable_header(opened: Any, name: str, product: Product) -> VariableHeader:
    """How a variable of an open file is stored.

    Raises:
        SourceError: it is not numeric, or its dimensions are not the product's.
    """
    dataset = opened[name]
    if dataset.dtype.kind not in "iuf":
        raise SourceError(f"variable {name} is of type {dataset.dtype}: expected are numbers")
    declared = [_number(dataset, "_FillValue"), _number(dataset, "missing_value")]
    fills = list(dict.fromkeys(fill for fill in declared if fill is not None and not np.isnan(fill)))
    pipeline = dataset.id.get_create_plist()
    return VariableHeader(
        dtype=dataset.dtype.str,
        scale_factor=_optional_float(_number(dataset, "scale_factor")),
        add_offset=_optional_float(_number(dataset, "add_offset")),
        fill_value=fills[0] if fills else None,
        missing_value=fills[1] if len(fills) > 1 else None,
        units=_text(dataset, "units") or None,
        chunks=dataset.chunks,
        shape=dataset.shape,
        dimensions=_dimensions(opened, dataset, name, product),
        filters=tuple(pipeline.get_filter(number)[0] for number in range(pipeline.get_nfilters())),
    )


def _dimensions(opened: Any, dataset: Any, name: str, product: Product) -> tuple[str, ...]:
    if "DIMENSION_LIST" not in dataset.attrs:
        raise SourceError(f"variable {name} has no named dimensions: write the file with a NetCDF-4 library")
    stored = [
        h5py.h5r.get_name(scales[0], opened.id).decode().lstrip("/") for scales in dataset.attrs["DIMENSION_LIST"]
    ]
    roles = []
    for dimension in stored:
        role = next((role for role, names in product.dimensions.items() if dimension in names), None)
        if role is None:
            known = ", ".join(alias for names in product.dimensions.values() for alias in names)
            raise SourceError(f"variable {name} has the dimension {dimension!r}: known are {known}")
        roles.append(role)
    if roles != [role for role in _ORDER if role in roles]:
        raise SourceError(f"variable {name} has its dimensions in the order {stored}: expected is {list(_ORDER)}")
    return tuple(roles)


def _times(opened: Any, product: Product, count: int) -> tuple[tuple[dt.datetime | None, ...], str]:
    """Times per time index, and why they cannot be used (empty when they can)."""
    nothing: tuple[dt.datetime | None, ...] = (None,) * count
    found = _coordinate(opened, product, "time")
    if found is None:
        return nothing, "no time coordinate"
    if found.size != count:
        return nothing, f"the time coordinate has {found.size} values for {count} times"
    units = _text(found, "units")
    if not units:
        return nothing, "the time coordinate has no units"
    stored = np.asarray(found[()], dtype=np.float64).reshape(-1)
    fill = _number(found, "_FillValue")
    missing = ~np.isfinite(stored) | (np.abs(stored) > 1e15)
    if fill is not None:
        missing |= stored == fill
    try:
        # CF spells calendars in any case ("Gregorian" in GHRSST files).
        decoded = cftime.num2date(
            np.where(missing, 0.0, _values(found).reshape(-1)), units, (_text(found, "calendar") or "standard").lower()
        )
        times = tuple(
            None if gone else _rounded(dt.datetime(*moment.timetuple()[:6]))
            for moment, gone in zip(decoded, missing, strict=True)
        )
    except (ValueError, OverflowError) as error:
        return nothing, f"the time units {units!r} cannot be decoded ({error})"
    return times, ""


def _rounded(moment: dt.datetime) -> dt.datetime:
    since = moment - dt.datetime(1950, 1, 1)
    return dt.datetime(1950, 1, 1) + round(since / _TIME_ROUNDING) * _TIME_ROUNDING


def _values(dataset: Any) -> NDArray[Any]:
    """Values of a coordinate, unpacked; its own type when it is not packed."""
    stored: NDArray[Any] = np.asarray(dataset[()])
    scale, offset = _number(dataset, "scale_factor"), _number(dataset, "add_offset")
    if scale is None and offset is None:
        return stored
    return stored * (1.0 if scale is None else scale) + (0.0 if offset is None else offset)


def _text(dataset: Any, name: str) -> str:
    value = dataset.attrs.get(name, b"")
    if isinstance(value, np.ndarray):
        value = value.reshape(-1)[0] if value.size else b""
    return (value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)).strip()


def _number(dataset: Any, name: str) -> float | int | None:
    if name not in dataset.attrs:
        return None
    stored = np.asarray(dataset.attrs[name]).reshape(-1)
    if stored.size == 0 or stored.dtype.kind not in "iuf":
        return None
    number: float | int = stored[0].item()
    return number


def _optional_float(number: float | int | None) -> float | None:
    return None if number is None else float(number)
