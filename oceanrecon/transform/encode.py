"""Quantisation: physical values to integer codes and back, and how that is described in files.

``code = rint((value - minimum) / (maximum - minimum) * last_code)`` with rounding half to even;
``value = minimum + code / last_code * (maximum - minimum)``. ``last_code`` is 254 for uint8 and 65534 for uint16;
the code above it means missing.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

EncodingName = Literal["uint8", "uint16"]

Codes = NDArray[np.uint8] | NDArray[np.uint16]


@dataclass(frozen=True)
class Stretch:
    """A linear code for one physical quantity, from ``minimum`` to ``maximum`` in ``units``."""

    name: str
    storage_dtype: EncodingName
    minimum: float
    maximum: float
    units: str

    @property
    def dtype(self) -> np.dtype[Any]:
        """The numpy dtype of the codes."""
        return np.dtype(self.storage_dtype)

    @property
    def nodata(self) -> int:
        """The code that means missing, the largest of the type."""
        return int(np.iinfo(self.dtype).max)

    @property
    def last_code(self) -> int:
        """The code of ``maximum``."""
        return self.nodata - 1

    @property
    def step(self) -> float:
        """Difference between neighbouring codes, in ``units``; the largest error of a value in range is half of it."""
        return (self.maximum - self.minimum) / self.last_code

    def encode(self, values: NDArray[np.floating[Any]]) -> Codes:
        """Codes of ``values`` (any shape, ``units``); not finite becomes ``nodata``, out of range is clipped."""
        scaled = (np.asarray(values, dtype=np.float64) - self.minimum) * (1.0 / self.step)
        finite = np.isfinite(scaled)
        clipped = np.clip(np.where(finite, scaled, 0.0), 0.0, float(self.last_code))
        codes: Codes = np.where(finite, np.rint(clipped), float(self.nodata)).astype(self.dtype)
        return codes

    def decode(self, codes: Codes) -> NDArray[np.float32]:
        """Values of ``codes`` (any shape), float32 in ``units``; ``nodata`` becomes NaN."""
        # a table of all codes: no float64 copy of the field
        return _table(self)[codes]

    def manifest(self) -> dict[str, Any]:
        """The keys that describe a stretch in ``manifest.yaml`` and in GeoTIFF tags."""
        return {
            "name": self.name,
            "storage_dtype": self.storage_dtype,
            "minimum": self.minimum,
            "maximum": self.maximum,
            "units": self.units,
            "nodata": self.nodata,
            "valid_code_min": 0,
            "valid_code_max": self.last_code,
            "valid_code_count": self.last_code + 1,
            "quantization_step": self.step,
            "max_abs_quantization_error": self.step / 2,
            "decode": f"minimum + code / {self.last_code} * (maximum - minimum)",
        }


@cache
def _table(stretch: Stretch) -> NDArray[np.float32]:
    """The value of each code: a patch has fewer pixels than uint16 has codes."""
    table = (stretch.minimum + np.arange(stretch.nodata + 1) * stretch.step).astype(np.float32)
    table[stretch.nodata] = np.nan
    table.setflags(write=False)
    return table


_RANGES: dict[EncodingName, dict[str, tuple[float, float, str]]] = {
    "uint8": {
        "temperature_kelvin": (270.15, 308.15, "K"),
        "salinity": (30.0, 40.0, "PSU"),
        "density": (1000.0, 1035.0, "kg/m3"),
        "sea_height": (-2.0, 2.0, "m"),
    },
    "uint16": {
        "temperature_kelvin": (268.15, 313.15, "K"),
        "salinity": (0.0, 45.0, "PSU"),
        "density": (990.0, 1040.0, "kg/m3"),
        "sea_height": (-5.0, 5.0, "m"),
    },
}

#: The quantities that have a stretch.
QUANTITIES = tuple(_RANGES["uint8"])


def stretch(quantity: str, encoding: EncodingName) -> Stretch:
    """The stretch of a quantity (one of ``QUANTITIES``) in an encoding."""
    low, high, units = _RANGES[encoding][quantity]
    return Stretch(quantity, encoding, low, high, units)
