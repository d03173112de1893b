"""How the stored numbers of one variable of a file become physical values in the units that we deliver."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from oceanrecon.errors import SourceError
from oceanrecon.sources.header import VariableHeader
from oceanrecon.sources.product import CELSIUS, KELVIN, ProductVariable
from oceanrecon.transform.regrid import Unpacking


def unpacking_of(
    variable: ProductVariable, header: VariableHeader, some_values: Callable[[], NDArray[Any]]
) -> tuple[Unpacking, tuple[str, ...]]:
    """The unpacking of a variable, and what had to be assumed.

    Args:
        variable: what it should be.
        header: what the file says of it.
        some_values: stored numbers, by which kelvin and Celsius are told apart where the file states no units.

    Raises:
        SourceError: the file's units are none of the accepted ones.
    """
    fills = tuple(float(fill) for fill in (header.fill_value, header.missing_value) if fill is not None)
    packed = Unpacking(
        scale=1.0 if header.scale_factor is None else header.scale_factor,
        offset=0.0 if header.add_offset is None else header.add_offset,
        fills=fills,
    )
    warnings: tuple[str, ...] = ()
    units = header.units or ""
    if units in variable.conversions:
        factor, offset = variable.conversions[units]
    elif units:
        accepted = ", ".join(repr(name) for name in variable.conversions)
        raise SourceError(f"{variable.name} is in {units!r}; accepted units are {accepted}")
    elif variable.conversions is KELVIN or variable.conversions is CELSIUS:
        name = _temperature_units(packed, some_values())
        factor, offset = variable.conversions[name]
        warnings = (f"{variable.name} states no units, taken as {_SPELLED[name]} from its values",)
    else:
        factor, offset = 1.0, 0.0
        warnings = (f"{variable.name} states no units, taken as {variable.units}",)
    scale, shift = packed.scale * factor, packed.offset * factor + offset
    low, high = sorted((bound - shift) / scale for bound in variable.plausible)
    return Unpacking(scale, shift, low, high, fills), warnings


_SPELLED = {"degC": "degrees Celsius", "K": "kelvin"}


def _temperature_units(packed: Unpacking, stored: NDArray[Any]) -> str:
    """Kelvin or Celsius, by the middle of the values."""
    stored = stored.astype(np.float64)
    values = stored[~np.isin(stored, packed.fills)] * packed.scale + packed.offset
    values = values[(values > -10) & (values < 330)]
    return "degC" if values.size > 0 and float(np.median(values)) < 100.0 else "K"
