"""Which stored numbers of a variable mean that nothing is there: those it declares, or those netCDF writes there."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

#: What netCDF writes where a variable declares no fill, by kind and bytes; none is known for bytes.
_DEFAULTS = {
    "i2": -32767, "u2": 65535, "i4": -2147483647, "u4": 4294967295, "i8": -9223372036854775806,
    "u8": 18446744073709551614, "f4": 9.969209968386869e36, "f8": 9.969209968386869e36,
}  # fmt: skip


def fills_of_type(declared: Iterable[Any], dtype: np.dtype[Any]) -> list[Any]:
    """Declared fills as numbers of a type, without texts, and without those that no number of it can be.

    -999 is no integer of one byte, and 0.5 and NaN are none of any size.
    """
    numbers = [number for one in declared if np.asarray(one).dtype.kind in "iuf" for number in np.ravel(one)]
    if dtype.kind == "f":
        with np.errstate(over="ignore"):
            return [dtype.type(number) for number in numbers]
    limits = np.iinfo(dtype)
    whole = [int(number) for number in numbers if np.isfinite(number) and number == np.floor(number)]
    return [dtype.type(number) for number in whole if limits.min <= number <= limits.max]


def default_fill(dtype: np.dtype[Any]) -> Any:
    """What netCDF writes into a variable of a type that declares no fill; ``None``: nothing is known."""
    return _DEFAULTS.get(f"{dtype.kind}{dtype.itemsize}")
