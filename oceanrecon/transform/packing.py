"""How values are stored in files of regions: as 16-bit integers where all of a variable fit, else as they are.

Which step a variable has follows from its CF ``standard_name`` and ``units``, never from its name: a flag of salinity
is no salinity. One value that does not fit is enough for float32: an integer that wraps is a wrong value.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from oceanrecon.transform.compiled import compiled
from oceanrecon.transform.day import Values

#: What missing is as a packed number; as many steps are there below the offset as above it.
FILL = -32767
_LIMIT = 32766


@dataclass(frozen=True)
class Packing:
    """A linear code: ``value = code * scale + offset``, rounded to the nearest code, half to even."""

    scale: float
    offset: float = 0.0

    @property
    def range(self) -> tuple[float, float]:
        """Least and greatest value that has a code."""
        return self.offset - _LIMIT * self.scale, self.offset + _LIMIT * self.scale

    def encode(self, values: NDArray[np.floating[Any]]) -> NDArray[np.int16] | None:
        """Codes of values [row, column], ``FILL`` for what is not finite; ``None``: a finite value has no code."""
        codes = np.empty(values.shape, np.int16)
        return codes if _pack(values, codes, self.scale, self.offset) else None

    def decode(self, codes: NDArray[np.int16]) -> NDArray[np.float32]:
        """Values of codes, NaN for ``FILL``: float32 of the shape of ``codes``."""
        return decoded(codes, self.scale, self.offset, FILL)


#: By what a standard name contains: the units that go with it, and the packing.
_QUANTITIES = (
    ("sea_surface_height", "m", Packing(5e-4)),
    ("temperature", "degree_Celsius", Packing(1e-3, 20.0)),
    ("salinity", "PSU", Packing(2e-3, 30.0)),
    ("sea_water_velocity", "m s-1", Packing(1e-3)),
    ("wind", "m s-1", Packing(1e-2)),
)


def packing_of(attributes: Mapping[str, Any]) -> Packing | None:
    """The packing of a variable with these CF attributes; ``None``: it is stored as it is.

    Errors and other modified quantities (``sea_surface_temperature standard_error``) have none: they are small, and a
    step made for the quantity itself would show in them.
    """
    name = str(attributes.get("standard_name", ""))
    if " " in name:
        return None
    for part, units, packing in _QUANTITIES:
        if part in name and attributes.get("units") == units:
            return packing
    return None


@dataclass(frozen=True, eq=False)
class Encoded:
    """Values as they are stored."""

    #: int16 codes, float32 or the integers of a flag: [row, column]
    data: NDArray[Any]
    #: those of the variable, and those that say how it is stored
    attributes: Mapping[str, Any] = field(default_factory=dict)
    #: stored number that is missing; ``None``: none is
    fill: Any = None


def encode(values: Values) -> Encoded:
    """Values as they are stored, and the attributes by which any reader of CF gets them back.

    Floats that have a packing become int16; if one finite value does not fit it, all stay float32 and the attribute
    ``packing_note`` says why. What is not finite is missing. Integers stay what they are.

    Args:
        values: of one variable, floats or integers: [row, column].
    """
    attributes, data = dict(values.attributes), values.data
    packing = packing_of(attributes) if data.dtype.kind == "f" else None
    if packing is not None:
        codes = packing.encode(data)
        if codes is not None:
            attributes |= {"scale_factor": packing.scale, "add_offset": packing.offset, "_FillValue": np.int16(FILL)}
            return Encoded(codes, attributes, np.int16(FILL))
        finite = data[np.isfinite(data)]
        low, high = packing.range
        attributes["packing_note"] = (
            f"stored as float32: its values {finite.min():g}..{finite.max():g} do not fit {low:g}..{high:g}, the range "
            f"of 16-bit integers of step {packing.scale:g}"
        )
    return as_is(replace(values, attributes=attributes))


def as_is(values: Values) -> Encoded:
    """Values as they are stored without a packing: floats of either size, and integers, of any shape."""
    data, attributes = values.data, dict(values.attributes)
    if data.dtype.kind != "f":
        return _integers(data, attributes, values.missing)
    kind = np.dtype(np.float64 if data.dtype.itemsize > 4 else np.float32)
    fill = kind.type(np.nan)
    # one bit pattern of NaN, whatever made it
    plain = np.where(np.isfinite(data), data, fill).astype(kind, copy=False)
    return Encoded(plain, attributes | {"_FillValue": fill}, fill)


def _integers(data: NDArray[Any], attributes: dict[str, Any], missing: int | None) -> Encoded:
    if data.dtype.kind == "b":
        data = data.astype(np.int8)
    kind = data.dtype.newbyteorder("=")
    for name in ("flag_values", "flag_masks", "valid_min", "valid_max"):
        if name in attributes:
            attributes[name] = _of_type(attributes[name], kind)
    fill = None if missing is None else kind.type(missing)
    return Encoded(data.astype(kind, copy=False), attributes | ({} if fill is None else {"_FillValue": fill}), fill)


def _of_type(stated: Any, kind: np.dtype[Any]) -> Any:
    """An attribute as CF wants it, of the type of the variable; what would be another number, or is none, stays."""
    numbers = np.asarray(stated)
    if numbers.dtype.kind not in "iuf":
        return stated
    with np.errstate(invalid="ignore"):
        made = numbers.astype(kind)
    return made if np.array_equal(made, numbers) else stated


def decoded(stored: NDArray[Any], scale: float, offset: float, fill: Any) -> NDArray[np.float32]:
    """Physical values of packed numbers, NaN where they are ``fill``: float32 of the same shape."""
    values = (stored * np.float64(scale) + offset).astype(np.float32)
    if fill is not None:
        values[stored == fill] = np.nan
    return values


@compiled
def _pack(values: NDArray[Any], codes: NDArray[np.int16], scale: float, offset: float) -> bool:
    """Fill ``codes`` from ``values``; whether all that are finite have a code."""
    for row in range(values.shape[0]):
        for column in range(values.shape[1]):
            value = values[row, column]
            if not np.isfinite(value):
                codes[row, column] = FILL
                continue
            code = np.rint((np.float64(value) - offset) / scale)
            if abs(code) > _LIMIT:
                return False
            codes[row, column] = np.int16(code)
    return True
